"""The simulated people: same seed, same people; demo sign-ins and keys that work."""

import random
from datetime import date
from typing import Any

import pyotp

from ops.simulation import World
from ops.simulation import accounts as simulation
from shared import clock
from shared.auth import Verifier
from shared.calendar import start_of
from shared.contracts.accounts import AgencyRegistered, AgencySucceeded
from tests.accounts.builders import Browser


def a_world(flat: Any, scale: float = 0.1) -> World:
    return World(flat.kit, random.Random(7), flat.kit.settings, scale, {}, {})


async def test_the_merger_happens_on_its_day_and_keys_work_afterwards(flats):
    flat = await flats.start("accounts")
    world = a_world(flat)
    with clock.driven(clock.DrivenClock(start_of(date(2025, 4, 22)), 7)) as driven:
        await simulation.begin(world)
        before = await flat.facts()
        assert {f.agency for f in before if isinstance(f, AgencyRegistered)} == {"baokh", "ktv", "tcnt"}
        for day in (date(2025, 4, 23), date(2025, 4, 24), date(2025, 4, 25)):
            driven.move_to(start_of(day))
            await simulation.live_day(world, day)
    after = await flat.facts()
    assert [f.agency for f in after if isinstance(f, AgencyRegistered)] == ["bkh"]
    assert {(f.agency, f.successor, f.on) for f in after if isinstance(f, AgencySucceeded)} == {
        ("baokh", "bkh", date(2025, 4, 24)),
        ("ktv", "bkh", date(2025, 4, 24)),
    }
    verifier = Verifier(flat.kit.settings)
    server = verifier.principal(world.demo["server_keys"]["bkh"])
    assert (server.agency, server.scopes) == ("bkh", ["ads:serve", "subscriptions:access"])
    advertiser = verifier.principal(world.demo["advertiser_key"])
    assert advertiser.organisation == world.actors["advertisers"][0]
    assert len(world.actors["readers"]) >= 40


async def test_every_demo_sign_in_opens_a_session(flats):
    flat = await flats.start("accounts")
    world = a_world(flat)
    with clock.driven(clock.DrivenClock(start_of(date(2026, 1, 2)), 7)):
        await simulation.begin(world)
    opened = {}
    for entry in world.demo["sign_ins"]:
        browser = Browser(flat)
        answer = await browser.post(
            "/account/password", identifier=entry["email"], password=entry["password"], next=entry["opens"]
        )
        if entry["totp_secret"]:
            answer = await browser.post("/account/totp", code=pyotp.TOTP(entry["totp_secret"]).now())
        assert (answer.status_code, answer.headers["location"]) == (303, entry["opens"])
        held = opened[entry["email"]] = browser.principal()
        assert "bkh" in held.roles
        assert (held.organisation is not None) == (not entry["totp_secret"])
    # Who asks for refunds in the history, and who approves them.
    ask, approve = (opened[f"{name}@baokhanhhoa.example"] for name in ("ketoan", "ketoantruong"))
    assert world.actors["finance"] == [ask.id, approve.id]
    assert "finance_approver" in approve.roles["bkh"]


async def test_the_same_seed_makes_the_same_people(flats):
    seen = []
    for _ in range(2):
        flat = await flats.start("accounts")
        world = a_world(flat)
        with clock.driven(clock.DrivenClock(start_of(date(2024, 1, 1)), 7)):
            await simulation.begin(world)
        seen.append((world.actors["readers"], world.actors["advertisers"], world.actors["sponsors"]))
    assert seen[0] == seen[1]
