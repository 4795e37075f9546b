"""Every write of the events service."""
