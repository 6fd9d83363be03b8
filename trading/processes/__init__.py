"""Long-running processes: supervisor, market, broker."""
