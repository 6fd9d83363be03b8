"""Dagster assets and their checks, by concept. A body loads, calls trading, saves."""
