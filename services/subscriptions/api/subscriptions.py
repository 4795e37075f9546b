"""Subscriptions for programs and staff."""

from uuid import UUID

from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery

from services.subscriptions.queries import subscriptions as queries
from shared.auth import Right
from shared.db import Tx
from shared.lists import Limit, Page, decode_cursor, page_of

may_read_subscriptions = Right(
    roles={"subscriptions", "finance", "administrator", "auditor"}, scope="subscriptions:read"
)


@get("/api/subscriptions/v1/subscriptions", guards=[may_read_subscriptions])
async def list_subscriptions(
    tx: NamedDependency[Tx],
    person: FromQuery[UUID | None] = None,
    cursor: FromQuery[str] = "",
    limit: Limit = 50,
) -> Page[queries.Subscription]:
    """Subscriptions of your agencies, newest first, or those of one person."""
    found = await queries.listed(tx, person=person, before=decode_cursor(cursor, UUID), limit=limit)
    return page_of(found, limit)


@get("/api/subscriptions/v1/subscriptions/{subscription:uuid}", guards=[may_read_subscriptions])
async def show_subscription(tx: NamedDependency[Tx], subscription: FromPath[UUID]) -> queries.Subscription:
    """One subscription with its periods and invoices."""
    return await queries.one(tx, subscription)


routes = [list_subscriptions, show_subscription]
