"""The way to VNPay's server: one POST that is bounded in time, never made inside a transaction."""

from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any

import httpx

from services.payments.rules.vnpay import API_PATH
from shared.outside import outside
from shared.settings import Settings

TIMEOUT_S = 10
SIMULATOR = "/gateway/vnpay-sim"

Wire = Callable[[Settings, dict[str, str]], Awaitable[dict[str, Any]]]


class Unanswered(Exception):
    """VNPay gave no answer that can be read; what it did with the request is unknown."""


def address_of(settings: Settings) -> str:
    """VNPay's address for browsers, or that of the simulator in this house."""
    return settings.vnpay_url or settings.base_url + SIMULATOR


def server_of(settings: Settings) -> str:
    """VNPay's address for our server, or that of the simulator."""
    return settings.vnpay_url or inside(settings) + SIMULATOR


def inside(settings: Settings) -> str:
    """Where payments and its simulator reach each other: in containers the public address may lead nowhere."""
    return settings.simulator_url or settings.base_url


@outside
async def over_http(settings: Settings, body: dict[str, str]) -> dict[str, Any]:
    """Send a signed request and return the answer, unverified. Raises Unanswered."""
    try:
        async with httpx.AsyncClient(timeout=TIMEOUT_S, trust_env=False) as client:
            answer = await client.post(server_of(settings) + API_PATH, json=body)
            answer.raise_for_status()
            read = answer.json()
    except (httpx.HTTPError, ValueError) as error:
        raise Unanswered(str(error) or type(error).__name__) from error
    if not isinstance(read, dict):
        raise Unanswered("The answer is no object.")
    return read


wire: ContextVar[Wire] = ContextVar("wire", default=over_http)
"""How requests travel: by HTTP, unless years are simulated in one process without any server."""


@outside
async def call(settings: Settings, body: dict[str, str]) -> dict[str, Any]:
    """Ask VNPay (querydr, refund). Raises Unanswered."""
    return await wire.get()(settings, body)
