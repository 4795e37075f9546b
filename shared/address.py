"""What the address of a request may hold: no NUL anywhere, and in the JSON API no parameter that nobody reads."""

from collections.abc import Iterable
from typing import Any, cast
from urllib.parse import parse_qsl, urlsplit

from litestar import Litestar
from litestar.enums import ScopeType
from litestar.routes import HTTPRoute
from litestar.types import ASGIApp, Receive, Scope, Send

from shared.errors import BadInput
from shared.http import NO_NUL

Parameters = dict[int, frozenset[str]]
"""The query parameters that each handler reads, by its identity."""


class UnknownParameter(BadInput, status=400):
    """The JSON API was asked with a query parameter that it does not know."""


def check_address(scope: Scope) -> None:
    """Refuse a NUL in a path or query, as `check_body` and `read_form` do in a body. Raises BadInput."""
    if b"%00" in scope["query_string"] or "\0" in scope["path"]:
        raise BadInput(NO_NUL)


def is_host(text: str) -> bool:
    """Whether a `Host`, where one is sent, is a name or number with a port that there can be."""
    try:
        parts = urlsplit(f"//{text}")
        port = parts.port
    except ValueError:
        return False
    return not text or (parts.netloc == text and bool(parts.hostname) and port != 0)


def check_parameters(scope: Scope, known: Iterable[str]) -> None:
    """Refuse what would be ignored: `?form=2026-01-01` must not answer as if nothing had been asked.

    Pages ignore what they do not know, for links carry marks of where they were found. Raises UnknownParameter.
    """
    if not scope["query_string"] or not scope["path"].startswith("/api/"):
        return
    names = [name for name, _ in parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)]
    for name in names:
        if name not in known:
            listed = ", ".join(f"`{each}`" for each in sorted(known)) or "none"
            raise UnknownParameter(f"There is no query parameter `{name[:40]}` here. Known: {listed}.")
        if names.count(name) > 1:
            raise BadInput(f"Give the query parameter `{name}` once: of several only one could count.")


def parameters(app: Litestar) -> Parameters:
    """What each handler of an app reads from the query, out of the signatures that Litestar itself goes by."""
    return {
        id(handler): frozenset(one.field_alias for one in model.expected_query_params)
        for route in app.routes
        if isinstance(route, HTTPRoute)
        for handler, model in route.route_handler_map.values()
    }


def checked(app: ASGIApp) -> ASGIApp:
    """Middleware that checks the address of each request."""

    async def check(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == ScopeType.HTTP:
            check_address(scope)
            known = cast("Any", scope)["litestar_app"].state.parameters.get(id(scope["route_handler"]))
            if known is not None:
                check_parameters(scope, known)
        await app(scope, receive, send)

    return check
