"""Builders for the tests of accounts."""
