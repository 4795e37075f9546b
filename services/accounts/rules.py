"""What accounts decides without looking anything up: who counts as who, what a password must be, when to stop."""

import re
from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta
from typing import Any, get_args

from shared.contracts import sandbox
from shared.contracts.roles import STAFF
from shared.contracts.scopes import Scope
from shared.errors import NotAllowed, Refused, Unprocessable
from shared.identity import is_local_path

CODE_TTL = timedelta(minutes=10)
CODE_TRIES = 5
CODES_A_DAY = 20
"""Codes that leave at once, for one e-mail or phone: to strangers' devices, and to its person's; further ones later."""
A_DAY = timedelta(days=1)
LATER_FIRST = timedelta(minutes=2)
LATER_APART = timedelta(hours=1)
"""Long codes of an address share a letter: the first soon, then one an hour, whoever asks and however often."""
STEP_LIFE = timedelta(hours=2)
"""How long a browser keeps the cookie of a step; whether the step is still open is decided here."""

PASSWORD_TRIES_AN_HOUR = 100
TOTP_TRIES_A_DAY = 20
"""Wrong tries on one account by all strangers' devices together; one that its owner used has a count of its own."""
INVITATION_TTL = timedelta(days=1)
RESET_TTL = timedelta(days=3)
"""So long a lost phone waits for a second administrator: over a weekend, and not for ever."""
RECOVERY_CODES = 10

PASSWORD_WITH_TOTP = 8
PASSWORD_ALONE = 14
PASSWORD_MAX = 256
COMMON_WORDS = (
    "matkhau",
    "matkhaucuatoi",
    "khongbiet",
    "khongco",
    "anhyeuem",
    "emyeuanh",
    "yeuem",
    "yeuanh",
    "yeumainguoi",
    "anhnhoem",
    "emnhoanh",
    "conyeume",
    "giadinh",
    "hanhphuc",
    "thanhcong",
    "mayman",
    "sinhnhat",
    "toiyeuvietnam",
    "vietnam",
    "saigon",
    "hanoi",
    "danang",
    "khanhhoa",
    "nhatrang",
    "camranh",
    "nguonthu",
    "baokhanhhoa",
    "tapchinhatrang",
    "toasoan",
    "quangcao",
    "docgia",
    "taichinh",
    "quantri",
    "ketoan",
)
"""Words that Vietnamese passwords are often made of, and the house's own names, as they are typed."""

PROOF_TTL = timedelta(minutes=5)
"""So long after a sign-in no second proof is asked for before what guards an account changes."""

PERSON_SESSION = timedelta(days=30)
STAFF_SESSION = timedelta(hours=12)
TOKEN_LIFE = timedelta(minutes=5)
IDLE = {
    "administrator": timedelta(minutes=5) + TOKEN_LIFE,
    "finance": timedelta(minutes=15) + TOKEN_LIFE,
    "finance_approver": timedelta(minutes=15) + TOKEN_LIFE,
}
"""Level 3 asks for 5 and 15 minutes; a page token in hand hides activity for as long as it lives."""
STAFF_IDLE = timedelta(hours=1)

PURPOSES = ("newsletter", "offers", "reading_history", "sms")
"""What a person may consent to, one by one; nothing is consented to by silence."""
CONSENT_TEXT = "2026-01"
"""Version of the texts that the consent page shows."""

SANDBOX_SCOPES: list[str] = ["ads:book", "ads:read", "keys:manage"]
"""What there is to try in the sandbox: advertising, and keys for trying it."""
BUYER_SCOPES: frozenset[str] = frozenset(
    {"ads:book", "ads:read", "events:register", "events:sponsor", "keys:manage"}
)
FIRST_SCOPES: list[str] = ["ads:book", "ads:read", "events:register", "events:sponsor", "keys:manage"]
SERVER_SCOPES: frozenset[str] = frozenset(get_args(Scope)) - {"keys:manage", "payments:refund"}
"""What an administrator may give a program of the agency: nothing that makes keys or sends money back."""
FIRST_KEY = "Khóa đầu tiên"
KEY_LIFE = timedelta(days=730)
SANDBOX_KEY_LIFE = timedelta(days=90)
KEY_SHOWN = timedelta(minutes=10)
KEYS_A_DAY = 50
"""Keys that an organisation makes in one world: each that ends is remembered by every service, for good."""

MESSAGES_A_DAY = 20
ORGANISATIONS_A_DAY = 3
"""Organisations that one person registers: an agency for advertisers asks its own administrators."""
STRANGERS_LETTERS_A_DAY = 3
"""Invitations that those who did not sign in may have sent to one address, all of them together."""
STRANGER = "nobody:"
"""How the trail names who did not sign in."""
WAYS = ("path", "link", "cancel_link")
"""Parameters of letters that say where to go; the house's own address comes before them."""
SEND_AGAIN_S = (60, 300, 1800, 7200, 28_800)
_SCHEME = re.compile(r"\b[a-z][a-z0-9+.-]*://", re.IGNORECASE)


class AgencyClosed(Refused):
    """The agency has been succeeded by another, which now takes new business."""


class AgencyKnown(Refused):
    """An agency of this code exists."""


class CommonPassword(Refused, status=422):
    """The password is a common one, or easy to guess from what is known of its person."""


class PhoneTaken(Refused):
    """Another person signs in with this phone number."""


class ResetNeedsAnother(Refused, status=403):
    """Whoever asked for a reset, or is its subject, cannot approve it."""


class WorksElsewhere(Refused, status=403):
    """The person also works at agencies that whoever asks does not administer."""


_CODE = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_CODE_MAX = 48


def check_password(password: str, *, totp: bool) -> None:
    """Raises Unprocessable for a password that is too short (8 characters with TOTP, 14 without) or too long."""
    least = PASSWORD_WITH_TOTP if totp else PASSWORD_ALONE
    if not least <= len(password) <= PASSWORD_MAX:
        raise Unprocessable(f"A password has {least} to {PASSWORD_MAX} characters.")


def safe_next(text: str | None, default: str = "/account") -> str:
    """Where a sign-in goes on to: a path of this house that is no sign-in itself, or the default."""
    if not text or not is_local_path(text) or text.startswith(("/account/renew", "/account/sign")):
        return default
    return text


def later_at(last: datetime | None, now: datetime) -> datetime:
    """When the next letter with long codes leaves for an address."""
    return max(now + LATER_FIRST, last + LATER_APART) if last else now + LATER_FIRST


def session_ends(roles: Iterable[str], now: datetime) -> datetime:
    """When a session ends whatever its person does."""
    return now + (STAFF_SESSION if set(roles) & set(STAFF) else PERSON_SESSION)


def idle_limit(roles: Iterable[str]) -> timedelta:
    """How long a session may rest before it ends; the strictest role counts."""
    held = set(roles) & set(STAFF)
    return min((IDLE.get(role, STAFF_IDLE) for role in held), default=PERSON_SESSION)


def check_agency_code(code: str) -> None:
    """Raises Unprocessable for what names no agency: its sandbox and its addresses are made from the code."""
    if len(code) > _CODE_MAX or not _CODE.fullmatch(code) or sandbox.is_sandbox(code):
        raise Unprocessable(
            f"The code of an agency is up to {_CODE_MAX} small letters, digits and single hyphens, "
            f"and does not end in {sandbox.SUFFIX}."
        )


def check_agency_open(name: str, active_from: date | None, successor: str | None, on: date) -> None:
    """Raises AgencyClosed where an agency takes no new business on a day."""
    if successor:
        raise AgencyClosed(f"{name} was succeeded by {successor}: register there.")
    if active_from and active_from > on:
        raise AgencyClosed(f"{name} begins on {active_from:%d/%m/%Y}.")


def check_scopes(wanted: Iterable[str], allowed: Iterable[str], what: str) -> None:
    """Raises NotAllowed naming the scopes that whoever asks may not give."""
    over = sorted(set(wanted) - set(allowed))
    if over:
        raise NotAllowed(f"{what} may not have {', '.join(over)}.")


def check_second_person(asked_by: object, subject: object, approver: object) -> None:
    """Raises ResetNeedsAnother unless a third person approves."""
    if approver in (asked_by, subject):
        raise ResetNeedsAnother("Another administrator must approve this.")


def harmless(params: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of a letter that a service asks for, none of which leads out of the house.

    What people typed may name an address, and becomes no link by it. Raises ValueError for a way that is no path here,
    and for what is neither text nor number.
    """
    for name, value in params.items():
        if not isinstance(value, str | int | float):
            raise ValueError(f"The parameter {name!r} of a letter is neither text nor number.")  # noqa: TRY004
        if name in WAYS and value and not is_local_path(str(value)):
            raise ValueError(f"The parameter {name!r} of a letter is no path of this house.")
    return {
        name: _SCHEME.sub("", value) if isinstance(value, str) and name not in WAYS else value
        for name, value in params.items()
    }


def send_again_at(attempts: int, now: datetime) -> datetime | None:
    """When a message that could not be sent is tried again; None when it was tried often enough."""
    return now + timedelta(seconds=SEND_AGAIN_S[attempts - 1]) if attempts <= len(SEND_AGAIN_S) else None


def masked(email: str) -> str:
    """An e-mail that its owner recognises and nobody else learns: `l***n@example.vn`."""
    name, _, domain = email.partition("@")
    return f"{name[:1]}***{name[-1:] if len(name) > 1 else ''}@{domain}"


def device_label(agent: str) -> str:
    """A browser and its system in a few words of ours, from a User-Agent: letters show it, and strangers choose it."""
    system = next(
        (
            label
            for mark, label in (
                ("iPhone", "iPhone"),
                ("iPad", "iPad"),
                ("Android", "Android"),
                ("Windows", "Windows"),
                ("Mac OS", "macOS"),
                ("Linux", "Linux"),
            )
            if mark in agent
        ),
        "",
    )
    browser = next(
        (
            label
            for mark, label in (
                ("Zalo", "Zalo"),
                ("FBAN", "Facebook"),
                ("Edg/", "Edge"),
                ("Firefox/", "Firefox"),
                ("Chrome/", "Chrome"),
                ("Safari/", "Safari"),
            )
            if mark in agent
        ),
        "",
    )
    return " · ".join(part for part in (browser, system) if part) or "?"
