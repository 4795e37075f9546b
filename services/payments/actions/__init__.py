"""Every write of payments, by noun."""
