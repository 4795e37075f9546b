"""How much is answered at once: a crowd is sent away politely, and never takes the room that money keeps for itself."""

from dataclasses import dataclass
from typing import Final

from shared.errors import Unavailable

MONEY: Final = ("/gateway/", "/pay/")
"""Where money is paid, and where a bank tells of it."""

LOOKS: Final = ("/health/", "/metrics")
"""Where those who run the house look at it: they see a crowd best while it is there."""

MOST_LOOKS: Final = 50

CROWDED: Final = "More is asked at this moment than can be answered; try again in a second."


@dataclass
class Room:
    """Requests of one kind: how many there may be at once, and how many there are."""

    name: str
    most: int
    inside: int = 0

    @property
    def is_full(self) -> bool:
        return self.inside >= self.most


class Gate:
    """The rooms of one process. What finds its own full is refused before anything is done for it."""

    def __init__(self, most: int) -> None:
        self.money = Room("money", most)
        self.looks = Room("looks", MOST_LOOKS)
        self.crowd = Room("crowd", most)

    def room_of(self, path: str) -> Room:
        """The room of what is asked at a path. An open stream waits for news and does nothing else: a crowd's."""
        if path.startswith(MONEY) and not path.endswith("/live"):
            return self.money
        return self.looks if path.startswith(LOOKS) else self.crowd


def crowded() -> Unavailable:
    """The refusal at a full room."""
    return Unavailable(CROWDED, retry_after_s=1)
