"""Market data without I/O: ticks, bars, validation, the simulated venue SIM."""
