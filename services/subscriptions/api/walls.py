"""An agency's wall for programs: read it, and change it naming the version you saw."""

from litestar import Response, get, put
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from services.subscriptions.actions.walls import change_policy
from services.subscriptions.queries.walls import Wall, wall
from services.subscriptions.rules.access import WallPolicy
from shared.auth import Right, principal_of
from shared.contracts.roles import SUBSCRIPTION_STAFF
from shared.db import Tx, check_seen
from shared.http import etag, require_match
from shared.request import Request

may_read_walls = Right(roles={*SUBSCRIPTION_STAFF, "auditor"}, scope="subscriptions:policies")
may_change_walls = Right(roles=SUBSCRIPTION_STAFF, scope="subscriptions:policies")


@get("/api/subscriptions/v1/policies/{agency:str}", guards=[may_read_walls])
async def show_wall(tx: NamedDependency[Tx], agency: FromPath[str]) -> Response[Wall]:
    """The wall in force; its ETag goes into If-Match of a change."""
    check_seen(tx, agency)
    found = await wall(tx, agency)
    return Response(found, headers={"ETag": etag(found.version)})


@put("/api/subscriptions/v1/policies/{agency:str}", guards=[may_change_walls])
async def change_wall(
    request: Request,
    tx: NamedDependency[Tx],
    agency: FromPath[str],
    data: JSONBody[WallPolicy],
) -> Response[Wall]:
    """Put a new version in force; every worker knows it within a second."""
    check_seen(tx, agency)
    seen = (await wall(tx, agency)).version
    require_match(request, seen)
    version = await change_policy(tx, agency, data, seen, principal_of(request).id)
    return Response(Wall(agency, version, data), headers={"ETag": etag(version)})


routes = [show_wall, change_wall]
