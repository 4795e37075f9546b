"""The strangers' rule, once: the known count for themselves, the unknown of one network share one larger budget.

Known is who is signed in, comes with a key that somebody answers for, or with the cookie of a device that was signed
in before. Carriers put thousands of phones behind one address, so an address never decides alone: whoever comes when
the network's budget is spent gets the slower way that the door offers (a wait, a later letter, a shorter hold), never
nothing, and what strangers spend is never taken from somebody known.
"""

import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from functools import partial

import msgspec
from litestar.handlers import BaseRouteHandler
from litestar.types import Guard

from shared import limits, links
from shared.auth import principal_of
from shared.contracts import sandbox
from shared.kit import Kit
from shared.request import Connection
from shared.settings import Budget, Settings

DEVICE_COOKIE = "nt_device"
SECRET_LENGTH = 64
"""256 bits in hexadecimal."""


class Asker(msgspec.Struct, frozen=True):
    """Who asks, as far as counting goes: the mark of somebody known, or nothing, and the network."""

    network: str
    known: str = ""

    @property
    def mark(self) -> str:
        """What this asker's spending is counted under."""
        return self.known or f"network:{self.network}"


def network_of(address: str) -> str:
    """The network of an address: IPv4 by /24, IPv6 by /48; what is no address shares one network.

    These are the smallest blocks that the internet routes, so nobody has fresh ones for nothing. A single IPv6
    customer is given a /64 or /56 and could be thousands by /64 alone.
    """
    return limits.block_of(address, 24)


def asker_of(connection: Connection) -> Asker:
    """Who asks: a principal or a device known to the house by its signed cookie, or a stranger of a network.

    A key of the sandbox is had for the asking, and as many more as one likes: it makes nobody known.
    """
    principal = principal_of(connection)
    network = network_of(limits.client_address(connection))
    if principal.kind != "nobody" and not sandbox.is_sandbox(principal.agency):
        return Asker(network, principal.spender)
    device = device_of(connection.app.state.settings, connection.cookies)
    return Asker(
        network, f"device:{links.pseudonym(connection.app.state.settings, device)}" if device else ""
    )


def device_cookie(settings: Settings) -> str:
    """The name of the cookie that a device keeps once somebody has signed in from it."""
    return f"__Host-{DEVICE_COOKIE}" if settings.secure else DEVICE_COOKIE


def device_value(settings: Settings, secret: str) -> str:
    """What that cookie holds: the device's secret, signed by the service, so that a made-up one counts for nothing."""
    return f"{secret}.{links.signature(settings, 'device', secret)}"


def device_of(settings: Settings, cookies: Mapping[str, str]) -> str:
    """The secret of the device that asks, or nothing where it brings no cookie of ours."""
    secret, _, signature = cookies.get(device_cookie(settings), "").partition(".")
    ours = links.fits(settings, "device", secret, signature)
    return secret if ours and len(secret) == SECRET_LENGTH else ""


async def spend(kit: Kit, name: str, budget: Budget, asker: Asker, cost: int = 1) -> int:
    """Spend from who asks, or from what their network shares; returns 0, or for how many seconds it is spent.

    `name` says what for, and of whose account where it is about one. A negative cost gives back.
    """
    count = budget.known if asker.known else budget.network
    return await limits.take(kit, f"{name}:{asker.mark}", count, budget.per_s, cost)


class Share(msgspec.Struct):
    """What one order takes of what the newcomers of its network share."""

    crowded: bool = False
    """Whether they hold so much that this one has to hurry."""
    network: str = ""
    """The network's pseudonym, for a count that is kept."""
    used: bool = False
    """Whether a newcomer holds it: it was neither refused nor asked for by somebody who counts alone."""


@contextlib.asynccontextmanager
async def sharing(connection: Connection, name: str, budget: Budget, quantity: int) -> AsyncIterator[Share]:
    """A part of what a network shares, however known who asks is; given back unless it was `used`.

    Entered before the transaction and left after it: nobody holds a connection while Redis is asked.
    """
    network = asker_of(connection).network
    spend_on = partial(spend, connection.app.state.kit, name, budget, Asker(network))
    pseudonym = links.pseudonym(connection.app.state.settings, network)
    share, used = Share(crowded=await spend_on(quantity) > 0, network=pseudonym), False
    try:
        yield share
        used = share.used
    finally:
        if not used and not share.crowded:
            await spend_on(-quantity)


def within(name: str, budget_of: Callable[[Settings], Budget]) -> Guard:
    """Make a guard: whoever has spent the budget waits. Raises TooMany."""

    async def guard(connection: Connection, _: BaseRouteHandler) -> None:
        state = connection.app.state
        wait_s = await spend(state.kit, name, budget_of(state.settings), asker_of(connection))
        limits.refuse_after(wait_s)

    return guard
