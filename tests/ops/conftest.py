"""The sample service, for tests of failure."""

from tests.sample import line, sample

__all__ = ["line", "sample"]
