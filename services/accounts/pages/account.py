"""One's own pages: person and organisations, devices and password, consents, API keys."""

from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from litestar import Response, get, post
from litestar.datastructures import Cookie
from litestar.di import NamedDependency
from litestar.params import FromQuery
from litestar.response import Redirect, Template
from msgspec import Meta

from services.accounts import queries, rules
from services.accounts.actions import consents, people, second_step, sessions
from services.accounts.actions.secrets import compare_password, new_password
from services.accounts.pages import cookies
from services.accounts.pages.rights import is_staff
from services.accounts.pages.words import ROLES, account_tabs, no_password
from services.accounts.tables import PersonRow
from shared import auth
from shared.db import Tx
from shared.errors import Unprocessable
from shared.http import once, read_form
from shared.limits import limited
from shared.request import Request
from shared.service import transaction
from shared.web import N_, language_of, page, translate
from shared.web.again import or_again, tell, told

is_signed_in = auth.Right(own=True)
not_too_often = limited("account", per_minute=20, burst=20)

Short = Annotated[str, Meta(max_length=200)]
Name = Annotated[str, Meta(min_length=1, max_length=200)]

PURPOSES = (
    ("newsletter", N_("Bản tin"), N_("Cho phép gửi bản tin và bài chọn lọc tới e-mail của tôi.")),
    ("offers", N_("Ưu đãi"), N_("Cho phép gửi ưu đãi của tòa soạn tới e-mail của tôi.")),
    (
        "reading_history",
        N_("Lịch sử đọc"),
        N_("Cho phép dùng những bài tôi đã đọc để gợi ý bài. Đây là dữ liệu cá nhân nhạy cảm."),
    ),
    ("sms", N_("Tin nhắn"), N_("Cho phép gửi tin nhắn SMS tới số điện thoại của tôi.")),
)
WRONG_OLD = N_(
    "Mật khẩu hiện tại không đúng. Chưa có mật khẩu? Hãy đăng nhập lại bằng mã rồi đặt trong 5 phút."
)
WRONG_PROOF = N_("Hãy nhập mật khẩu hiện tại hoặc mã xác thực.")


class ProfileForm(msgspec.Struct, frozen=True):
    name: Short = ""
    lang: Literal["vi", "en"] = "vi"
    phone: Short = ""


class PasswordForm(msgspec.Struct, frozen=True):
    old: str = ""
    new: str = ""


class ProofForm(msgspec.Struct, frozen=True):
    proof: str = ""


class DeviceForm(msgspec.Struct, frozen=True):
    session: UUID


class ConsentForm(msgspec.Struct, frozen=True):
    purpose: str
    granted: Literal["yes", "no"]


class OrganisationForm(msgspec.Struct, frozen=True, kw_only=True):
    kind: Literal["advertiser", "sponsor"]
    agency: str
    name: Name
    tax_code: Name
    contact_name: Name
    next: Annotated[str, Meta(max_length=500)] = ""


class ActForm(msgspec.Struct, frozen=True):
    organisation: UUID


@get("/account", include_in_schema=False, guards=[is_signed_in])
async def show_account(request: Request, tx: NamedDependency[Tx]) -> Template:
    return await _home(request, tx)


@post("/account/profile", include_in_schema=False, guards=[is_signed_in])
async def save_profile(request: Request, tx: NamedDependency[Tx]) -> Response[Any]:
    _, person = await the_person(request, tx)
    form = read_form(await request.form(), ProfileForm)

    async def work() -> Redirect:
        await people.save_profile(tx, person, form.name, form.lang, form.phone)
        return _afresh("/account")

    done = await or_again(request, tx, work(), lambda: _home(request, tx))
    return tell(request, done, "/account", saved=True) if isinstance(done, Redirect) else done


@get("/account/security", include_in_schema=False, guards=[is_signed_in])
async def show_security(request: Request, tx: NamedDependency[Tx]) -> Template:
    return await _security(request, tx)


@post("/account/security/password", include_in_schema=False, guards=[is_signed_in, not_too_often])
async def change_password(request: Request) -> Response[Any]:
    """Set a password; every other device is signed out, and this session gets a fresh secret."""
    principal = auth.principal_of(request)
    form = read_form(await request.form(), PasswordForm)
    async with transaction(request) as tx:
        holder = await second_step.holder(tx, principal)
    try:
        hashed = await new_password(form.new, totp=holder.totp, about=holder.about)
    except (Unprocessable, rules.CommonPassword) as refusal:
        error = no_password(refusal)
        async with transaction(request) as tx:
            return await _security(request, tx, error, status_code=422)
    old = await compare_password(form.old, holder.hashed)
    async with transaction(request) as tx:
        secret = await second_step.change_password(tx, request.app.state.kit, principal, old, hashed)
        if secret is None:
            return await _security(request, tx, WRONG_OLD, status_code=422)
        made = await _rotated(request, tx, secret)
    done = Redirect("/account/security", status_code=303, cookies=made, background=cookies.send_now(request))
    return tell(request, done, "/account/security", changed=True)


@post("/account/security/others", include_in_schema=False, guards=[is_signed_in])
async def sign_out_others(request: Request, tx: NamedDependency[Tx]) -> Redirect:
    row, person = await sessions.current(tx, auth.principal_of(request))
    await sessions.end_sessions(tx, person.id, keep=row.id)
    return Redirect("/account/security", status_code=303)


@post("/account/security/device", include_in_schema=False, guards=[is_signed_in])
async def sign_out_device(request: Request, tx: NamedDependency[Tx]) -> Redirect:
    form = read_form(await request.form(), DeviceForm)
    _, person = await sessions.current(tx, auth.principal_of(request))
    await sessions.end_sessions(tx, person.id, only=form.session)
    return Redirect("/account/security", status_code=303)


@post("/account/security/recovery", include_in_schema=False, guards=[is_signed_in, not_too_often])
async def renew_recovery_codes(request: Request) -> Response[Any]:
    """Ten fresh recovery codes, shown once: only after the second step, and after it was shown again."""
    form = read_form(await request.form(), ProofForm)
    principal = auth.principal_of(request)
    async with transaction(request) as tx:
        holder = await second_step.holder(tx, principal)
    proof = await compare_password(form.proof, holder.hashed)
    async with transaction(request) as tx:
        given = await second_step.renew_recovery_codes(tx, request.app.state.kit, principal, proof)
        if given is None:
            return await _security(request, tx, recovery_error=WRONG_PROOF, status_code=422)
        codes, secret = given
        made = await _rotated(request, tx, secret)
    shown = page(request, "accounts_recovery.html", codes=codes, next="/account/security")
    shown.background = cookies.send_now(request)
    return cookies.private(cookies.with_cookies(shown, made))


async def _rotated(request: Request, tx: Tx, secret: str) -> list[Cookie]:
    """The cookies of a session that got a fresh secret."""
    opened = await sessions.renew(tx, secret)
    return cookies.signed_in_cookies(request.app.state.settings, opened) if opened else []


@get("/account/consents", include_in_schema=False, guards=[is_signed_in])
async def show_consents(request: Request, tx: NamedDependency[Tx]) -> Template:
    principal, _ = await the_person(request, tx)
    return page(
        request,
        "accounts_consents.html",
        purposes=PURPOSES,
        given=await queries.consents(tx, _id(principal)),
        history=_history(language_of(request), await queries.consent_history(tx, _id(principal))),
        version=rules.CONSENT_TEXT,
        tabs=account_tabs(request, principal),
    )


@post("/account/consents", include_in_schema=False, guards=[is_signed_in])
async def change_consent(request: Request, tx: NamedDependency[Tx]) -> Redirect:
    principal, _ = await the_person(request, tx)
    form = read_form(await request.form(), ConsentForm)
    await consents.change_consent(
        tx, _id(principal), form.purpose, granted=form.granted == "yes", channel="web"
    )
    return Redirect("/account/consents", status_code=303)


@get("/account/organisation", include_in_schema=False, guards=[is_signed_in])
async def show_organisation(
    request: Request,
    tx: NamedDependency[Tx],
    kind: FromQuery[Literal["advertiser", "sponsor"]] = "advertiser",
    next: FromQuery[str] = "",  # noqa: A002 - the query's name
) -> Template:
    return await _organisation(request, tx, kind, next)


@post("/account/organisation", include_in_schema=False, guards=[is_signed_in, not_too_often])
async def register_organisation(request: Request, tx: NamedDependency[Tx]) -> Response[Any]:
    """Register the advertiser or sponsor for whom this person acts from now on; refused, the form comes back."""
    row, person = await sessions.current(tx, auth.principal_of(request))
    sent = await request.form()

    async def work() -> Redirect:
        form = read_form(sent, OrganisationForm)
        made = await people.register_own(
            tx, person, row, kind=form.kind, agency=form.agency, name=form.name,
            tax_code=form.tax_code, contact_name=form.contact_name,
        )  # fmt: skip
        own = "/advertise" if made.kind == "advertiser" else "/events"
        return _afresh(rules.safe_next(form.next) if form.next else own)

    async def show() -> Template:
        return await _organisation(request, tx, sent.get("kind", ""), sent.get("next", ""))

    return await or_again(request, tx, once(request, tx, work()), show)


@post("/account/act", include_in_schema=False, guards=[is_signed_in])
async def act_for(request: Request, tx: NamedDependency[Tx]) -> Redirect:
    """Act for another of one's organisations."""
    form = read_form(await request.form(), ActForm)
    await sessions.act_for(tx, auth.principal_of(request), form.organisation)
    return _afresh("/account")


async def _home(request: Request, tx: Tx) -> Template:
    principal, row = await the_person(request, tx)
    return page(
        request,
        "accounts_home.html",
        me=row,
        principal=principal,
        is_staff=bool(is_staff.agencies(principal)),
        saved=bool(told(request)),
        organisations=await queries.organisations(tx, row.id),
        roles=ROLES,
        names={a.code: a.name for a in await queries.agencies(tx)},
        tabs=account_tabs(request, principal),
    )


async def the_person(request: Request, tx: Tx) -> tuple[auth.Principal, PersonRow]:
    """The person of an open session; a page token alone is not enough here."""
    principal = auth.principal_of(request)
    _, person = await sessions.current(tx, principal)
    return principal, person


def _id(principal: auth.Principal) -> UUID:
    if principal.id is None:
        raise ValueError("A page token names its person.")
    return principal.id


def _afresh(target: str) -> Redirect:
    """Go on with a page token that knows what has just changed."""
    return Redirect("/account/renew", query_params={"next": target}, status_code=303)


def _history(lang: str, rows: list[queries.Consent]) -> list[dict[str, Any]]:
    titles = {purpose: translate(lang, title) for purpose, title, _ in PURPOSES}
    agreed, withdrawn = translate(lang, "Đồng ý"), translate(lang, "Rút lại")
    return [
        {
            **msgspec.structs.asdict(row),
            "purpose": titles.get(row.purpose, row.purpose),
            "decision": (agreed, "success") if row.granted else (withdrawn, "neutral"),
        }
        for row in rows
    ]


async def _security(
    request: Request,
    tx: Tx,
    error: str | None = None,
    recovery_error: str | None = None,
    status_code: int = 200,
) -> Template:
    principal, row = await the_person(request, tx)
    return page(
        request,
        "accounts_security.html",
        status_code=status_code,
        me=row,
        devices=await queries.devices(tx, row.id),
        this=principal.session,
        changed=bool(told(request)),
        error=error,
        recovery_error=recovery_error,
        tabs=account_tabs(request, principal),
    )


async def _organisation(request: Request, tx: Tx, kind: str, next_path: str) -> Template:
    await the_person(request, tx)
    return page(
        request,
        "accounts_organisation.html",
        kind=kind,
        next=next_path,
        agencies=[(a.code, a.name) for a in await queries.open_agencies(tx)],
    )


routes = [
    show_account,
    save_profile,
    show_security,
    change_password,
    sign_out_others,
    sign_out_device,
    renew_recovery_codes,
    show_consents,
    change_consent,
    show_organisation,
    register_organisation,
    act_for,
]
