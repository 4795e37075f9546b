"""What each `type` of a problem+json leads to: all refusals of the house, with their reasons."""

from litestar import get
from litestar.response import Template

from services.accounts.pages.cookies import Web
from shared.web import page
from shared.web.problems import REASONS, problems


@get("/docs/problems", include_in_schema=False, sync_to_thread=False)
def show_problems(request: Web) -> Template:
    return page(request, "accounts_problems.html", problems=problems(), reasons=REASONS)


routes = [show_problems]
