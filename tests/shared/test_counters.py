"""Redis keeps the services apart: one user each, its own keys, and no command that reaches beyond them."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import AuthenticationError, NoPermissionError, ResponseError

from ops.counters import configuration
from ops.deploy import write_secrets
from ops.embedded import Stack
from shared import counters, limits
from shared.consume import Consumer
from shared.contracts import SERVICES
from shared.jobs import Jobs
from shared.keys import OPERATOR, redis_password
from shared.kit import Kit

pytestmark = pytest.mark.promise("T11")

OTHERS = {
    "get": ("GET", "ledger:kept"),
    "set": ("SET", "ledger:kept", "forged"),
    "delete": ("DEL", "ledger:kept"),
    "a look whether it is there": ("EXISTS", "ledger:kept"),
    "a script": ("EVAL", "return redis.call('GET', KEYS[1])", "1", "ledger:kept"),
    "a script that hides the key": ("EVAL", "return redis.call('GET', 'ledger:' .. 'kept')", "0"),
    "a union of sets": ("SUNIONSTORE", "ads:taken", "ledger:set"),
    "a key that only begins like its own": ("GET", "ads-other:kept"),
    "a key without a name": ("SET", "kept", "1"),
}
BEYOND = (
    ("KEYS", "*"),
    ("SCAN", "0"),
    ("RANDOMKEY",),
    ("DBSIZE",),
    ("FLUSHALL",),
    ("FLUSHDB",),
    ("CONFIG", "GET", "*"),
    ("CONFIG", "SET", "dir", "/tmp"),
    ("ACL", "LIST"),
    ("ACL", "SETUSER", "ads", "allkeys"),
    ("CLIENT", "LIST"),
    ("CLIENT", "TRACKING", "ON", "BCAST"),
    ("MONITOR",),
    ("INFO",),
    ("SAVE",),
    ("SHUTDOWN",),
    ("REPLICAOF", "127.0.0.1", "1"),
    ("MOVE", "ads:mine", "1"),
    ("PUBLISH", "ledger", "x"),
    ("SUBSCRIBE", "ledger"),
    ("FUNCTION", "LIST"),
    ("SCRIPT", "FLUSH"),
)


def entered(stack: Stack, user: str) -> "Redis[bytes]":
    return Redis.from_url(counters.address(stack.settings(user if user in SERVICES else None), user))


@pytest.fixture
def ads(stack: Stack) -> Iterator["Redis[bytes]"]:
    """What the ads service holds of Redis, beside something that the ledger keeps there."""
    with entered(stack, OPERATOR) as operator, entered(stack, "ads") as client:
        operator.flushall()
        operator.set("ledger:kept", "a secret")
        operator.set("ads-other:kept", "a secret")
        operator.sadd("ledger:set", "a secret")
        yield client
        assert operator.get("ledger:kept") == b"a secret", "whatever was tried"


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_finds_its_own_keys(stack: Stack, service: str) -> None:
    with entered(stack, service) as client:
        assert client.set(counters.own(service, "mine"), "1")
        assert client.get(counters.own(service, "mine")) == b"1"
        assert client.eval("return redis.call('GET', KEYS[1])", 1, counters.own(service, "mine")) == b"1"


@pytest.mark.parametrize("service", SERVICES)
async def test_what_a_service_limits_is_counted_in_redis_under_its_own_name(
    stack: Stack, service: str
) -> None:
    kit = Kit(service, stack.settings(service), Consumer(service), Jobs(service))
    assert await limits.take(kit, "asked", 3, 600) == 0
    await kit.redis.aclose()
    with entered(stack, OPERATOR) as operator:
        assert operator.exists(f"{service}:limit:asked"), "else each process would count for itself"


@pytest.mark.parametrize("words", OTHERS.values(), ids=OTHERS.keys())
def test_a_service_can_neither_read_nor_change_anothers_keys(
    ads: "Redis[bytes]", words: tuple[str, ...]
) -> None:
    with pytest.raises(ResponseError, match="No permissions to access a key"):
        ads.execute_command(*words)


@pytest.mark.parametrize("words", BEYOND, ids=" ".join)
def test_no_command_of_a_service_reaches_beyond_its_own_keys(
    ads: "Redis[bytes]", words: tuple[str, ...]
) -> None:
    with pytest.raises(NoPermissionError, match="no permissions"):
        ads.execute_command(*words)


def test_an_endless_script_of_one_service_makes_no_other_wait(stack: Stack) -> None:
    with (
        entered(stack, "ads") as ads,
        entered(stack, "ledger") as ledger,
        entered(stack, OPERATOR) as operator,
    ):
        assert ledger.ping(), "connected before"
        with ThreadPoolExecutor(1) as thread:
            running = thread.submit(ads.eval, "while true do end", 0)
            try:
                time.sleep(0.3)
                begun = time.monotonic()
                with pytest.raises(ResponseError, match="busy"):
                    ledger.get("ledger:asked")
                assert time.monotonic() - begun < 1
            finally:
                operator.execute_command("SCRIPT KILL")
            with pytest.raises(ResponseError, match="killed"):
                running.result()
        assert ledger.get("ledger:asked") is None


def test_one_services_password_opens_no_other_service_and_nobody_enters_without_a_name(stack: Stack) -> None:
    settings = stack.settings("ads")
    for user in ("ledger", OPERATOR, "default"):
        with (
            Redis.from_url(counters.address(settings, user)) as client,
            pytest.raises(AuthenticationError, match="invalid username-password"),
        ):
            client.ping()
    with (
        Redis.from_url(settings.redis_url, protocol=2) as client,
        pytest.raises(AuthenticationError, match="Authentication required"),
    ):
        client.ping()


def test_what_redis_is_configured_with_holds_no_password_and_is_the_same_in_containers(
    tmp_path: Path,
) -> None:
    write_secrets(tmp_path / "secrets")
    operator = (tmp_path / "secrets" / "operator").read_text(encoding="utf-8")
    deployed = (tmp_path / "secrets" / "valkey.conf").read_text(encoding="utf-8")
    assert configuration(operator) in deployed
    for user in (*SERVICES, OPERATOR):
        assert redis_password(operator, user) not in deployed
