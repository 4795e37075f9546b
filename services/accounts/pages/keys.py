"""The API keys of the organisation that a person acts for."""

from typing import Any
from uuid import UUID

import msgspec
from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromQuery
from litestar.response import Redirect, Template

from services.accounts import queries
from services.accounts.actions import keys
from services.accounts.pages.account import Short, is_signed_in, not_too_often, the_person
from services.accounts.pages.words import account_tabs
from shared import clock
from shared.contracts import sandbox
from shared.contracts.scopes import Scope
from shared.db import Tx
from shared.http import once, read_form
from shared.request import Request
from shared.web import N_, language_of, page, translate
from shared.web.again import or_again

SCOPES = {
    "ads:book": N_("Đặt quảng cáo"),
    "ads:read": N_("Xem đơn và số liệu quảng cáo"),
    "events:register": N_("Đăng ký chạy"),
    "events:sponsor": N_("Nhận gói tài trợ"),
    "keys:manage": N_("Tạo và thu hồi khóa"),
}


class KeyForm(msgspec.Struct, frozen=True):
    name: Short
    agency: str
    scopes: list[Scope] = []


class RevokeForm(msgspec.Struct, frozen=True):
    key: UUID


@get("/account/keys", include_in_schema=False, guards=[is_signed_in])
async def show_keys(
    request: Request, tx: NamedDependency[Tx], made: FromQuery[UUID | None] = None
) -> Response[Any]:
    """Keys of the organisation; the one that was just made shows itself once more while it is fresh."""
    principal, _ = await the_person(request, tx)
    if principal.organisation is None:
        return Redirect("/account/organisation", status_code=303)
    return await _keys(request, tx, made)


async def _keys(request: Request, tx: Tx, made: UUID | None = None) -> Template:
    principal, _ = await the_person(request, tx)
    found = await queries.keys(tx, organisation=principal.organisation)
    names = {a.code: a.name for a in await queries.agencies(tx)}
    word = translate(language_of(request), sandbox.LABEL)
    names |= {sandbox.of(code): sandbox.called(sandbox.of(code), name, word) for code, name in names.items()}
    own = await keys.agency_of(tx, principal.organisation) if principal.organisation else ""
    shown = page(
        request,
        "accounts_keys.html",
        keys=[k for k in found if k.revoked_at is None and k.expires_at > clock.now()],
        gone=[k for k in found if k.revoked_at is not None],
        fresh=await keys.shown_again(tx, request.app.state.settings, principal, made) if made else "",
        scopes=[(scope, label) for scope, label in SCOPES.items() if scope != "keys:manage"],
        names=names,
        agencies=[(code, names[code]) for code in (own, sandbox.of(own)) if own],
        tabs=account_tabs(request, principal),
    )
    shown.headers["cache-control"] = "no-store"
    return shown


@post("/account/keys", include_in_schema=False, guards=[is_signed_in, not_too_often])
async def make_key(request: Request, tx: NamedDependency[Tx]) -> Response[Any]:
    principal, _ = await the_person(request, tx)

    async def work() -> Redirect:
        form = read_form(await request.form(), KeyForm)
        made = await keys.make_key_as(
            tx,
            principal,
            agency=form.agency,
            name=form.name,
            scopes=list(form.scopes),
            own=True,
        )
        return Redirect(f"/account/keys?made={made.id}", status_code=303)

    return await or_again(request, tx, once(request, tx, work()), lambda: _keys(request, tx))


@post("/account/keys/revoke", include_in_schema=False, guards=[is_signed_in])
async def revoke_key(request: Request, tx: NamedDependency[Tx]) -> Redirect:
    principal, _ = await the_person(request, tx)
    form = read_form(await request.form(), RevokeForm)
    await keys.revoke_key(tx, form.key, principal)
    return Redirect("/account/keys", status_code=303)


routes = [show_keys, make_key, revoke_key]
