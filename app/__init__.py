"""Streamlit screens over the services; the gateway serves their cookie and their live prices."""
