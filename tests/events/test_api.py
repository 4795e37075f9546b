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
        if answer.status_code == 503 and answer.headers["retry-after"]:
            return await buy(n)
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


SPONSORSHIPS = "/api/events/v1/sponsorships"


async def test_a_key_buys_for_its_organisation_and_only_what_its_agency_sells(flats: Flats) -> None:
    flat = await flats.start("events")
    await an_event(flat)
    gold = (await stock(flat))["Vàng"]["id"]
    organisation = uuid4()

    def key(**changes: object) -> dict[str, str]:
        given = {"id": uuid4(), "agency": "bkh", "scopes": ["events:sponsor"], "organisation": organisation}
        return bearer(flats.key(**(given | changes)))

    post = flat.client.post
    for elsewhere in ("tcnt", "bkh-sandbox"):
        asked = await post(SPONSORSHIPS, json=a_body(gold), headers=key(agency=elsewhere))
        assert asked.status_code == 404, elsewhere
    assert (await post(SPONSORSHIPS, json=a_body(gold), headers=key(organisation=None))).status_code == 403
    assert (await post(SPONSORSHIPS, json=a_body(gold), headers=key(scopes=["ads:book"]))).status_code == 403
    assert (await post(SPONSORSHIPS, json=a_body(gold))).status_code == 401
    answer = await post(SPONSORSHIPS, json=a_body(gold), headers=key())
    assert answer.status_code == 201
    (fact,) = await flat.facts()
    assert isinstance(fact, InvoiceOpened)
    assert (fact.buyer.kind, fact.buyer.id) == ("organisation", organisation)
    # The organisation's own people and its other keys see it; another organisation's key does not.
    one = f"{SPONSORSHIPS}/{answer.json()['order']['id']}"
    colleague = bearer(flats.token(id=uuid4(), organisation=organisation))
    assert (await flat.client.get(one, headers=colleague)).status_code == 200
    assert (await flat.client.get(one, headers=key())).status_code == 200
    assert (await flat.client.get(one, headers=key(organisation=uuid4()))).status_code == 404
    assert (await flat.client.get(SPONSORSHIPS, headers=key(organisation=uuid4()))).json()["items"] == []
    assert len((await flat.client.get(SPONSORSHIPS, headers=colleague)).json()["items"]) == 1


async def test_a_key_sees_and_cancels_only_what_was_bought_at_its_agency(flats: Flats) -> None:
    flat = await flats.start("events")
    await an_event(flat, agency="tcnt")
    gold, ticket = (await stock(flat))["Vàng"]["id"], (await stock(flat))["5 km"]["id"]
    organisation = uuid4()

    def key(agency: str) -> dict[str, str]:
        scopes = ["events:sponsor", "events:register"]
        return bearer(flats.key(id=uuid4(), organisation=organisation, agency=agency, scopes=scopes))

    taken = await flat.client.post(SPONSORSHIPS, json=a_body(gold), headers=key("tcnt"))
    entries = [{"ticket": str(ticket), "name": "Lan"}]
    bought = await flat.client.post(
        "/api/events/v1/registrations", json={"event": "night-run", "entries": entries}, headers=key("tcnt")
    )
    one = f"{SPONSORSHIPS}/{taken.json()['order']['id']}"
    doors = [
        ("GET", one),
        ("GET", f"/api/events/v1/registrations/{bought.json()['order']['id']}"),
        ("POST", f"{one}/cancellation"),
    ]
    assert (await flat.client.get(SPONSORSHIPS, headers=key("bkh"))).json()["items"] == []
    for method, door in doors:
        assert (await flat.client.request(method, door, headers=key("bkh"))).status_code == 404, door
    assert len((await flat.client.get(SPONSORSHIPS, headers=key("tcnt"))).json()["items"]) == 1
    for method, door in doors:
        assert (await flat.client.request(method, door, headers=key("tcnt"))).status_code in (200, 201), door


async def test_a_repeated_request_gets_the_first_answer_and_holds_one(flats: Flats) -> None:
    flat = await flats.start("events")
    await an_event(flat)
    gold = (await stock(flat))["Vàng"]["id"]
    me = bearer(flats.token(id=uuid4()))
    first = await flat.client.post(SPONSORSHIPS, json=a_body(gold), headers=me)
    again = await flat.client.post(SPONSORSHIPS, json=a_body(gold), headers=me)
    assert again.json()["order"] == first.json()["order"]
    other = await flat.client.post(SPONSORSHIPS, json=a_body(gold, industry=BEER), headers=me)
    assert other.status_code == 422
    assert counts((await stock(flat))["Vàng"]) == (1, 0)


BAD = [
    {"industry": "5e3"},
    {"industry": 100_100.5},
    {"industry": 999_999},
    {"organisation": ""},
    {"contact_email": "nobody"},
    {"tax_code": "0100109107"},
    {"package": "not-an-id"},
    {"package": "00000000-0000-4000-8000-000000000000"},
    {"price_vnd": 1},
]


@pytest.mark.parametrize("wrong", BAD, ids=lambda wrong: "-".join(map(str, *wrong.items())))
async def test_bad_input_is_refused_with_a_problem_and_changes_nothing(flats: Flats, wrong: dict) -> None:
    flat = await flats.start("events")
    await an_event(flat)
    gold = (await stock(flat))["Vàng"]["id"]
    answer = await flat.client.post(
        SPONSORSHIPS, json=a_body(gold) | wrong, headers=bearer(flats.token(id=uuid4()))
    )
    assert answer.status_code in (400, 404, 422), answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert counts((await stock(flat))["Vàng"]) == (0, 0)
    assert await flat.facts() == []


@pytest.mark.parametrize("body", [b"[" * 100_000, b"{", b'"x"', b"null", b"[]"])
async def test_a_body_that_is_no_application_is_refused(flats: Flats, body: bytes) -> None:
    flat = await flats.start("events")
    headers = bearer(flats.token(id=uuid4())) | {"content-type": "application/json"}
    for path in (SPONSORSHIPS, "/api/events/v1/registrations"):
        answer = await flat.client.post(path, content=body, headers=headers)
        assert answer.status_code == 400, answer.text


async def test_a_stranger_sees_and_cancels_nothing_of_another(flats: Flats) -> None:
    flat = await flats.start("events")
    await an_event(flat)
    tickets = await stock(flat)
    me, stranger = bearer(flats.token(id=uuid4())), bearer(flats.token(id=uuid4()))
    mine = await flat.client.post(SPONSORSHIPS, json=a_body(tickets["Vàng"]["id"]), headers=me)
    sponsorship = f"{SPONSORSHIPS}/{mine.json()['order']['id']}"
    entries = {"event": "night-run", "entries": [{"ticket": str(tickets["5 km"]["id"]), "name": "An"}]}
    me["idempotency-key"] = str(uuid4())
    order = await flat.client.post("/api/events/v1/registrations", json=entries, headers=me)
    registration = f"/api/events/v1/registrations/{order.json()['order']['id']}"
    for path in (sponsorship, registration):
        assert (await flat.client.get(path, headers=me)).status_code == 200
        assert (await flat.client.get(path, headers=stranger)).status_code == 404
    staff_elsewhere = bearer(flats.token(id=uuid4(), roles={"tcnt": ["events"]}))
    assert (await flat.client.get(sponsorship, headers=staff_elsewhere)).status_code == 404
    cancellation = f"{sponsorship}/cancellation"
    assert (await flat.client.post(cancellation, headers=stranger)).status_code == 404
    await flat.facts()
    me["idempotency-key"] = str(uuid4())
    assert (await flat.client.post(cancellation, headers=me)).status_code == 201
    assert [fact.subject() for fact in await flat.facts()] == ["events.invoice.withdrawn.v1"]
    me["idempotency-key"] = str(uuid4())
    assert (await flat.client.post(cancellation, headers=me)).status_code == 409


async def test_row_level_security_hides_other_agencies_even_when_a_query_forgets(flats: Flats) -> None:
    import sqlalchemy as sa

    flat = await flats.start("events")
    await an_event(flat)
    gold = (await stock(flat))["Vàng"]["id"]
    person = uuid4()
    await flat.client.post(SPONSORSHIPS, json=a_body(gold), headers=bearer(flats.token(id=person)))
    tables = ("sponsorship", "instalment", "deliverable", "hold", "claim")

    async def seen(agencies: list[str], who: object = None) -> list[int]:
        async with flat.kit.database.web_tx(agencies, who) as tx:
            return [await tx.scalar(sa.text(f"SELECT count(*) FROM {table}")) for table in tables]

    assert await seen(["bkh"]) == [1, 2, 2, 1, 1]
    assert await seen(["tcnt"]) == [0, 0, 0, 0, 0]
    assert await seen([], person) == [1, 2, 2, 0, 0]
    assert await seen([], uuid4()) == [0, 0, 0, 0, 0]
    with pytest.raises(sa.exc.DBAPIError, match="row-level security"):
        async with flat.kit.database.web_tx(["tcnt"]) as tx:
            await tx.execute(
                sa.text(
                    "INSERT INTO recount (agency, day, counted_at, checked, differences) "
                    "VALUES ('bkh', '2026-01-01', '2026-01-01', 0, '[]')"
                )
            )


def a_json_event(**changes: object) -> dict:
    import msgspec

    from tests.events import a_new_event

    return msgspec.to_builtins(a_new_event()) | changes


async def test_staff_create_and_edit_events_of_their_agency_with_its_version(flats: Flats) -> None:
    flat = await flats.start("events")
    staff = flats.token(id=uuid4(), roles={"bkh": ["events"]})
    events = "/api/events/v1/events"
    post = flat.client.post
    assert (await post(events, json=a_json_event(), headers=bearer(staff))).status_code == 201
    assert (await post(events, json=a_json_event(), headers=bearer(staff))).json()["code"] == "slug-taken"
    mine = a_json_event(slug="mine")
    assert (await post(events, json=mine, headers=bearer(staff))).json()["code"] == "slug-taken"
    foreign = a_json_event(agency="tcnt", slug="other")
    assert (await post(events, json=foreign, headers=bearer(staff))).status_code == 403
    late = a_json_event(slug="late", sales_end_at="2099-01-01T00:00:00Z")
    assert (await post(events, json=late, headers=bearer(staff))).status_code == 422
    auditor = flats.token(id=uuid4(), roles={"bkh": ["auditor"]})
    assert (await post(events, json=a_json_event(slug="x-1"), headers=bearer(auditor))).status_code == 403

    shown = await flat.client.get(f"{events}/night-run")
    etag = shown.headers["etag"]
    details = {
        name: shown.json()["event"][name]
        for name in ("title", "summary", "place", "charity", "starts_at", "sales_end_at")
    } | {"title": "Night Run mới"}
    put = flat.client.put
    assert (await put(f"{events}/night-run", json=details, headers=bearer(staff))).status_code == 428
    compressed = etag[:-1] + '-gzip"'  # as Caddy marks it for who takes gzip
    edited = await put(f"{events}/night-run", json=details, headers=bearer(staff) | {"if-match": compressed})
    assert (edited.status_code, edited.json()["title"]) == (200, "Night Run mới")
    stale = await put(f"{events}/night-run", json=details, headers=bearer(staff) | {"if-match": etag})
    assert stale.status_code == 412


async def test_a_capacity_never_goes_below_what_is_held_and_sold(flats: Flats) -> None:
    flat = await flats.start("events")
    await an_event(flat)
    gold = (await stock(flat))["Vàng"]["id"]
    for industry in (100100, BEER):
        await flat.client.post(
            SPONSORSHIPS, json=a_body(gold, industry=industry), headers=bearer(flats.token(id=uuid4()))
        )
    staff = bearer(flats.token(id=uuid4(), roles={"bkh": ["events"]}))
    path = f"/api/events/v1/events/night-run/sellables/{gold}"
    body = {"price_vnd": 1, "capacity": 1}
    low = await flat.client.put(path, json=body, headers=staff | {"if-match": '"1"'})
    assert (low.status_code, low.json()["code"]) == (409, "below-sold")
    fits = await flat.client.put(path, json=body | {"capacity": 2}, headers=staff | {"if-match": '"1"'})
    assert fits.status_code == 200
    left = (await flat.client.get("/api/events/v1/events/night-run/availability")).json()
    assert left[0]["left"] == 0
    third = await flat.client.post(
        SPONSORSHIPS, json=a_body(gold, industry=110100), headers=bearer(flats.token(id=uuid4()))
    )
    assert third.json()["code"] == "sold-out"


async def test_events_are_listed_page_by_page(flats: Flats) -> None:
    flat = await flats.start("events")
    for n in range(5):
        await an_event(flat, slug=f"event-{n}", packages=[], tickets=[])
    slugs, cursor = [], ""
    for _ in range(3):
        page = (await flat.client.get("/api/events/v1/events", params={"cursor": cursor, "limit": 2})).json()
        slugs += [event["slug"] for event in page["items"]]
        cursor = page["next"] or ""
    assert sorted(slugs) == [f"event-{n}" for n in range(5)]
    assert cursor == ""
    wrong = await flat.client.get("/api/events/v1/events", params={"cursor": "zzz"})
    assert wrong.status_code == 400


async def test_staff_let_runners_in_by_api_once_and_record_deliveries(flats: Flats) -> None:
    flat = await flats.start("events")
    await an_event(flat)
    found = await stock(flat)
    person = flats.token(id=uuid4())
    entries = {"event": "night-run", "entries": [{"ticket": str(found["5 km"]["id"]), "name": "An"}]}
    await flat.client.post("/api/events/v1/registrations", json=entries, headers=bearer(person))
    taken = await flat.client.post(SPONSORSHIPS, json=a_body(found["Vàng"]["id"]), headers=bearer(person))
    for fact in await flat.facts():
        assert isinstance(fact, InvoiceOpened)
        await flat.receive(a_capture(fact.invoice, fact.lines))
    gate = "/api/events/v1/events/night-run/check-ins"
    staff = flats.token(id=uuid4(), roles={"bkh": ["events"]})
    elsewhere = flats.token(id=uuid4(), roles={"tcnt": ["events"]})
    assert (await flat.client.post(gate, json={"bib": 1}, headers=bearer(person))).status_code == 403
    assert (await flat.client.post(gate, json={"bib": 1}, headers=bearer(elsewhere))).status_code == 404
    assert (await flat.client.post(gate, json={"bib": 1}, headers=bearer(staff))).status_code == 201
    assert (await flat.client.post(gate, json={"bib": 1}, headers=bearer(staff))).json()[
        "code"
    ] == "already-in"
    assert (await flat.client.post(gate, json={"bib": 2}, headers=bearer(staff))).status_code == 404
    one = f"{SPONSORSHIPS}/{taken.json()['order']['id']}"
    promises = (await flat.client.get(one, headers=bearer(person))).json()["deliverables"]
    for n, promise in enumerate(promises):
        path = f"/api/events/v1/deliverables/{promise['id']}/delivery"
        assert (
            await flat.client.post(path, json={"proof": "ảnh"}, headers=bearer(elsewhere))
        ).status_code == 404
        done = await flat.client.post(path, json={"proof": "ảnh"}, headers=bearer(staff))
        assert done.json()["state"] == ("fulfilling" if n == 0 else "fulfilled")
    again = await flat.client.post(path, json={"proof": "ảnh"}, headers=bearer(staff))
    assert again.json()["code"] == "already-delivered"
