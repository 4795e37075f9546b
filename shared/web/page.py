"""What every `pages.py` returns: a template with the reader's language, theme and navigation put in."""

from collections.abc import Mapping
from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from jinja2 import ChoiceLoader, Environment, FileSystemLoader, StrictUndefined, pass_context
from jinja2.environment import TemplateModule
from jinja2.runtime import Context
from litestar import Router, get
from litestar.datastructures import Cookie, State
from litestar.plugins.jinja import JinjaTemplateEngine
from litestar.response import Template
from litestar.template import TemplateConfig

from shared import clock
from shared.auth import Principal, principal_of
from shared.request import Connection, Request
from shared.settings import Settings
from shared.web.again import told_cookies, typed_in
from shared.web.assets import static
from shared.web.doors import DOORS, NAVIGATION
from shared.web.formats import FILTERS
from shared.web.problems import REASONS, explain, way_on
from shared.web.sentences import said
from shared.web.words import LANGUAGES, translate, translate_n

TEMPLATES = Path(__file__).parent / "templates"
THEMES = ("light", "dark", "auto")
YEAR_S = 365 * 86_400


def language_of(request: Connection) -> str:
    """Vietnamese unless the reader chose English, now or before; a browser's settings do not choose."""
    return _chosen(request, "lang", LANGUAGES)


def page(request: Request, template: str, *, status_code: int = HTTPStatus.OK, **context: Any) -> Template:
    """Render a template with the context, plus language, theme, person, navigation and the parts `ui`."""
    lang, principal = language_of(request), principal_of(request)
    path, query = place_of(request)
    merged: dict[str, Any] = {
        "lang": lang,
        "theme": _chosen(request, "theme", ("auto", "light", "dark")),
        "person": principal if principal.kind == "person" else None,
        "nav": menu_of(principal, path),
        "path": path,
        "query": query,
        "layout": "base.html",
        "brand": "Nguồn Thu",
        "agency_name": "",
        "simulator": "",
        "typed": typed_in(request),
        "ui": Parts(),
        **context,
    }
    merged["lit"] = current_of(path, [href for href, _ in merged["nav"]])
    return Template(
        template,
        context=merged,
        status_code=status_code,
        cookies=[*_choices_to_keep(request), *told_cookies(request)],
        headers={
            **_security(request.app.state),
            "cache-control": "private, no-cache",
            "vary": "Cookie",
            "content-language": lang,
        },
        media_type="text/html",
    )


def place_of(request: Connection) -> tuple[str, dict[str, Any]]:
    """The page where a reader is, with its question: links that lead back lead there.

    What answers a form stands under the form's address, which nobody can open: the page is where it was sent from.
    """
    if request.scope.get("method") not in ("GET", "HEAD"):
        came_from = urlsplit(request.headers.get("referer", ""))
        if came_from.netloc == request.headers.get("host", ""):
            return came_from.path, dict(parse_qs(came_from.query))
    return request.url.path, dict(parse_qs(request.scope["query_string"].decode("latin-1")))


def menu_of(principal: Principal, path: str) -> list[tuple[str, str]]:
    """The links of the header for whoever asks; who stands before staff's doors without a key gets the readers'."""
    links = NAVIGATION.get(path.split("/")[1], NAVIGATION["reader"])
    opened = [link for link in links if link[0] not in DOORS or DOORS[link[0]].agencies(principal)]
    return opened if len(opened) > 1 else list(NAVIGATION["reader"])


def current_of(path: str, links: list[str]) -> str:
    """The link of a navigation under which a page lies: the longest that its address begins with."""
    above = [link for link in links if path == link or (link != "/" and path.startswith(f"{link}/"))]
    return max(above, key=len, default="")


def template_config(service_dir: Path) -> TemplateConfig[JinjaTemplateEngine]:
    """Jinja over the service's own templates, then the shared ones; a missing variable is an error."""
    return TemplateConfig(instance=JinjaTemplateEngine.from_environment(_environment(service_dir)))


@cache
def _environment(service_dir: Path) -> Environment:
    """One for all apps of a process, as tests have many: what was compiled for one need not be for the next."""
    environment = Environment(
        loader=ChoiceLoader([FileSystemLoader(service_dir / "templates"), FileSystemLoader(TEMPLATES)]),
        autoescape=True,
        undefined=StrictUndefined,
        # Code and templates change together, at a restart.
        auto_reload=False,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.do"],
    )
    environment.filters.update(FILTERS)
    environment.filters["said"] = _said
    environment.globals.update(
        {
            "_": _gettext,
            "gettext": _gettext,
            "ngettext": _ngettext,
            "static": static,
            "here": _here,
            "explain": explain,
            "reasons": REASONS,
            "way_on": way_on,
        }
    )
    environment.globals["idempotency_key"] = lambda: str(clock.new_id())
    return environment


def _security(state: State) -> dict[str, str]:
    """Our own scripts and styles only; pictures and frames from the advertisers' origin too."""
    settings: Settings = state.settings
    bank = f" {_origin(settings.vnpay_url)}" if settings.vnpay_url else ""
    policy = (
        "default-src 'self'",
        f"img-src 'self' data: {settings.creatives_url}",
        f"frame-src 'self' {settings.creatives_url}",
        "object-src 'none'",
        "base-uri 'none'",
        # Browsers check a redirect after a form too, and paying leads to the bank's address.
        f"form-action 'self'{bank}",
        "frame-ancestors 'none'",
    )
    return {
        "content-security-policy": "; ".join(policy),
        "x-content-type-options": "nosniff",
        "referrer-policy": "strict-origin-when-cross-origin",
    }


def component_routes() -> Router:
    """The page of the design system's parts, at `/desk/components`."""
    return Router("/desk/components", route_handlers=[show_components])


@get("/", sync_to_thread=False, include_in_schema=False)
def show_components(request: Request) -> Template:
    return page(request, "components.html", today=clock.now())


class Parts:
    """`ui` in templates: the macros of `ui.html`, which see the page's language without an import."""

    def __init__(self) -> None:
        self._module: TemplateModule | None = None

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)

        @pass_context
        def part(context: Context, *args: Any, **kwargs: Any) -> Any:
            if self._module is None:
                known = {key: context[key] for key in ("lang", "request", "path", "query", "typed")}
                self._module = context.environment.get_template("ui.html").make_module(known)
            return getattr(self._module, name)(*args, **kwargs)

        return part


def _chosen(request: Connection, name: str, allowed: tuple[str, ...]) -> str:
    for value in (request.query_params.get(name), request.cookies.get(name)):
        if value in allowed:
            return str(value)
    return allowed[0]


def _choices_to_keep(request: Connection) -> list[Cookie]:
    allowed = {"lang": LANGUAGES, "theme": THEMES}
    return [
        Cookie(key=name, value=value, max_age=YEAR_S, samesite="lax", path="/")
        for name, values in allowed.items()
        if (value := request.query_params.get(name)) in values and value is not None
    ]


@pass_context
def _gettext(context: Context, text: str, **values: object) -> str:
    return translate(context["lang"], text, **values)


@pass_context
def _ngettext(context: Context, one: str, many: str, n: int, **values: object) -> str:
    return translate_n(context["lang"], one, many, n, **values)


@pass_context
def _said(context: Context, sentence: str, code: str = "") -> str:
    return said(context["lang"], sentence, code)


@pass_context
def _here(context: Mapping[str, Any], **changes: str) -> str:
    """The address of this page with some of its query changed."""
    query = {k: v for k, v in context["query"].items() if k not in changes}
    return address(context["path"], {**query, **changes})


def address(path: str, query: Mapping[str, Any]) -> str:
    """A path with its question; what is empty is not asked."""
    asked = {name: value for name, value in query.items() if value not in ("", None)}
    return f"{path}?{urlencode(asked, doseq=True)}" if asked else path


def _origin(url: str) -> str:
    return "/".join(url.split("/")[:3])
