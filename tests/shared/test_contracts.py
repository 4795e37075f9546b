"""Contracts are frozen: a version of a fact only ever gains optional fields."""

import json
from typing import Any
from uuid import uuid4

import msgspec
import pytest

from ops import contracts as export
from shared import contracts


@pytest.mark.promise("F3")
def test_the_published_schemas_are_those_of_the_code():
    stale = [
        name
        for name, text in export.written().items()
        if not (export.FOLDER / name).exists() or (export.FOLDER / name).read_text(encoding="utf-8") != text
    ]
    assert stale == [], "run `make contracts` and look at the difference: a published field may not change"


def test_subjects_follow_the_grammar_and_belong_to_their_publisher():
    for service in contracts.PUBLISHERS:
        for kind in contracts.published_by(service):
            publisher, noun, verb, version = kind.subject().split(".")
            assert publisher == service
            assert noun.isalpha()
            assert verb.endswith(("d", "n"))
            assert version[0] == "v"
            assert version[1:].isdigit()


def test_the_golden_facts_of_every_version_can_still_be_read():
    golden = json.loads((export.FOLDER.parent / "golden.json").read_text(encoding="utf-8"))
    assert sorted(golden) == sorted(contracts.ALL)
    for subject, body in golden.items():
        fact = contracts.decode(json.dumps(body).encode())
        assert fact.subject() == subject
        said = json.loads(contracts.encode(fact))
        assert {name: said[name] for name in body} == body


def test_an_unknown_field_of_a_newer_version_is_passed_over():
    golden = json.loads((export.FOLDER.parent / "golden.json").read_text(encoding="utf-8"))
    body = {**golden["payments.invoice.closed.v1"], "from_the_future": 1}
    assert contracts.decode(json.dumps(body).encode()).subject() == "payments.invoice.closed.v1"


@pytest.mark.parametrize("body", [b"{}", b'{"type":"nobody.knows.this.v1"}', b"\xff", b"[]"])
def test_what_is_no_fact_is_refused(body):
    with pytest.raises((msgspec.MsgspecError, UnicodeDecodeError)):
        contracts.decode(body)


@pytest.mark.promise("F3")
@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"occurred_at": "0001-01-02T00:00:00Z"}, "no day of business"),
        ({"occurred_at": "9999-01-02T00:00:00Z"}, "no day of business"),
        ({"earn": {"type": "period", "start": "0001-01-01", "end": "2026-01-01"}}, "no day of business"),
        ({"earn": {"type": "period", "start": "2026-01-01", "end": "2036-12-31"}}, "lasts too long"),
        ({"earn": {"type": "period", "start": "2026-01-02", "end": "2026-01-01"}}, "ends before it starts"),
        ({"earn": {"type": "date", "on": "2500-01-01"}}, "no day of business"),
    ],
)
def test_a_fact_of_days_that_cannot_be_is_unreadable(change: dict[str, Any], says: str) -> None:
    """Otherwise who works by the day would go through thousands of years."""
    fact = {
        "type": "ads.earning.moved.v1",
        "agency": "bkh",
        "id": str(uuid4()),
        "occurred_at": "2026-11-27T00:00:00Z",
        "line": str(uuid4()),
        "earn": {"type": "date", "on": "2026-11-27"},
    }
    assert contracts.decode(msgspec.json.encode(fact))
    with pytest.raises(msgspec.ValidationError, match=says):
        contracts.decode(msgspec.json.encode(fact | change))
