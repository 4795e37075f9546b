"""The cookies of a sign-in, and what a browser says of itself."""

from typing import Any

from litestar import Response
from litestar.background_tasks import BackgroundTask
from litestar.datastructures import Cookie
from litestar.response import Redirect, Template

from services.accounts.actions import messages
from services.accounts.actions.challenges import Browser, Outcome
from services.accounts.actions.sessions import Opened
from services.accounts.rules import STEP_LIFE, device_label
from shared import clock, strangers
from shared.auth import PAGE_COOKIE, Signer
from shared.request import Request
from shared.settings import Settings
from shared.web import language_of

SESSION = "nt_session"
STEP = "nt_step"
YEAR_S = 365 * 86_400


def given(request: Request, name: str) -> str:
    """The value of one of our cookies, or nothing."""
    return request.cookies.get(_name(request.app.state.settings, name), "")


def browser_of(request: Request) -> Browser:
    """Who asks, as far as a browser tells; a new browser gets its secret here and its cookie with the answer."""
    secret = strangers.device_of(request.app.state.settings, request.cookies)
    return Browser(
        device_secret=secret or clock.new_secret(256),
        network=strangers.asker_of(request).network,
        label=device_label(request.headers.get("user-agent", "")),
        lang=language_of(request),
        session_secret=given(request, SESSION),
    )


def step_cookie(settings: Settings, secret: str) -> Cookie:
    """What ties a code to the browser that asked for it."""
    return _cookie(settings, STEP, secret, "/account", int(STEP_LIFE.total_seconds()))


def signed_in_cookies(settings: Settings, opened: Opened, device_secret: str = "") -> list[Cookie]:
    """Session, page token and device. The page token's cookie outlives the token, so that pages know to renew it."""
    lasting_s = max(1, int((opened.ends_at - clock.now()).total_seconds()))
    made = [
        _cookie(settings, SESSION, opened.session_secret, "/account", lasting_s),
        _cookie(settings, PAGE_COOKIE, Signer(settings).page_token(opened.principal), "/", lasting_s),
        _cookie(settings, STEP, "", "/account", 0),
    ]
    if device_secret:
        value = strangers.device_value(settings, device_secret)
        made.append(_cookie(settings, strangers.DEVICE_COOKIE, value, "/", YEAR_S))
    return made


def signed_out_cookies(settings: Settings) -> list[Cookie]:
    return [_cookie(settings, SESSION, "", "/account", 0), _cookie(settings, PAGE_COOKIE, "", "/", 0)]


def go(request: Request, outcome: Outcome, browser: Browser, steps: dict[str, str]) -> Redirect:
    """Go where a step led: in, or to the page of the next step."""
    settings = request.app.state.settings
    if outcome.opened is not None:
        cookies = signed_in_cookies(settings, outcome.opened, browser.device_secret)
        return Redirect(outcome.next, status_code=303, cookies=cookies)
    return Redirect(
        steps[outcome.answer],
        status_code=303,
        cookies=[step_cookie(settings, outcome.challenge_secret)],
        background=send_now(request),
    )


def send_now(request: Request) -> BackgroundTask:
    """Send what this request queued, once it has committed and answered."""
    return BackgroundTask(messages.send_due, request.app.state.kit)


def with_cookies(answer: Template, cookies: list[Cookie]) -> Template:
    """Add cookies to a page that brings its own."""
    answer.cookies = [*answer.cookies, *cookies]
    return answer


def private(answer: Response[Any]) -> Response[Any]:
    """Never kept by a browser or anyone between: the page holds a secret."""
    answer.headers["cache-control"] = "no-store"
    return answer


def _name(settings: Settings, name: str) -> str:
    return f"__Host-{name}" if settings.secure else name


def _cookie(settings: Settings, name: str, value: str, path: str, max_age_s: int) -> Cookie:
    # A name with `__Host-` obliges to the whole path; without HTTPS the narrower path is the better guard.
    return Cookie(
        key=_name(settings, name),
        value=value,
        path="/" if settings.secure else path,
        max_age=max_age_s,
        httponly=True,
        secure=settings.secure,
        samesite="lax",
    )
