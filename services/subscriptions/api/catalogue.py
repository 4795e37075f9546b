"""Packages and prices for programs: public to read, staff's to write."""

from typing import Annotated
from uuid import UUID

import msgspec
from litestar import get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody

from services.subscriptions.actions import catalogue as actions
from services.subscriptions.queries import catalogue as queries
from shared.auth import Right, principal_of
from shared.contracts.roles import SUBSCRIPTION_STAFF
from shared.db import Tx
from shared.http import once
from shared.request import Request

may_offer_packages = Right(roles=SUBSCRIPTION_STAFF, scope="subscriptions:catalogue")

AgencyCode = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]


@get("/api/subscriptions/v1/packages")
async def list_packages(tx: NamedDependency[Tx], agency: FromQuery[AgencyCode]) -> list[queries.Package]:
    """What an agency, or its heir, sells today, VAT included and shown."""
    return await queries.packages(tx, await queries.heir(tx, agency))


@post("/api/subscriptions/v1/packages", guards=[may_offer_packages])
async def offer_package(
    request: Request, tx: NamedDependency[Tx], data: JSONBody[actions.PackageOffer]
) -> actions.Made:
    """Put a package on sale; it shows once it has a price."""
    return await once(request, tx, actions.offer_package(tx, data, principal_of(request)))


@post("/api/subscriptions/v1/packages/{package:uuid}/prices", guards=[may_offer_packages])
async def set_price(
    request: Request,
    tx: NamedDependency[Tx],
    package: FromPath[UUID],
    data: JSONBody[actions.PriceOffer],
) -> actions.Made:
    """Set a new price version; who bought at an older one keeps it."""
    return await once(request, tx, actions.set_price(tx, package, data, principal_of(request)))


routes = [list_packages, offer_package, set_price]
