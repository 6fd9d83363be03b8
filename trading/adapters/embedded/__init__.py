"""Real PostgreSQL and Valkey servers out of Python wheels."""
