"""Every door of the six services, tried by strangers, by the careless, and with nonsense: none of them gives way."""

import base64
import json
import re
from collections.abc import Mapping
from typing import Any, get_args
from uuid import UUID

import psycopg
import pytest

from services.accounts.rules import BUYER_SCOPES
from shared import clock, revocations
from shared.contracts.accounts import KeyRevoked
from shared.contracts.roles import Role
from tests.shared.visitor import UUIDS, Answer, Door, Visitor, counts, doors, filled, secrets_of

# The week that these tests look into is lived once.
pytestmark = pytest.mark.xdist_group("lived")

OPEN = {
    "/api/accounts/v1/advertisers",
    "/api/accounts/v1/agencies",
    "/api/accounts/v1/jwks",
    "/api/ads/v1/placements",
    "/api/ads/v1/decide",
    "/api/events/v1/events",
    "/api/events/v1/events/{slug}",
    "/api/events/v1/events/{slug}/availability",
    "/api/subscriptions/v1/packages",
}
"""What a program may read (or, to register, post) without a key; all else is refused to nobody."""

OPEN_PAGES = re.compile(
    r"/(account/(sign-in|sign-out|code|password|totp|enrol|join|renew)|subscribe|advertise|events|pay/\{invoice\}(/live)?"
    r"|subscribe/\{package\}(/contract)?|events/\{slug\}(/register|/sponsor/\{package\})?|events/tickets/\{key\}"
    r"|docs(/problems)?|gateway/vnpay(-sim)?/.*|dev/mail(/\{letter\})?|ads\.js|creatives/\{name\}|b/.*|static/.*|desk/components"
    r"|health/(live|ready)|metrics)"
)
"""Pages without a sign-in: where one signs in, catalogues, signed links, the gateway, and what only the house sees."""

REFUSED = {400, 401, 403, 404, 405, 406, 409, 412, 413, 415, 422, 429}


def is_open(door: Door) -> bool:
    if door.path.startswith("/api/"):
        about_itself = re.fullmatch(r"/api/\w+/v1/(docs|openapi\.json|asyncapi\.json)", door.path)
        reads = door.method == "GET" or door.path.endswith(("/advertisers", "/decide"))
        return bool(about_itself) or (door.path in OPEN and reads)
    return bool(OPEN_PAGES.fullmatch(door.path)) and (
        door.method == "GET" or not re.match(r"/(subscribe|advertise|events|desk)", door.path)
    )


def check_problem(answer: Answer, about: str) -> None:
    """A refusal of the API is a problem with a code and a sentence."""
    assert answer.headers.get("content-type", "").startswith("application/problem+json"), about
    said = json.loads(answer.body)
    assert said["status"] == answer.status, about
    assert said["code"], about
    assert said["detail"], about
    assert "Traceback" not in said["detail"], about


def check_refused(answer: Answer, door: Door, about: str) -> None:
    assert answer.status in REFUSED or (answer.status in (303, 307) and not door.path.startswith("/api/")), (
        about
    )
    if door.path.startswith("/api/"):
        check_problem(answer, about)


async def test_nobody_gets_in_with_no_key_or_an_expired_revoked_or_forged_one(
    visitor: Visitor, books: psycopg.Connection[Any]
) -> None:
    revoked = clock.new_id()
    async with visitor.flat.tx() as tx:
        await revocations.keep_key(KeyRevoked(agency="bkh", key=revoked), tx)
    async with visitor.flat.tx() as tx:
        await visitor.flat.app.state.verifier.refresh(tx)
    good = visitor.key(agency="bkh")["Authorization"]
    callers = {
        "nobody": visitor.nobody(),
        "expired": visitor.key(agency="bkh", expired=True),
        "revoked": visitor.key(agency="bkh", id=revoked),
        "forged": {"Authorization": good[:-8] + "AAAAAAAA"},
        "unsigned": {"Authorization": "Bearer nt_eyJhbGciOiJub25lIn0.e30."},
        "bad header": {"Authorization": "Bearer nt_eyJhbGciOiJFZDI1NTE5IiwiY3JpdCI6NX0.e30.AAAA"},
        "not a token": {"Authorization": "Bearer \xff\xfe"},
        "key in a cookie": {**visitor.nobody(), "Cookie": f"nt_csrf={visitor.csrf}; nt_token={good[7:]}"},
        "page token without its kind": {"Authorization": good.replace("nt_", "", 1)},
    }
    _, known = secrets_of(books, "bkh")
    before = counts(books)
    for door in doors(visitor):
        for name, headers in callers.items():
            if name == "key in a cookie" and not door.path.startswith("/api/"):
                continue  # a good key is good on a page too, from wherever it comes
            answer = await visitor.knock(door.method, filled(door, known)[0], headers=headers, body=b"{}")
            about = f"{name}: {door.method} {door.path} {answer.status} {answer.text[:200]}"
            assert answer.status < 500, about
            if not is_open(door):
                check_refused(answer, door, about)
                if door.path.startswith("/api/"):
                    assert answer.status in (401, 405), about
    assert counts(books) == before


async def test_a_stranger_learns_and_changes_nothing(
    visitor: Visitor, books: psycopg.Connection[Any]
) -> None:
    private, known = secrets_of(books, "bkh")
    assert private
    roles: dict[str, list[Any]] = {"tcnt": list(get_args(Role))}
    callers = {
        "another buyer's key": visitor.key(agency="tcnt", organisation=clock.new_id()),
        "another agency's key": visitor.key(agency="tcnt"),
        "another buyer's key at the same agency": visitor.key(
            agency="bkh", organisation=clock.new_id(), scopes=sorted(BUYER_SCOPES)
        ),
        "another buyer's key with every scope": visitor.key(agency="bkh", organisation=clock.new_id()),
        "another agency's staff": visitor.person(roles=roles),
        "another reader": visitor.person(),
        "another sponsor": visitor.person(organisation=clock.new_id()),
    }
    before = counts(books)
    for door in doors(visitor):
        if door.path.startswith(("/gateway/", "/b", "/dev/", "/metrics", "/account/sign")):
            continue  # proven by signatures, or closed at the edge
        for path in filled(door, known):
            for name, headers in callers.items():
                if door.method != "GET" and path == door.path:
                    continue  # making something of one's own is no theft
                sent = {**headers, "Idempotency-Key": str(clock.new_id())}
                answer = await visitor.knock(door.method, path, headers=sent, body=b'{"approve":true}')
                about = f"{name}: {door.method} {path} {answer.status} {answer.text[:300]}"
                assert answer.status < 500, about
                assert answer.status not in (201, 204), about
                told = set(UUIDS.findall(answer.text)) - set(UUIDS.findall(path))
                assert not told & private, about
    after = counts(books)
    assert after == before


NUMBERS = [
    "-1",
    "0",
    "5e3",
    "99999999999999999999999999",
    "1.5",
    "NaN",
    "%00",
    "a%00b",
    "%ED%A0%80",
    "%FF",
    "Infinity",
]
CURSORS = [
    *("!!!", "AA", "AAAA", "eA", "%C3%A9"),
    *(
        base64.urlsafe_b64encode(place).decode().rstrip("=")
        for place in (
            b"a\0b",
            b'"x"',
            b"[[[[",
            b'["2026-11-23"]',
            b'["99999-01-01","00000000-0000-0000-0000-000000000000"]',
            b'["0001-01-01T00:00:00+14:00","00000000-0000-0000-0000-000000000000"]',
            b'["9999-12-31","ffffffff-ffff-ffff-ffff-ffffffffffff"]',
        )
    ),
]
GUESSED = [
    "cursor",
    "agency",
    "next",
    "invoice",
    "q",
    "price",
    "on",
    "since",
    "optional",
    "to",
    "token",
    "p",
    "v",
]
VALUES = [
    "x",
    "a\\u0000b",
    "\\ud800",
    "",
    "5e3",
    "9" * 400,
    "' OR 1=1 --",
]


def nonsense(door: Door, schemas: Mapping[str, Any]) -> list[tuple[str, bytes]]:
    """Bodies that no door takes."""
    made = [
        ("application/json", b""),
        ("application/json", b"{"),
        ("application/json", b"null"),
        ("application/json", b"[" * 100_000),
        ("application/json", b'{"a":' * 100_000),
        ("application/json", b'{"unknown_field": 1}'),
        ("application/json", b'{"x": "' + b"a" * 300_000 + b'"}'),
        ("application/json", b'{"a": "\xff"}'),
        ("text/plain", b"{}"),
        ("application/xml", b"<a/>"),
        ("", b"{}"),
        ("application/json; charset=utf-16", b"{}"),
        ("multipart/form-data", b"x"),
        (
            "multipart/form-data; boundary=x",
            b'--x\r\nContent-Disposition: form-data; name="a\0"\r\n\r\nb\r\n--x--',
        ),
        (
            "application/x-www-form-urlencoded",
            b"a=b%00&_idempotency_key=12345678%00&next=%00&identifier=%00a@b.vn",
        ),
        ("application/x-msgpack", b"\x80"),
    ]
    reference = json.dumps(door.schema.get("requestBody", {}))
    for name in re.findall(r"schemas/([\w.]+)", reference)[:1]:
        told = schemas[name].get("properties", {})
        fields = list(told)
        for value in (
            *[f'"{v}"' for v in VALUES],
            "-1",
            "1e30",
            "true",
            "null",
            "[]",
            "99999999999999999999",
        ):
            pairs = ",".join(f'"{field}":{value}' for field in fields)
            # A plain text is a fair one where texts are all that is asked for.
            plain = value.startswith('"') and "\\" not in value
            if not (plain and all(kind.get("type") == "string" for kind in told.values())):
                made.append(("application/json", b"{%s}" % pairs.encode()))
    return made


async def test_nonsense_is_refused_and_writes_nothing(
    visitor: Visitor, books: psycopg.Connection[Any]
) -> None:
    _, known = secrets_of(books, "bkh")
    schemas = visitor.document()["components"]["schemas"]
    roles: dict[str, list[Any]] = {"bkh": list(get_args(Role))}
    before = counts(books)
    for door in doors(visitor):
        path = filled(door, known)[0]
        staff = (
            visitor.person(roles=roles) if not door.path.startswith("/api/") else visitor.key(agency="bkh")
        )
        if door.method == "GET":
            await try_queries(visitor, door, path, staff)
        elif "{}" not in json.dumps(door.schema.get("requestBody", "{}")):
            for kind, body in nonsense(door, schemas):
                sent = {**staff, "Idempotency-Key": str(clock.new_id())}
                answer = await visitor.knock(door.method, path, headers=sent, body=body, kind=kind)
                about = f"{door.method} {path} {kind} {body[:60]!r}: {answer.status} {answer.text[:200]}"
                check_refused(answer, door, about)
        else:
            for kind, body in nonsense(door, schemas):
                sent = {**staff, "Idempotency-Key": "short"}
                answer = await visitor.knock(door.method, path, headers=sent, body=body, kind=kind)
                about = f"{door.method} {path} {kind} {body[:60]!r}: {answer.status} {answer.text[:200]}"
                assert answer.status < 500, about
    assert counts(books) == before


async def try_queries(visitor: Visitor, door: Door, path: str, staff: Mapping[str, str]) -> None:
    names = [p["name"] for p in door.schema.get("parameters", []) if p["in"] == "query"]
    values = (*NUMBERS, *CURSORS)
    queries = [f"{name}={value}".encode() for name in names for value in values]
    if not names:
        queries = ["&".join(f"{name}={value}" for name in GUESSED).encode() for value in values]
    queries += [b"&".join([b"a=1"] * 300), b"\xff\xfe=\xff", b"exp=x&sig=\xc3\xa9", b"sig=%00", b"=&=&&"]
    for query in queries:
        answer = await visitor.knock("GET", path, query=query, headers=staff)
        about = f"GET {path}?{query[:80]!r}: {answer.status} {answer.text[:200]}"
        assert answer.status < 500, about
        if door.path.startswith("/api/") and answer.status >= 400:
            check_problem(answer, about)
    for bad in (
        "x",
        "0",
        str(UUID(int=0)),
        "\0",
        "é" * 300,
        "..",
        "-1",
        "\ufffd",
        str(clock.new_id()).upper(),
    ):
        for each in filled(door, {"*": [bad]}) if "{" in door.path else []:
            answer = await visitor.knock("GET", each, headers=staff)
            about = f"GET {each!r}: {answer.status} {answer.text[:200]}"
            assert answer.status < 500, about
            if door.path.startswith("/api/") and answer.status >= 400:
                check_problem(answer, about)


async def test_a_wrong_method_is_named_as_such_and_a_head_has_no_body(visitor: Visitor) -> None:
    allowed: dict[str, set[str]] = {}
    for door in doors(visitor):
        allowed.setdefault(door.path, set()).add(door.method)
    staff = visitor.key(agency="bkh")
    for path, methods in allowed.items():
        where = re.sub(r"\{\w+\}", str(clock.new_id()), path)
        if path.startswith("/api/") and not path.endswith("/decide"):
            for method in {"GET", "POST", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND"} - methods:
                answer = await visitor.knock(method, where, headers=staff, body=b"{}")
                about = f"{method} {where}: {answer.status} {answer.text[:200]}"
                if answer.status != 404:
                    assert answer.status == 405, about
                    assert answer.headers.get("allow"), about
                check_problem(answer, about)
        answer = await visitor.knock("HEAD", where, headers=staff)
        assert answer.status < 500, f"HEAD {where}: {answer.status}"
        assert answer.body == b"", f"HEAD {where}"
