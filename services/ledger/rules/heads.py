"""Heads of the books: what is signed of the archive's chain, how it is printed, and what is no more as it was signed.

A head is the number and the hash of the archive's last fact. Each hash covers the one before, so that one head commits
to everything that was booked until then.
"""

from collections.abc import Callable, Collection, Mapping
from datetime import UTC, date, datetime, timedelta

import msgspec

from shared.calendar import ZONE, local_day

EVERY = timedelta(hours=1)
"""So long may facts be booked after which no head was signed."""

SHOWN = 12
"""Digits of a hash that are printed: nobody finds another archive that begins like it."""


class Head(msgspec.Struct, frozen=True):
    """A head as it was signed; hash and signature in hexadecimal."""

    seq: int
    hash: str
    signed_at: datetime
    key: str
    signature: str = ""


def signed_bytes(head: Head) -> bytes:
    """What a signature covers: five lines of ASCII, so that anybody can write them down and check it."""
    instant = head.signed_at.astimezone(UTC).isoformat(timespec="microseconds")
    return f"nguonthu ledger head 1\n{head.seq}\n{head.hash}\n{instant}\n{head.key}\n".encode("ascii")


def is_due(last: Head | None, seq: int, reached: date, now: datetime) -> bool:
    """Whether the archive's head is to be signed: it moved, and an hour has passed or a day was reached since."""
    if last is None:
        return True
    return seq > last.seq and (reached > local_day(last.signed_at) or now - last.signed_at >= EVERY)


def printed(head: Head) -> str:
    """A head as pages and reports print it, for who proves the books by paper."""
    return f"{head.seq} · {head.hash[:SHOWN]} · {head.signed_at.astimezone(ZONE):%d/%m/%Y %H:%M}"


def in_header(head: Head) -> str:
    """The same for the header of an export, as `nguonthu ledger verify --head` takes its first word."""
    return f"{head.seq}:{head.hash[:SHOWN]} {head.signed_at.astimezone(ZONE).isoformat(timespec='seconds')}"


def findings(
    own: Collection[Head],
    witnessed: Collection[Head],
    archived: Mapping[int, str],
    is_signed: Callable[[Head], bool],
) -> list[str]:
    """What is not as it was signed. `archived` are the hashes that stand in the archive now, by number.

    `witnessed` is what others keep of what they heard: the ledger cannot take back what they hold.
    """
    found = []
    for head in sorted({*own, *witnessed}, key=lambda head: (head.seq, head.signed_at)):
        named = f"head {printed(head)}"
        if not is_signed(head):
            found.append(f"{named}: no key of the ledger has signed it")
        if head in witnessed and head not in own:
            found.append(f"{named}: a witness holds it and the ledger does not")
        found += mismatch(named, head.seq, head.hash, archived)
    return found


def mismatch(named: str, seq: int, digits: str, archived: Mapping[int, str]) -> list[str]:
    """How the archive differs from a head of which these digits are known."""
    if seq not in archived:
        return [f"{named}: the archive holds no fact {seq}"]
    if not archived[seq].startswith(digits):
        return [f"{named}: what is archived until fact {seq} has another hash, {archived[seq][:SHOWN]}"]
    return []
