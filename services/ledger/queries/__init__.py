"""Every read of the ledger; row-level security keeps each reader to their agencies."""
