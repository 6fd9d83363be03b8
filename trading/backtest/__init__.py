"""Backtests on the same exchange as live trading, sweeps, metrics."""
