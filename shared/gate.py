"""How much is answered at once: a crowd is sent away politely, and never takes the room that money keeps for itself."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from litestar import Litestar
from litestar.routes import HTTPRoute

from shared.errors import Unavailable

MONEY: Final = ("/gateway/", "/pay/")
"""Where money is paid, and where a bank tells of it."""

BUYS: Final = {"buys": True}
"""`opt=BUYS` marks a POST with which a purchase begins or goes on: it belongs where the money for it is paid."""

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

    def __init__(self, most: int, buys: Iterable[str] = ()) -> None:
        """`buys` are the addresses with which purchases begin, with their parameters as `{order_id:uuid}`."""
        self._buys = re.compile(
            "|".join(_PARAMETER.sub("[^/]+", address) + "/?" for address in buys) or "(?!)"
        )
        self.money = Room("money", most)
        self.looks = Room("looks", MOST_LOOKS)
        self.crowd = Room("crowd", most)

    def room_of(self, method: str, path: str) -> Room:
        """The room of what is asked at a path. An open stream waits for news and does nothing else: a crowd's."""
        if path.startswith(MONEY) and not path.endswith("/live"):
            return self.money
        if method == "POST" and self._buys.fullmatch(path):
            return self.money
        return self.looks if path.startswith(LOOKS) else self.crowd


_PARAMETER = re.compile(r"\{[^}]*\}")


def buying(app: Litestar) -> list[str]:
    """The addresses of an app with which purchases begin."""
    return [
        route.path
        for route in app.routes
        if isinstance(route, HTTPRoute)
        for handler in route.route_handlers
        if handler.opt.get("buys")
    ]


def crowded() -> Unavailable:
    """The refusal at a full room."""
    return Unavailable(CROWDED, retry_after_s=1)
