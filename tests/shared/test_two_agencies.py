"""People who work for two agencies, and agencies that merge: each door opens what is due and no more."""

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any, get_args

import psycopg
import pytest

from shared import auth, clock
from shared.calendar import local_day
from tests.shared.visitor import UUIDS, Answer, Door, Visitor, counts, doors, filled, secrets_of

Role = auth.Role
MIXED: tuple[tuple[Role, Role], ...] = (
    ("finance", "ad_ops"),
    ("ad_ops", "finance"),
    ("subscriptions", "events"),
    ("events", "subscriptions"),
    ("administrator", "finance_approver"),
    ("auditor", "administrator"),
)
"""The role at bkh and the role at tcnt of one person."""

CHANCE = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{16,}|\b\d\d:\d\d(:\d\d)?\b")
"""What differs from one answer to the next for the same reader: ids, tokens, the time of day."""

MENU = re.compile(r'<nav class="nav".*?</nav>', re.DOTALL)


def words(text: str) -> set[str]:
    """Names and figures of an answer; the menu, which lists one's own desks, is left out."""
    return set(re.findall(r"\w[\w.,-]*", CHANCE.sub(" ", MENU.sub(" ", text))))


def addresses(visitor: Visitor, *known: dict[str, list[str]]) -> Iterator[tuple[Door, str]]:
    """Every door with an address of each agency; such as the gateway's, which ask nobody's roles, are left out."""
    for door in doors(visitor):
        if not door.path.startswith(("/gateway/", "/b", "/dev/", "/account/", "/health", "/pay/")):
            for path in dict.fromkeys(filled(door, values)[0] for values in known):
                yield door, path


async def ask(visitor: Visitor, door: Door, path: str, headers: dict[str, str]) -> Answer:
    """Knock as a form would; a body of nonsense is enough, since the right is looked at first."""
    sent = {**headers, "Idempotency-Key": str(clock.new_id())}
    form = "application/x-www-form-urlencoded"
    return await visitor.knock(door.method, path, headers=sent, body=b"", kind=form)


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
        for door, path in addresses(visitor, known, known_there):
            others = [await ask(visitor, door, path, headers) for headers in alone]
            mixed = await ask(visitor, door, path, both)
            about = f"{here} at bkh, {there} at tcnt: {door.method} {path} {mixed.status}"
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
        for door, path in addresses(visitor, known, known_there):
            if door.method == "GET":
                answer = await ask(visitor, door, path, key if path.startswith("/api/") else person)
                assert answer.status < 500, f"{code}: {door.method} {path} {answer.text[:300]}"
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
