"""People who buy all the time, whatever is done to the house meanwhile."""

import threading
from collections.abc import Callable
from typing import Any

from tests.journeys import buyers
from tests.journeys.conftest import WholeHouse

PATIENCE_S = 180
KINDS = {"buy_campaign", "buy_subscription", "buy_bib"}


class Crowd:
    """Three who buy again and again, each of another kind, until they are told to stop."""

    def __init__(self, house: WholeHouse) -> None:
        self.bought: list[str] = []
        self.failed: list[str] = []
        self._house = house
        self._stop = threading.Event()
        client, staff = buyers.advertiser(house), buyers.staff(house, "/desk/ads")
        wants: list[tuple[Any, ...]] = [
            (buyers.buy_campaign, house, client, staff),
            (buyers.buy_subscription, house),
            (buyers.buy_bib, house, client),
        ]
        self._threads = [threading.Thread(target=self._shop, args=want, daemon=True) for want in wants]
        for thread in self._threads:
            thread.start()

    def _shop(self, what: Callable[..., None], *given: Any) -> None:
        while not self._stop.is_set():
            try:
                what(*given)
                self.bought.append(what.__name__)
            except AssertionError as error:
                self.failed.append(f"{what.__name__}: {error}")

    def buys(self, count: int, when: str) -> None:
        """Wait until so many more purchases are through. Raises AssertionError."""
        enough = len(self.bought) + count
        self._house.until(lambda: len(self.bought) >= enough, f"people buy {when}", PATIENCE_S)

    def buys_everything(self, when: str) -> None:
        """Wait until something of each kind was bought from now on. Raises AssertionError."""
        since = len(self.bought)
        self._house.until(lambda: set(self.bought[since:]) == KINDS, f"everybody buys {when}", PATIENCE_S)

    def go_home(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout=180)
            assert not thread.is_alive()
