"""The strangers' rule: who is counted with whom, and why the numbers are what they are."""

import asyncio
from typing import Any

import pytest
from redis.asyncio import BlockingConnectionPool, Redis

from ops.golive import load
from shared import counters, limits, strangers
from shared.consume import Consumer
from shared.jobs import Jobs
from shared.keys import OPERATOR
from shared.kit import Kit
from shared.settings import BadSetting, Budget, Settings
from shared.strangers import Asker, network_of

PHONES = 15_000
CARRIERS = 2
"""The opening of a race: so many phones in ten minutes, behind the blocks of as few carriers."""


@pytest.fixture
async def kit(stack: Any) -> Any:
    """A service with counters of its own, all of them new, and few connections to them."""
    async with Redis.from_url(counters.address(stack.settings(), OPERATOR)) as operator:
        await operator.flushdb()
    settings = stack.settings("accounts")
    made = Kit("accounts", settings, Consumer("accounts"), Jobs("accounts"))
    pool = BlockingConnectionPool.from_url(counters.address(settings, "accounts"), max_connections=10)
    async with Redis(connection_pool=pool) as made.redis:
        yield made
    await pool.disconnect()


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("14.160.3.9", "14.160.3.200", True),
        ("14.160.3.9", "14.160.4.9", False),
        ("::ffff:14.160.3.9", "14.160.3.1", True),
        ("2405:4800:1:2::5", "2405:4800:1:ffff::1", True),
        ("2405:4800:1:2::5", "2405:4800:2:2::5", False),
        ("fe80::1%eth0", "fe80::2", True),
        ("", "no address", True),
    ],
)
def test_a_network_is_the_smallest_block_that_the_internet_routes(one, other, same):
    assert (network_of(one) == network_of(other)) is same


async def test_the_unknown_of_a_network_share_a_budget_and_take_nothing_from_the_known(kit):
    budget = Budget(known=2, network=3, per_s=600)
    strangers_here, elsewhere = Asker("14.160.3.0/24"), Asker("14.160.4.0/24")
    known = Asker("14.160.3.0/24", "person:1")
    assert [await strangers.spend(kit, "x", budget, strangers_here) for _ in range(3)] == [0, 0, 0]
    assert 0 < await strangers.spend(kit, "x", budget, strangers_here) <= 200
    assert [await strangers.spend(kit, "x", budget, known) for _ in range(2)] == [0, 0]
    assert await strangers.spend(kit, "x", budget, known) > 0
    assert await strangers.spend(kit, "x", budget, elsewhere) == 0
    assert await strangers.spend(kit, "y", budget, strangers_here) == 0, "another thing has its own"


async def test_of_many_who_ask_at_once_no_more_get_through_than_the_budget_has(kit):
    budget, asker = Budget(1, 30, 600), Asker("14.160.3.0/24")
    waits = await asyncio.gather(*(strangers.spend(kit, "x", budget, asker) for _ in range(200)))
    assert waits.count(0) == 30


async def test_what_is_given_back_can_be_spent_again_and_never_more(kit):
    budget, asker = Budget(1, 2, 600), Asker("14.160.3.0/24")
    for _ in range(3):
        await strangers.spend(kit, "x", budget, asker, cost=-1)
    assert [await strangers.spend(kit, "x", budget, asker) for _ in range(2)] == [0, 0]
    assert await strangers.spend(kit, "x", budget, asker) > 0
    await strangers.spend(kit, "x", budget, asker, cost=-1)
    assert await strangers.spend(kit, "x", budget, asker) == 0
    assert await strangers.spend(kit, "x", budget, asker) > 0


async def test_while_redis_is_away_each_process_counts_for_itself(kit):
    kit.redis = Redis.from_url("redis://127.0.0.1:1/0", retry=None, socket_connect_timeout=0.2)
    limits._local.clear()
    taken = [await limits.take(kit, "x", 3, 600) for _ in range(4)]
    assert taken[:3] == [0, 0, 0]
    assert 0 < taken[3] <= 200
    await limits.take(kit, "x", 3, 600, cost=-1)
    assert await limits.take(kit, "x", 3, 600) == 0
    await kit.redis.aclose()


def test_a_device_is_known_by_a_cookie_that_only_the_house_can_make():
    settings = Settings()
    secret = "a" * strangers.SECRET_LENGTH
    value = strangers.device_value(settings, secret)
    name = strangers.device_cookie(settings)
    assert strangers.device_of(settings, {name: value}) == secret
    for forged in (
        "",
        secret,
        f"{secret}.",
        f"{secret}.{'0' * 64}",
        value.replace("a" * 64, "b" * 64),
        "ế.é",
    ):
        assert strangers.device_of(settings, {name: forged}) == ""
    assert strangers.device_cookie(Settings(base_url="https://x.vn")).startswith("__Host-")


def test_a_budget_is_a_setting_and_a_misspelt_one_stops_the_start():
    assert load({"NGUONTHU_BUDGET_CODES": "3/40/600"}).budget_codes == Budget(3, 40, 600)
    for wrong in ("5", "5/5", "5/5/0", "a/b/c", "5/5/900/1", "-1/5/9", "٣/٤/٥"):
        with pytest.raises(BadSetting, match=r"NGUONTHU_BUDGET_CODES=.*known/network/seconds"):
            load({"NGUONTHU_BUDGET_CODES": wrong})


def test_an_opening_of_sales_gets_through_behind_few_carriers():
    """15,000 phones in ten minutes: each signs in with up to four steps, and holds a ticket of its own."""
    settings = Settings()
    a_network = PHONES / CARRIERS
    assert settings.budget_sign_in.per_s == 600
    assert settings.budget_sign_in.network >= a_network * 4
    assert settings.budget_holds.network >= a_network
    assert settings.budget_holds.per_s >= 600
