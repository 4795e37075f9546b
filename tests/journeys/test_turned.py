"""The operator's secret is turned as its page says: people, money and facts go on; what leaked opens nothing."""

from pathlib import Path
from urllib.parse import urlsplit

import pytest

from ops.embedded import state
from tests.journeys import buyers
from tests.journeys.conftest import WholeHouse
from tests.journeys.seen import Seen
from tests.ops.test_operations import follow, recipes

pytestmark = [pytest.mark.promise("T11"), pytest.mark.xdist_group("house"), pytest.mark.stack]

SECTION = "The operator's secret"
SEALS = "SELECT substring(totp_secret, 1, 4) FROM person WHERE totp_secret IS NOT NULL"


def turn(house: WholeHouse, recipe: str) -> None:
    """Do what the page says, and find the house again."""
    home = house.home
    follow(recipe, Path(home), NGUONTHU_HOME=str(home), SECRETS=str(home / "secrets"))
    house.address = state.look(home).address


@pytest.mark.timeout(900)
def test_a_turned_secret_keeps_what_is_with_people_and_a_leaked_one_opens_nothing(
    fresh_house: WholeHouse,
) -> None:
    house = fresh_house
    seen = Seen(house)
    kept, leaked = recipes("keys", SECTION)
    client = buyers.advertiser(house)
    first, second = buyers.order_bib(client), buyers.order_bib(client)
    before = seen.many("accounts", SEALS)
    turn(house, kept)
    buyers.pay(house, first)
    assert buyers.staff(house, "/desk/ads").call("GET", "/desk/ads").status_code == 200
    house.until(lambda: len(anew := seen.many("accounts", SEALS)) == 1 and anew != before, "sealed anew", 60)
    buyers.buy_subscription(house)
    house.until(seen.quiet, "the house is quiet", 120)
    turn(house, leaked)
    place = urlsplit(second)
    assert buyers.Client(house).call("GET", f"{place.path}?{place.query}").status_code == 404
    assert buyers.staff(house, "/desk/events").call("GET", "/desk/events").status_code == 200
    buyers.buy_subscription(house)
    house.until(seen.quiet, "the house is quiet again", 120)
    seen.check()
