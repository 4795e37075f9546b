"""The sample service and its doors, for tests of the shared parts."""

from tests.sample import sample
from tests.shared.door import door

__all__ = ["door", "sample"]
