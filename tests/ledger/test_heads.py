"""Heads of the books: signed by a key that the database's owner lacks, kept by a witness, held against the books."""

from datetime import UTC, datetime, timedelta, timezone

import msgspec
import pytest

from services.ledger.rules.heads import Head, findings, in_header, is_due, printed, signed_bytes

NOW = datetime(2026, 11, 28, 2, 15, tzinfo=UTC)


def a_head(seq: int = 3, **changes: object) -> Head:
    head = Head(seq, f"{seq:02x}" * 32, NOW + timedelta(seconds=seq), "kid", "good")
    return msgspec.structs.replace(head, **changes)


ARCHIVED = {seq: a_head(seq).hash for seq in range(1, 10)}


def is_signed(head: Head) -> bool:
    return head.signature == "good"


def test_what_is_signed_is_five_lines_that_hold_every_field_in_one_way() -> None:
    head = a_head()
    said = "nguonthu ledger head 1\n3\n" + "03" * 32 + "\n2026-11-28T02:15:03.000000+00:00\nkid\n"
    assert signed_bytes(head) == said.encode()
    local = head.signed_at.astimezone(timezone(timedelta(hours=7)))
    assert signed_bytes(a_head(signed_at=local)) == signed_bytes(head), "an instant is the same in any zone"
    others = [a_head(seq=4), a_head(hash="04" * 32), a_head(signed_at=NOW), a_head(key="other")]
    assert len({signed_bytes(each) for each in (head, *others)}) == 5


def test_a_head_is_printed_with_its_number_the_beginning_of_its_hash_and_its_time_in_viet_nam() -> None:
    assert printed(a_head()) == "3 · 030303030303 · 28/11/2026 09:15"
    assert in_header(a_head()) == "3:030303030303 2026-11-28T09:15:03+07:00"
    assert in_header(a_head()).isascii()


def test_a_head_is_signed_when_it_moved_and_an_hour_passed_or_a_day_was_reached() -> None:
    last = a_head(signed_at=NOW)
    assert is_due(None, 1, NOW, day_reached=False), "the first is signed at once"
    assert not is_due(last, 3, NOW + timedelta(days=9), day_reached=False), "it has not moved"
    assert not is_due(last, 4, NOW + timedelta(minutes=59), day_reached=False)
    assert is_due(last, 4, NOW + timedelta(minutes=60), day_reached=False)
    assert is_due(last, 4, NOW, day_reached=True)


@pytest.mark.promise("L2")
def test_heads_that_are_as_they_were_signed_and_witnessed_find_nothing() -> None:
    own = [a_head(3), a_head(7)]
    assert findings(own, [a_head(3)], ARCHIVED, is_signed) == [], "the last one may still be on its way"
    assert findings(own, own, ARCHIVED, is_signed) == []
    assert findings([], [], {}, is_signed) == []


@pytest.mark.promise("L2")
@pytest.mark.parametrize(
    ("own", "witnessed", "archived", "said"),
    [
        ([a_head(3, signature="bad")], [], ARCHIVED, ["no key of the ledger has signed it"]),
        ([], [a_head(3)], ARCHIVED, ["a witness holds it and the ledger does not"]),
        ([a_head(3)], [], {}, ["the archive holds no fact 3"]),
        ([a_head(3)], [a_head(3)], {3: "ff" * 32}, ["until fact 3 has another hash, ffffffffffff"]),
        # Whoever makes the chain anew, and the ledger's own heads with it, cannot reach the witness.
        (
            [a_head(3, hash="ff" * 32, signature="bad")],
            [a_head(3)],
            {3: "ff" * 32},
            ["no key of the ledger", "a witness holds it", "another hash"],
        ),
    ],
    ids=["unsigned", "taken away", "cut off", "made anew", "made anew with its head"],
)
def test_each_way_in_which_books_and_heads_can_differ_is_named(
    own: list[Head], witnessed: list[Head], archived: dict[int, str], said: list[str]
) -> None:
    found = findings(own, witnessed, archived, is_signed)
    assert len(found) == len(said)
    for sentence, words in zip(sorted(found), sorted(said), strict=True):
        assert words in " ".join(found), sentence
        assert sentence.startswith("head 3 · ")
