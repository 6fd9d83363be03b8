"""Tradefloor: all that would survive deleting Streamlit and Dagster."""
