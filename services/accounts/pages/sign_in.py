"""Pages that lead in and out: sign-in, code, TOTP and its enrolment, invitation, renewal, sign-out."""

from typing import Annotated, Any

import msgspec
from litestar import Response, get, post, route
from litestar.di import NamedDependency
from litestar.params import FromQuery
from litestar.response import Redirect, Template
from msgspec import Meta

from services.accounts import queries, rules
from services.accounts.actions import challenges, people, second_step, sessions, sign_in
from services.accounts.actions.secrets import compare_password, new_password, totp_uri
from services.accounts.pages import cookies
from services.accounts.pages.words import no_password
from shared.db import Tx
from shared.errors import Unprocessable
from shared.http import read_form
from shared.request import Request
from shared.service import transaction
from shared.strangers import within
from shared.web import N_, page
from shared.web.qr import qr_code

# Whoever signs in has no rights yet by which rows could be shown: these pages see all, and prove by secrets.
UNSCOPED = {"worker": True}

STEPS = {
    "sent": "/account/code",
    "totp": "/account/totp",
    "enrol": "/account/enrol",
}

not_too_often = within("sign-in", lambda settings: settings.budget_sign_in)

WRONG_PASSWORD = N_("E-mail, số điện thoại hoặc mật khẩu không đúng.")
LOCKED = N_("Đã nhập sai nhiều lần. Hãy chờ vài phút, hoặc đăng nhập bằng mã gửi tới e-mail.")
LOCKED_TOTP = N_("Đã nhập sai nhiều lần. Hãy chờ vài phút, hoặc nhập một mã khôi phục.")
NOT_AN_IDENTIFIER = N_("Hãy nhập một địa chỉ e-mail hoặc số điện thoại.")
STEP_OVER = N_("Bước đăng nhập này đã hết hạn. Hãy bắt đầu lại.")
WRONG_TOTP = N_("Mã không đúng hoặc đã được dùng. Hãy chờ mã tiếp theo.")


class AskForm(msgspec.Struct, frozen=True):
    identifier: str = ""
    next: str = ""


class PasswordForm(msgspec.Struct, frozen=True):
    identifier: str = ""
    password: str = ""
    next: str = ""


class CodeForm(msgspec.Struct, frozen=True):
    code: str = ""


class JoinForm(msgspec.Struct, frozen=True):
    token: str = ""
    name: Annotated[str, Meta(max_length=200)] = ""
    password: str = ""


@get("/account/sign-in", include_in_schema=False, sync_to_thread=False)
def show_sign_in(request: Request, next: FromQuery[str | None] = None) -> Template:  # noqa: A002 - the query's name
    return _ask(request, next or "")


@post("/account/sign-in", include_in_schema=False, opt=UNSCOPED, guards=[not_too_often])
async def ask_code(request: Request, tx: NamedDependency[Tx]) -> Response[Any]:
    """Send a code; the answer is the same whether the e-mail has an account or not."""
    form = read_form(await request.form(), AskForm)
    browser = cookies.browser_of(request)
    target = rules.safe_next(form.next)
    try:
        outcome = await sign_in.ask_code(tx, request.app.state.kit, form.identifier, target, browser)
    except Unprocessable:
        return _ask(request, form.next, form.identifier, NOT_AN_IDENTIFIER, status_code=422)
    return cookies.go(request, outcome, browser, STEPS)


@get("/account/code", include_in_schema=False, opt=UNSCOPED)
async def show_code(request: Request, tx: NamedDependency[Tx]) -> Response[Any]:
    if not cookies.given(request, cookies.STEP):
        return Redirect("/account/sign-in", status_code=303)
    return await _code_page(request, tx)


@post("/account/code", include_in_schema=False, opt=UNSCOPED, guards=[not_too_often])
async def enter_code(request: Request, tx: NamedDependency[Tx]) -> Response[Any]:
    form = read_form(await request.form(), CodeForm)
    browser, step = cookies.browser_of(request), cookies.given(request, cookies.STEP)
    outcome = await sign_in.enter_code(tx, request.app.state.settings, step, form.code, browser)
    if outcome.answer == "expired":
        return _ask(request, await challenges.was_going(tx, step), error=STEP_OVER, status_code=422)
    if outcome.answer == "wrong":
        return await _code_page(request, tx, tries_left=outcome.tries_left, status_code=422)
    return cookies.go(request, outcome, browser, STEPS)


@get("/account/password", include_in_schema=False, sync_to_thread=False)
def show_password(request: Request, next: FromQuery[str | None] = None) -> Template:  # noqa: A002 - the query's name
    return _password(request, next or "")


@post("/account/password", include_in_schema=False, opt=UNSCOPED, guards=[not_too_often])
async def enter_password(request: Request) -> Response[Any]:
    form = read_form(await request.form(), PasswordForm)
    browser, kit = cookies.browser_of(request), request.app.state.kit
    try:
        async with transaction(request) as tx:
            attempt = await sign_in.try_password(tx, kit, form.identifier, browser)
    except Unprocessable:
        return _password(request, form.next, form.identifier, NOT_AN_IDENTIFIER, status_code=422)
    if attempt is None:
        return _password(request, form.next, form.identifier, LOCKED, status_code=429)
    shown = await compare_password(form.password, attempt.hashed)
    target = rules.safe_next(form.next)
    async with transaction(request) as tx:
        outcome = await sign_in.enter_password(tx, kit.settings, attempt, shown, target, browser)
    if outcome.answer == "wrong":
        return _password(request, form.next, form.identifier, WRONG_PASSWORD, status_code=422)
    return cookies.go(request, outcome, browser, STEPS)


@get("/account/totp", include_in_schema=False, sync_to_thread=False)
def show_totp(request: Request) -> Response[Any]:
    if not cookies.given(request, cookies.STEP):
        return Redirect("/account/password", status_code=303)
    return page(request, "accounts_totp.html", error=None)


@post("/account/totp", include_in_schema=False, opt=UNSCOPED, guards=[not_too_often])
async def enter_totp(request: Request, tx: NamedDependency[Tx]) -> Response[Any]:
    form = read_form(await request.form(), CodeForm)
    browser, step = cookies.browser_of(request), cookies.given(request, cookies.STEP)
    outcome = await second_step.enter_totp(tx, request.app.state.kit, step, form.code, browser)
    if outcome.answer == "expired":
        return _password(request, await challenges.was_going(tx, step), error=STEP_OVER, status_code=422)
    if outcome.answer in ("wrong", "locked"):
        error = WRONG_TOTP if outcome.answer == "wrong" else LOCKED_TOTP
        status_code = 422 if outcome.answer == "wrong" else 429
        return page(request, "accounts_totp.html", error=error, status_code=status_code)
    return cookies.go(request, outcome, browser, STEPS)


@get("/account/enrol", include_in_schema=False, opt=UNSCOPED)
async def show_enrolment(request: Request) -> Response[Any]:
    return await _enrolment(request)


@post("/account/enrol", include_in_schema=False, opt=UNSCOPED, guards=[not_too_often])
async def enrol(request: Request) -> Response[Any]:
    """Finish TOTP; the recovery codes are shown now and never again."""
    form = read_form(await request.form(), CodeForm)
    browser, step = cookies.browser_of(request), cookies.given(request, cookies.STEP)
    async with transaction(request) as tx:
        outcome = await second_step.enrol_totp(tx, request.app.state.settings, step, form.code, browser)
        if outcome.answer == "expired" or (outcome.answer != "wrong" and outcome.opened is None):
            target = await challenges.was_going(tx, step)
            return _password(request, target, error=STEP_OVER, status_code=422)
    if outcome.opened is None:
        return await _enrolment(request, WRONG_TOTP, status_code=422)
    shown = page(request, "accounts_recovery.html", codes=outcome.recovery_codes, next=outcome.next)
    shown.background = cookies.send_now(request)
    made = cookies.signed_in_cookies(request.app.state.settings, outcome.opened, browser.device_secret)
    return cookies.private(cookies.with_cookies(shown, made))


@get("/account/join", include_in_schema=False, opt=UNSCOPED)
async def show_invitation(request: Request, tx: NamedDependency[Tx], token: FromQuery[str]) -> Response[Any]:
    return await _invitation(request, tx, token)


@post("/account/join", include_in_schema=False, opt=UNSCOPED, guards=[not_too_often])
async def accept_invitation(request: Request) -> Response[Any]:
    form = read_form(await request.form(), JoinForm)
    browser, hashed = cookies.browser_of(request), None
    async with transaction(request) as tx:
        newcomer = await people.newcomer(tx, form.token)
    try:
        if newcomer is not None:
            email, totp = newcomer
            hashed = await new_password(form.password, totp=totp, about=[email, form.name])
    except (Unprocessable, rules.CommonPassword) as refusal:
        error = no_password(refusal)
        async with transaction(request) as tx:
            return await _invitation(request, tx, form.token, error, status_code=422)
    async with transaction(request) as tx:
        outcome = await people.accept(tx, request.app.state.settings, form.token, form.name, hashed, browser)
    if outcome.answer == "known":
        return Redirect("/account/password", query_params={"next": outcome.next}, status_code=303)
    return cookies.go(request, outcome, browser, STEPS)


@route("/account/renew", http_method=["GET", "POST"], include_in_schema=False, opt=UNSCOPED)
async def renew(
    request: Request,
    tx: NamedDependency[Tx],
    next: FromQuery[str | None] = None,  # noqa: A002 - the query's name
    optional: FromQuery[str | None] = None,
) -> Response[Any]:
    """Give a fresh page token and go back, keeping method and body, so that a posted form is not lost.

    Without a session: to the sign-in page, or (`optional`) back as nobody.
    """
    target = rules.safe_next(next)
    settings = request.app.state.settings
    secret = cookies.given(request, cookies.SESSION)
    opened = await sessions.renew(tx, secret) if secret else None
    if opened is not None:
        return Redirect(target, status_code=307, cookies=cookies.signed_in_cookies(settings, opened))
    gone = cookies.signed_out_cookies(settings)
    if optional:
        return Redirect(target, status_code=303, cookies=gone)
    return Redirect("/account/sign-in", query_params={"next": target}, status_code=303, cookies=gone)


@post("/account/sign-out", include_in_schema=False, opt=UNSCOPED)
async def sign_out(request: Request, tx: NamedDependency[Tx]) -> Response[Any]:
    await sessions.end_session(tx, cookies.given(request, cookies.SESSION))
    answer = Redirect("/", status_code=303, cookies=cookies.signed_out_cookies(request.app.state.settings))
    answer.headers["clear-site-data"] = '"cache"'
    return answer


def _ask(
    request: Request, target: str, identifier: str = "", error: str | None = None, status_code: int = 200
) -> Template:
    context = {"next": target, "identifier": identifier, "error": error}
    return page(request, "accounts_sign_in.html", status_code=status_code, **context)


async def _code_page(
    request: Request, tx: Tx, tries_left: int | None = None, status_code: int = 200
) -> Template:
    """The page that waits for a code. A new code leads where the first one would have."""
    step = cookies.given(request, cookies.STEP)
    comes, target = await challenges.code_comes(tx, step), await challenges.was_going(tx, step)
    context = {"tries_left": tries_left, "comes": comes, "next": target}
    return page(request, "accounts_code.html", status_code=status_code, **context)


def _password(
    request: Request, target: str, identifier: str = "", error: str | None = None, status_code: int = 200
) -> Template:
    context = {"next": target, "identifier": identifier, "error": error}
    return page(request, "accounts_password.html", status_code=status_code, **context)


async def _enrolment(request: Request, error: str | None = None, status_code: int = 200) -> Response[Any]:
    async with transaction(request) as tx:
        step = cookies.given(request, cookies.STEP)
        found = await second_step.enrolment(tx, request.app.state.settings, step)
    if found is None:
        return Redirect("/account/password", status_code=303)
    secret, email = found
    address = totp_uri(secret, email)
    shown = page(
        request,
        "accounts_enrol.html",
        status_code=status_code,
        address=address,
        picture=await qr_code(address),
        secret=" ".join(secret[n : n + 4] for n in range(0, len(secret), 4)),
        error=error,
    )
    return cookies.private(shown)


async def _invitation(
    request: Request, tx: Tx, token: str, error: str | None = None, status_code: int = 200
) -> Response[Any]:
    found = await people.invitation(tx, token)
    agency = await queries.agency(tx, found.agency)
    shown = page(
        request,
        "accounts_join.html",
        status_code=status_code,
        token=token,
        invited=found,
        agency_name=agency.name if agency else found.agency,
        error=error,
    )
    return cookies.private(shown)


routes = [
    show_sign_in,
    ask_code,
    show_code,
    enter_code,
    show_password,
    enter_password,
    show_totp,
    enter_totp,
    show_enrolment,
    enrol,
    show_invitation,
    accept_invitation,
    renew,
    sign_out,
]
