"""The finance pages: every figure leads down to the entry and its source."""

import re
from datetime import date
from typing import Any

import pytest


async def page(flat: Any, cookie: dict[str, str], path: str) -> str:
    answer = await flat.client.get(path, headers=cookie)
    assert answer.status_code == 200, answer.text
    return str(answer.text)


async def test_from_the_headline_down_to_the_fact(flat: Any, cookie: dict[str, str]) -> None:
    growth = await page(flat, cookie, "/finance")
    assert "250.000" in growth
    link = re.search(r'id="live-current" href="([^"]+)"', growth)
    assert link
    journal = await page(flat, cookie, link[1].replace("&amp;", "&"))
    entry = re.search(r"/finance/entries/[0-9a-f-]{36}", journal)
    assert entry
    shown = await page(flat, cookie, entry[0])
    assert "ads.delivery.recorded.v1" in shown
    line = re.search(r"/finance/lines/[0-9a-f-]{36}", shown)
    assert line
    assert "ads.invoice.opened.v1" in await page(flat, cookie, line[0])


async def test_the_trial_balance_shows_that_it_is_zero(flat: Any, cookie: dict[str, str]) -> None:
    shown = await page(flat, cookie, "/finance/accounts?on=2026-11-10")
    assert "Tổng Nợ bằng tổng Có" in shown
    assert "Sổ không cân" not in shown
    english = await page(flat, cookie, "/finance/accounts?lang=en")
    assert "Debits equal credits" in english
    assert "tcnt" not in shown


async def test_tabs_files_and_drill_downs_keep_the_days_that_were_asked_for(
    flat: Any, cookie: dict[str, str]
) -> None:
    shown = await page(flat, cookie, "/finance/accounts?on=2026-11-05&recorded=2026-11-09")
    asked = "on=2026-11-05&amp;recorded=2026-11-09"
    assert f'href="/finance/accounts?agency=bkh&amp;{asked}"' in shown
    assert f'href="/finance/accounts?{asked}" aria-current="page"' in shown
    assert f'href="/finance/accounts.csv?agency=&amp;{asked}"' in shown
    drill = re.search(r'href="(/finance/entries\?account=[^"]+)"', shown)
    # Everything here was recorded on the 10th: as known on the 9th the books are empty.
    assert drill is None
    shown = await page(flat, cookie, "/finance/accounts?on=2026-11-10&recorded=2026-11-10")
    drill = re.search(r'href="(/finance/entries\?account=[^"]+)"', shown)
    assert drill
    assert "recorded=2026-11-10" in drill[1]
    journal = await page(flat, cookie, drill[1].replace("&amp;", "&"))
    assert "Theo sổ ghi đến ngày 10/11/2026" in journal
    assert "recorded=2026-11-10" in re.findall(r'href="(/finance/entries.csv[^"]+)"', journal)[0]
    before = await page(flat, cookie, "/finance/entries?recorded=2026-11-09")
    assert "Không có bút toán" in before
    growth = await page(flat, cookie, "/finance?agency=bkh&on=2026-11-05")
    assert 'href="/finance/revenue.csv?agency=bkh&amp;on=2026-11-05"' in growth
    assert 'href="/finance?on=2026-11-05"' in growth
    assert "data-live" not in growth


async def test_a_file_of_entries_holds_all_of_them_however_many_a_read_takes(
    flat: Any, cookie: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from services.ledger.pages import tables

    whole = (await flat.client.get("/finance/entries.csv", headers=cookie)).text
    assert len(whole.splitlines()) > 5
    monkeypatch.setattr(tables, "AT_ONCE", 2)
    assert (await flat.client.get("/finance/entries.csv", headers=cookie)).text == whole


@pytest.mark.parametrize("path", ["accounts.csv", "entries.csv?account=revenue", "revenue.csv"])
async def test_each_table_can_be_taken_away_as_csv(flat: Any, cookie: dict[str, str], path: str) -> None:
    answer = await flat.client.get(f"/finance/{path}", headers=cookie)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.content.startswith(b"\xef\xbb\xbf")
    assert len(answer.text.splitlines()) > 1


async def test_the_chart_is_an_svg_from_an_address_of_its_own(flat: Any, cookie: dict[str, str]) -> None:
    answer = await flat.client.get("/finance/charts/growth.svg?size=narrow&ink=dark", headers=cookie)
    assert answer.headers["content-type"].startswith("image/svg+xml")
    assert "<svg" in answer.text
    assert "T1–T2" in answer.text
    assert (await flat.client.get("/finance/charts/growth.svg?ink=red", headers=cookie)).status_code == 400


async def test_months_are_called_in_the_language_of_who_reads(flat: Any, cookie: dict[str, str]) -> None:
    english = await page(flat, cookie, "/finance?lang=en")
    assert ">Mar<" in english
    assert not re.search(r">T\d+<", english)
    assert ">T3<" in await page(flat, cookie, "/finance?lang=vi")


async def test_live_figures_follow_a_payment(flat: Any, flats: Any) -> None:
    from services.ledger.pages.growth import live_figures
    from shared.auth import Reach

    async with flat.kit.database.web_tx() as tx:
        assert "250.000" in await live_figures(tx, Reach(frozenset(("bkh",))), "")


@pytest.mark.parametrize(
    "path",
    [
        "/finance/accounts?on=never",
        "/finance/entries?since=2026-13-01",
        "/finance/entries?cursor=x",
        "/finance?on=5",
    ],
)
async def test_bad_fields_are_named_and_nothing_breaks(flat: Any, cookie: dict[str, str], path: str) -> None:
    assert (await flat.client.get(path, headers=cookie)).status_code == 400


@pytest.mark.parametrize("path", ["/finance", "/finance/accounts", "/finance/revenue.csv"])
async def test_what_is_no_day_is_named_on_every_page(flat: Any, cookie: dict[str, str], path: str) -> None:
    answer = await flat.client.get(f"{path}?on=mai", headers={**cookie, "accept": "text/html"})
    assert "“mai” không phải là ngày; hãy viết như 2026-11-30." in answer.text


async def test_finance_gets_from_the_books_to_the_desk_where_payments_wait(
    flat: Any, cookie: dict[str, str]
) -> None:
    assert '<a href="/desk">Bàn việc</a>' in await page(flat, cookie, "/finance")


async def test_an_empty_ledger_says_so(flats: Any, cookie: dict[str, str], november: Any) -> None:
    empty = await flats.start("ledger")
    assert "Chưa có doanh thu" in await page(empty, cookie, "/finance")
    assert "Sổ còn trống" in await page(empty, cookie, "/finance/accounts")
    assert "Không có bút toán" in await page(empty, cookie, f"/finance/entries?until={date(2026, 1, 1)}")
