"""Every write of the ledger: post facts, recognise days, rebuild and verify."""
