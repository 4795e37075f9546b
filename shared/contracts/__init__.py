"""Every fact of the house: one module per publishing service, one union to decode them by their tag."""

from functools import cache
from typing import Any, Union

import msgspec

from shared.contracts import accounts, ads, base, events, ledger, payments, subscriptions
from shared.contracts.base import Fact

PUBLISHERS = {
    "accounts": accounts,
    "ads": ads,
    "subscriptions": subscriptions,
    "events": events,
    "payments": payments,
    "ledger": ledger,
}
SERVICES = tuple(PUBLISHERS)


def published_by(service: str) -> list[type[Fact]]:
    """The fact classes of a service, by subject."""
    module = PUBLISHERS[service]
    found = [
        kind
        for kind in vars(module).values()
        if isinstance(kind, type) and issubclass(kind, Fact) and kind.__module__ == module.__name__
    ]
    return sorted(found, key=lambda kind: kind.subject())


ALL: dict[str, type[Fact]] = {kind.subject(): kind for name in PUBLISHERS for kind in published_by(name)}
"""Fact classes by subject."""


def kinds(named: type[Fact]) -> list[type[Fact]]:
    """What somebody hears who asks for a fact: itself, or where several publishers say it, each one's own."""
    return [kind for kind in ALL.values() if issubclass(kind, named)] or [named]


def stem_of(subject: str) -> str:
    """A subject, or a filter of all of its versions, without the version."""
    return subject.rpartition(".")[0]


@cache
def decoder() -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(Union[tuple(ALL.values())])  # noqa: UP007 - built at run time


def decode(body: bytes) -> Fact:
    """Read a fact by its tag. Raises msgspec.ValidationError for an unknown tag or a broken body."""
    try:
        fact: Fact = decoder().decode(body)
    except (UnicodeDecodeError, RecursionError) as error:
        raise msgspec.ValidationError(str(error)) from error
    return fact


def encode(fact: Fact) -> bytes:
    return msgspec.json.encode(fact)


def plain(fact: Fact) -> dict[str, Any]:
    """A fact as plain builtins, for showing and for hashing."""
    built: dict[str, Any] = msgspec.to_builtins(fact)
    return built


__all__ = [
    "ALL",
    "PUBLISHERS",
    "SERVICES",
    "Fact",
    "base",
    "decode",
    "encode",
    "kinds",
    "plain",
    "published_by",
    "stem_of",
]
