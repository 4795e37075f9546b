"""Styles, scripts and pictures of the pages, each under an address that changes with its content."""

from functools import cache
from hashlib import sha256
from mimetypes import guess_type

from litestar import Response, Router, get
from litestar.params import FromPath
from msgspec import Struct

from shared.errors import NotFound
from shared.request import Request
from shared.web.words import folders
from shared.wheels import folder_of

# Other people's scripts come from their packages and are not copied into this one.
THEIRS = {
    "htmx.js": ("django_htmx", "static/django_htmx/htmx-2.min.js"),
    "swagger/swagger-ui.css": ("flask_swagger_ui", "dist/swagger-ui.css"),
    "swagger/swagger-ui-bundle.js": ("flask_swagger_ui", "dist/swagger-ui-bundle.js"),
}
YEAR = "public, max-age=31536000, immutable"


class Asset(Struct, frozen=True):
    """A file as it is served."""

    body: bytes
    media_type: str
    version: str


@cache
def assets() -> dict[str, Asset]:
    """Each asset by its name below `/static/`; read once, so that no path of a request reaches the disk."""
    bodies = {
        path.name: path.read_bytes() for folder in folders() for path in (folder / "static").glob("*.*")
    }
    for name, (package, inside) in THEIRS.items():
        bodies[name] = (folder_of(package) / inside).read_bytes()
    return {name: _asset(name, body) for name, body in bodies.items()}


def _asset(name: str, body: bytes) -> Asset:
    media_type = guess_type(name)[0] or "application/octet-stream"
    return Asset(body, media_type, sha256(body).hexdigest()[:12])


def static(name: str) -> str:
    """The address of an asset, with the hash of its content. Raises KeyError for an unknown name."""
    return f"/static/{name}?v={assets()[name].version}"


@get("/{name:path}", sync_to_thread=False, opt={"exclude_from_csrf": True}, include_in_schema=False)
def serve_asset(request: Request, name: FromPath[str]) -> Response[bytes]:
    asset = assets().get(name.lstrip("/"))
    if asset is None:
        raise NotFound(f"There is no file {name!r} here.")
    current = request.query_params.get("v") == asset.version
    headers = {"cache-control": YEAR if current else "no-cache", "etag": f'"{asset.version}"'}
    if request.headers.get("if-none-match") == headers["etag"]:
        return Response(b"", status_code=304, headers=headers, media_type=asset.media_type)
    return Response(asset.body, headers=headers, media_type=asset.media_type)


def static_router() -> Router:
    """Serves `/static/*`; every app mounts it, so any of them can answer behind the edge."""
    return Router("/static", route_handlers=[serve_asset])
