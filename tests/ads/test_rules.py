"""Rules of booking, deciding, pacing and beacons, without any storage."""

import random
from datetime import UTC, date, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from services.ads.rules import decision, orders, pacing, tokens, traffic
from shared.calendar import start_of
from shared.contracts.base import Delivery
from shared.money import Amount, allocate
from tests.ledger.builders import a_line as a_sold_line
from tests.ledger.builders import captured, credit, delivery
from tests.ledger.test_rules import Replay

TODAY = date(2026, 11, 23)
RATES = {"mid": orders.Rate("mid", 300, 250, ("du-lich",), 45_000)}


def a_line(**changes):
    n = changes.pop("n", 0)
    return decision.Line(
        **{
            "id": UUID(int=n + 1),
            "agency": "bkh",
            "tier": 2,
            "placements": ("mid",),
            "creatives": (decision.Creative(UUID(int=1), "f", "https://x.vn", 300, 250),),
            **changes,
        }
    )


ALL = -1
"""Every line may be handed out."""

PLACES = [decision.Placement("bkh", "mid", 300, 250), decision.Placement("bkh", "top", 970, 250)]


def asked(**changes):
    return decision.Page(**{"agency": "bkh", "placements": ["mid"], **changes})


def lines_shown(lines, page, draws=200, seed=1):
    snapshot = decision.indexed(lines, PLACES)
    draw = random.Random(seed).random
    shown = [decision.decide(snapshot, ALL, page, draw)[0] for _ in range(draws)]
    return {choice.line.id for choice in shown if choice}


values = st.lists(st.sampled_from(["a", "b", "c"]), max_size=2).map(tuple)


@given(
    st.lists(st.tuples(values, values, st.sampled_from([1, 2, 3, 4]), st.booleans()), max_size=40),
    st.sampled_from(["a", "b", "c", "d"]),
    st.sampled_from(["a", "b", "c", "d"]),
    st.floats(0, 0.999999),
)
def test_a_decision_is_what_looking_at_every_line_would_give(made, section, device, at):
    lines = [
        a_line(n=n, sections=s, devices=d, tier=tier, placements=("mid",) if here else ("top",))
        for n, (s, d, tier, here) in enumerate(made)
    ]
    snapshot = decision.indexed(lines, PLACES)
    page = asked(section=section, device=device)
    [choice] = decision.decide(snapshot, ALL, page, lambda: at)
    fits = [
        x
        for x in lines
        if "mid" in x.placements
        and (not x.sections or section in x.sections)
        and (not x.devices or device in x.devices)
    ]
    best = [x.id for x in fits if x.tier == min(y.tier for y in fits)]
    assert (choice.line.id in best) if choice else not best
    told = {line.id for line, reason in decision.explain(snapshot, ALL, page, "mid") if not reason}
    assert told == set(best)


def test_lines_of_one_tier_share_the_slot_evenly():
    snapshot = decision.indexed([a_line(n=n) for n in range(4)], PLACES)
    draw = random.Random(3).random
    counts: dict[UUID, int] = {}
    for _ in range(4000):
        line = decision.decide(snapshot, ALL, asked(), draw)[0].line.id
        counts[line] = counts.get(line, 0) + 1
    assert max(counts.values()) < 1.15 * min(counts.values())


def test_of_many_lines_none_starves():
    assert len(lines_shown([a_line(n=n) for n in range(300)], asked(), draws=6000)) == 300


def test_a_page_shows_no_line_twice_while_another_fits():
    snapshot = decision.indexed([a_line(n=0), a_line(n=1)], PLACES)
    chosen = decision.decide(snapshot, ALL, asked(placements=["mid", "mid", "mid"]), random.Random(1).random)
    assert {c.line.id for c in chosen[:2]} == {UUID(int=1), UUID(int=2)}
    assert chosen[2] is not None


def test_a_capped_line_gives_way_to_one_that_is_not():
    capped, free = a_line(n=0, cap_day=2), a_line(n=1, tier=3)
    key = decision.cap_key(capped.id)
    assert lines_shown([capped, free], asked(seen={key: 1})) == {capped.id}
    assert lines_shown([capped, free], asked(seen={key: 2})) == {free.id}


def test_another_agencys_line_never_shows():
    assert lines_shown([a_line(agency="tcnt")], asked()) == set()
    assert lines_shown([a_line()], asked(agency="tcnt")) == set()


@given(
    goal=st.integers(1000, 10**6),
    length=st.integers(1, 60),
    counted=st.integers(0, 10**6),
    outstanding=st.integers(0, 10**5),
    hours=st.floats(-48, 2000),
)
def test_no_grant_can_lead_past_the_goal(goal, length, counted, outstanding, hours):
    now = start_of(TODAY) + timedelta(hours=hours)
    more = pacing.grantable(goal, counted, outstanding, TODAY, TODAY + timedelta(days=length - 1), now)
    assert more >= 0
    assert more == 0 or counted + outstanding + more <= goal


def test_a_plan_starts_at_nothing_and_reaches_its_goal_before_the_last_midnight():
    end = TODAY + timedelta(days=6)
    assert pacing.planned(7000, TODAY, end, start_of(TODAY)) == 0
    assert 900 < pacing.planned(7000, TODAY, end, start_of(TODAY + timedelta(days=1))) < 1100
    assert pacing.planned(7000, TODAY, end, start_of(end) + timedelta(hours=21)) == 7000


@given(st.integers(45_000, 10**10))
def test_a_price_is_within_its_budget_and_one_more_impression_is_not(budget):
    wish = orders.Wish(("mid",), (), TODAY, TODAY, budget)
    offer = orders.price(wish, RATES, TODAY)
    assert offer.net_vnd <= budget
    assert (offer.goal + 1) * 45_000 > budget * 1000


@pytest.mark.parametrize(
    "url",
    ["", "x.vn", "javascript:alert(1)", "https://x", "https://u@x.vn", "https://x.vn\n", "https://x.vn:bad",
     "http:\\\\x.vn", "data:text/html,x", "https://" + "x" * 3000 + ".vn"],
)  # fmt: skip
def test_readers_are_sent_only_to_plain_web_addresses(url):
    with pytest.raises(orders.BadClickUrl):
        orders.checked_click_url(url)


def test_an_order_stands_where_its_moments_say():
    now = datetime(2026, 11, 23, 5, tzinfo=UTC)
    flight = orders.Flight(TODAY, TODAY + timedelta(days=3), 1000, 10)

    def status(**moments):
        return orders.status_of(orders.Order(**{"flights": (flight,), **moments}), now)

    assert status() == "draft"
    assert status(submitted_at=now) == "review"
    assert status(submitted_at=now, refused=True) == "refused"
    assert status(submitted_at=now, invoiced=True, payable=True) == "payment"
    assert status(invoiced=True) == "expired"
    assert status(invoiced=True, paid_at=now, covered=True) == "live"
    assert status(paid_at=now, covered=False) == "paused"
    later = orders.Flight(TODAY + timedelta(days=1), TODAY + timedelta(days=3), 1000, 0)
    assert status(paid_at=now, covered=True, flights=(later,)) == "scheduled"
    full = orders.Flight(TODAY, TODAY + timedelta(days=3), 1000, 1000)
    assert status(paid_at=now, covered=True, flights=(full,)) == "finished"
    assert status(paid_at=now, cancelled_at=now) == "cancelled"


KEY = tokens.key_of("a secret of this test")
shown = st.builds(
    tokens.Shown,
    issued_s=st.integers(0, 2**32 - 1),
    bucket=st.integers(0, 2**32 - 1),
    line=st.uuids(),
    creative=st.uuids(),
    nonce=st.uuids(),
    placement=st.from_regex(r"[a-z-]{1,20}", fullmatch=True),
    section=st.from_regex(r"[a-z-]{0,20}", fullmatch=True),
)


@given(shown, st.integers(0, 10_000), st.integers(1, 255))
def test_a_token_says_what_was_sealed_and_nothing_else_opens(one, at, flip):
    token = tokens.seal(KEY, one)
    assert tokens.unseal(KEY, token) == one
    assert tokens.unseal(tokens.key_of("another"), token) is None
    place = at % len(token)
    other = chr((ord(token[place]) ^ flip) % 128)
    altered = token[:place] + other + token[place + 1 :]
    assert tokens.unseal(KEY, altered) in (None, one)  # the last letter may carry bits that say nothing


@given(st.text(max_size=400))
def test_no_text_breaks_the_reader_of_tokens(text):
    assert tokens.unseal(KEY, text) is None


def test_views_expire_before_clicks():
    one = tokens.Shown(1000, 0, uuid4(), uuid4(), uuid4(), "mid", "")
    assert not tokens.expired(one, "i", 1000 + 900)
    assert tokens.expired(one, "v", 1000 + 901)
    assert not tokens.expired(one, "c", 1000 + 86_400)
    assert tokens.expired(one, "c", 1000 + 86_401)


@pytest.mark.parametrize(
    ("agent", "purpose", "reason"),
    [
        ("Mozilla/5.0 (iPhone) AppleWebKit Mobile Zalo", "", ""),
        ("Mozilla/5.0 (Linux; Android 14) Chrome/141 Mobile [FB_IAB/FB4A]", "", ""),
        ("", "", "no-agent"),
        ("Mozilla/5.0 (compatible; bingbot/2.0)", "", "bot"),
        ("Mozilla/5.0 HeadlessChrome/141", "", "bot"),
        ("python-httpx/0.28", "", "bot"),
        ("curl/8", "", "bot"),
        ("Mozilla/5.0 Chrome/141", "prefetch;prerender", "prefetch"),
    ],
)
def test_what_is_no_reader_is_named(agent, purpose, reason):
    assert traffic.invalid(agent, purpose, tools_count=False) == reason


def test_outside_production_whoever_tries_the_house_is_a_reader_but_a_crawler_never_is():
    for tool in ("curl/8", "python-httpx/0.28", "Mozilla/5.0 HeadlessChrome/141"):
        assert traffic.invalid(tool, "", tools_count=True) == ""
    assert traffic.invalid("Mozilla/5.0 (compatible; bingbot/2.0)", "", tools_count=True) == "bot"
    assert traffic.invalid("", "", tools_count=True) == "no-agent"


def test_devices_are_told_by_their_names():
    assert traffic.device_of("Mozilla/5.0 (iPhone; CPU iPhone OS)") == "phone"
    assert traffic.device_of("Mozilla/5.0 (iPad; CPU OS)") == "tablet"
    assert traffic.device_of("Mozilla/5.0 (Windows NT 10.0)") == "desktop"


@example(net=33_333, vat=2_667, goal=1_000, shown=334)
@given(
    net=st.integers(0, 10**10),
    vat=st.integers(0, 10**9),
    goal=st.integers(1, 10**8),
    shown=st.integers(0, 2 * 10**8),
)
def test_what_was_shown_and_what_is_given_back_come_to_the_price_to_the_dong(net, vat, goal, shown):
    """The ledger earns floor(net · shown / goal): half up on the other side left a đồng in between."""
    price = Amount(net, vat)
    back = orders.undelivered(price, goal, shown)
    assert net * min(shown, goal) // goal + back.net_vnd == net
    assert 0 <= back.vat_vnd <= vat
    assert orders.undelivered(price, goal, 0) == price
    assert orders.undelivered(price, goal, goal) == (Amount(0, 0) if net else price)


@pytest.mark.promise("A15")
@example(net=85, allowances=[26, 35, 10], goal=7_000, steps=[149])
@given(
    net=st.integers(1, 10**10),
    allowances=st.lists(st.integers(1, 10**9), max_size=3),
    goal=st.integers(1, 10**6),
    steps=st.lists(st.integers(1, 10**6), max_size=3),
)
def test_an_allowance_stays_with_its_buyer_and_the_books_keep_nothing_of_a_line_that_is_closed(
    net, allowances, goal, steps
):
    line = a_sold_line(net, earn=Delivery("impression", goal), stream="advertising.web")
    day, books = date(2026, 11, 2), Replay(date(2026, 11, 1))
    books.hear(captured(line), *(delivery(line, quantity, on=day) for quantity in steps))
    left = Amount(line.net_vnd, line.vat_vnd)
    for gross_vnd in allowances:
        if gross_vnd < left.gross_vnd:
            parts = allocate(gross_vnd, [left.net_vnd, left.vat_vnd])
            books.hear(credit(line, *parts, on=day))
            left = Amount(left.net_vnd - parts[0], left.vat_vnd - parts[1])
    back = orders.undelivered(left, goal, sum(steps))
    books.hear(credit(line, back.net_vnd, back.vat_vnd, on=day))
    kept = Amount(left.net_vnd - back.net_vnd, left.vat_vnd - back.vat_vnd)
    assert kept.net_vnd == left.net_vnd * min(sum(steps), goal) // goal, (
        "of the lowered price, what was shown"
    )
    found = {account: vnd for (_, account), vnd in books.balances().items()}
    assert "deferred_revenue" not in found
    assert -found.get("revenue", 0) - found.get("deductions", 0) == kept.net_vnd
    assert -found.get("output_vat", 0) == kept.vat_vnd
