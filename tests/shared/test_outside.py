"""No connection to the database is held while the outside world takes its time."""

import inspect
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from shared.outside import HeldInside, outside
from shared.settings import SERVICES

ROOT = Path(__file__).parent.parent.parent
OURS = {
    "services.ads.gateways.Caps.seen",
    "services.ads.gateways.Wire.ask",
    "services.ads.gateways.connect",
    "services.ledger.gateways.Drawer.close",
}
"""Redis is ours and answers within a millisecond, and an end of work is no call."""


@outside
async def call() -> str:
    return "answered"


async def test_a_gateway_called_inside_a_transaction_is_refused(flats: Any) -> None:
    database = (await flats.start("ledger")).house.database
    for transaction in (database.worker_tx, database.web_tx):
        assert await call() == "answered"
        async with transaction() as tx:
            await tx.connection()
            with pytest.raises(HeldInside, match="call is called while a transaction is open"):
                await call()
            await tx.commit()
            assert await call() == "answered"
    with pytest.raises(ZeroDivisionError):
        async with database.worker_tx() as tx:
            await tx.connection()
            raise ZeroDivisionError
    assert await call() == "answered"


@pytest.mark.parametrize("service", SERVICES)
def test_every_gateway_of_a_service_is_one(service: str) -> None:
    if not list((ROOT / "services" / service).glob("gateways*")):
        return
    module = import_module(f"services.{service}.gateways")
    mine = [found for found in vars(module).values() if getattr(found, "__module__", "") == module.__name__]
    works = [*mine, *(work for kind in mine if inspect.isclass(kind) for work in vars(kind).values())]
    unmarked = {
        f"{work.__module__}.{work.__qualname__}"
        for work in works
        if inspect.iscoroutinefunction(work)
        and not work.__name__.startswith("_")
        and not hasattr(work, "is_outside")
    }
    assert unmarked <= OURS
