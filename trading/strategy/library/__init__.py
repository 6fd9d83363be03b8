"""One reference strategy a file."""
