"""What no honest service asks of accounts: to speak in another's name, or to lead people out of the house."""

from typing import Any
from uuid import uuid4

import msgspec
import pytest

from services.accounts import gateways, rules
from services.accounts.queries import audit
from shared import clock, contracts
from shared.consume import Received
from tests.accounts.builders import a_person, some_agencies
from tests.accounts.test_consumers import rows, tickets_ready


@pytest.fixture
async def flat(flats: Any) -> Any:
    made = await flats.start("accounts")
    await some_agencies(made)
    return made


def forged(kind: str, publisher: str = "events", **said: Any) -> Received:
    """A fact as bytes, since no sender can even make it."""
    subject = f"{publisher}.{kind}.v1"
    made = {"type": subject, "agency": "bkh", "id": uuid4(), "occurred_at": clock.now(), **said}
    return Received(made["id"], subject, msgspec.json.encode(made))


def act_of(publisher: str, act: str) -> Received:
    return forged("act.recorded", publisher, actor=uuid4(), act=act)


async def trail(flat: Any) -> list[tuple[str, str]]:
    async with flat.tx() as tx:
        return [(entry.action, entry.told_by) for entry in await audit.entries(tx, "bkh")]


@pytest.mark.promise("T16")
async def test_no_service_says_that_somebody_did_what_is_done_elsewhere_and_the_trail_keeps_who_said_it(flat):
    before = len(await trail(flat))
    fetched = [
        act_of("events", act) for act in ("refund.approve", "role.set", "event.price", "package.price")
    ]
    fetched += [act_of("payments", "role.grant"), act_of("payments", "refund.approve")]
    await flat.kit.consumer.receive(flat.kit.database, fetched)
    kept = await trail(flat)
    assert kept[: len(kept) - before] == [("refund.approve", "payments"), ("event.price", "events")]
    held = await flat.held()
    assert [(row.state, "Invalid enum value" in row.error) for row in held] == [("parked", True)] * 4


@pytest.mark.promise("F10")
async def test_no_service_has_a_letter_of_another_sent_nor_one_of_accounts(flat):
    person, _ = await a_person(flat)
    asked = [
        forged("message.requested", person=person, template=template, params={"code": "123456", "path": "/"})
        for template in ("code", "invitation", "payments.money-returned", "eventsx", "events.tickets-ready")
    ]
    await flat.kit.consumer.receive(flat.kit.database, asked)
    assert [row.template for row in await rows(flat)] == ["events.tickets-ready"]
    assert sorted(row.error for row in await flat.held() if row.state == "parked") == [
        f"events has no letter '{template}'."
        for template in ("code", "eventsx", "invitation", "payments.money-returned")
    ]


@pytest.mark.promise("F10")
@pytest.mark.parametrize(
    "path", ["https://evil.example/", "@evil.example", ".evil.example/pay", "//evil.example", 7, ["/a"]]
)
async def test_a_letter_that_leads_out_of_the_house_is_kept_back_and_no_other_of_its_batch(flat, path):
    person, _ = await a_person(flat)
    await flat.receive(tickets_ready(person, path=path), tickets_ready(person))
    assert [row.params["path"] for row in await rows(flat)] == ["/events/registrations/1"]
    (held,) = await flat.held()
    assert (held.state, "'path' of a letter is" in held.error) == ("retry", True)


@pytest.mark.promise("F10")
async def test_an_address_that_somebody_typed_into_a_name_is_no_link_in_a_letter(flat):
    person, _ = await a_person(flat)
    await flat.receive(tickets_ready(person, event="Chạy đêm HTTPS://evil.example/1"))
    await flat.tick()
    (letter,) = await rows(flat)
    assert "Chạy đêm evil.example/1" in letter.subject + letter.body
    assert "evil" not in letter.body.replace("Chạy đêm evil.example/1", "")
    assert "https://evil" not in letter.body.lower()


def test_each_parameter_to_which_a_letter_leads_must_be_a_path_of_this_house():
    texts = [path.read_text(encoding="utf-8") for path in gateways.FOLDER.glob("*.txt")]
    led = {text.split("}}")[0].strip() for each in texts for text in each.split("{{ base_url }}{{")[1:]}
    assert led - {"value"} == set(rules.WAYS), "`value` of a notice begins with a stroke"


def test_each_letter_is_of_accounts_or_begins_with_the_name_of_who_asks_for_it():
    names = {path.name.rsplit(".", 2)[0] for path in gateways.FOLDER.glob("*.txt")}
    services = {name.split(".")[0] for name in names if "." in name}
    assert services <= set(contracts.SERVICES) - {"accounts"}
    assert {name for name in names if "." not in name} == {"changed", "code", "codes", "invitation", "notice"}
