"""Whoever knocks at every door of a service: the doors, what fits into them, and what the service holds afterwards."""

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, NamedTuple, get_args

import psycopg
from litestar.handlers import HTTPRouteHandler
from litestar.middleware.csrf import generate_csrf_token
from litestar.routes import HTTPRoute
from psycopg import sql

from ops.embedded import Stack
from shared import auth, clock, openapi
from shared.calendar import local_day
from shared.contracts.scopes import Scope
from tests.conftest import Flat

DOCUMENTS = re.compile(r"openapi|\{path\}|^/static/|^/metrics$|^/desk/components$")
"""The same for everyone and without input."""

UUIDS = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}")

PUBLIC_TABLES = "SELECT tablename FROM pg_policies WHERE policyname LIKE '%\\_public'"
UNKEPT = {"notification", "sim_behaviour", "version", "challenge", "device"}
"""What a refused request may leave behind: the log of notifications, counters of tries."""


class Door(NamedTuple):
    """One path and method; `path` names its parameters in braces. Raw handlers read and guard by themselves."""

    method: str
    path: str
    schema: Mapping[str, Any]
    handler: HTTPRouteHandler | None = None


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", "replace")


class Visitor:
    """Knocks as the edge would: bytes of a path and query, headers, a body; what escapes the app fails the test."""

    def __init__(self, flat: Flat, stack: Stack) -> None:
        self.flat = flat
        self.signer = auth.Signer(stack.settings("accounts"))
        self.csrf = generate_csrf_token(flat.kit.settings.csrf_secret)

    async def knock(
        self,
        method: str,
        path: str,
        *,
        query: bytes = b"",
        headers: Mapping[str, str] = {},
        body: bytes = b"",
        kind: str = "application/json",
    ) -> Answer:
        given = {"host": "localhost", "content-type": kind, "content-length": str(len(body)), **headers}
        told: list[dict[str, Any]] = []
        sent = iter([{"type": "http.request", "body": body, "more_body": False}])

        async def receive() -> Any:
            return next(sent, {"type": "http.disconnect"})

        async def send(message: Any) -> None:
            told.append(message)

        scope: Any = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode("utf-8", "surrogateescape"),
            "query_string": query,
            "root_path": "",
            "headers": [(k.lower().encode(), v.encode("latin-1")) for k, v in given.items()],
            "client": ("127.0.0.1", 5),
            "server": ("localhost", 80),
            "state": {},
        }
        await self.flat.app(scope, receive, send)
        head = {k.decode().lower(): v.decode("latin-1") for k, v in told[0]["headers"]}
        return Answer(told[0]["status"], head, b"".join(m.get("body", b"") for m in told[1:]))

    def key(self, *, expired: bool = False, **more: Any) -> dict[str, str]:
        """Headers of a program: a key with every scope."""
        who = auth.Principal(kind="key", **{"id": clock.new_id(), "scopes": [*get_args(Scope)], **more})
        until = clock.now() + timedelta(hours=-1 if expired else 1)
        return {
            "Authorization": f"Bearer {self.signer.api_key(who, until)}",
            "Idempotency-Key": str(clock.new_id()),
            "If-Match": '"0"',
        }

    def person(self, **more: Any) -> dict[str, str]:
        """Headers of a browser: a page token, and the pair that a form carries. To the API it goes as a bearer's."""
        token = self.signer.page_token(auth.Principal(kind="person", **{"id": clock.new_id(), **more}))
        return {
            "Authorization": f"Bearer {token}",
            "Cookie": f"{auth.PAGE_COOKIE}={token}; nt_csrf={self.csrf}",
            "X-CSRFToken": self.csrf,
            "Idempotency-Key": str(clock.new_id()),
            "If-Match": '"0"',
        }

    def document(self) -> Any:
        """The service's OpenAPI document."""
        return openapi.document(self.flat.app, self.flat.kit.service, local_day(clock.now()))

    def nobody(self) -> dict[str, str]:
        """A browser without a sign-in, whose forms are its own."""
        return {"Cookie": f"nt_csrf={self.csrf}", "X-CSRFToken": self.csrf}


def doors(visitor: Visitor) -> list[Door]:
    """Every door: the paths of the OpenAPI document, and pages and raw handlers as they are registered."""
    documents = visitor.document()["paths"]
    found = {}
    for route in visitor.flat.app.routes:
        path = re.sub(r"\{(\w+):\w+\}", r"{\1}", route.path)
        methods = set(route.methods) - {"OPTIONS"} if isinstance(route, HTTPRoute) else {"GET", "POST"}
        for method in sorted(methods):
            handler = route.route_handler_map[method][0] if isinstance(route, HTTPRoute) else None
            found[method, path] = Door(method, path, documents.get(path, {}).get(method.lower(), {}), handler)
    for path, methods_ in documents.items():
        for method in methods_:
            assert (method.upper(), path) in found
    return [door for door in found.values() if not DOCUMENTS.search(door.path)]


def filled(door: Door, values: Mapping[str, list[str]]) -> list[str]:
    """The door's paths with what is known filled in; at most four of them."""
    names = re.findall(r"\{(\w+)\}", door.path)
    paths = []
    for n in range(4 if names else 1):
        path = door.path
        for name in names:
            known = values.get(name) or values.get("*") or ["x"]
            path = path.replace(f"{{{name}}}", known[n % len(known)])
        paths.append(path)
    return list(dict.fromkeys(paths))


def counts(db: psycopg.Connection[Any]) -> dict[str, int]:
    """Rows of every table."""
    names = [
        r[0]
        for r in db.execute(
            "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
        )
    ]
    return {
        name: db.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(name))).fetchone()[0]  # type: ignore[index]
        for name in names
        if name not in UNKEPT
    }


def secrets_of(db: psycopg.Connection[Any], agency: str) -> tuple[set[str], dict[str, list[str]]]:
    """Ids of an agency's rows that are nobody else's business, and the newest ids to fill into paths."""
    public = {r[0] for r in db.execute(PUBLIC_TABLES)}
    tables = db.execute(
        "SELECT a.table_name FROM information_schema.columns a JOIN information_schema.columns i USING (table_name) "
        "WHERE a.table_schema = 'public' AND a.column_name = 'agency' AND i.column_name = 'id' AND i.data_type = 'uuid'"
    )
    private: set[str] = set()
    known: dict[str, list[str]] = {"*": []}
    for (name,) in tables.fetchall():
        query = sql.SQL("SELECT id FROM {} WHERE agency = %s ORDER BY id DESC LIMIT 500")
        ids = [str(r[0]) for r in db.execute(query.format(sql.Identifier(name)), [agency])]
        known["*"] += ids[:1]
        for parameter in (name, f"{name}_id"):
            known[parameter] = ids
        if name not in public:
            private.update(ids)
    known["agency"] = [agency]
    if "entrant" in known:
        bibs = db.execute("SELECT bib FROM entrant WHERE agency = %s AND bib IS NOT NULL", [agency])
        known["bib"] = known["ticket"] = [str(r[0]) for r in bibs]
    if "person" in known:
        colleagues = "SELECT DISTINCT person FROM person_role WHERE agency = %s AND role <> 'reader'"
        known["person"] = [str(r[0]) for r in db.execute(colleagues, [agency])]
    if "event" in known:
        known["slug"] = [r[0] for r in db.execute("SELECT slug FROM event WHERE agency = %s", [agency])]
    return private, known
