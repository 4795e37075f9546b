"""The books over HTTP for programs: who may read what, and bad input."""

from datetime import date
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa

from shared.calendar import start_of

API = "/api/ledger/v1"


def bearer(flats: Any, agency: str = "bkh", scopes: tuple[str, ...] = ("finance:read",)) -> dict[str, str]:
    key = flats.key(id=uuid4(), agency=agency, scopes=list(scopes))
    return {"authorization": f"Bearer {key}"}


async def test_the_trial_balance_is_zero_and_shows_only_ones_own_books(flat: Any, flats: Any) -> None:
    answer = await flat.client.get(f"{API}/trial-balance", headers=bearer(flats))
    assert answer.status_code == 200
    found = answer.json()
    assert found["sum_vnd"] == 0
    assert found["agencies"] == ["bkh", "ktv"]
    accounts = {a["account"]: a for a in found["accounts"]}
    assert accounts["receivable"]["balance_vnd"] == 1_080_000
    assert accounts["cash_in_transit:vnpay"]["balance_vnd"] == 324_000
    assert accounts["deferred_revenue"]["code"] == "3383"


async def test_the_trial_balance_as_of_a_day_and_as_it_was_known(flat: Any, flats: Any) -> None:
    before = await flat.client.get(f"{API}/trial-balance?on=2026-11-03", headers=bearer(flats))
    accounts = {a["account"]: a["balance_vnd"] for a in before.json()["accounts"]}
    assert accounts["revenue"] == -300_000
    assert accounts["deferred_revenue"] == -1_000_000
    unknown = "2026-11-09T00:00:00%2B07:00"
    known = await flat.client.get(f"{API}/trial-balance?recorded_at={unknown}", headers=bearer(flats))
    assert known.json()["accounts"] == []
    later = "2026-11-10T23:00:00%2B07:00"
    latest = await flat.client.get(f"{API}/trial-balance?recorded_at={later}", headers=bearer(flats))
    now = await flat.client.get(f"{API}/trial-balance", headers=bearer(flats))
    assert latest.json()["accounts"] == now.json()["accounts"] != []


async def test_from_a_figure_down_to_the_entry_the_line_and_the_fact(flat: Any, flats: Any) -> None:
    listed = await flat.client.get(
        f"{API}/entries?account=revenue&stream=advertising.web", headers=bearer(flats)
    )
    (entry,) = listed.json()["items"]
    assert entry["amount_vnd"] == -250_000
    shown = (await flat.client.get(f"{API}/entries/{entry['id']}", headers=bearer(flats))).json()
    assert shown["fact"]["subject"] == "ads.delivery.recorded.v1"
    assert shown["fact"]["body"]["quantity"] == 1
    line = shown["legs"][0]["line"]
    about = (await flat.client.get(f"{API}/lines/{line}", headers=bearer(flats))).json()
    assert {b["account"]: b["amount_vnd"] for b in about["balances"]}["deferred_revenue"] == -750_000
    assert [f["subject"] for f in about["facts"]] == ["ads.invoice.opened.v1"]
    of_line = await flat.client.get(f"{API}/entries?line={line}", headers=bearer(flats))
    assert [e["kind"] for e in of_line.json()["items"]] == ["delivery", "invoice"]


async def test_pages_of_entries_follow_one_another_without_gap_or_repeat(flat: Any, flats: Any) -> None:
    whole = (await flat.client.get(f"{API}/entries?limit=200", headers=bearer(flats))).json()["items"]
    assert len(whole) > 20
    seen, cursor = [], ""
    while True:
        part = (await flat.client.get(f"{API}/entries?limit=7&cursor={cursor}", headers=bearer(flats))).json()
        seen += part["items"]
        cursor = part["next"]
        if not cursor:
            break
    assert seen == whole


async def test_a_strangers_entry_line_and_agency_are_not_found(flat: Any, flats: Any) -> None:
    theirs = bearer(flats, "tcnt")
    entry = (await flat.client.get(f"{API}/entries?agency=tcnt", headers=theirs)).json()["items"][0]
    line = (await flat.client.get(f"{API}/entries/{entry['id']}", headers=theirs)).json()["legs"][-1]["line"]
    assert line
    for path in (f"/entries/{entry['id']}", f"/lines/{line}", "/entries?agency=tcnt", "/growth?agency=tcnt"):
        answer = await flat.client.get(API + path, headers=bearer(flats))
        assert (answer.status_code, answer.json()["code"]) == (404, "not-found"), path
    assert (await flat.client.get(f"{API}/entries?line={line}", headers=bearer(flats))).json()["items"] == []


async def test_row_level_security_hides_other_agencies_even_from_a_query_that_forgets(
    flat: Any, november: Any
) -> None:
    november.move_to(start_of(date(2026, 11, 12)))
    await flat.tick()
    tables = ("entry", "leg", "part", "rollup", "line", "archive")
    async with flat.kit.database.web_tx(["tcnt"]) as tx:
        for table in tables[:-1]:
            assert set(await tx.scalars(sa.text(f"SELECT DISTINCT agency FROM {table}"))) == {"tcnt"}, table
        facts = list(await tx.scalars(sa.text("SELECT agencies FROM archive")))
        assert facts
        assert all("tcnt" in codes for codes in facts)
    async with flat.kit.database.web_tx(["ktv"]) as tx:
        assert await tx.scalar(sa.text("SELECT count(*) FROM part")) == 0
    async with flat.kit.database.web_tx() as tx:
        for table in tables:
            assert await tx.scalar(sa.text(f"SELECT count(*) FROM {table}")) == 0, table


async def test_the_web_role_cannot_write_the_books(flat: Any) -> None:
    for table in ("entry", "leg", "part", "rollup", "line", "book", "archive", "reached", "account_code"):
        with pytest.raises(sa.exc.ProgrammingError, match="permission denied"):
            async with flat.kit.database.web_tx(["bkh"]) as tx:
                await tx.execute(sa.text(f"INSERT INTO {table} DEFAULT VALUES"))


async def test_growth_of_a_lineage_and_of_the_agency_as_it_is(flat: Any, flats: Any) -> None:
    found = (await flat.client.get(f"{API}/growth", headers=bearer(flats))).json()
    assert [v["name"] for v in found["views"]] == ["like_for_like", "as_is"]
    year_to_date = found["views"][0]["measures"][0]
    assert (year_to_date["current_vnd"], year_to_date["measurable"]) == (250_000, False)
    assert sum(c["current_vnd"] for c in found["cells"]) == year_to_date["current_vnd"]
    assert sum(c["base_vnd"] for c in found["cells"]) == year_to_date["base_vnd"]
    assert found["views"][0]["status"] == "not_measurable"


async def test_revenue_by_stream_and_month(flat: Any, flats: Any) -> None:
    found = (await flat.client.get(f"{API}/revenue?since=2026-11-01", headers=bearer(flats))).json()
    assert {
        "month": "2026-11-01",
        "stream": "advertising.web",
        "agency": "bkh",
        "amount_vnd": 250_000,
    } in found


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/trial-balance?recorded_at=9999-12-31T23:59:59Z", 400),
        ("/trial-balance?on=9999-12-31", 422),
        ("/trial-balance?on=yesterday", 400),
        ("/trial-balance?recorded_at=2026-11-23T00:00:00", 400),
        ("/entries?limit=0", 400),
        ("/entries?limit=5e3", 400),
        ("/entries?cursor=zzzz", 400),
        ("/entries?cursor=%00%ff", 400),
        ("/entries?line=1", 400),
        (f"/entries?line={uuid4()}&account=revenue", 400),
        ("/entries?account=%00", 400),
        ("/growth?on=0001-01-01", 422),
        ("/revenue?since=1900-01-01", 422),
        ("/entries/7", 404),
        (f"/entries/{uuid4()}", 404),
    ],
)
async def test_bad_input_gets_a_clear_answer(flat: Any, flats: Any, path: str, status: int) -> None:
    answer = await flat.client.get(API + path, headers=bearer(flats))
    assert answer.status_code == status, answer.text
    assert answer.json()["code"]


async def test_only_finance_reads_the_books(flat: Any, flats: Any) -> None:
    path = f"{API}/trial-balance"
    assert (await flat.client.get(path)).status_code == 401
    assert (await flat.client.get(path, headers=bearer(flats, scopes=("ads:book",)))).status_code == 403
    token = flats.token(id=uuid4(), roles={"bkh": ["ad_ops"]})
    assert (await flat.client.get("/finance", headers={"cookie": f"nt_token={token}"})).status_code == 403


async def test_an_account_is_asked_for_with_all_that_are_kept_under_it(flat: Any, flats: Any) -> None:
    found = await flat.client.get(f"{API}/entries?account=cash_in_transit", headers=bearer(flats))
    assert found.json()["items"], "such as cash_in_transit:vnpay"
    other = await flat.client.get(f"{API}/entries?account=cash", headers=bearer(flats))
    assert other.json()["items"] == []
