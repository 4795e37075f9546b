"""Fixtures of the ledger's tests: a driven day, and books of two agencies."""

from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any
from uuid import uuid4

import pytest

from shared import clock
from shared.calendar import start_of
from shared.contracts.accounts import AgencyRegistered, AgencySucceeded
from shared.contracts.base import Period
from tests.ledger.builders import a_line, captured, delivered, delivery, opened


@pytest.fixture
def november() -> Iterator[clock.DrivenClock]:
    """Real services on a driven clock: 10 November 2026, late morning in Viet Nam."""
    driven = clock.DrivenClock(start_of(date(2026, 11, 10)) + timedelta(hours=11), seed=7)
    with clock.driven(driven):
        yield driven


@pytest.fixture
async def flat(flats: Any, november: Any) -> Any:
    """Books of two agencies; bkh absorbed ktv in April 2025."""
    flat = await flats.start("ledger")
    registered = [
        AgencyRegistered(agency=code, name=code.upper(), kind="newspaper", active_from=date(2020, 1, 1))
        for code in ("bkh", "ktv", "tcnt")
    ]
    await flat.receive(*registered, AgencySucceeded(agency="ktv", successor="bkh", on=date(2025, 4, 24)))
    an_old_line = a_line(300_000, agency="ktv", earn=Period(date(2025, 3, 1), date(2025, 3, 30)))
    campaign = a_line(1_000_000, earn=delivered(4), stream="advertising.web")
    await flat.receive(
        captured(an_old_line, on=date(2025, 3, 1), agency="ktv"),
        opened(campaign, on=date(2026, 11, 3)),
        delivery(campaign, 1, on=date(2026, 11, 4)),
        captured(a_line(90_000, agency="tcnt"), on=date(2026, 11, 10), agency="tcnt"),
    )
    return flat


@pytest.fixture
def cookie(flats: Any) -> dict[str, str]:
    return {
        "cookie": f"nt_token={flats.token(id=uuid4(), roles={'bkh': ['finance']})}",
        "accept": "text/html",
    }
