"""REST and WebSocket over the same services as the screens."""
