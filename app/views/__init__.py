"""Pages: each reads what is asked, calls services, and shows."""
