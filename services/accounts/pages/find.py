"""The desk's one search and one card, and what accounts itself answers to both: people, organisations, letters."""

from typing import Any
from uuid import UUID

from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery
from litestar.response import Redirect, Template

from services.accounts.pages.rights import is_staff
from services.accounts.pages.words import ROLES, state_of
from services.accounts.queries import find as queries
from shared.agencies import names_of
from shared.db import Tx
from shared.request import Request
from shared.sought import Sought
from shared.web import N_, language_of, page, translate
from shared.web.doors import SEARCHED
from shared.web.found import (
    ASKED,
    MOST,
    Part,
    Row,
    answer_card,
    answer_find,
    as_part,
    asked,
    finds,
    part,
    searched_by,
)
from shared.web.page import address

DESK = "/desk/accounts"

_, may_find = SEARCHED[DESK]

ELSEWHERE = N_("Tài khoản ở cơ quan khác; cơ quan bạn từng gửi thư tới địa chỉ này.")


@get("/desk/find", include_in_schema=False, guards=[is_staff])
async def show_find(request: Request, q: FromQuery[str] = "") -> Template:
    """The one field; every flat in which the person may search answers beside the others."""
    wanted, error = asked(q)
    parts = [(title, address(f"{desk}/find", {"q": q})) for desk, title in searched_by(request)]
    return page(
        request,
        "accounts_find.html",
        status_code=422 if error else 200,
        q=q,
        error=error,
        parts=parts if wanted else [],
    )


@get("/desk/card/{buyer:uuid}", include_in_schema=False, guards=[may_find])
async def show_card(request: Request, tx: NamedDependency[Tx], buyer: FromPath[UUID]) -> Template:
    """All that the person may know of one buyer, side by side."""
    found = await queries.who(tx, buyer)
    parts = [(title, f"{desk}/card/{buyer}") for desk, title in searched_by(request)]
    return page(request, "accounts_card.html", name=_name(found), parts=parts)


@get(f"{DESK}/find", include_in_schema=False, guards=[may_find, finds])
async def find(request: Request, tx: NamedDependency[Tx], q: FromQuery[str] = "") -> Template:
    """People and organisations of the agencies where one works."""

    async def look(wanted: Sought) -> list[Part]:
        lang = language_of(request)
        others = await queries.addressees(tx, wanted, MOST)
        return [
            part(N_("Người"), await queries.people(tx, wanted, MOST), _person),
            part(N_("Tổ chức"), await queries.organisations(tx, wanted, MOST), _organisation),
            part(N_("Người nhận thư"), others, lambda one: _addressee(lang, one)),
        ]

    return await answer_find(request, DESK, q, look)


@get(f"{DESK}/card/{{buyer:uuid}}", include_in_schema=False, guards=[may_find])
async def show_who(request: Request, tx: NamedDependency[Tx], buyer: FromPath[UUID]) -> Template:
    """Who a buyer is, what they are here, for whom they act, and what was written to them."""
    found = await queries.who(tx, buyer)
    roles = await queries.roles(tx, buyer, MOST)
    names = await names_of(tx, [role.agency for role in roles])
    lang = language_of(request)

    def as_role(one: queries.Role) -> Row:
        return Row(title=translate(lang, ROLES[one.role]), note=names[one.agency], at=one.granted_at)

    def as_letter(one: queries.Letter) -> Row:
        mark = state_of(request, one.state)
        return Row(title=one.template, note=one.address, at=one.created_at, mark=mark)

    parts = [
        part(N_("Người"), [found] if isinstance(found, queries.Person) else [], _person),
        part(N_("Tổ chức"), [found] if isinstance(found, queries.Organisation) else [], _organisation),
        part(N_("Vai trò"), roles, as_role),
        part(N_("Hành động cho tổ chức"), await queries.acts_for(tx, buyer, MOST), _organisation),
        part(N_("Người của tổ chức"), await queries.members(tx, buyer, MOST), _person),
        part(N_("Thư đã gửi"), await queries.letters(tx, buyer, MOST), as_letter),
    ]
    return answer_card(request, DESK, buyer, parts)


@get(f"{DESK}/name/{{who:uuid}}", include_in_schema=False, guards=[may_find])
async def show_name(request: Request, tx: NamedDependency[Tx], who: FromPath[UUID]) -> Template | Redirect:
    """How somebody is called, for a page of another flat that knows the id alone: the way to their card, by name.

    Opened by itself it is the card.
    """
    if ASKED not in request.headers:
        return Redirect(f"/desk/card/{who}", status_code=303)
    name = _name(await queries.who(tx, who))
    return as_part(page(request, "accounts_name.html", layout="part.html", who=who, name=name))


def _name(found: queries.Person | queries.Organisation | None) -> str:
    """How to call whom a card is about; nothing where we may not know."""
    if isinstance(found, queries.Person):
        return found.name or found.email or found.phone or ""
    return found.name if found else ""


def _person(one: queries.Person) -> Row:
    reached = [text for text in (one.email, one.phone) if text]
    note = " · ".join(reached if one.name else reached[1:])
    return Row(title=one.name or reached[0], note=note, at=one.created_at, buyer=one.id)


def _organisation(one: queries.Organisation) -> Row:
    note = " · ".join(text for text in (one.tax_code, one.contact_name, one.email) if text)
    return Row(title=one.name, note=note, at=one.created_at, buyer=one.id)


def _addressee(lang: str, one: queries.Addressee) -> Row:
    note = translate(lang, ELSEWHERE)
    return Row(title=one.address, note=note, at=one.written_at, buyer=one.recipient)


routes: list[Any] = [show_find, show_card, find, show_who, show_name]
