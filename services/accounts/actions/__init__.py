"""Every write of accounts, by what it writes."""
