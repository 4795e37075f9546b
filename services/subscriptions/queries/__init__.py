"""Every read of subscriptions."""
