"""The audit trail as it was written, its chain, and the names of those in it."""

import re
from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa

from shared.db import Tx


class Entry(msgspec.Struct, frozen=True):
    """An audit entry as it was written."""

    number: int
    at: datetime
    agency: str
    actor: str
    action: str
    subject: str
    before: Any
    after: Any
    why: str
    told_by: str
    hash: str


_PERSON = re.compile(r"person:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


async def names_of(tx: Tx, subjects: list[str]) -> dict[str, str]:
    """Names of the persons among audit subjects (`person:<id>`), as far as the transaction may see them."""
    ids = {s.removeprefix("person:") for s in subjects if _PERSON.fullmatch(s)}
    rows = await tx.execute(
        sa.text("SELECT id, name, email FROM person WHERE id = ANY(CAST(:ids AS uuid[]))"),
        {"ids": sorted(ids)},
    )
    return {f"person:{row.id}": row.name or row.email or str(row.id) for row in rows}


_BROKEN = (
    "SELECT count(*) FROM (SELECT hash, sha256(coalesce(lag(hash) OVER chain, ''::bytea) "
    "|| convert_to(body, 'UTF8')) AS should, number, row_number() OVER chain AS place FROM audit "
    "WHERE agency = ANY(:codes) WINDOW chain AS (PARTITION BY agency ORDER BY number)) entry "
    "WHERE hash <> should OR number <> place"
)


async def broken_entries(tx: Tx, codes: list[str]) -> int:
    """How many audit entries of these agencies no longer fit the chain; 0 when nobody touched it."""
    return int(await tx.scalar(sa.text(_BROKEN), {"codes": codes}) or 0)


class Wanted(msgspec.Struct, frozen=True):
    """Which entries are looked for; what is None narrows nothing."""

    actors: list[str] | None = None
    action: str | None = None
    since: datetime | None = None
    until: datetime | None = None


ALL = Wanted()


async def entries(
    tx: Tx, agency: str, before: int | None = None, limit: int = 50, wanted: Wanted = ALL
) -> list[Entry]:
    """Entries of one agency, the newest first."""
    rows = await tx.execute(
        sa.text(
            "SELECT number, body, hash FROM audit WHERE agency = :agency "
            "AND (CAST(:before AS bigint) IS NULL OR number < :before) "
            "AND (CAST(:actors AS text[]) IS NULL OR body::json ->> 'actor' = ANY(CAST(:actors AS text[]))) "
            "AND (CAST(:action AS text) IS NULL OR body::json ->> 'action' = :action) "
            "AND (CAST(:since AS timestamptz) IS NULL OR (body::json ->> 'at')::timestamptz >= :since) "
            "AND (CAST(:until AS timestamptz) IS NULL OR (body::json ->> 'at')::timestamptz < :until) "
            "ORDER BY number DESC LIMIT :limit"
        ),
        {"agency": agency, "before": before, "limit": limit, **msgspec.structs.asdict(wanted)},
    )
    return [
        msgspec.convert(
            {**msgspec.json.decode(row.body), "number": row.number, "hash": row.hash.hex()}, Entry
        )
        for row in rows
    ]


async def exported(tx: Tx, agency: str) -> str:
    """One JSON object a line, oldest first: number, hash, and the body that the hash covers.

    hash(n) = SHA-256(hash(n - 1) + body(n) in UTF-8), beginning with nothing.
    """
    rows = await tx.execute(
        sa.text("SELECT number, hash, body FROM audit WHERE agency = :agency ORDER BY number"),
        {"agency": agency},
    )
    lines = ({"number": row.number, "hash": row.hash.hex(), "body": row.body} for row in rows)
    return "".join(msgspec.json.encode(line).decode() + "\n" for line in lines)
