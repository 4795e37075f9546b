"""The wall of an agency, as staff read and change it."""

from typing import Annotated, Any
from uuid import UUID

import msgspec
from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromQuery
from litestar.response import Redirect, Template

from services.subscriptions.actions.walls import change_policy
from services.subscriptions.pages.rights import may_change_walls, may_see_desk
from services.subscriptions.pages.words import RULES, WALLS, tabs_of
from services.subscriptions.queries.walls import wall
from services.subscriptions.rules.access import Rule, SectionPolicy, WallPolicy
from shared.agencies import name_of
from shared.auth import principal_of
from shared.db import Tx, check_seen
from shared.errors import Unprocessable
from shared.http import once, read_form
from shared.request import Request
from shared.web import page
from shared.web.again import or_again, tell, told, typed_in

COLUMNS = ("premium", "ordinary", "limit", "new_device_limit")

Cell = Annotated[str, msgspec.Meta(max_length=64)]


class WallForm(msgspec.Struct, frozen=True, kw_only=True):
    """The wall as a table: the first row is the default, rows without a section are left out."""

    agency: Cell
    version: int
    """The version that was in force when the table was read."""
    over: int = 0
    """A newer version that was shown since, and may be overwritten; 0 for none."""
    crawlers: Cell
    article_path: Annotated[str, msgspec.Meta(max_length=200)]
    section: list[Cell]
    premium: list[Rule]
    ordinary: list[Rule]
    limit: list[int]
    new_device_limit: list[int]


@get(WALLS, guards=[may_see_desk], include_in_schema=False)
async def show_walls(request: Request, tx: NamedDependency[Tx], agency: FromQuery[str] = "") -> Template:
    """The wall of one agency, as a form for those who may change it."""
    return await _walls(request, tx, agency)


async def _walls(request: Request, tx: Tx, agency: str, seen: str | None = None) -> Template:
    """The form, or a refused one again: what it was filled in upon is still the version that it had `seen`."""
    principal = principal_of(request)
    own = sorted(may_see_desk.agencies(principal))
    chosen = agency or own[0]
    check_seen(tx, chosen)
    found = await wall(tx, chosen)
    rows: list[tuple[str, Any]] = [("*", found.policy.default), *sorted(found.policy.sections.items())]
    return page(
        request,
        "subscriptions_walls.html",
        wall=found,
        seen=str(found.version) if seen is None else seen,
        in_force=rows,
        rows=await _rows(request) or rows,
        rules=RULES,
        tabs=tabs_of(request),
        agencies=[(f"/desk/subscriptions/policies?agency={code}", await name_of(tx, code)) for code in own],
        chosen=f"/desk/subscriptions/policies?agency={chosen}",
        agency_name=await name_of(tx, chosen),
        may_edit=chosen in may_change_walls.agencies(principal),
        saved=bool(told(request)),
    )


@post(WALLS, guards=[may_change_walls], include_in_schema=False)
async def change_wall(request: Request, tx: NamedDependency[Tx]) -> Response[Any]:
    """A new version of the wall; refused, the table comes back as it was filled in.

    Where somebody was faster, their version stands beside it, and is overwritten only by who ticks that it may be.
    """
    sent = await request.form()

    async def work() -> Response[Any]:
        form = read_form(sent, WallForm)
        done = await once(request, tx, _change(tx, form, principal_of(request).id))
        return tell(request, done, WALLS, saved=form.version)

    async def show() -> Template:
        agency, seen = (str(sent.get(name, "")) for name in ("agency", "version"))
        return await _walls(request, tx, agency, seen)

    return await or_again(request, tx, work(), show)


async def _rows(request: Request) -> list[tuple[str, dict[str, str]]]:
    """The rows of a refused form, as they were filled in."""
    if typed_in(request).refusal is None:
        return []
    sent = await request.form()
    cells = zip(*(sent.getall(name, []) for name in ("section", *COLUMNS)), strict=False)
    rows = [(str(name), dict(zip(COLUMNS, map(str, rest), strict=True))) for name, *rest in cells]
    return [row for row in rows if row[0]]


async def _change(tx: Tx, form: WallForm, by: UUID | None) -> Redirect:
    await change_policy(tx, form.agency, _policy(form), form.over or form.version, by)
    return Redirect(f"{WALLS}?agency={form.agency}", status_code=303)


def _policy(form: WallForm) -> WallPolicy:
    """Raises Unprocessable for what the API would refuse too."""
    columns = (form.premium, form.ordinary, form.limit, form.new_device_limit)
    if not form.section or any(len(column) != len(form.section) for column in columns):
        raise Unprocessable("The form's rows are not complete.")
    rows = [SectionPolicy(*cells) for cells in zip(*columns, strict=True)]
    named = {name: row for name, row in zip(form.section[1:], rows[1:], strict=True) if name}
    built = WallPolicy(rows[0], named, form.crawlers, form.article_path)  # type: ignore[arg-type]
    try:
        return msgspec.convert(msgspec.to_builtins(built), WallPolicy)
    except msgspec.ValidationError as error:
        raise Unprocessable(f"The wall cannot be read: {error}") from error


routes = [show_walls, change_wall]
