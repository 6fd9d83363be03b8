"""Features, labels, walk-forward splits and models."""
