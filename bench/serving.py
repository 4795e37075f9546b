"""V1, V2, V3 and V4: what readers' pages ask of the real services, beside the plainest handler on the same server."""

import asyncio
import json
import random
import time
from datetime import timedelta
from statistics import NormalDist

from bench import load
from bench.ground import TRIVIAL, Server, most, paired, server, stores
from bench.report import Row, figure, ratio
from bench.stock import PLACES, READERS, SECTIONS, cap_all, fill_ads, fill_subscriptions, key
from bench.writing import writes
from ops.embedded import Stack
from services.ads.rules import decision
from shared import auth, clock

VISITORS = 5_000
FILLED_S = 180
DECIDE = "/api/ads/v1/decide"


def _asks() -> list[bytes]:
    """One slot each, of pages of different sections and devices; a visitor comes back some times in a run."""
    made = []
    for n in range(VISITORS):
        body = {
            "agency": "bkh",
            "placements": [PLACES[n % 3]],
            "section": SECTIONS[n % 5],
            "device": ("phone", "desktop")[n % 2],
            "visitor": f"visitor-{n}",
        }
        made.append(load.request("POST", DECIDE, json.dumps(body).encode()))
    return made


async def _decides(ads: Server) -> None:
    """Wait until every slot is filled: the lines are read, and leases of them are there."""
    give_up = time.monotonic() + FILLED_S
    for asked in _asks()[:30]:
        while not json.loads((await load.ask(ads.port, asked))[1])["ads"]:
            assert time.monotonic() < give_up, "the ads service shows nothing"
            await asyncio.sleep(0.2)
    await asyncio.sleep(2)


async def decisions(short: bool) -> list[Row]:
    """V1: a slot a request among 10,000 line items, caps on."""
    async with stores("ads") as stack:
        fill_ads(stack.admin_url("ads"), 10_000)
        async with server(stack, "ads", "ads") as ads, server(stack, "ads", "trivial") as plain:
            await _decides(ads)
            ours, theirs = await paired((ads.port, _asks()), (plain.port, TRIVIAL), short=short)
    what = "ad decision for one slot, 10,000 lines, caps on"
    return [ratio("V1", what, ours, theirs, "/s", 0.85), await _caps()]


CAPPED, CAP, CAPPED_VISITORS = 10, 3, 20


async def _caps() -> Row:
    """Visitors whom two workers answer at the same time, until every line was seen as often as its cap allows.

    A line that is shown once too often shows in the sum: the others go on until their own caps.
    """
    async with stores("ads") as stack:
        fill_ads(stack.admin_url("ads"), CAPPED)
        cap_all(stack.admin_url("ads"), CAP)
        async with server(stack, "ads", "ads") as one, server(stack, "ads", "ads") as other:
            await _decides(one)
            await _decides(other)
            shown = [await _shown_by((one, other), f"capped-{n}") for n in range(CAPPED_VISITORS)]
    beyond = max(abs(count - CAPPED * CAP) for count in shown)
    said = f"ads beyond or short of a visitor's {CAPPED * CAP}, two workers asked at once, the most"
    return figure("V1b", said, [beyond], "", 0)


async def _shown_by(workers: tuple[Server, ...], visitor: str) -> int:
    body = {"agency": "bkh", "placements": PLACES[:1], "section": SECTIONS[0], "visitor": visitor}
    asked = load.request("POST", DECIDE, json.dumps(body).encode())
    shown = 0
    for _ in range(CAPPED * CAP):
        answers = await asyncio.gather(*(load.ask(worker.port, asked) for worker in workers))
        shown += sum(len(json.loads(answer)["ads"]) for _, answer in answers)
    return shown


async def decisions_beside_writes(short: bool) -> list[Row]:
    """V2: at a third of full load while each second a creative is approved and an order is paid; then at rest."""
    rows = []
    for name, lines, bar_ms in (("V2", 10_000, 10.0), ("V2b", 100_000, 25.0)):
        async with stores("ads", "payments") as stack:
            fill_ads(stack.admin_url("ads"), lines)
            async with server(stack, "ads", "ads") as ads:
                await _decides(ads)
                rate = await most(ads.port, _asks()) / 3
                async with writes(stack, ads.port):
                    got = await load.opened(ads.port, _asks(), rate=rate, seconds=6 if short else 20)
                assert set(got.statuses) == {200}, got.statuses
                await asyncio.sleep(5)
                before, rest_s = ads.cpu_s(), 5 if short else 20
                await asyncio.sleep(rest_s)
                busy = 100 * (ads.cpu_s() - before) / rest_s
        said = f"ad decision, {lines:,} lines, at {rate:,.0f}/s with an approval and a payment each second"
        rows.append(figure(name, f"{said}, p99", [got.percentile_ms(0.99)], "ms", bar_ms))
        rows.append(
            figure(f"{name} rest", f"the ads service at rest, {lines:,} lines", [busy], "% of a core", 5)
        )
    return rows


async def growth_of_decisions(short: bool) -> list[Row]:
    """V3: the rate with 100,000 line items beside that with 100; and whether the draw among 300 of 10,000 is fair."""
    async with stores("ads") as few_stack, stores("ads") as many_stack:
        fill_ads(few_stack.admin_url("ads"), 100)
        fill_ads(many_stack.admin_url("ads"), 100_000)
        async with server(few_stack, "ads", "ads") as few, server(many_stack, "ads", "ads") as many:
            await _decides(few)
            await _decides(many)
            ours, theirs = await paired((many.port, _asks()), (few.port, _asks()), short=short)
    what = "ad decision, 100,000 lines (yardstick: 100)"
    return [ratio("V3", what, ours, theirs, "/s", 1 / 1.5), _fairness()]


CANDIDATES, DRAWS = 300, 60_000


def _fairness() -> Row:
    """Chi-square of the draws of 300 candidates among 10,000 lines; by chance one fair run in a thousand is above."""
    chance = random.Random(7)
    meant = set(chance.sample(range(10_000), CANDIDATES))
    hits: dict[object, int] = {}
    lines = [
        decision.Line(
            id=key("line", n),
            agency="bkh",
            tier=2,
            placements=PLACES[:1],
            sections=SECTIONS[:1] if n in meant else SECTIONS[1:2],
            creatives=(decision.Creative(key("creative", n), "0" * 64, "https://example.com/", 970, 250),),
        )
        for n in range(10_000)
    ]
    snapshot = decision.indexed(lines, [decision.Placement("bkh", PLACES[0], 970, 250)])
    everything = snapshot.bits(lambda _: True)
    asked = decision.Page(agency="bkh", placements=PLACES[:1], section=SECTIONS[0], hour=12)
    for _ in range(DRAWS):
        for line in decision.decide(snapshot, everything, asked, chance.random):
            hits[line] = hits.get(line, 0) + 1
    expected = DRAWS / CANDIDATES
    drawn = [*hits.values(), *[0] * (CANDIDATES - len(hits))]
    square = sum((n - expected) ** 2 / expected for n in drawn)
    free = CANDIDATES - 1
    # Wilson and Hilferty's approximation of the quantile.
    bar = free * (1 - 2 / (9 * free) + NormalDist().inv_cdf(0.999) * (2 / (9 * free)) ** 0.5) ** 3
    return figure("V3b", "draw of 300 candidates among 10,000 lines, chi-square", [square], "", bar)


def _questions(stack: Stack, *, premium: bool) -> list[bytes]:
    """Of a newsroom's server: every second reader is one who has paid, and comes with a token."""
    signer = auth.Signer(stack.settings("accounts"))
    program = auth.Principal(kind="key", id=clock.new_id(), agency="bkh", scopes=["subscriptions:access"])
    headers = {"Authorization": f"Bearer {signer.api_key(program, clock.now() + timedelta(hours=1))}"}
    asks = []
    for n in range(200):
        reader = auth.Principal(kind="person", id=key("person", n * READERS // 200))
        body = {
            "agency": "bkh",
            "article": f"bai-{n}",
            "section": "kinh-te",
            "premium": premium,
            "person_token": None if premium or n % 2 else signer.page_token(reader),
        }
        asks.append(load.request("POST", "/api/subscriptions/v1/access", json.dumps(body).encode(), headers))
    return asks


async def access_checks(short: bool) -> list[Row]:
    """V4: answered from memory (free articles, half of them to readers who have paid); and by the meter in Redis."""
    rows = []
    async with stores("subscriptions") as stack:
        fill_subscriptions(stack.admin_url("subscriptions"))
        async with (
            server(stack, "subscriptions", "subscriptions") as access,
            server(stack, "subscriptions", "trivial") as plain,
        ):
            await asyncio.sleep(5)
            for name, what, premium, bar in (
                ("V4", "access check, from memory", False, 0.75),
                ("V4b", "access check, metered", True, 0.60),
            ):
                asks = _questions(stack, premium=premium)
                ours, theirs = await paired((access.port, asks), (plain.port, TRIVIAL), short=short)
                rows.append(ratio(name, what, ours, theirs, "/s", bar))
    return rows
