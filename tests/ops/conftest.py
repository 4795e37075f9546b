"""The sample service, for tests of failure."""

from tests.sample import sample

__all__ = ["sample"]
