"""Postgres: schema, and one store for each room of services."""
