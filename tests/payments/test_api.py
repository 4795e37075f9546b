"""The API: who sees what, bodies that are wrong, and refunds that are asked for once."""

from typing import Any

import msgspec
import psycopg
import pytest
import sqlalchemy as sa

from services.payments import gateways
from services.payments.app import create_app
from shared import clock
from shared.contracts.base import Buyer
from shared.settings import BadSetting, Settings
from tests.conftest import Flat, Flats
from tests.payments import a_line, an_invoice, paid

REFUNDS = "/api/payments/v1/refunds"


def key(flats: Flats, agency: str = "bkh", **more: Any) -> dict[str, str]:
    scopes = ["payments:read", "payments:refund"]
    return {"authorization": f"Bearer {flats.key(id=clock.new_id(), agency=agency, scopes=scopes, **more)}"}


def person(flats: Flats, **roles: list[str]) -> dict[str, str]:
    return {"authorization": f"Bearer {flats.token(id=clock.new_id(), roles=roles)}"}


async def ask(flat: Flat, headers: dict[str, str], body: Any, repeat: str = "") -> Any:
    return await flat.client.post(
        REFUNDS, json=body, headers={**headers, "idempotency-key": repeat or clock.new_secret()}
    )


async def test_an_invoice_shows_what_was_paid_of_it_to_its_agency_alone(flats: Flats) -> None:
    flat = await flats.start("payments")
    organisation = clock.new_id()
    invoice = an_invoice(buyer=Buyer("organisation", organisation))
    await paid(flat, invoice)
    path = f"/api/payments/v1/invoices/{invoice.invoice}"
    seen = (await flat.client.get(path, headers=key(flats))).json()
    assert (seen["outcome"], seen["captured_vnd"], seen["refunded_vnd"]) == ("paid", invoice.total_vnd, 0)
    assert (await flat.client.get(path, headers=key(flats, organisation=organisation))).status_code == 200
    refused = {
        401: {},
        403: {"authorization": f"Bearer {flats.key(id=clock.new_id(), agency='bkh', scopes=['ads:book'])}"},
        404: key(flats, agency="tcnt"),
    }
    for status, headers in refused.items():
        assert (await flat.client.get(path, headers=headers)).status_code == status
    strangers = key(flats, organisation=clock.new_id())
    assert (await flat.client.get(path, headers=strangers)).status_code == 404
    assert (await flat.client.get("/api/payments/v1/captures", headers=strangers)).status_code == 403
    assert (
        await flat.client.get("/api/payments/v1/invoices/not-an-id", headers=key(flats))
    ).status_code == 404


async def test_captures_are_listed_by_cursor_without_gap_or_repeat(flats: Flats) -> None:
    flat = await flats.start("payments")
    made = [await paid(flat, an_invoice()) for _ in range(5)]
    await paid(flat, an_invoice(agency="tcnt"))
    seen: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        query = {"limit": 2, **({"cursor": cursor} if cursor else {})}
        page = (await flat.client.get("/api/payments/v1/captures", params=query, headers=key(flats))).json()
        seen += [row["id"] for row in page["items"]]
        cursor = page["next"]
    assert seen == [str(capture) for capture in reversed(made)]
    for bad in ("cursor=%21", "cursor=abc", "limit=0", "limit=1000", "limit=x"):
        answer = await flat.client.get(f"/api/payments/v1/captures?{bad}", headers=key(flats))
        assert answer.status_code == 400, bad


@pytest.mark.promise("P11")
async def test_a_refund_is_asked_once_and_never_beyond_what_came(flats: Flats) -> None:
    flat = await flats.start("payments")
    capture = await paid(flat, an_invoice(a_line(100_000, 0)))
    body = {"capture": str(capture), "amount_vnd": 60_000, "reason": "Hủy một phần"}
    repeat = clock.new_secret()
    headers = key(flats)
    first, again = [await ask(flat, headers, body, repeat) for _ in range(2)]
    assert first.status_code == 201
    assert first.json() == again.json()
    assert (await ask(flat, headers, {**body, "amount_vnd": 1}, repeat)).status_code == 422
    over = await ask(flat, headers, {**body, "amount_vnd": 40_001})
    assert (over.status_code, over.json()["code"], over.json()["left_vnd"]) == (409, "over-refunded", 40_000)
    assert (await ask(flat, headers, {**body, "amount_vnd": 40_000})).status_code == 201
    assert (await ask(flat, key(flats, agency="tcnt"), body)).status_code == 404
    # A refund is no payment: it cannot be refunded itself.
    of_refund = await ask(flat, headers, {**body, "capture": first.json()["id"], "amount_vnd": 1})
    assert of_refund.status_code == 404
    async with flat.tx() as tx:
        assert (await tx.execute(sa.text("SELECT count(*), sum(amount_vnd) FROM refund"))).one() == (
            2,
            100_000,
        )


async def test_bad_bodies_are_refused_clearly_and_change_nothing(flats: Flats) -> None:
    flat = await flats.start("payments")
    capture = str(await paid(flat, an_invoice()))
    good = {"capture": capture, "amount_vnd": 1000, "reason": "Hủy"}
    for bad in (
        {**good, "amount_vnd": "5e3"},
        {**good, "amount_vnd": 0},
        {**good, "amount_vnd": -5},
        {**good, "amount_vnd": 1.5},
        {**good, "amount_vnd": 10**30},
        {**good, "capture": "x"},
        {**good, "more": 1},
        {**good, "reason": ""},
        [],
    ):
        answer = await ask(flat, key(flats), bad)
        assert answer.status_code == 400, bad
        assert answer.headers["content-type"] == "application/problem+json"
    nested = await flat.client.post(
        REFUNDS,
        content=b"[" * 100_000,
        headers={**key(flats), "content-type": "application/json", "idempotency-key": clock.new_secret()},
    )
    assert nested.status_code == 400
    assert (await flat.client.post(REFUNDS, json=good, headers=key(flats))).status_code == 400
    async with flat.tx() as tx:
        assert await tx.scalar(sa.text("SELECT count(*) FROM refund")) == 0


async def test_a_key_is_no_second_person_and_neither_is_the_first(flats: Flats) -> None:
    flat = await flats.start("payments")
    capture = await paid(flat, an_invoice(a_line(40_000_000, 0)))
    first = person(flats, bkh=["finance", "finance_approver"])
    asked = (
        await ask(flat, first, {"capture": str(capture), "amount_vnd": 30_000_000, "reason": "Hủy"})
    ).json()
    assert asked["state"] == "asked"
    path = f"{REFUNDS}/{asked['id']}/decision"

    async def decide(headers: dict[str, str]) -> tuple[int, str]:
        answer = await flat.client.post(
            path, json={"approve": True}, headers={**headers, "idempotency-key": clock.new_secret()}
        )
        return answer.status_code, answer.json().get("code", answer.json().get("state"))

    assert (await decide(key(flats)))[0] == 403
    assert await decide(first) == (409, "same-person")
    assert (await decide(person(flats, tcnt=["finance_approver"])))[0] == 404
    second = person(flats, bkh=["finance_approver"])
    assert await decide(second) == (201, "approved")
    assert await decide(second) == (409, "not-awaited")


async def test_the_database_itself_keeps_agencies_apart_and_money_from_going_back_twice(
    flats: Flats, superuser: psycopg.Connection[Any]
) -> None:
    flat = await flats.start("payments")
    await paid(flat, an_invoice())
    database = flat.kit.database
    tables = ("invoice", "attempt", "capture", "notification", "sim_transaction")
    for agencies, visible in ((["tcnt"], 0), ([], 0)):
        async with database.web_tx(agencies) as tx:
            for table in tables:
                assert await tx.scalar(sa.text(f"SELECT count(*) FROM {table}")) == visible, table
    async with database.web_tx(["bkh"]) as tx:
        assert [await tx.scalar(sa.text(f"SELECT count(*) FROM {table}")) for table in tables] == [
            1,
            1,
            1,
            1,
            0,
        ]
    again = (
        "INSERT INTO capture SELECT gen_random_uuid(), agency, invoice, attempt, rail, gateway_no, bank, amount_vnd, "
        "captured_at, recorded_at, applied, reason, 0, NULL FROM capture"
    )
    forbidden = (
        "UPDATE capture SET amount_vnd = 1",
        "DELETE FROM capture",
        "UPDATE notification SET reply = '00'",
        "UPDATE capture SET refunding_vnd = amount_vnd + 1",
        again,
    )
    for sql in forbidden:
        with pytest.raises(sa.exc.DBAPIError):
            async with database.worker_tx() as tx:
                await tx.execute(sa.text(sql))


def test_production_refuses_the_simulator(flats: Flats) -> None:
    settings = flats.settings("payments", production=True)
    with pytest.raises(BadSetting):
        create_app(settings)
    real = msgspec.structs.replace(settings, vnpay_url="https://vnpay.example")
    paths = {route.path for route in create_app(real).routes}
    assert not [path for path in paths if "vnpay-sim" in path]
    assert [path for path in paths if "/gateway/vnpay/ipn" in path]


def test_every_agency_has_a_terminal_of_eight_characters() -> None:
    from services.payments.rules.vnpay import terminals

    known = terminals(Settings().vnpay_terminals)
    assert {terminal.agency for terminal in known.values()} == {"bkh", "tcnt", "baokh", "ktv"}
    assert {len(code) for code in known} == {8}


def test_inside_a_deployment_the_simulator_is_reached_where_the_public_address_is_not() -> None:
    public = Settings(base_url="https://news.example")
    inside = msgspec.structs.replace(public, simulator_url="http://payments:8000")
    real = msgspec.structs.replace(inside, vnpay_url="https://vnpay.example")
    assert [gateways.server_of(s) for s in (public, inside, real)] == [
        "https://news.example/gateway/vnpay-sim",
        "http://payments:8000/gateway/vnpay-sim",
        "https://vnpay.example",
    ]
    assert gateways.inside(inside) == "http://payments:8000", "notifications take the same way"
    assert gateways.address_of(inside) == "https://news.example/gateway/vnpay-sim", (
        "browsers go by the public one"
    )
