"""The JSON door of accounts: advertisers register, keys are made and revoked, public keys and agencies are read."""

import json
from datetime import date, datetime
from functools import partial
from typing import Annotated, Any, Self
from uuid import UUID

import msgspec
from litestar import Response, Router, delete, get, post
from litestar.di import NamedDependency
from litestar.handlers import BaseRouteHandler
from litestar.params import FromPath, FromQuery, JSONBody
from msgspec import Meta

from services.accounts import queries
from services.accounts.actions import advertisers, keys
from shared import auth
from shared.contracts import sandbox
from shared.contracts.roles import Role
from shared.contracts.scopes import Scope
from shared.db import Tx, enter
from shared.errors import NotSignedIn
from shared.http import once
from shared.limits import limited
from shared.lists import Limit, Page, decode_cursor, page_of
from shared.request import Connection, Request
from shared.strangers import within

BASE = "/api/accounts/v1"

Text = Annotated[str, Meta(min_length=1, max_length=200, pattern=r"\S")]
AgencyCode = Annotated[str, Meta(min_length=1, max_length=64)]


class RegisterAdvertiser(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An advertiser introduces itself: with which agency it books, and what its invoices say."""

    agency: AgencyCode
    name: Text
    tax_code: Annotated[str, Meta(min_length=10, max_length=20)]
    email: Annotated[str, Meta(min_length=3, max_length=254)]
    contact_name: Text

    @classmethod
    def example(cls, _: date) -> Self:
        return cls(
            agency="bkh",
            name="Công ty TNHH Nước mắm Hòn Yến",
            tax_code="4200456781",
            email="quangcao@honyen.example",
            contact_name="Nguyễn Thị Kim Chi",
        )


class MakeKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A key for a program. Without `for_agency` it acts for the caller's own organisation.

    `agency` may be an agency or its sandbox, `<agency>-sandbox`: such a key never leaves the sandbox.
    """

    agency: AgencyCode
    name: Text
    scopes: Annotated[list[Scope], Meta(min_length=1, max_length=20)]
    for_agency: bool = False

    @classmethod
    def example(cls, _: date) -> Self:
        return cls(agency="bkh", name="Máy chủ báo cáo", scopes=["ads:read"])


class Me(msgspec.Struct, frozen=True):
    """Who the caller is to this house."""

    kind: auth.PrincipalKind
    id: UUID | None
    organisation: UUID | None
    roles: dict[str, list[Role]]
    scopes: list[str]
    agency: str
    expires_at: datetime | None


may_manage_keys = auth.Right(roles={"administrator"}, scope="keys:manage", own=True)
not_too_many_keys = limited("keys", per_minute=10, burst=20)
"""An organisation's people and keys manage its keys, an administrator those of the agency's programs."""


def is_somebody(connection: Connection, _: BaseRouteHandler) -> None:
    """Anyone with a valid token or key."""
    if auth.principal_of(connection).kind == "nobody":
        raise NotSignedIn("Send an API key or a page token as `Authorization: Bearer …`.")


@post("/advertisers", guards=[within("registrations", lambda settings: settings.budget_registrations)])
async def register_advertiser(
    request: Request, tx: NamedDependency[Tx], data: JSONBody[RegisterAdvertiser]
) -> keys.Registered:
    """Register an advertiser. The answer holds a key for the sandbox: it is shown here and never again.

    Keys for the agency itself can be made once the link in the letter to the given address was followed. A repeat
    with the same Idempotency-Key gets the answer without the key: whoever registers has not signed in, and could be
    a neighbour behind the same address. An advertiser that waits for its invitation already is mailed it once more,
    with neither organisation nor key in the answer. Where there is no key, `note` says why.
    """
    settings = request.app.state.settings
    await enter(tx, [data.agency, sandbox.of(data.agency)])
    work = advertisers.register_advertiser(tx, settings, **msgspec.structs.asdict(data))
    return await once(request, tx, work, secret=partial(keys.with_signature, settings))


@post("/keys", guards=[may_manage_keys, not_too_many_keys])
async def make_key(request: Request, tx: NamedDependency[Tx], data: JSONBody[MakeKey]) -> keys.Made:
    """Make an API key. The answer holds it: it is shown here and never again."""
    principal = auth.principal_of(request)
    made = await once(
        request,
        tx,
        keys.make_key_as(
            tx,
            principal,
            agency=data.agency,
            name=data.name,
            scopes=list(data.scopes),
            own=not data.for_agency,
        ),
    )
    return keys.with_signature(request.app.state.settings, made)


@get("/keys", guards=[may_manage_keys])
async def list_keys(
    request: Request,
    tx: NamedDependency[Tx],
    cursor: FromQuery[str] = "",
    limit: Limit = 50,
) -> Page[queries.Key]:
    """The keys of the caller's organisation; for an administrator without one, those of the agencies."""
    principal = auth.principal_of(request)
    after = decode_cursor(cursor, UUID)
    return page_of(
        await queries.keys(tx, organisation=principal.organisation, after=after, limit=limit + 1), limit
    )


@delete("/keys/{key:uuid}", guards=[may_manage_keys])
async def revoke_key(request: Request, tx: NamedDependency[Tx], key: FromPath[UUID]) -> None:
    """Refuse a key from now on, in every service within five seconds."""
    principal = auth.principal_of(request)
    await keys.revoke_key(tx, key, principal)


@get("/agencies")
async def list_agencies(tx: NamedDependency[Tx]) -> list[queries.Agency]:
    """The agencies of this house and their lineage."""
    return await queries.agencies(tx)


@get("/me", guards=[is_somebody], sync_to_thread=False)
def show_me(request: Request) -> Me:
    """Who the caller is: the content of the token or key, without the name."""
    return msgspec.convert(auth.principal_of(request), Me, from_attributes=True)


@get("/jwks", sync_to_thread=False)
def show_public_keys(request: Request) -> Response[dict[str, Any]]:
    """The public keys with which page tokens and API keys are verified (RFC 7517)."""
    return Response(
        json.loads(request.app.state.settings.token_public_keys or '{"keys": []}'),
        headers={"cache-control": "public, max-age=300"},
    )


routes = [
    Router(
        BASE,
        tags=["accounts"],
        route_handlers=[
            register_advertiser,
            make_key,
            list_keys,
            revoke_key,
            list_agencies,
            show_me,
            show_public_keys,
        ],
    )
]
