"""Every read of ads: the rate card, orders with their delivery, and the snapshot that decisions run on."""
