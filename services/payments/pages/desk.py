"""The frame of the desk of payments: its tabs with what waits for a person, and who may do what there."""

from typing import Any, Literal
from uuid import UUID

import msgspec
from litestar.response import Template

from services.payments import queries
from services.payments.queries import refunds as found
from shared import auth, clock
from shared.contracts.roles import OVERSEERS
from shared.db import Tx
from shared.errors import NotSignedIn
from shared.request import Request
from shared.web import language_of, page, translate

DESK = "/desk/payments"
PAGE = 50

may_see_payments = auth.Right(roles=OVERSEERS)
may_handle_money = auth.Right(roles={"finance"})
may_approve = auth.Right(roles={"finance_approver"})


class ChoiceForm(msgspec.Struct, frozen=True):
    choice: Literal["yes", "no"]


async def desk(request: Request, tx: Tx, template: str, current: str, **context: Any) -> Template:
    """A page of the desk; `me` is who looks, who never agrees with themselves.

    `approves` and `handles` are the agencies where they may: nobody is shown a button that is refused.
    """
    tabs, principal = await _tabs(tx, language_of(request)), auth.principal_of(request)
    return page(
        request,
        template,
        tabs=tabs,
        current=current,
        me=person_of(request),
        approves=may_approve.agencies(principal),
        handles=may_handle_money.agencies(principal),
        **context,
    )


async def _tabs(tx: Tx, lang: str) -> list[tuple[Any, ...]]:
    """The desk's parts; where something may wait for a person, with how much."""
    unclear = len(await queries.held(tx)) + len(await queries.untold_attempts(tx, clock.now()))
    return [
        (DESK, translate(lang, "Tiền đã nhận")),
        (f"{DESK}/held", translate(lang, "Bị nghi ngờ"), unclear),
        (f"{DESK}/suspense", translate(lang, "Tiền treo"), await queries.suspense_count(tx)),
        (f"{DESK}/refunds", translate(lang, "Hoàn tiền"), await found.refunds_waiting(tx, clock.now())),
        (f"{DESK}/rails", translate(lang, "Cách trả"), len(await found.proposals(tx, "rail"))),
    ]


def person_of(request: Request) -> UUID:
    """Who decides. Raises NotSignedIn."""
    person = auth.principal_of(request).id
    if person is None:
        raise NotSignedIn("Sign in to decide about money.")
    return person
