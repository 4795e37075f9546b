"""What the events service decides: who may take what, what it costs, when each part is due, what state it is in."""
