"""A right carries its scope, and a lineage its days: what a role, a scope or a succession opens, and from when on."""

import re
from collections.abc import Set as AbstractSet
from datetime import date, timedelta
from importlib import import_module
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from litestar import Router

from services.accounts.pages.desk import DESKS, OPENS
from shared import clock
from shared.agencies import Lineage
from shared.auth import Principal, Reach, Right
from shared.contracts import SERVICES
from shared.db import FLAT_TABLES, enter
from shared.errors import BadInput, NotAllowed
from shared.web.doors import DOORS
from tests.conftest import Flats
from tests.shared.homes import ROOT

MERGER = date(2025, 4, 24)
BEFORE = MERGER - timedelta(days=1)
SECOND = date(2026, 7, 1)

MERGED = Lineage({"baokh": ("bkh", MERGER), "ktv": ("bkh", MERGER), "bkh": ("pmg", SECOND)})
may_book = Right(roles={"ad_ops", "administrator"}, scope="ads:book")
may_read_books = Right(roles={"finance"}, scope="finance:read")


def somebody(**roles: Any) -> Principal:
    return Principal(kind="person", id=clock.new_id(), roles=roles)


def a_key(*scopes: str, **fields: Any) -> Principal:
    return Principal(kind="key", id=clock.new_id(), agency="bkh", scopes=list(scopes), **fields)


@pytest.mark.promise("F6")
def test_menu_and_home_of_the_desks_show_to_each_role_the_doors_that_open_to_it_and_no_others():
    opens = {}
    for service in SERVICES:
        pages = import_module(f"services.{service}.pages")
        for route in Router("/", route_handlers=pages.routes).routes:
            for handler in getattr(route, "route_handlers", ()):
                if "GET" in handler.http_methods:
                    opens[route.path] = {role for guard in handler.guards or () for role in roles_of(guard)}
    assert OPENS.keys() >= DOORS.keys() | {address for address, _, _ in DESKS}
    for address, right in OPENS.items():
        assert set(right.roles) == opens[address], address


def roles_of(guard: Any) -> AbstractSet[str]:
    return guard.roles if isinstance(guard, Right) else frozenset()


@pytest.mark.promise("T9")
def test_a_right_reaches_the_agencies_where_one_of_its_own_roles_is_held_and_no_others():
    both = somebody(bkh=["ad_ops"], tcnt=["finance", "auditor"])
    assert may_book.agencies(both) == {"bkh"}
    assert may_read_books.agencies(both) == {"tcnt"}
    with pytest.raises(NotAllowed):
        Right(roles={"events"}).check(both)


@pytest.mark.promise("T9")
def test_a_key_has_a_right_by_its_scope_at_its_one_agency():
    assert may_book.agencies(a_key("ads:book")) == {"bkh"}
    assert may_book.agencies(a_key("finance:read")) == frozenset()
    with pytest.raises(NotAllowed, match="ads:book"):
        may_book.check(a_key("finance:read"))


@pytest.mark.promise("T9")
def test_an_organisations_key_reaches_no_agency_and_its_own_rows_only_where_the_right_is_over_ones_own():
    key = a_key("ads:book", organisation=clock.new_id())
    with pytest.raises(NotAllowed, match="organisation"):
        may_book.check(key)
    assert may_book.reach(key) == Reach()
    own = Right(roles={"ad_ops"}, scope="ads:book", own=True)
    own.check(key)
    assert own.reach(key) == Reach(own=frozenset({key.organisation}))


@pytest.mark.promise("T9")
def test_a_desk_does_not_reach_what_its_staff_bought_for_themselves_elsewhere():
    staff = Principal(
        kind="person", id=clock.new_id(), organisation=clock.new_id(), roles={"bkh": ["ad_ops"]}
    )
    assert may_book.reach(staff) == Reach(frozenset({"bkh"}))
    over_ones_own = Right(own=True).reach(staff)
    assert over_ones_own == Reach(own=frozenset({staff.id, staff.organisation}))


def test_rights_together_reach_what_each_of_them_reaches():
    both = somebody(bkh=["ad_ops", "finance"], tcnt=["finance"])
    assert may_book.reach(both) & may_read_books.reach(both) == Reach(frozenset({"bkh"}))


def test_an_heir_stands_in_an_agencys_place_from_the_day_on_and_not_before():
    assert MERGED.open_on("baokh", BEFORE)
    assert MERGED.heir_of("baokh", BEFORE) == "baokh"
    assert MERGED.with_predecessors(["bkh"], BEFORE) == ["bkh"]
    assert MERGED.successor_on("baokh", MERGER) == "bkh"
    assert MERGED.heir_of("baokh", MERGER) == "bkh"
    assert MERGED.with_predecessors(["bkh"], MERGER) == ["baokh", "bkh", "ktv"]


def test_a_lineage_has_several_steps_each_with_its_own_day():
    assert MERGED.heir_of("ktv", SECOND) == "pmg"
    assert MERGED.line_of("ktv", SECOND) == ["ktv", "bkh", "pmg"]
    assert MERGED.with_predecessors(["pmg"], SECOND) == ["baokh", "bkh", "ktv", "pmg"]
    assert MERGED.with_predecessors(["pmg"], SECOND - timedelta(days=1)) == ["pmg"]
    assert MERGED.with_predecessors(["tcnt"], SECOND) == ["tcnt"]


CODES = st.sampled_from("abcde")


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.dictionaries(CODES, st.tuples(CODES, st.dates(date(2025, 1, 1), date(2025, 1, 9)))), CODES)
def test_whatever_is_registered_a_line_ends_and_the_two_ways_to_ask_agree(
    successions: dict[str, tuple[str, date]], code: str
):
    known, on = Lineage(successions), date(2025, 1, 5)
    line = known.line_of(code, on)
    assert line[-1] == known.heir_of(code, on)
    assert len(line) == len(set(line))
    assert all(code in known.with_predecessors([heir], on) for heir in line)


SHOW_WHAT_WAS_REGISTERED = {"services/accounts/queries/__init__.py", "ops/cli/accounts.py"}


@pytest.mark.promise("F6")
def test_who_stands_in_whose_place_is_read_from_its_rows_in_one_module_and_asked_with_a_day_elsewhere():
    sources = [path for top in ("services", "shared", "ops", "demo") for path in (ROOT / top).rglob("*.py")]
    reads = re.compile(r"\bsucceeded_on\b|\bsuccessor IS\b")
    found = {str(path.relative_to(ROOT)) for path in sources if reads.search(path.read_text("utf-8"))}
    assert found == {"shared/agencies.py", *SHOW_WHAT_WAS_REGISTERED}


CLOSED = (
    "SELECT * FROM fact_log",
    "SELECT * FROM fact_log_2026",
    "SELECT * FROM fact_log_later",
    "INSERT INTO fact_log VALUES (1, gen_random_uuid(), 'x', '', now())",
    "SELECT * FROM outbox",
    "UPDATE outbox SET body = ''",
    "DELETE FROM outbox",
    "SELECT * FROM inbox",
    "INSERT INTO inbox VALUES (gen_random_uuid(), 'x', '', now())",
    "DELETE FROM inbox",
    "SELECT body FROM retry",
    "UPDATE retry SET body = ''",
    "INSERT INTO retry VALUES (gen_random_uuid(), 'x', '', 'retry', '', 0, 0, '', now(), now())",
    "DELETE FROM retry",
    "INSERT INTO agency (code) VALUES ('x')",
    "UPDATE agency SET successor = 'tcnt', succeeded_on = '2020-01-01'",
    "DELETE FROM agency",
    "DELETE FROM revoked",
    "UPDATE revoked SET until = now()",
    "DELETE FROM version",
    "DELETE FROM idempotency",
)
"""What no request of anybody needs, tried by the role of requests."""


@pytest.mark.promise("T9")
@pytest.mark.parametrize("service", SERVICES)
async def test_a_request_reads_no_copies_and_changes_nothing_that_all_rely_on(service: str, flats: Flats):
    flat = await flats.start(service)
    for statement in CLOSED:
        with pytest.raises(sa.exc.ProgrammingError, match="permission denied"):
            async with flat.kit.database.web_tx(["bkh"]) as tx:
                await tx.execute(sa.text(statement))


HELD = {
    ("agency", "SELECT"),
    *(("idempotency", right) for right in ("INSERT", "SELECT", "UPDATE")),
    ("outbox", "INSERT"),
    ("revoked", "SELECT"),
    ("version", "SELECT"),
}
"""All that requests hold over the tables that every service has, parts included; of `retry` single columns."""

RAISED = {("version", right) for right in ("INSERT", "UPDATE")}
SOLD = {("sale", right) for right in ("INSERT", "SELECT", "UPDATE")}
MORE = {
    "accounts": RAISED | {("revoked", "INSERT")},
    "ads": RAISED | SOLD,
    "events": SOLD,
    "subscriptions": RAISED | SOLD,
}
"""Whose pages change what snapshots are made of, whose end keys and sessions, and whose sell."""


@pytest.mark.promise("T9")
@pytest.mark.parametrize("service", SERVICES)
async def test_requests_hold_these_rights_over_what_every_service_keeps_and_no_further_one(
    service: str, flats: Flats
):
    flat = await flats.start(service)
    held = sa.text(
        "SELECT relname, held FROM pg_class, unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE']) held "
        "WHERE relkind IN ('r', 'p') AND has_table_privilege(:role, pg_class.oid, held) "
        "AND (relname = ANY (:tables) OR pg_class.oid IN (SELECT inhrelid FROM pg_inherits))"
    )
    async with flat.tx() as tx:
        rows = await tx.execute(held, {"role": f"{service}_web", "tables": [*FLAT_TABLES]})
        assert {(row.relname, row.held) for row in rows} == HELD | MORE.get(service, set())


@pytest.mark.promise("T9")
@pytest.mark.parametrize("service", SERVICES)
async def test_a_request_sees_the_answers_that_its_asker_got_and_no_others(service: str, flats: Flats):
    flat = await flats.start(service)
    given = "INSERT INTO idempotency VALUES (:who, 'k', '', NULL, 'secret', now())"
    async with flat.tx() as tx:
        for who in ("person:a", "person:b"):
            await tx.execute(sa.text(given), {"who": who})
    asked = sa.text("SELECT set_config('app.asker', :who, true)")
    mine = sa.text("SELECT principal FROM idempotency")
    async with flat.kit.database.web_tx(["bkh"]) as tx:
        assert list(await tx.scalars(mine)) == []
        await tx.execute(asked, {"who": "person:a"})
        assert list(await tx.scalars(mine)) == ["person:a"]
    with pytest.raises(sa.exc.ProgrammingError, match="row-level security"):
        async with flat.kit.database.web_tx(["bkh"]) as tx:
            await tx.execute(asked, {"who": "person:a"})
            await tx.execute(sa.text(given), {"who": "person:c"})


@pytest.mark.promise("T9")
async def test_no_code_of_an_agency_opens_two(flats: Flats):
    flat = await flats.start("payments")
    async with flat.kit.database.web_tx() as tx:
        with pytest.raises(BadInput, match="comma"):
            await enter(tx, ["bkh,tcnt"])
