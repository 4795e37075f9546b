"""The whole house moves to a next release, service by service, while people buy; one of them goes back."""

import os
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from uuid import UUID

import pytest

from shared import clock
from tests.journeys.crowd import PATIENCE_S, Crowd
from tests.journeys.releases import ANEW, GAINED, Rolling, next_release, rolling
from tests.journeys.seen import Seen
from tests.shared.homes import a_folder
from tests.template import copy_lived

pytestmark = [pytest.mark.promise("T5"), pytest.mark.xdist_group("house"), pytest.mark.stack]

CAPTURED = "payments.payment.captured.v1"


@pytest.fixture
def house(request: pytest.FixtureRequest) -> Iterator[Rolling]:
    environ = {k: v for k, v in os.environ.items() if not k.startswith("NGUONTHU_")}
    with a_folder() as folder:
        copy_lived(request.config.cache.mkdir("lived"), environ, folder / "home")
        sources = next_release(folder / "next")
        with rolling(folder / "home", environ, sources) as house:
            yield house


@pytest.mark.timeout(900)
def test_two_releases_of_the_house_work_side_by_side_and_nothing_is_lost_doubled_or_refused(
    house: Rolling,
) -> None:
    seen, crowd = Seen(house), Crowd(house)

    def upgrade(service: str) -> None:
        with house.beside(service):
            crowd.buys(1, f"while there are two of {service}")
            house.replace(service)

    began = clock.now()
    try:
        crowd.buys_everything("from the release of before")
        house.by_next("migrate")
        crowd.buys_everything("from the release of before, on what the next one has added")
        upgrade("payments")
        with house.taken("subscriptions", "period"):
            upgrade("events")
            gained = kept_as_it_came(seen, "subscriptions", CAPTURED, "payments")
        upgrade("subscriptions")
        anew = kept_as_it_came(seen, "accounts", ANEW, "subscriptions")
        for service in ("ads", "ledger", "accounts"):
            upgrade(service)
        crowd.buys_everything("from the next release")
        house.replace("payments", back=True)
        went_back = clock.now()
        crowd.buys_everything("from both")
        crowd.go_home()
        house.until(seen.quiet, "what was said is heard, and what was kept is done", 180)
    finally:
        print(Counter(crowd.bought), *crowd.failed, sep="\n")  # noqa: T201 - pytest shows it with a failure
    assert crowd.failed == []
    seen.check()
    assert "Sound: " in house.by_next("ledger", "verify")
    for service, kept in (("subscriptions", gained), ("accounts", anew)):
        assert kept <= seen.many(service, "SELECT fact_id FROM inbox")
    archived_as_it_came(seen, began, went_back)


def kept_as_it_came(seen: Seen, service: str, subject: str, publisher: str) -> set[UUID]:
    """Wait until a service keeps facts of a subject for later; returns whose bytes are all as they were said."""
    asked = f"SELECT fact_id, body FROM retry WHERE subject = '{subject}'"
    rows = seen.house.until(lambda: seen.rows(service, asked), f"{service} keeps {subject}", PATIENCE_S)
    kept = {row.fact_id: bytes(row.body) for row in rows}
    # Who publishes notes it just after it was heard.
    seen.house.until(lambda: kept.keys() <= seen.said(publisher, subject).keys(), "it is noted")
    assert kept.items() <= seen.said(publisher, subject).items()
    return set(kept)


def archived_as_it_came(seen: Seen, began: datetime, went_back: datetime) -> None:
    """The books have each payment in its own bytes; what was new in it was read by whoever knew of it."""
    asked = (
        f"SELECT fact_id, body, note FROM archive WHERE subject = '{CAPTURED}' AND recorded_at > '{began}'"
    )
    rows = seen.rows("ledger", asked)
    said = seen.said("payments", CAPTURED)
    assert {row.fact_id: bytes(row.body) for row in rows}.items() <= said.items()
    bears = {(GAINED in bytes(row.body).decode(), row.note) for row in rows}
    assert bears == {(False, ""), (True, ""), (True, GAINED)}, "said before, kept unread, and read"
    after = f"SELECT note FROM capture WHERE recorded_at > '{went_back}'"
    assert seen.many("payments", after) == {""}, "the release of before writes what it knows"
