"""Who is asking: page tokens and API keys, signed by accounts with Ed25519 and verified here without asking it."""

import hashlib
import json
from collections import OrderedDict
from collections.abc import Set as AbstractSet
from datetime import datetime, timedelta
from typing import Any, Literal, cast
from uuid import UUID

import msgspec
from joserfc import jws, jwt
from joserfc.jwk import KeySet, OKPKey
from litestar.handlers import BaseRouteHandler

from shared import clock, revocations
from shared.contracts import roles
from shared.contracts.scopes import Scope
from shared.db import Tx, version
from shared.errors import NotAllowed, NotSignedIn
from shared.request import Connection
from shared.settings import PREFIX, BadSetting, Settings

PAGE_TOKEN_S = 300
PAGE_COOKIE = "nt_token"
KEY_PREFIX = "nt_"
ALGORITHM = "Ed25519"
CACHED = 10_000

Role = roles.Role

PrincipalKind = Literal["nobody", "person", "key"]


class Principal(msgspec.Struct, frozen=True, kw_only=True):
    """Who a request comes from: nobody, a person with a page token, or a program with an API key."""

    kind: PrincipalKind = "nobody"
    id: UUID | None = None
    """The person, or the key."""
    organisation: UUID | None = None
    """The advertiser or sponsor for whom the key or person acts."""
    roles: dict[str, list[Role]] = {}
    """Roles by agency."""
    scopes: list[str] = []
    """What a key may do, such as `ads:book`; a person's rights come from roles."""
    agency: str = ""
    """The one agency of a key."""
    made_by: UUID | None = None
    """The person who answers for a key: a member of its organisation, or who made it. None where no person did."""
    expires_at: datetime | None = None
    session: str = ""
    name: str = ""
    """How to greet the person; kept out of facts and logs."""

    @property
    def own(self) -> frozenset[UUID]:
        """Under which ids rows are the principal's own: the person, and the organisation that it acts for."""
        person = self.id if self.kind == "person" else None
        return frozenset(found for found in (person, self.organisation) if found is not None)

    @property
    def answers(self) -> UUID | None:
        """The person who answers for what is done: who signed in, or who made the key."""
        return self.id if self.kind == "person" else self.made_by

    @property
    def subject(self) -> str:
        """A stable name, under which answers are remembered and deeds are told."""
        return f"{self.kind}:{self.id or ''}"

    @property
    def spender(self) -> str:
        """Under what use is counted: an organisation's keys make keys, and all of them together are one caller."""
        shared = self.kind == "key" and self.organisation is not None
        return f"organisation:{self.organisation}" if shared else self.subject


NOBODY = Principal()


class Signer:
    """Accounts' half: makes page tokens and API keys with the private key."""

    def __init__(self, settings: Settings) -> None:
        self._key = OKPKey.import_key(json.loads(settings.token_private_key))

    def page_token(self, principal: Principal) -> str:
        """A token of five minutes for a person's pages."""
        return self._sign(principal, clock.now() + timedelta(seconds=PAGE_TOKEN_S))

    def api_key(self, principal: Principal, expires_at: datetime) -> str:
        """A key for a program, valid at once in every service."""
        return KEY_PREFIX + self._sign(principal, expires_at)

    def _sign(self, principal: Principal, expires_at: datetime) -> str:
        body = msgspec.to_builtins(msgspec.structs.replace(principal, expires_at=expires_at))
        claims = {**body, "exp": int(expires_at.timestamp()), "iat": int(clock.now().timestamp())}
        return jwt.encode({"alg": ALGORITHM, "kid": self._key.kid}, claims, self._key, algorithms=[ALGORITHM])


class Verifier:
    """Everybody's half: checks a token offline; what was verified once is remembered by its hash."""

    def __init__(self, settings: Settings) -> None:
        if not settings.token_public_keys:
            raise BadSetting(
                f"{PREFIX}TOKEN_PUBLIC_KEYS is not set: no sign-in and no key could be verified."
            )
        self._keys = KeySet.import_key_set(json.loads(settings.token_public_keys))
        self._seen: OrderedDict[bytes, Principal] = OrderedDict()
        self.revoked: frozenset[str] = frozenset()
        self.revocations = -1

    def principal(self, token: str, *, grace_s: int = 0) -> Principal:
        """Whose token this is. Raises NotSignedIn when it is forged, revoked, or expired for longer than the grace.

        Only what harms nobody may be granted on a token in its grace, such as reading on.
        """
        digest = hashlib.sha256(token.encode()).digest()
        found = self._seen.get(digest)
        if found is None:
            found = self._verify(token)
            self._seen[digest] = found
            if len(self._seen) > CACHED:
                self._seen.popitem(last=False)
        if found.expires_at is not None and found.expires_at + timedelta(seconds=grace_s) <= clock.now():
            raise NotSignedIn("The sign-in or key has expired.")
        if self.is_revoked(found):
            raise NotSignedIn("This key was revoked." if found.kind == "key" else "This session has ended.")
        return found

    def is_revoked(self, principal: Principal) -> bool:
        """Whether the key was revoked, or the session of the page token has ended, since it was made."""
        return (str(principal.id) if principal.kind == "key" else principal.session) in self.revoked

    def _verify(self, token: str) -> Principal:
        try:
            signed = jws.deserialize_compact(
                token.removeprefix(KEY_PREFIX).encode(), self._keys, algorithms=[ALGORITHM]
            )
            principal = msgspec.json.decode(signed.payload, type=Principal)
        except Exception as error:  # whatever a forged header breaks in the library, nobody is signed in
            raise NotSignedIn("The sign-in or key cannot be verified.") from error
        if (principal.kind == "key") != token.startswith(KEY_PREFIX):
            raise NotSignedIn("The sign-in or key cannot be verified.")
        return principal

    async def refresh(self, tx: Tx) -> None:
        """Read anew what is revoked, when something was; run each second, so that a revocation holds within five."""
        number = await version(tx, revocations.VERSION)
        if number != self.revocations:
            self.revoked, self.revocations = await revocations.ids(tx), number


def principal_of(connection: Connection) -> Principal:
    """The principal that the middleware found; nobody where no token came."""
    found = connection.scope.get("user")
    return found if isinstance(found, Principal) else NOBODY


class Reach(msgspec.Struct, frozen=True):
    """Whose rows a request may touch: those of agencies, and those that are its own."""

    agencies: frozenset[str] = frozenset()
    own: frozenset[UUID] = frozenset()

    def __and__(self, other: "Reach") -> "Reach":
        return Reach(self.agencies & other.agencies, self.own & other.own)


class Right(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody may do, and where: the guard of its doors, and what their transactions reach.

    A person has it at each agency where they hold one of the roles, a key with the scope at its one agency. `own`:
    every person, and a key that stands for an organisation, has it over what is their own. Name it for what it lets
    do: `may_book_campaigns = Right(roles={"ad_ops"}, scope="ads:book")`.
    """

    roles: AbstractSet[Role] = frozenset()
    scope: Scope | Literal[""] = ""
    own: bool = False

    async def __call__(self, connection: Connection, _: BaseRouteHandler) -> None:
        """Let in who has the right somewhere; what the request then reaches is where they have it, and no more."""
        principal, scope = principal_of(connection), cast("dict[str, Any]", connection.scope)
        if principal.kind == "nobody":
            refusal = scope.get("nguonthu_refusal")
            raise NotSignedIn(refusal or "Sign in, or send an API key as `Authorization: Bearer …`.")
        self.check(principal)
        reach, before = self.reach(principal), scope.get(_REACH)
        scope[_REACH] = reach if before is None else before & reach

    def check(self, principal: Principal) -> None:
        """Raises NotAllowed for who has the right nowhere."""
        if principal.kind == "key":
            if not self.scope or self.scope not in principal.scopes:
                raise NotAllowed(f"The key lacks the scope {self.scope or 'for this'}.")
            if principal.organisation is not None and not self.own:
                raise NotAllowed(
                    "The key acts for an organisation; this is for an agency's own people and keys."
                )
        elif not self.own and not self.agencies(principal):
            raise NotAllowed("Your roles do not allow this.")

    def agencies(self, principal: Principal) -> frozenset[str]:
        """Where the principal has the right. What an agency absorbed is reached with it, and not counted here."""
        if principal.kind == "key":
            mine = principal.organisation is None and self.scope in principal.scopes
            return frozenset((principal.agency,)) if mine and self.scope else frozenset()
        return frozenset(agency for agency, held in principal.roles.items() if self.roles & set(held))

    def reach(self, principal: Principal) -> Reach:
        """Whose rows the principal reaches by this right."""
        return Reach(self.agencies(principal), principal.own if self.own else frozenset())


is_registered = Right(roles={"advertiser", "sponsor"})
"""Where the organisation that a person acts for is known; it buys in its own name there and nowhere else."""


_REACH = "nguonthu_reach"


def reach_of(connection: Connection) -> Reach:
    """What all rights of the door reach together; at a door without one, nothing but what is the caller's own."""
    found = cast("dict[str, Any]", connection.scope).get(_REACH)
    return found if isinstance(found, Reach) else Reach(own=principal_of(connection).own)
