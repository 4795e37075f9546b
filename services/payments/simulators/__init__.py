"""Gateways played by ourselves: the embedded default, refused in production."""
