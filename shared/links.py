"""Links that carry their own permission: a path, its parameters and an expiry, signed by who made it.

What is signed is signed by the key of now; where that was turned, the one of before still opens for a while.
"""

import hashlib
import hmac
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from urllib.parse import parse_qsl, urlencode
from uuid import UUID

from shared import clock
from shared.errors import NotFound, Refused
from shared.settings import Settings

NOT_OURS = "There is nothing here: the link is not one of ours."
TOO_LATE = "This link has expired; ask for a new one where it came from."


OWN = "own"
"""Whose key a service's own is; all others are sellers'."""


class LinkExpired(Refused, status=410):
    """A link of ours whose time is over; where it came from gives a new one."""


def signature(settings: Settings, purpose: str, text: str) -> str:
    """A keyed SHA-256 in hexadecimal; the purpose keeps one use's signatures from serving another."""
    return _signature(settings.secret, purpose, text)


def signatures(settings: Settings, purpose: str, text: str) -> Iterator[str]:
    """That signature by each key which may still open it, the one of now first."""
    return (_signature(key, purpose, text) for key in openers(settings))


def fits(settings: Settings, purpose: str, text: str, given: str) -> bool:
    """Whether this is a signature of ours."""
    return _is_one_of(signatures(settings, purpose, text), given)


def _is_one_of(signatures: Iterator[str], given: str) -> bool:
    return any(hmac.compare_digest(one.encode(), given.encode()) for one in signatures)


def openers(settings: Settings, of: str = OWN, *, whenever: bool = False) -> list[str]:
    """The keys by which is opened what a service or a seller signed: that of now, and those of before in their time.

    `whenever` is for what we ourselves keep sealed, and seal anew: there the time of a key is not over.
    """
    now = clock.now().timestamp()
    signing = settings.secret if of == OWN else _keys_in(settings.pay_link_keys).get(of, "")
    formers = _keys_of_before(settings.former_keys)
    before = [keys.get(of, "") for until, keys in formers if whenever or until > now]
    return [key for key in (signing, *before) if key]


@cache
def _keys_of_before(text: str) -> list[tuple[int, dict[str, str]]]:
    """Until when the keys of each turn open, and whose they are. Its end must never be taken for somebody's key."""
    turns = [dict(_keys_in(turn)) for turn in text.split(";") if turn]
    return [(int(keys.pop("until")), keys) for keys in turns]


def _signature(key: str, purpose: str, text: str) -> str:
    return hmac.digest(_key_for(purpose, key), text.encode(), "sha256").hex()


@cache
def _key_for(purpose: str, secret: str) -> bytes:
    return hashlib.sha256(f"{purpose}\0{secret}".encode()).digest()


def signed(settings: Settings, path: str, ttl_s: int, **params: object) -> str:
    """Return the path with its parameters, an expiry and the service's own signature over all of them."""
    return _signed(settings.secret, path, ttl_s, params)


def opened(settings: Settings, path: str, query: str) -> dict[str, str]:
    """Check a link that the service signed, and return its parameters. Raises NotFound when forged, LinkExpired.

    Parameters that were added behind the signature are ignored.
    """
    params, in_time = _read(openers(settings), path, query)
    if not in_time:
        raise LinkExpired(TOO_LATE)
    return params


def pay_link(
    settings: Settings, seller: str, invoice: UUID | None, ttl_s: int, *, agency: str, amount_vnd: int
) -> str:
    """A seller's signed way to the page of payments on which its invoice is paid."""
    params = {"seller": seller, "agency": agency, "amount": amount_vnd}
    return _signed(_keys_in(settings.pay_link_keys)[seller], f"/pay/{invoice}", ttl_s, params)


def read_pay_link(settings: Settings, invoice: UUID, query: str) -> tuple[dict[str, str], bool]:
    """The parameters of a link to an invoice's page, and whether it is still in time. Raises NotFound.

    It is a seller's, by that seller's key, or payments' own, which names no seller. Whether the invoice is that
    seller's is for the page to check.
    """
    seller = dict(parse_qsl(query)).get("seller", "")
    return _read(openers(settings, seller or OWN), f"/pay/{invoice}", query)


@cache
def _keys_in(text: str) -> dict[str, str]:
    return dict(part.split(":", 1) for part in text.split(",") if part)


def _signed(key: str, path: str, ttl_s: int, params: Mapping[str, object]) -> str:
    query = {**{k: str(v) for k, v in params.items()}, "exp": str(int(clock.now().timestamp()) + ttl_s)}
    text = urlencode(sorted(query.items()))
    return f"{path}?{text}&sig={_signature(key, 'link', f'{path}?{text}')}"


def _read(keys: Sequence[str], path: str, query: str) -> tuple[dict[str, str], bool]:
    head, _, tail = query.partition("&sig=")
    given = tail.split("&", 1)[0]
    if not _is_one_of((_signature(key, "link", f"{path}?{head}") for key in keys), given):
        raise NotFound(NOT_OURS)
    params = dict(parse_qsl(head))
    return params, int(params.pop("exp")) >= clock.now().timestamp()


def pseudonym(settings: Settings, text: str) -> str:
    """A keyed hash that stands for a phone number or an address in facts and counters."""
    return signature(settings, "pseudonym", text)[:32]
