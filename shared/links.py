"""Links that carry their own permission: a path, its parameters and an expiry, signed by the house's key."""

import hashlib
import hmac
from functools import cache
from urllib.parse import parse_qsl, urlencode

from shared import clock
from shared.errors import NotFound, Refused
from shared.settings import Settings


class LinkExpired(Refused, status=410):
    """A link of ours whose time is over; where it came from gives a new one."""


def signature(settings: Settings, purpose: str, text: str) -> str:
    """A keyed SHA-256 in hexadecimal; the purpose keeps one use's signatures from serving another."""
    return hmac.digest(_key_for(purpose, settings.secret), text.encode(), "sha256").hex()


@cache
def _key_for(purpose: str, secret: str) -> bytes:
    return hashlib.sha256(f"{purpose}\0{secret}".encode()).digest()


def signed(settings: Settings, path: str, ttl_s: int, **params: object) -> str:
    """Return the path with its parameters, an expiry and a signature over all of them."""
    query = {**{k: str(v) for k, v in params.items()}, "exp": str(int(clock.now().timestamp()) + ttl_s)}
    text = urlencode(sorted(query.items()))
    return f"{path}?{text}&sig={signature(settings, 'link', f'{path}?{text}')}"


def opened(settings: Settings, path: str, query: str) -> dict[str, str]:
    """Check a signed link and return its parameters. Raises NotFound when forged or altered, LinkExpired.

    Parameters that were added behind the signature are ignored.
    """
    params, in_time = read(settings, path, query)
    if not in_time:
        raise LinkExpired("This link has expired; ask for a new one where it came from.")
    return params


def read(settings: Settings, path: str, query: str) -> tuple[dict[str, str], bool]:
    """The parameters of a link of ours, and whether it still opens anything. Raises NotFound."""
    head, _, tail = query.partition("&sig=")
    given = tail.split("&", 1)[0]
    if not hmac.compare_digest(signature(settings, "link", f"{path}?{head}").encode(), given.encode()):
        raise NotFound("There is nothing here: the link is not one of ours.")
    params = dict(parse_qsl(head))
    return params, int(params.pop("exp")) >= clock.now().timestamp()


def pseudonym(settings: Settings, text: str) -> str:
    """A keyed hash that stands for a phone number or an address in facts and counters."""
    return signature(settings, "pseudonym", text)[:32]
