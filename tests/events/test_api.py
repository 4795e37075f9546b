"""What programs get from events over HTTP."""

import asyncio
from uuid import uuid4

import pytest

from shared.contracts.events import InvoiceOpened
from tests.conftest import Flats
from tests.events import BEER, DIGITAL_BANK, a_body, a_capture, an_event, counts, stock


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}", "idempotency-key": str(uuid4())}


async def test_a_sponsor_takes_a_gold_package_and_pays_its_first_instalment(flats: Flats) -> None:
    flat = await flats.start("events")
    await an_event(flat)
    gold = (await stock(flat))["Vàng"]["id"]
    person = uuid4()
    me = bearer(flats.token(id=person))
    answer = await flat.client.post("/api/events/v1/sponsorships", json=a_body(gold), headers=me)
    assert answer.status_code == 201, answer.text
    order = answer.json()["order"]
    assert order["net_vnd"] == 100_000_000
    assert order["total_vnd"] == 108_000_000
    assert f"/pay/{order['invoice']}?" in answer.json()["pay_url"]
    assert counts((await stock(flat))["Vàng"]) == (1, 0)

    (opened,) = await flat.facts()
    assert isinstance(opened, InvoiceOpened)
    assert (opened.collect, opened.total_vnd, str(opened.invoice)) == (
        "prepaid",
        108_000_000,
        order["invoice"],
    )
    await flat.receive(a_capture(opened.invoice, opened.lines))
    assert await flat.held() == []
    assert counts((await stock(flat))["Vàng"]) == (0, 1)
    seen = await flat.client.get(f"/api/events/v1/sponsorships/{order['id']}", headers=me)
    assert seen.json()["state"] == "contracted"
    assert [part["paid_vnd"] for part in seen.json()["instalments"]] == [108_000_000, 0]


@pytest.mark.parametrize("capacity", [1, 3])
async def test_of_200_concurrent_buyers_of_the_last_packages_each_gets_one_or_a_clear_refusal(
    flats: Flats, capacity: int
) -> None:
    from services.events.rules.industries import INDUSTRIES
    from tests.events import a_package

    flat = await flats.start("events")
    await an_event(flat, packages=[a_package(capacity=capacity)])
    gold = (await stock(flat))["Vàng"]["id"]
    leaves = [code for code in INDUSTRIES if code % 10_000 and not code % 100]

    async def buy(n: int) -> tuple[int, str]:
        answer = await flat.client.post(
            "/api/events/v1/sponsorships",
            json=a_body(gold, industry=leaves[n % len(leaves)]),
            headers=bearer(flats.token(id=uuid4())),
        )
        return answer.status_code, answer.json().get("code", "")

    answers = await asyncio.gather(*(buy(n) for n in range(200)))
    assert [status for status, _ in answers].count(201) == capacity
    assert {code for status, code in answers if status != 201} <= {"sold-out", "industry-taken"}
    assert {status for status, _ in answers} == {201, 409}
    # Whoever was refused left nothing behind: no invoice asks them for money.
    assert len(await flat.facts()) == capacity
    assert counts((await stock(flat))["Vàng"]) == (capacity, 0)


async def test_a_bank_keeps_a_digital_bank_away_but_not_a_brewery(flats: Flats) -> None:
    flat = await flats.start("events")
    await an_event(flat)
    gold = (await stock(flat))["Vàng"]["id"]
    buy = [
        (
            await flat.client.post(
                "/api/events/v1/sponsorships",
                json=a_body(gold, industry=industry),
                headers=bearer(flats.token(id=uuid4())),
            )
        )
        for industry in (100100, DIGITAL_BANK, 100000, BEER)
    ]
    assert [answer.status_code for answer in buy] == [201, 409, 409, 201]
    assert buy[1].json()["code"] == "industry-taken"
    assert len(await flat.facts()) == 2
