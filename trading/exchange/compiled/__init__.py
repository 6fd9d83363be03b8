"""The compiled matching core: many symbols, integer ticks and lots, no I/O, no clock, no floats in matching."""
