"""Everything that touches the world: Postgres, the lake, Redis, clocks."""
