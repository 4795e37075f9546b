"""In the sandbox a program tries everything, and nothing of it stands on a page or at a desk."""

from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa

from services.ads.actions import sandbox, settlement
from services.ads.rules import orders as rules
from shared.contracts.ads import DeliveryRecorded, InvoiceOpened
from shared.jobs import Batch
from tests.ads.builders import (
    READER,
    Advertiser,
    a_live_order,
    a_rate_card,
    an_image,
    an_order,
    decide,
    ops_headers,
    paid,
    path_of,
)

TRIAL = "bkh-sandbox"


@pytest.fixture
async def flat(flats: Any) -> Any:
    made = await flats.start("ads")
    await a_rate_card(made)
    return made


async def submitted(advertiser: Advertiser, **changes: Any) -> dict[str, Any]:
    """An order of the sandbox in review."""
    booked = await advertiser.post("/orders", an_order(agency=TRIAL, **changes))
    assert booked.status_code == 201, booked.text
    order: dict[str, Any] = booked.json()
    assert (await advertiser.upload(order["id"], an_image())).status_code == 201
    assert (await advertiser.post(f"/orders/{order['id']}/submit")).json()["status"] == "review"
    return order


async def played(flat: Any, act: Any) -> None:
    async with flat.tx() as tx:
        await act(tx, Batch())


async def live(flat: Any, advertiser: Advertiser) -> dict[str, Any]:
    """An order of the sandbox that the sandbox's reviewer approved and that was paid."""
    order = await submitted(advertiser)
    await played(flat, sandbox.review)
    invoice = next(f for f in await flat.facts() if isinstance(f, InvoiceOpened))
    assert {invoice.agency, *(line.agency for line in invoice.lines)} == {TRIAL}
    await flat.receive(paid(invoice))
    await flat.app.state.server.refresh()
    shown: dict[str, Any] = (await advertiser.get(f"/orders/{order['id']}")).json()
    assert shown["status"] == "live"
    return shown


@pytest.mark.promise("A2")
async def test_a_program_goes_from_rate_card_to_delivery_in_the_sandbox(flats, flat):
    advertiser = Advertiser(flats, flat, TRIAL)
    card = (await flat.client.get(f"/api/ads/v1/placements?agency={TRIAL}")).json()
    real = (await flat.client.get("/api/ads/v1/placements?agency=bkh")).json()
    assert (await flat.client.get("/api/ads/v1/placements?agency=-sandbox")).json() == [], "of no agency"
    assert [(p["code"], p["rates"]) for p in card] == [(p["code"], p["rates"]) for p in real]
    assert {p["agency"] for p in card} == {TRIAL}
    order = await live(flat, advertiser)
    for _ in range(rules.PLAYED_STEPS):
        await played(flat, sandbox.deliver)
    await played(flat, settlement.settle)
    done = (await advertiser.get(f"/orders/{order['id']}")).json()
    line = done["line_items"][0]
    assert (done["status"], line["impressions"]) == ("finished", line["goal"])
    days = (await advertiser.get(f"/orders/{order['id']}/delivery")).json()
    assert sum(day["impressions"] for day in days) == line["goal"]
    told = [f for f in await flat.facts() if isinstance(f, DeliveryRecorded)]
    assert {f.agency for f in told} == {TRIAL}


async def test_what_is_paid_in_the_sandbox_writes_nobody_a_letter(flats, flat):
    await live(flat, Advertiser(flats, flat, TRIAL))
    assert await flat.facts() == []


async def test_the_sandbox_refuses_an_order_whose_name_asks_for_it(flats, flat):
    advertiser = Advertiser(flats, flat, TRIAL)
    order = await submitted(advertiser, name="Please REFUSE me")
    await played(flat, sandbox.review)
    shown = (await advertiser.get(f"/orders/{order['id']}")).json()
    assert (shown["status"], shown["creatives"][0]["status"]) == ("refused", "refused")
    assert rules.REFUSING in shown["creatives"][0]["reason"]
    assert not [f for f in await flat.facts() if isinstance(f, InvoiceOpened)]


async def test_the_sandbox_reviews_and_delivers_nothing_of_the_real_agency(flats, flat):
    advertiser = Advertiser(flats, flat)
    order = await a_live_order(flats, flat, advertiser)
    waiting = (await advertiser.post("/orders", an_order())).json()
    await advertiser.upload(waiting["id"], an_image(colour="red"))
    await advertiser.post(f"/orders/{waiting['id']}/submit")
    await played(flat, sandbox.review)
    await played(flat, sandbox.deliver)
    assert (await advertiser.get(f"/orders/{waiting['id']}")).json()["status"] == "review"
    assert (await advertiser.get(f"/orders/{order['id']}")).json()["line_items"][0]["impressions"] == 0


@pytest.mark.promise("A2", "T13")
async def test_no_page_shows_what_stands_in_the_sandbox(flats, flat):
    advertiser = Advertiser(flats, flat, TRIAL)
    order = await live(flat, advertiser)
    for agency in ("bkh", TRIAL):
        assert await decide(flat, "article-mid", agency=agency) == []
    creative = order["creatives"][0]
    bare = path_of(creative["preview_url"]).split("?", 1)[0]
    assert (await flat.client.get(bare)).status_code == 404
    assert (await flat.client.get(path_of(creative["preview_url"]))).status_code == 200
    server = flat.app.state.server
    assert UUID(creative["id"]) not in server.targets
    card = (await flat.client.get("/api/ads/v1/placements")).json()
    assert {p["agency"] for p in card} == {"bkh"}
    assert "sandbox" not in (await flat.client.get("/advertise", headers=READER)).text


@pytest.mark.promise("A2", "T9")
async def test_no_desk_of_the_agency_sees_the_sandbox_and_no_key_of_the_sandbox_sees_the_agency(flats, flat):
    real, trial = Advertiser(flats, flat), Advertiser(flats, flat, TRIAL)
    other = Advertiser(flats, flat, TRIAL)
    mine = await a_live_order(flats, flat, real)
    tried = await live(flat, trial)
    ops = ops_headers(flats)
    for path in ("/orders", "/review-queue"):
        assert tried["id"] not in (await flat.client.get(f"/api/ads/v1{path}", headers=ops)).text
    people = {
        role: {"authorization": f"Bearer {flats.token(id=uuid4(), roles={'bkh': [role]})}"}
        for role in ("ad_ops", "administrator", "auditor")
    }
    for headers in (ops, *people.values()):
        answer = await flat.client.get(f"/api/ads/v1/orders/{tried['id']}", headers=headers)
        assert answer.status_code in (403, 404), headers
        listed = await flat.client.get("/desk/ads/orders", headers={**headers, **READER})
        assert tried["number"] not in listed.text
    for stranger in (trial, other):
        assert (await stranger.get(f"/orders/{mine['id']}")).status_code == 404
        assert mine["id"] not in (await stranger.get("/orders")).text
    assert (await other.get(f"/orders/{tried['id']}")).status_code == 404


async def test_a_key_books_in_its_own_world_only_and_people_never_in_the_sandbox(flats, flat):
    trial, real = Advertiser(flats, flat, TRIAL), Advertiser(flats, flat)
    assert (await trial.post("/orders", an_order())).status_code == 403
    assert (await real.post("/orders", an_order(agency=TRIAL))).status_code == 403
    token = flats.token(id=uuid4(), organisation=uuid4(), roles={"bkh": ["advertiser"]})
    real.headers = {"authorization": f"Bearer {token}"}
    assert (await real.post("/orders", an_order(agency=TRIAL))).status_code == 403
    assert (await real.post("/orders", an_order())).status_code == 201


@pytest.mark.promise("F6")
async def test_a_person_books_where_the_organisation_is_registered_and_nowhere_else(flats, flat):
    await a_rate_card(flat, "tcnt")
    buyer = Advertiser(flats, flat)
    token = flats.token(
        id=uuid4(), organisation=uuid4(), roles={"bkh": ["advertiser"], "tcnt": ["reader", "ad_ops"]}
    )
    buyer.headers = {"authorization": f"Bearer {token}"}
    refused = await buyer.post("/orders", an_order(agency="tcnt"))
    assert (refused.status_code, refused.json()["code"]) == (403, "not-allowed"), refused.text
    assert (await buyer.post("/orders", an_order())).status_code == 201


async def test_the_database_refuses_a_placement_of_a_sandbox(flat):
    with pytest.raises(sa.exc.IntegrityError, match="placement_real"):
        await a_rate_card(flat, TRIAL)
