"""Facts that accounts publishes: agencies, keys, persons and their consents."""

from datetime import date
from typing import Literal
from uuid import UUID

from shared.contracts.base import Code, Fact

AgencyKind = Literal["newspaper", "broadcaster", "magazine", "converged"]


class AgencyRegistered(Fact, frozen=True, kw_only=True, tag="accounts.agency.registered.v1"):
    """An agency exists from a day on; `agency` is its code."""

    name: str
    kind: AgencyKind
    active_from: date


class AgencySucceeded(Fact, frozen=True, kw_only=True, tag="accounts.agency.succeeded.v1"):
    """From a day on another agency stands in this one's place."""

    successor: Code
    on: date


class KeyRevoked(Fact, frozen=True, kw_only=True, tag="accounts.key.revoked.v1"):
    """An API key is refused everywhere from now on."""

    key: UUID


class SessionEnded(Fact, frozen=True, kw_only=True, tag="accounts.session.ended.v1"):
    """A person signed out, or was signed out, of these sessions: no page token of theirs is taken any more."""

    sessions: tuple[UUID, ...]


class PersonErased(Fact, frozen=True, kw_only=True, tag="accounts.person.erased.v1"):
    """Each service overwrites what it holds of the person, statutory documents excepted."""

    person: UUID


class ConsentChanged(Fact, frozen=True, kw_only=True, tag="accounts.consent.changed.v1"):
    person: UUID
    purpose: Code
    granted: bool
