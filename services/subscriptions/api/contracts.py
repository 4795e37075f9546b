"""Subscriptions for programs and staff."""

from typing import Annotated
from uuid import UUID

from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, QueryParameter

from services.subscriptions.queries import subscriptions as queries
from shared.auth import Right
from shared.db import Tx
from shared.errors import BadInput
from shared.http import Page, decode_cursor, page_of

may_read_subscriptions = Right(
    roles={"subscriptions", "finance", "administrator", "auditor"}, scope="subscriptions:read"
)

Limit = Annotated[int, QueryParameter(ge=1, le=200)]


@get("/api/subscriptions/v1/subscriptions", guards=[may_read_subscriptions])
async def list_subscriptions(
    tx: NamedDependency[Tx],
    person: FromQuery[UUID | None] = None,
    cursor: FromQuery[str | None] = None,
    limit: Limit = 50,
) -> Page[queries.Subscription]:
    """Subscriptions of your agencies, newest first, or those of one person."""
    found = await queries.listed(tx, person=person, before=_before(cursor), limit=limit)
    return page_of(found, limit)


@get("/api/subscriptions/v1/subscriptions/{subscription:uuid}", guards=[may_read_subscriptions])
async def show_subscription(tx: NamedDependency[Tx], subscription: FromPath[UUID]) -> queries.Subscription:
    """One subscription with its periods and invoices."""
    return await queries.one(tx, subscription)


def _before(cursor: str | None) -> UUID | None:
    try:
        return UUID(decode_cursor(cursor)) if cursor else None
    except ValueError as error:
        raise BadInput("The cursor is not one that we gave.") from error


routes = [list_subscriptions, show_subscription]
