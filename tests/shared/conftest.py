"""The sample service and its doors, and a house that has lived, for tests of the shared parts."""

from tests.sample import line, sample
from tests.shared.door import door
from tests.shared.lived import books, house, lived, visitor

__all__ = ["books", "door", "house", "line", "lived", "sample", "visitor"]
