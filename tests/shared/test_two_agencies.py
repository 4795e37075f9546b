"""People who work for two agencies, and agencies that merge: each door opens what is due and no more."""

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any, get_args

import psycopg
import pytest

from shared import auth, clock
from shared.calendar import local_day
from shared.contracts.roles import Role
from tests.shared.filling import Sent, fitting
from tests.shared.visitor import UUIDS, Answer, Door, Visitor, counts, doors, filled, secrets_of

pytestmark = pytest.mark.xdist_group("lived")

MIXED: tuple[tuple[Role, Role], ...] = (
    ("finance", "ad_ops"),
    ("ad_ops", "finance"),
    ("subscriptions", "events"),
    ("events", "subscriptions"),
    ("administrator", "finance_approver"),
    ("auditor", "administrator"),
)
"""The role at bkh and the role at tcnt of one person."""

CHANCE = re.compile(
    r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{16,}|\b\d\d:\d\d(:\d\d)?\b|\bexp=\d+"
)
"""What differs from one answer to the next for the same reader: ids, tokens, the time of day, the end of a link."""

MENU = re.compile(r'<nav class="nav".*?</nav>', re.DOTALL)


def words(text: str) -> set[str]:
    """Names and figures of an answer; the menu, which lists one's own desks, is left out."""
    return set(re.findall(r"\w[\w.,-]*", CHANCE.sub(" ", MENU.sub(" ", text))))


def addresses(visitor: Visitor, *known: dict[str, list[str]]) -> Iterator[str]:
    """Whatever can be read, by an address of each agency, but for doors that ask nobody for a role."""
    for door in doors(visitor):
        asks = not door.path.startswith(("/gateway/", "/b", "/dev/", "/account/", "/health", "/pay/"))
        if door.method == "GET" and asks:
            yield from dict.fromkeys(filled(door, values)[0] for values in known)


@pytest.mark.promise("T9")
async def test_a_role_here_and_another_there_open_what_each_of_them_opens_alone(
    visitor: Visitor, books: psycopg.Connection[Any]
) -> None:
    (private, known), (theirs, known_there) = (secrets_of(books, agency) for agency in ("bkh", "tcnt"))
    before, opened = counts(books), 0
    for here, there in MIXED:
        who = clock.new_id()
        both = visitor.person(id=who, roles={"bkh": [here], "tcnt": [there]})
        alone = [
            visitor.person(id=who, roles={code: [role]}) for code, role in (("bkh", here), ("tcnt", there))
        ]
        for path in addresses(visitor, known, known_there):
            others = [await visitor.knock("GET", path, headers=headers) for headers in alone]
            mixed = await visitor.knock("GET", path, headers=both)
            about = f"{here} at bkh, {there} at tcnt: GET {path} {mixed.status}"
            assert mixed.status >= 400 or any(one.status == mixed.status for one in others), about
            ids = {found for one in others for found in UUIDS.findall(one.text)} | {*UUIDS.findall(path)}
            assert not ({*UUIDS.findall(mixed.text)} - ids) & (private | theirs), about
            openers = [one for one in others if one.status < 400]
            if mixed.status < 400 and len(openers) == 1:
                opened += 1
                more = words(mixed.text) - words(openers[0].text)
                assert not more, f"{about}: {sorted(more)[:20]}"
    assert opened
    assert counts(books) == before


@pytest.mark.promise("T9")
@pytest.mark.promise("F6")
async def test_an_heir_is_told_what_it_absorbed_from_the_day_on_and_who_was_absorbed_nothing_more(
    visitor: Visitor, books: psycopg.Connection[Any]
) -> None:
    (absorbed, known), (own, known_there) = (secrets_of(books, agency) for agency in ("bkh", "tcnt"))
    roles = list(get_args(Role))
    callers = {
        code: (visitor.person(roles={code: roles}), visitor.key(agency=code)) for code in ("bkh", "tcnt")
    }

    async def told(code: str) -> set[str]:
        person, key = callers[code]
        found: set[str] = set()
        for path in addresses(visitor, known, known_there):
            answer = await visitor.knock("GET", path, headers=key if path.startswith("/api/") else person)
            assert answer.status < 500, f"{code}: GET {path} {answer.text[:300]}"
            found |= {*UUIDS.findall(answer.text)} - {*UUIDS.findall(path)}
        return found & (absorbed | own)

    alone = {code: await told(code) for code in callers}
    today = local_day(clock.now())
    merge = "UPDATE agency SET successor = 'tcnt', succeeded_on = %s WHERE code = 'bkh'"
    books.execute(merge, [today + timedelta(days=1)])
    assert {code: await told(code) for code in callers} == alone
    books.execute(merge, [today])
    assert (await told("tcnt")) & absorbed - alone["tcnt"]
    assert await told("bkh") <= alone["bkh"]


UNOPENED: dict[str, set[str]] = {
    "accounts": {"POST /desk/people/{person}/reset", "POST /desk/people/resets/{reset}"},
    "ads": {"POST /api/ads/v1/orders"},
}
"""By service, doors that no role opens here: who lost their second step works for several agencies, and orders are
booked by organisations, for themselves. `test_rights.py` of accounts and `test_api.py` of ads knock there."""

REFUSED = (403, 404)

ASKER = clock.new_id()


def right_of(door: Door) -> auth.Right | None:
    """The right of staff that a door asks for which changes something."""
    guards = door.handler.resolve_guards() if door.handler and door.method != "GET" else ()
    return next((guard for guard in guards if isinstance(guard, auth.Right) and guard.roles), None)


async def send(visitor: Visitor, door: Door, sent: Sent, headers: dict[str, str], version: str) -> Answer:
    given = {**headers, "Idempotency-Key": str(clock.new_id()), "If-Match": version}
    return await visitor.knock(door.method, sent.path, headers=given, body=sent.body, kind=sent.kind)


async def opened(
    visitor: Visitor, books: psycopg.Connection[Any], door: Door, right: auth.Right
) -> tuple[Sent, str] | None:
    """What somebody with the right did at the door, and which version they had seen; None for nothing."""
    _, known = secrets_of(books, "bkh")
    for who in (ASKER, clock.new_id()):  # some doors are for who asked alone, others for anybody else
        staff = visitor.person(id=who, roles={"bkh": sorted(right.roles)})
        for sent in fitting(door, known):
            seen = await visitor.knock("GET", sent.path, headers=staff)
            version = seen.headers.get("etag", '"0"')
            if (await send(visitor, door, sent, staff, version)).status not in (401, *REFUSED):
                return sent, version
    return None


@pytest.mark.promise("T9")
async def test_what_somebody_may_do_at_one_agency_they_cannot_do_at_another_with_the_same_words(
    visitor: Visitor, books: psycopg.Connection[Any]
) -> None:
    """First somebody who may do it does, so that the others are refused for nothing but their rights."""
    shut = {
        f"{door.method} {door.path}": (door, right) for door in doors(visitor) if (right := right_of(door))
    }
    for name, (door, right) in [*shut.items()] * 2:  # some doors are about what others of them make
        done = await opened(visitor, books, door, right) if name in shut else None
        if done is None:
            continue
        del shut[name]
        others = sorted({*get_args(Role)} - right.roles)
        strangers = {
            "the right there, all other roles here": visitor.person(
                roles={"bkh": others, "tcnt": sorted(right.roles)}, organisation=clock.new_id()
            ),
            "another agency's key": visitor.key(agency="tcnt"),
            "a buyer's key": visitor.key(agency="bkh", organisation=clock.new_id()),
        }
        before = counts(books)
        for who, headers in strangers.items():
            answer = await send(visitor, door, done[0], headers, done[1])
            about = f"{who}: {name} {done[0].body[:300]!r} {answer.status} {answer.text[:300]}"
            assert answer.status in REFUSED, about
        assert counts(books) == before
    assert {*shut} == UNOPENED.get(visitor.flat.kit.service, set())
