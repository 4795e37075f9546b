"""No connection to the database is held while the outside world, or a processor, takes its time."""

import ast
import inspect
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from shared.contracts import SERVICES
from shared.outside import HeldInside, outside

ROOT = Path(__file__).parent.parent.parent
OURS = {
    "services.ads.gateways.Caps.seen",
    "services.ads.gateways.Wire.ask",
    "services.ads.gateways.connect",
    "services.ledger.gateways.Drawer.close",
}
"""Redis is ours and answers within a millisecond, and an end of work is no call."""
SLOW = {"PIL", "aiosmtplib", "argon2", "csv", "httpx", "obstore", "segno", "vl_convert", "zxcvbn"}
"""Libraries that wait for others, or compute for longer than a page may take."""
NO_REQUESTS = {"cli", "embedded", "migrations", "simulation", "simulators", "draw.py"}
"""Where no request's transaction is: commands, migrations, the demo's history, simulators, the process of charts."""


@outside
async def call() -> str:
    return "answered"


async def test_a_gateway_called_inside_a_transaction_is_refused(flats: Any) -> None:
    database = (await flats.start("ledger")).kit.database
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


def works_of(module: ModuleType) -> dict[str, bool]:
    """The public coroutines of a module and its classes, and whether each is marked."""
    mine = [found for found in vars(module).values() if getattr(found, "__module__", "") == module.__name__]
    works = [*mine, *(work for kind in mine if inspect.isclass(kind) for work in vars(kind).values())]
    return {
        f"{work.__module__}.{work.__qualname__}": hasattr(work, "is_outside")
        for work in works
        if inspect.iscoroutinefunction(work) and not work.__name__.startswith("_")
    }


@pytest.mark.parametrize("service", SERVICES)
def test_every_gateway_of_a_service_is_one(service: str) -> None:
    if not list((ROOT / "services" / service).glob("gateways*")):
        return
    works = works_of(import_module(f"services.{service}.gateways"))
    assert {name for name, marked in works.items() if not marked} <= OURS


def imported(path: Path) -> set[str]:
    """The libraries that a file imports."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {name.name.split(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.split(".")[0])
    return found


SLOW_PLACES = [
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for folder in ("services", "shared")
    for path in sorted((ROOT / folder).rglob("*.py"))
    if not NO_REQUESTS & set(path.relative_to(ROOT).parts) and SLOW & imported(path)
]


@pytest.mark.promise("V8")
@pytest.mark.parametrize("place", SLOW_PLACES)
def test_a_slow_library_is_called_only_by_what_is_never_called_inside_a_transaction(place: str) -> None:
    """Passwords, pictures, files and QR codes too: a door that calls the library itself has nothing that is marked."""
    works = works_of(import_module(place.removesuffix(".__init__")))
    assert works, f"{place} calls a slow library by itself"
    assert {name for name, marked in works.items() if not marked} <= OURS


def test_the_slow_places_are_found() -> None:
    assert {
        "services.accounts.actions.secrets",
        "services.ads.actions.images",
        "services.ledger.pages.tables",
        "shared.files",
        "shared.web.qr",
    } <= set(SLOW_PLACES)
