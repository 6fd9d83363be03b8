"""The matching engine that live paper trading, replay and backtest share: no I/O, no clock."""
