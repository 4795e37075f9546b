"""Services ask, accounts alone sends: queue, inbox, SMTP, retry, bounce, caps."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa

from services.accounts import gateways, queries, rules
from services.accounts.actions import messages, people
from services.accounts.tables import PersonRow
from shared import clock
from shared.contracts import events, payments, subscriptions
from shared.jobs import SomeFailed
from tests.accounts.builders import Browser, a_person, some_agencies

TICKETS = {
    "event": "Nha Trang Night Run",
    "day": "14/12/2026",
    "bibs": "0017",
    "path": "/events/registrations/1",
}


@pytest.fixture
async def flat(flats: Any) -> Any:
    made = await flats.start("accounts")
    await some_agencies(made)
    return made


def tickets_ready(person: UUID, **changes: Any) -> events.MessageRequested:
    return events.MessageRequested(
        agency="bkh", person=person, template="events.tickets-ready", params={**TICKETS, **changes}
    )


async def rows(flat: Any) -> list[Any]:
    async with flat.tx() as tx:
        return list((await tx.execute(sa.text("SELECT * FROM message ORDER BY created_at, id"))).all())


class SmtpServer:
    """A mail server of the outside world: takes letters, or answers what it is told."""

    def __init__(self, answer: str = "250 OK") -> None:
        self.answer = answer
        self.letters: list[str] = []

    @asynccontextmanager
    async def at(self) -> AsyncIterator[str]:
        server = await asyncio.start_server(self._talk, "127.0.0.1", 0)
        async with server:
            yield f"smtp://127.0.0.1:{server.sockets[0].getsockname()[1]}"

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        def say(line: str) -> None:
            writer.write(line.encode() + b"\r\n")

        say("220 here")
        while line := (await reader.readline()).decode().strip():
            word = line[:4].upper()
            if word == "RCPT":
                say(self.answer)
            elif word == "DATA":
                say("354 go on")
                body = await reader.readuntil(b"\r\n.\r\n")
                self.letters.append(body.decode())
                say("250 taken")
            elif word == "QUIT":
                say("221 bye")
                break
            else:
                say("250 OK")
        writer.close()


@pytest.mark.promise("F10")
async def test_a_request_becomes_a_letter_in_the_inbox_once(flat):
    person, _ = await a_person(flat)
    fact = tickets_ready(person)
    await flat.receive(fact)
    await flat.receive(fact)
    await flat.tick()
    async with flat.tx() as tx:
        letters = await queries.inbox(tx)
    assert [letter.address for letter in letters] == ["lan@baokh.example"]
    assert "Nha Trang Night Run" in letters[0].subject
    assert "http" in letters[0].body
    assert "/events/registrations/1" in letters[0].body


async def test_letters_are_in_the_language_of_their_reader(flat):
    person, _ = await a_person(flat)
    async with flat.tx() as tx:
        await people.save_profile(tx, await tx.get_one(PersonRow, person), "Lan", "en", "")
    await flat.receive(tickets_ready(person))
    await flat.tick()
    async with flat.tx() as tx:
        assert (await queries.inbox(tx))[0].subject.startswith("Your tickets")


async def test_an_organisation_is_told_at_its_contact_who_joined_it(flat):
    contact, _ = await a_person(flat, "lienhe@yensao.example")
    async with flat.tx() as tx:
        row = await people.register_organisation(
            tx,
            kind="sponsor",
            agency="bkh",
            name="Công ty Yến sào",
            tax_code="4200123454",
            email="lienhe@yensao.example",
            contact_name="Lan",
            actor="test",
        )
        await people.join(tx, contact, row)
    await flat.receive(tickets_ready(row.id))
    assert [message.address for message in await rows(flat)] == ["lienhe@yensao.example"]


async def test_a_request_for_somebody_unknown_waits_and_the_others_of_its_batch_do_not(flat):
    person, _ = await a_person(flat)
    await flat.receive(tickets_ready(uuid4()), tickets_ready(person))
    assert [row.state for row in await flat.held()] == ["waiting"]
    assert len(await rows(flat)) == 1


async def test_a_template_that_we_lack_still_tells_the_person_something(flat):
    person, _ = await a_person(flat)
    unknown = payments.MessageRequested(
        agency="bkh", person=person, template="payments.new-thing", params={"link": "/pay/1"}
    )
    incomplete = subscriptions.MessageRequested(
        agency="bkh", person=person, template="subscriptions.renewal", params={"package": "Tháng"}
    )
    await flat.receive(unknown, incomplete)
    await flat.tick()
    assert [message.state for message in await rows(flat)] == ["sent", "sent"]
    assert "/pay/1" in (await rows(flat))[0].body


@pytest.mark.promise("F10")
async def test_more_than_a_day_takes_is_kept_back_and_said_so(flat):
    person, _ = await a_person(flat)
    await flat.receive(*[tickets_ready(person) for _ in range(rules.MESSAGES_A_DAY + 3)])
    states = [message.state for message in await rows(flat)]
    assert states.count("queued") == rules.MESSAGES_A_DAY
    assert states.count("capped") == 3


@pytest.mark.promise("F10")
async def test_codes_that_strangers_ask_for_and_letters_of_changes_take_nothing_from_a_persons_day(flat):
    person, _ = await a_person(flat)
    for network in range(rules.MESSAGES_A_DAY + 1):
        stranger = Browser(flat)
        stranger.client.headers["x-forwarded-for"] = f"10.0.{network}.7"
        await stranger.post("/account/sign-in", identifier="lan@baokh.example")
    async with flat.tx() as tx:
        for _ in range(3):
            await messages.tell_of_change(tx, await tx.get_one(PersonRow, person), "key")
    await flat.receive(*[tickets_ready(person) for _ in range(rules.MESSAGES_A_DAY)])
    assert "capped" not in {message.state for message in await rows(flat)}


async def test_a_letter_that_waited_stands_in_the_inbox_where_it_arrived(flat, monkeypatch):
    monkeypatch.setattr("services.accounts.pages.messages.PAGE", 1)
    browser = Browser(flat)
    await browser.post("/account/sign-in", identifier="lan@example.vn")
    async with flat.tx() as tx:
        await tx.execute(sa.text("UPDATE message SET next_at = now() + interval '1 hour', state = 'queued'"))
    await browser.post("/account/sign-in", identifier="hoa@example.vn")
    await flat.tick()
    async with flat.tx() as tx:
        await tx.execute(sa.text("UPDATE message SET next_at = now()"))
    await flat.tick()
    first = (await browser.get("/dev/mail")).text
    (more,) = re.findall(r'href="(/dev/mail\?cursor=[^"]+)" rel="next"', first)
    second = (await browser.get(more)).text
    assert ["lan@" in first, "hoa@" in first, "lan@" in second, "hoa@" in second] == [
        True,
        False,
        False,
        True,
    ]


async def test_smtp_gets_the_letter_and_nothing_of_it_stays_here(flats):
    smtp = SmtpServer()
    async with smtp.at() as address:
        flat = await flats.start("accounts", smtp_url=address)
        await some_agencies(flat)
        person, _ = await a_person(flat)
        await flat.receive(tickets_ready(person))
        await flat.tick()
    assert "To: lan@baokh.example" in smtp.letters[0]
    message = (await rows(flat))[0]
    assert (message.state, message.params, message.body) == ("sent", {}, "")


@pytest.mark.promise("F10")
@pytest.mark.parametrize("by_smtp", [False, True])
async def test_a_letter_that_cannot_be_written_stops_no_other(flats, by_smtp):
    smtp = SmtpServer()
    async with smtp.at() as address:
        flat = await flats.start("accounts", smtp_url=address if by_smtp else "")
        await some_agencies(flat)
        person, _ = await a_person(flat)
        owed = {"event": "Night Run", "due_on": "14/12/2026", "path": "/events", "amount_vnd": "nhiều"}
        unreadable = events.MessageRequested(
            agency="bkh", person=person, template="events.instalment-opened", params=owed
        )
        await flat.receive(tickets_ready(person), unreadable, tickets_ready(person))
        (broken,) = [row.id for row in await rows(flat) if row.template == unreadable.template]
        with pytest.raises(SomeFailed) as told:
            await messages.send_due(flat.kit)
        assert told.value.keys == [broken]
    assert [row.state for row in await rows(flat) if row.id != broken] == ["sent", "sent"]
    assert len(smtp.letters) == (2 if by_smtp else 0)


async def test_a_code_leaves_at_once_without_waiting_for_the_clock(flats):
    smtp = SmtpServer()
    async with smtp.at() as address:
        flat = await flats.start("accounts", smtp_url=address)
        await some_agencies(flat)
        await Browser(flat).post("/account/sign-in", identifier="moi@baokh.example")
    assert len(smtp.letters) == 1
    assert (await Browser(flat).get("/dev/mail")).status_code == 404


@pytest.mark.promise("F10")
async def test_a_server_that_is_busy_is_tried_again_later_and_not_for_ever(flats):
    smtp = SmtpServer("451 later")
    async with smtp.at() as address:
        flat = await flats.start("accounts", smtp_url=address)
        await some_agencies(flat)
        person, _ = await a_person(flat)
        await flat.receive(tickets_ready(person))
        await flat.tick()
        first = (await rows(flat))[0]
        assert (first.state, first.attempts) == ("queued", 1)
        assert first.next_at > clock.now() + timedelta(seconds=50)
        for _ in rules.SEND_AGAIN_S:
            async with flat.tx() as tx:
                await tx.execute(sa.text("UPDATE message SET next_at = :now"), {"now": clock.now()})
            await flat.tick()
    last = (await rows(flat))[0]
    assert (last.state, last.attempts) == ("failed", len(rules.SEND_AGAIN_S) + 1)


@pytest.mark.promise("F10")
async def test_a_refused_address_bounces_and_gets_no_more_letters(flats):
    smtp = SmtpServer("550 no such user")
    async with smtp.at() as address:
        flat = await flats.start("accounts", smtp_url=address)
        await some_agencies(flat)
        person, _ = await a_person(flat)
        await flat.receive(tickets_ready(person))
        await flat.tick()
        await flat.receive(tickets_ready(person))
    assert [message.state for message in await rows(flat)] == ["bounced", "bounced"]


@pytest.mark.promise("F10")
def test_every_letter_is_there_in_both_languages_and_asks_for_the_same():
    names = {path.name.rsplit(".", 2)[0] for path in gateways.FOLDER.glob("*.txt")}
    assert {"code", "invitation", "notice"} <= names
    for name in names:
        asked = []
        for lang in ("vi", "en"):
            text = Path(gateways.FOLDER / f"{name}.{lang}.txt").read_text(encoding="utf-8")
            asked.append(set(re.findall(r"\{\{ (\w+)", text)))
        assert asked[0] == asked[1], name
