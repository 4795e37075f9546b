"""Whether others may reach a house: one list of what makes that unsafe, for services, `up`, `doctor` and `init`."""

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple
from urllib.parse import urlsplit

from ops.keys import CASHIER, SELLERS
from shared.contracts import SERVICES
from shared.keys import OPERATOR
from shared.settings import PREFIX, BadSetting, Settings, is_loopback, read

HOUSE = "house"
"""The embedded house as a whole, whose secrets are made by itself."""

PUBLISHED = "TESTSECRET"
"""What each secret of the VNPay simulator's terminals contains; they stand in the source for everybody to read."""

DEMO = "demo-only"
"""What the demo's secret is made of, however it is written again."""

MAIL, PAPER, BOOKS = "accounts", "demo", "ledger"
SHORTEST_SECRET = 32
SHORT = "is not set, or shorter than 32 characters"


class Check(NamedTuple):
    """One condition of going live: the setting, whom it concerns, when it holds, and what is so where it does not."""

    variable: str
    who: tuple[str, ...]
    holds: Callable[[Settings], bool]
    otherwise: str


def _name(address: str) -> str:
    """The host of an address; the root's dot behind it is the same name."""
    return (urlsplit(address).hostname or "").removesuffix(".")


def _is_public(address: str) -> bool:
    nowhere = _name(address) == "0.0.0.0"
    return address.startswith("https://") and "." in _name(address) and not (nowhere or is_loopback(address))


def _is_secret(text: str) -> bool:
    return DEMO not in text.lower() and len(text) >= SHORTEST_SECRET


def _is_the_bank(address: str) -> bool:
    """Whether money moves there: VNPay's own place for trials takes cards that it prints itself."""
    return _is_public(address) and "sandbox" not in _name(address)


def _last_parts(text: str) -> list[str]:
    """The secrets of a list whose parts end in one each, as in `seller:key`."""
    return [part.rpartition(":")[2].strip() for part in text.split(",")]


ALL = (HOUSE, OPERATOR, PAPER, *SERVICES)
CHECKS = (
    Check("PRODUCTION", ALL, lambda settings: settings.production, "is not true, and others reach the house"),
    Check("TRIAL", ALL, lambda settings: not settings.trial, "is for trying a house on one machine alone"),
    Check(
        "BASE_URL",
        ALL,
        lambda settings: _is_public(settings.base_url),
        "is no https address of a public name",
    ),
    Check(
        "CREATIVES_URL",
        ALL,
        lambda settings: (
            _is_public(settings.creatives_url) and _name(settings.creatives_url) != _name(settings.base_url)
        ),
        "is no https address of a second public name",
    ),
    Check(
        "VNPAY_URL",
        (HOUSE, CASHIER),
        lambda settings: _is_the_bank(settings.vnpay_url),
        "is not VNPay's https address, so that a simulator, ours or its sandbox, would take the place of the bank",
    ),
    Check(
        "VNPAY_TERMINALS",
        (HOUSE, CASHIER),
        lambda settings: (
            all(_last_parts(settings.vnpay_terminals)) and PUBLISHED not in settings.vnpay_terminals
        ),
        "holds no terminals of VNPay's with their secrets, or the simulator's, whose secrets are published",
    ),
    Check(
        "SMTP_URL",
        (HOUSE, MAIL),
        lambda settings: bool(settings.smtp_url),
        "is not set, so that no mail would leave: sign-in codes would lie open in the inbox for trials",
    ),
    Check(
        "MAIL_FROM",
        (HOUSE, MAIL),
        lambda settings: "@localhost" not in settings.mail_from,
        "is no address that people can answer",
    ),
    Check(
        "BACKUP_RECIPIENT",
        (HOUSE,),
        lambda settings: bool(settings.backup_recipient) or not settings.backup_to,
        "is not set, so that copies with all secrets in them would lie open at BACKUP_TO",
    ),
    Check(
        "SECRET",
        SERVICES,
        lambda settings: _is_secret(settings.secret),
        "is the demo's, or shorter than 32 characters",
    ),
    Check(
        "CSRF_SECRET",
        SERVICES,
        lambda settings: _is_secret(settings.csrf_secret),
        "is the demo's, or shorter than 32 characters",
    ),
    Check(
        "OPERATOR_SECRET",
        (OPERATOR,),
        # A command in a service's own place holds what that service holds, and asks for nothing derived.
        lambda settings: not settings.operator_secret or _is_secret(settings.operator_secret),
        "is shorter than 32 characters, and all that the services hold is derived from it",
    ),
    Check(
        "PAY_LINK_KEYS",
        (*SELLERS, CASHIER),
        lambda settings: all(map(_is_secret, _last_parts(settings.pay_link_keys))),
        "is not set, or holds a key shorter than 32 characters",
    ),
    Check("POSTGRES_PASSWORD", SERVICES, lambda settings: _is_secret(settings.postgres_password), SHORT),
    Check("NATS_PASSWORD", SERVICES, lambda settings: _is_secret(settings.nats_password), SHORT),
    Check("REDIS_PASSWORD", SERVICES, lambda settings: _is_secret(settings.redis_password), SHORT),
    Check("TOKEN_PUBLIC_KEYS", SERVICES, lambda settings: bool(settings.token_public_keys), "is not set"),
    Check("TOKEN_PRIVATE_KEY", (MAIL,), lambda settings: bool(settings.token_private_key), "is not set"),
    Check(
        "HEAD_PRIVATE_KEY",
        (BOOKS,),
        lambda settings: bool(settings.head_private_key),
        "is not set, so that no head of the books would be signed",
    ),
    Check("HEAD_PUBLIC_KEYS", (BOOKS,), lambda settings: bool(settings.head_public_keys), "is not set"),
)


def checks(settings: Settings, who: str) -> Iterator[tuple[Check, bool]]:
    """Each condition that concerns a service, the newspaper, the operator or the house, and whether it holds."""
    return ((check, check.holds(settings)) for check in CHECKS if who in check.who)


def refusals(settings: Settings, who: str) -> list[str]:
    """Everything for which a house that others reach must not start, each with its variable; none on one machine."""
    if not settings.exposed:
        return []
    return [
        f"{PREFIX}{check.variable} {check.otherwise}" for check, holds in checks(settings, who) if not holds
    ]


def load(environ: Mapping[str, str] | None = None, who: str = HOUSE) -> Settings:
    """Read the settings of a service, the operator or the embedded house. Raises BadSetting.

    A house that others would reach is refused with everything that is unsafe about it.
    """
    settings = read(environ)
    if found := refusals(settings, who):
        raise BadSetting(
            "This house would be open to others and is not safe:\n  " + ";\n  ".join(found) + "."
        )
    return settings
