"""A refused form comes back as it was filled in, with the reason beside its field; a done one says so once."""

import base64
from collections.abc import Awaitable, Callable, Coroutine
from http import HTTPStatus
from typing import Any

from litestar import Response
from litestar.datastructures import Cookie
from litestar.response import Template

from shared import links
from shared.auth import principal_of
from shared.db import Tx
from shared.errors import NotFound, Refused
from shared.request import Request
from shared.settings import Settings

AGAIN = {
    HTTPStatus.BAD_REQUEST: HTTPStatus.UNPROCESSABLE_ENTITY,
    HTTPStatus.CONFLICT: HTTPStatus.CONFLICT,
    HTTPStatus.PRECONDITION_FAILED: HTTPStatus.PRECONDITION_FAILED,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.UNPROCESSABLE_ENTITY: HTTPStatus.UNPROCESSABLE_ENTITY,
}
"""The refusals that a person can mend in the form itself, and the status with which it comes back."""

TOLD = "nt_told"
TOLD_S = 60


class Typed:
    """What a refused form was sent with. `ui.form` says which form it draws; only the one that was sent is filled."""

    def __init__(self, action: str = "", form: Any = None, refusal: Refused | None = None) -> None:
        self.action = action
        self.refusal = refusal
        self.sentence = refusal.sentence if refusal else ""
        self._form = form
        self._field = str(refusal.more.get("field", "")) if refusal else ""
        self._open = False
        self._said = False
        self._drawn = False

    def begin(self, action: str) -> None:
        """The form of this address is being drawn."""
        self._open = self.refusal is not None and action.split("?", maxsplit=1)[0] == self.action
        self._drawn = self._drawn or self._open

    def end(self) -> None:
        self._open = False

    @property
    def unsaid(self) -> bool:
        """Whether the form that was sent has been drawn without a field to say the reason at."""
        return self._open and not self._said

    @property
    def unheard(self) -> bool:
        """Whether the page that comes back does not have the form any more."""
        return self.refusal is not None and not self._drawn

    def all(self, name: str, otherwise: list[str]) -> list[str]:
        """What was typed or chosen under a name, else what the page would have shown."""
        if not self._open or self._form is None:
            return otherwise
        return [value for value in self._form.getall(name, []) if isinstance(value, str)]

    def one(self, name: str, otherwise: Any) -> Any:
        if not self._open or self._form is None or name not in self._form:
            return otherwise
        return next(iter(self.all(name, [])), otherwise)

    def error(self, name: str) -> str:
        """The reason, at the field which it is about."""
        if not self._open or name != self._field:
            return ""
        self._said = True
        return self.sentence


def typed_in(request: Request) -> Typed:
    """What the form was sent with that this answer shows again; nothing on any other page."""
    found = request.scope["state"].get("typed")
    return found if isinstance(found, Typed) else Typed()


async def or_again(
    request: Request,
    tx: Tx,
    work: Coroutine[Any, Any, Response[Any]],
    show: Callable[[], Awaitable[Template]],
) -> Response[Any]:
    """Do what a form asks for. Refused, undo it and `show` the form's page again as it was filled in."""
    try:
        async with tx.begin_nested():
            return await work
    except Refused as refusal:
        return await again(request, refusal, show)


async def again(request: Request, refusal: Refused, show: Callable[[], Awaitable[Template]]) -> Template:
    """Show a form's page again as it was filled in, with the reason. Raises the refusal where no form can mend it."""
    status = AGAIN.get(HTTPStatus(refusal.status))
    if status is None:
        raise refusal
    form = await request.form()
    request.scope["state"]["typed"] = Typed(request.url.path, form, refusal)
    answer = await show()
    answer.status_code = status
    return answer


def tell(request: Request, answer: Response[Any], path: str, **what: object) -> Response[Any]:
    """Let the page that follows say once what was done: in a signed cookie, since an address could be made up."""
    settings: Settings = request.app.state.settings
    word = links.signed(settings, f"told:{path}", TOLD_S, who=principal_of(request).subject, **what)
    answer.set_cookie(_cookie(settings, base64.urlsafe_b64encode(word.encode()).decode(), path, TOLD_S))
    return answer


def told(request: Request) -> dict[str, str]:
    """What was just done by this person, for this page to say; empty when nothing was, or it was said."""
    settings: Settings = request.app.state.settings
    given = request.cookies.get(_name(settings), "")
    path = request.url.path
    try:
        start, _, query = base64.urlsafe_b64decode(given).decode().partition("?")
        what = links.opened(settings, f"told:{path}", query) if start == f"told:{path}" else {}
    except (ValueError, NotFound, links.LinkExpired):
        return {}
    if what.pop("who", None) != principal_of(request).subject:
        return {}
    request.scope["state"]["told"] = True
    return what


def told_cookies(request: Request) -> list[Cookie]:
    """The end of the cookie whose word this answer says."""
    settings: Settings = request.app.state.settings
    return [_cookie(settings, "", request.url.path, 0)] if request.scope["state"].get("told") else []


def _name(settings: Settings) -> str:
    return f"__Host-{TOLD}" if settings.secure else TOLD


def _cookie(settings: Settings, value: str, path: str, max_age_s: int) -> Cookie:
    # A name with `__Host-` obliges to the whole path; the signed word names its page by itself.
    return Cookie(
        key=_name(settings),
        value=value,
        path="/" if settings.secure else path,
        max_age=max_age_s,
        httponly=True,
        secure=settings.secure,
        samesite="lax",
    )
