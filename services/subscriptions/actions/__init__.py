"""Every write of subscriptions: load, rule, store, emit."""
