"""The staff's doors: the home of the desks, people and roles, server keys."""

from typing import Annotated, Any, Literal, get_args
from uuid import UUID

import msgspec
from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery
from litestar.response import Redirect, Template
from msgspec import Meta

from services.accounts import queries
from services.accounts.actions import keys, people, second_step
from services.accounts.pages import cookies
from services.accounts.pages.rights import is_staff, may_manage_people, may_read_trail
from services.accounts.pages.words import ROLES, people_tabs, said
from shared import auth, clock
from shared.contracts.roles import STAFF, StaffRole
from shared.db import Tx, seen
from shared.errors import NotFound, Unprocessable
from shared.http import once, read_form
from shared.request import Request
from shared.web import N_, language_of, page, translate
from shared.web.again import or_again
from shared.web.doors import DOORS

DESKS = (
    ("/desk/ads", N_("Quảng cáo"), N_("Duyệt mẫu, theo dõi tiến độ, vị trí và giá.")),
    ("/desk/subscriptions", N_("Bạn đọc"), N_("Gói đọc báo, thuê bao, chính sách tường phí.")),
    ("/desk/events", N_("Sự kiện"), N_("Vé, gói tài trợ, đợt thanh toán.")),
    ("/desk/payments", N_("Thanh toán"), N_("Đối soát, khoản treo, hoàn tiền.")),
    ("/finance", N_("Doanh thu"), N_("Doanh thu theo nguồn, mục tiêu +20 %, sổ sách.")),
    ("/desk/people", N_("Nhân sự"), N_("Mời người, phân vai trò, mất điện thoại.")),
    ("/desk/keys", N_("Khóa máy chủ"), N_("Khóa cho hệ thống tòa soạn.")),
    ("/desk/audit", N_("Nhật ký"), N_("Ai làm gì, trước và sau, vì sao.")),
    ("/desk/messages", N_("Thư đã gửi"), N_("Hàng đợi, thư bị trả, hạn mức.")),
)
"""Address, title, and what is done there."""
OPENS = {
    **DOORS,
    "/desk/people": may_manage_people,
    "/desk/keys": may_manage_people,
    "/desk/audit": may_read_trail,
    "/desk/messages": may_read_trail,
}
"""The right that opens each of them."""

ROLE_ERROR = N_("Hãy chọn ít nhất một vai trò và nhập đúng địa chỉ e-mail.")
ServerScope = Literal["subscriptions:access", "ads:serve"]

Why = Annotated[str, Meta(min_length=3, max_length=500)]


class InviteForm(msgspec.Struct, frozen=True):
    email: str = ""
    name: Annotated[str, Meta(max_length=200)] = ""
    agency: str = ""
    roles: list[StaffRole] = []


class RolesForm(msgspec.Struct, frozen=True):
    agency: str
    why: Why
    roles: list[StaffRole] = []


class ResetForm(msgspec.Struct, frozen=True):
    agency: str
    why: Why


class KeyForm(msgspec.Struct, frozen=True):
    name: Annotated[str, Meta(min_length=1, max_length=200)]
    agency: str
    scopes: list[ServerScope] = []


class RevokeForm(msgspec.Struct, frozen=True):
    key: UUID


@get("/desk", include_in_schema=False, guards=[is_staff])
async def show_desk(request: Request, tx: NamedDependency[Tx]) -> Template:
    """The cards of what this person's roles lead to."""
    principal = auth.principal_of(request)
    return page(
        request,
        "accounts_desk.html",
        cards=[card for card in DESKS if OPENS[card[0]].agencies(principal)],
        principal=principal,
        held_roles=principal.roles,
        roles=ROLES,
        names=await _names(tx),
    )


@get("/desk/people", include_in_schema=False, guards=[may_manage_people])
async def show_people(request: Request, tx: NamedDependency[Tx]) -> Template:
    return await _people(request, tx, InviteForm())


@post("/desk/people", include_in_schema=False, guards=[may_manage_people])
async def invite(request: Request, tx: NamedDependency[Tx]) -> Response[Any]:
    """Mail an invitation; its link is also shown, for whoever sits beside."""
    principal = auth.principal_of(request)
    form = read_form(await request.form(), InviteForm)
    try:
        link = await people.invite(
            tx,
            request.app.state.settings,
            agency=form.agency,
            email=form.email,
            name=form.name,
            roles=[str(role) for role in form.roles],
            actor=principal,
        )
    except Unprocessable:
        return await _people(request, tx, form, ROLE_ERROR, status_code=422)
    shown = await _people(request, tx, InviteForm(), link=link)
    shown.background = cookies.send_now(request)
    return cookies.private(shown)


@get("/desk/people/{person:uuid}", include_in_schema=False, guards=[may_manage_people])
async def show_person(request: Request, tx: NamedDependency[Tx], person: FromPath[UUID]) -> Template:
    return await _person(request, tx, person)


async def _person(request: Request, tx: Tx, person: UUID) -> Template:
    principal = auth.principal_of(request)
    found = await _colleague(tx, person)
    return page(
        request,
        "accounts_person.html",
        colleague=found,
        names=await _names(tx),
        roles={role: ROLES[role] for role in STAFF},
        devices=await queries.devices(tx, person),
        resets=[r for r in await queries.resets(tx, seen(tx)) if r.person == person],
        is_me=person == principal.id,
        tabs=people_tabs(request, principal),
    )


@post("/desk/people/{person:uuid}/roles", include_in_schema=False, guards=[may_manage_people])
async def set_roles(request: Request, tx: NamedDependency[Tx], person: FromPath[UUID]) -> Response[Any]:
    principal = auth.principal_of(request)

    async def work() -> Redirect:
        form = read_form(await request.form(), RolesForm)
        roles = [str(role) for role in form.roles]
        await people.set_roles(tx, principal, person, form.agency, roles, form.why)
        return Redirect("/desk/people", status_code=303)

    return await or_again(request, tx, work(), lambda: _person(request, tx, person))


@post("/desk/people/{person:uuid}/reset", include_in_schema=False, guards=[may_manage_people])
async def ask_reset(request: Request, tx: NamedDependency[Tx], person: FromPath[UUID]) -> Response[Any]:
    """The first of two: say that a colleague's phone is lost, and why you believe it."""
    principal = auth.principal_of(request)

    async def work() -> Redirect:
        form = read_form(await request.form(), ResetForm)
        await second_step.ask_reset(tx, principal, person, form.agency, form.why)
        return Redirect("/desk/people", status_code=303)

    return await or_again(request, tx, work(), lambda: _person(request, tx, person))


@post("/desk/people/resets/{reset:uuid}", include_in_schema=False, guards=[may_manage_people])
async def approve_reset(request: Request, tx: NamedDependency[Tx], reset: FromPath[UUID]) -> Redirect:
    """The second of two."""
    await second_step.approve_reset(tx, auth.principal_of(request), reset)
    return Redirect("/desk/people", status_code=303)


@get("/desk/keys", include_in_schema=False, guards=[may_manage_people])
async def show_keys(
    request: Request, tx: NamedDependency[Tx], made: FromQuery[UUID | None] = None
) -> Template:
    return await _keys(request, tx, made)


async def _keys(request: Request, tx: Tx, made: UUID | None = None) -> Template:
    principal = auth.principal_of(request)
    found = await queries.keys(tx, organisation=None)
    names = await _names(tx)
    shown = page(
        request,
        "accounts_server_keys.html",
        keys=[k for k in found if k.revoked_at is None and k.expires_at > clock.now()],
        orphans=_orphans(found, await queries.staff(tx, seen(tx))),
        fresh=await keys.shown_again(tx, request.app.state.settings, principal, made) if made else "",
        scopes=get_args(ServerScope),
        agencies=_own_agencies(principal, names),
        names=names,
        tabs=people_tabs(request, principal),
    )
    shown.headers["cache-control"] = "no-store"
    return shown


def _orphans(found: list[queries.Key], staff: list[queries.StaffMember]) -> set[UUID]:
    """Keys whose maker, who has seen them, is no administrator any more: programs run on them, so people decide."""
    makers = {
        f"person:{who.id}" for who in staff if any("administrator" in roles for roles in who.roles.values())
    }
    return {key.id for key in found if key.made_by.startswith("person:") and key.made_by not in makers}


@post("/desk/keys", include_in_schema=False, guards=[may_manage_people])
async def make_key(request: Request, tx: NamedDependency[Tx]) -> Response[Any]:
    principal = auth.principal_of(request)

    async def work() -> Redirect:
        form = read_form(await request.form(), KeyForm)
        if not form.scopes:
            raise Unprocessable("Choose at least one right for the key.", field="scopes")
        made = await keys.make_key_as(
            tx,
            principal,
            agency=form.agency,
            name=form.name,
            scopes=[str(scope) for scope in form.scopes],
            own=False,
        )
        return Redirect(f"/desk/keys?made={made.id}", status_code=303)

    return await or_again(request, tx, once(request, tx, work()), lambda: _keys(request, tx))


@post("/desk/keys/revoke", include_in_schema=False, guards=[may_manage_people])
async def revoke_key(request: Request, tx: NamedDependency[Tx]) -> Redirect:
    form = read_form(await request.form(), RevokeForm)
    await keys.revoke_key(tx, form.key, auth.principal_of(request))
    return Redirect("/desk/keys", status_code=303)


async def _people(
    request: Request,
    tx: Tx,
    form: InviteForm,
    error: str | None = None,
    link: str = "",
    status_code: int = 200,
) -> Template:
    principal = auth.principal_of(request)
    names = await _names(tx)
    return page(
        request,
        "accounts_people.html",
        status_code=status_code,
        staff=[_shown(request, found, names) for found in await queries.staff(tx, seen(tx))],
        invitations=[
            {
                **msgspec.structs.asdict(i),
                "agency": names.get(i.agency, i.agency),
                "roles": said(request, i.roles),
            }
            for i in await queries.invitations(tx, seen(tx))
        ],
        resets=await queries.resets(tx, seen(tx)),
        me=principal.id,
        form=form,
        error=error,
        link=link,
        names=names,
        agencies=_own_agencies(principal, names),
        roles=ROLES,
        staff_roles=STAFF,
        tabs=people_tabs(request, principal),
    )


async def _colleague(tx: Tx, person: UUID) -> queries.StaffMember:
    for found in await queries.staff(tx, seen(tx)):
        if found.id == person:
            return found
    raise NotFound("There is no such colleague.")


def _own_agencies(principal: auth.Principal, names: dict[str, str]) -> list[tuple[str, str]]:
    """Where this person is administrator, by code and name."""
    return [(code, names.get(code, code)) for code in sorted(may_manage_people.agencies(principal))]


def _shown(request: Request, found: queries.StaffMember, names: dict[str, str]) -> dict[str, Any]:
    """A colleague as a row: roles in words, at which agency."""
    lang = language_of(request)
    held = [f"{names.get(code, code)}: {said(request, roles)}" for code, roles in found.roles.items()]
    return {
        "id": found.id,
        "name": found.name or found.email,
        "email": found.email,
        "roles": " · ".join(held),
        "totp": (translate(lang, "Có"), "success") if found.two_step else (translate(lang, "Chưa"), "warn"),
    }


async def _names(tx: Tx) -> dict[str, str]:
    return {a.code: a.name for a in await queries.agencies(tx)}


routes = [
    show_desk,
    show_people,
    invite,
    show_person,
    set_roles,
    ask_reset,
    approve_reset,
    show_keys,
    make_key,
    revoke_key,
]
