"""REST and WebSocket over the same services the screens use."""
