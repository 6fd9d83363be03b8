"""Data that ships with the project, and the script that computes the table of profiles."""
