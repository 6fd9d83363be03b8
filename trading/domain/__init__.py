"""What money, orders, positions and the ledger are: standard library only, no I/O, no clock, no floats for money."""
