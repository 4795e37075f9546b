"""The sample service, for tests of the shared parts."""

from tests.sample import sample

__all__ = ["sample"]
