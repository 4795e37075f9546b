"""Signed heads as they are kept, and held against the archive as it stands now."""

import json
from collections.abc import Callable, Collection
from datetime import date
from typing import NamedTuple

import sqlalchemy as sa
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from joserfc.jwk import KeySet

from services.ledger.rules.heads import Head, findings, mismatch, signed_bytes
from services.ledger.rules.heads import printed as on_paper
from shared.db import Tx


class Top(NamedTuple):
    """The archive's last fact, and the day that recognition has reached."""

    seq: int
    hash: str
    reached: date


async def top(tx: Tx) -> Top | None:
    """Where the archive stands; none while it is empty."""
    found = await tx.execute(
        sa.text(
            "SELECT seq, encode(hash, 'hex') AS hash, (SELECT max(day) FROM reached) AS reached "
            "FROM archive ORDER BY seq DESC LIMIT 1"
        )
    )
    row = found.first()
    return None if row is None else Top(*row)


_REPOSTED = sa.text(
    "SELECT CAST(convert_from(body, 'UTF8')::json->>'through' AS bigint) AS through, recorded_at FROM archive "
    "WHERE subject = 'ledger.books.reposted.v1' ORDER BY seq DESC LIMIT 1"
)
_KEPT = "SELECT seq, hash, signed_at, key, signature FROM head ORDER BY seq DESC"


async def latest(tx: Tx) -> Head | None:
    """The head that was signed last."""
    row = (await tx.execute(sa.text(f"{_KEPT} LIMIT 1"))).first()
    return None if row is None else Head(*row)


async def verify_heads(
    tx: Tx,
    witnessed: Collection[Head],
    is_signed: Callable[[Head], bool],
    printed: Collection[tuple[int, str]] = (),
) -> tuple[str, ...]:
    """What is no more as it was signed, as a witness keeps it, or as somebody has it on paper (number and digits).

    Of the heads of before the books were re-posted only the signature can be looked at: their archive is gone.
    """
    reposted = (await tx.execute(_REPOSTED)).one_or_none()

    def stands(head: Head) -> bool:
        return reposted is None or head.seq > reposted.through or head.signed_at > reposted.recorded_at

    kept = [Head(*row) for row in await tx.execute(sa.text(_KEPT))]
    of_before = [head for head in {*kept, *witnessed} if not stands(head)]
    own, witnessed = [h for h in kept if stands(h)], [h for h in witnessed if stands(h)]
    numbers = {head.seq for head in (*own, *witnessed)} | {seq for seq, _ in printed}
    archived = {
        row.seq: row.hash
        for row in await tx.execute(
            sa.text("SELECT seq, encode(hash, 'hex') AS hash FROM archive WHERE seq = ANY(:numbers)"),
            {"numbers": sorted(numbers)},
        )
    }
    found = findings(own, witnessed, archived, is_signed)
    found += [
        f"head {on_paper(head)}: no key of the ledger has signed it"
        for head in of_before
        if not is_signed(head)
    ]
    for seq, digits in printed:
        found += mismatch(f"printed head {seq} · {digits}", seq, digits, archived)
    return tuple(found)


def verifier(public_keys: str) -> Callable[[Head], bool]:
    """Who tells whether a head was signed by one of these keys, a JWK set."""
    read = {key.kid: key.public_key for key in KeySet.import_key_set(json.loads(public_keys)).keys}
    keys = {kid: key for kid, key in read.items() if isinstance(key, Ed25519PublicKey)}

    def is_signed(head: Head) -> bool:
        key = keys.get(head.key)
        if key is None:
            return False
        try:
            key.verify(bytes.fromhex(head.signature), signed_bytes(head))
        except (InvalidSignature, ValueError):
            return False
        return True

    return is_signed
