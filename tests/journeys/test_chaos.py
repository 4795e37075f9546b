"""A storm over the whole house while people buy: it ends without a person, and everything agrees to the đồng."""

import contextlib
import os
import random
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest

from tests.journeys import buyers, storm
from tests.journeys.crowd import PATIENCE_S, Crowd
from tests.journeys.seen import Seen
from tests.journeys.storm import SEEN_S, Gust, Stormy
from tests.shared.homes import a_folder
from tests.template import copy_lived

pytestmark = [pytest.mark.promise("T1"), pytest.mark.xdist_group("house"), pytest.mark.stack]

LONG = os.environ.get("CHAOS") == "long"
LONG_S = 60 * int(os.environ.get("MINUTES", "10"))
DISK = LONG and os.geteuid() == 0
"""Only root can give the house a disk of its own to be filled."""

AWAY_S = 60 * int(os.environ.get("AWAY", "0"))
"""For how long both NATS and Redis are away after the long form."""

SEED = int(os.environ.get("SEED", "7"))
BETWEEN = 2
"""How many more purchases are through before the next gust: the house sells on, and some are under way."""


@pytest.fixture
def stormy(request: pytest.FixtureRequest) -> Iterator[Stormy]:
    environ = {k: v for k, v in os.environ.items() if not k.startswith("NGUONTHU_")}
    with a_folder() as folder, storm.small_disk(folder) if DISK else nullcontext(folder) as place:
        copy_lived(request.config.cache.mkdir("lived"), environ, place / "home")
        with storm.standing(place / "home", environ) as house:
            yield house


@pytest.fixture
def copies() -> Iterator[Path]:
    """A folder for copies, on no disk that is filled."""
    with a_folder() as folder:
        yield folder


def weather() -> Iterator[Gust]:
    """The gusts of the seed: all of the short form, or as many of the long one as come in its time."""
    chance = random.Random(SEED)
    if not LONG:
        yield from storm.short(chance)
        return
    end = time.monotonic() + LONG_S
    for gust in storm.long(chance, disk=DISK):
        if time.monotonic() > end:
            return
        yield gust


def blow(house: Stormy, gust: Gust) -> list[str]:
    """Let a gust come and pass; returns what of it nobody could have seen, though it lasted."""
    mends, unseen = [(fault, house.begin(fault)) for fault in gust], []
    begun = time.monotonic()
    looked = {fault for fault in gust if fault.lasts_s >= SEEN_S}
    for fault, mend in sorted(mends, key=lambda one: one[0].lasts_s):
        while time.monotonic() < begun + fault.lasts_s:
            looked -= {one for one in looked if house.shows(one)}
            time.sleep(0.2)
        mend()
        if fault in looked:
            looked.discard(fault)
            unseen.append(str(fault))
    return unseen


def copy(house: Stormy, copies: Path) -> None:
    """Copy the house between two gusts, while people buy and what broke comes back; it may be told that it cannot."""
    made = house.command("backup", str(copies / "all"), "--keep", "1")
    assert made.returncode in (0, 1), made.stderr


def outlasts(house: Stormy, seen: Seen) -> None:
    """NATS and Redis are away for long: pages are shown, and what is ordered is paid once they are back."""
    client, end = buyers.advertiser(house), time.monotonic() + AWAY_S
    mends = [house.begin(storm.Fault("cut", store)) for store in ("nats", "redis")]
    try:
        while time.monotonic() < end:
            for page in ("/", "/subscribe", "/events", "/advertise"):
                assert house.get(page).status_code == 200, page
            time.sleep(10)
        link = buyers.order_bib(client)
    finally:
        for mend in mends:
            mend()
    buyers.pay(house, link)
    house.until(seen.quiet, "what waited is through", 600)
    seen.check()


def comes_back(house: Stormy, copies: Path) -> None:
    """The last copy comes up elsewhere, ends what was under way in it, and agrees as the house did."""
    house.command("down")
    back = copies / "back"
    came = house.command("restore", str(copies / "all"), "--to", str(back))
    assert came.returncode == 0, came.stdout + came.stderr
    with storm.standing(back, house.environ) as again:
        seen = Seen(again)
        again.until(lambda: not seen.unled(), "somebody leads everywhere", PATIENCE_S)
        again.until(seen.quiet, "what was under way is through", 180)
        with contextlib.suppress(AssertionError):
            again.until(seen.agrees, "what ran out meanwhile is given back", PATIENCE_S)
        seen.check()
        assert "Sound: " in again.command("ledger", "verify").stdout


@pytest.mark.timeout(1800 + AWAY_S if LONG else 900)
def test_whatever_comes_over_the_house_it_ends_by_itself_and_every_paid_dong_is_delivered_and_booked_once(
    stormy: Stormy, copies: Path
) -> None:
    seen, crowd = Seen(stormy), Crowd(stormy)
    before, came, unseen = seen.bank(), [], []
    try:
        for gust in weather():
            name = " and ".join(map(str, gust))
            crowd.buys(BETWEEN, f"before {name}")
            if LONG and len(came) % 10 == 0:
                copy(stormy, copies)
            came.append(f"{time.strftime('%H:%M:%S')} {name}")
            unseen += blow(stormy, gust)
        stormy.until(stormy.stands, "every part came back", PATIENCE_S)
        crowd.buys_everything("again")
        crowd.go_home()
        stormy.until(lambda: not seen.unled(), "somebody leads everywhere", PATIENCE_S)
        stormy.until(seen.quiet, "the house is quiet again", 180)
        assert seen.bank() > before
        seen.check()
        assert crowd.failed == [], "whoever tries again gets there"
        assert unseen == [], "faults that lasted, and that nobody could have seen"
        if AWAY_S:
            outlasts(stormy, seen)
        if LONG:
            comes_back(stormy, copies)
    finally:
        print(f"SEED={SEED}:", *came, Counter(crowd.bought), *crowd.failed, sep="\n")  # noqa: T201 - pytest shows it with a failure
