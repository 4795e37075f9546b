"""Whether others may reach a house: one list of what makes that unsafe, for services, `up`, `doctor` and `init`."""

from collections.abc import Callable, Iterator
from typing import NamedTuple
from urllib.parse import urlsplit

from shared.keys import CASHIER, OPERATOR, SELLERS
from shared.settings import DEMO_SECRET, HOUSE, PREFIX, SERVICES, Settings, is_loopback

PUBLISHED = "TESTSECRET"
"""What each secret of the VNPay simulator's terminals contains; they stand in the source for everybody to read."""

MAIL, PAPER = "accounts", "demo"
SHORTEST_SECRET = 32


class Check(NamedTuple):
    """One condition of going live: the setting, whom it concerns, when it holds, and what is so where it does not."""

    variable: str
    who: tuple[str, ...]
    holds: Callable[[Settings], bool]
    otherwise: str


def _is_public(address: str) -> bool:
    return address.startswith("https://") and not is_loopback(address)


def _is_secret(text: str) -> bool:
    return text != DEMO_SECRET and len(text) >= SHORTEST_SECRET


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
            _is_public(settings.creatives_url)
            and urlsplit(settings.creatives_url).hostname != urlsplit(settings.base_url).hostname
        ),
        "is no https address of a second public name",
    ),
    Check(
        "VNPAY_URL",
        (HOUSE, CASHIER),
        lambda settings: settings.vnpay_url.startswith("https://"),
        "is not VNPay's https address, so that the simulator would take the place of the bank",
    ),
    Check(
        "VNPAY_TERMINALS",
        (HOUSE, CASHIER),
        lambda settings: bool(settings.vnpay_terminals) and PUBLISHED not in settings.vnpay_terminals,
        "holds no terminals of VNPay's, or the simulator's, whose secrets are published",
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
        "PAY_LINK_KEYS",
        (*SELLERS, CASHIER),
        lambda settings: bool(settings.pay_link_keys),
        "is not set, so that no invoice can be paid",
    ),
    Check("POSTGRES_PASSWORD", SERVICES, lambda settings: bool(settings.postgres_password), "is not set"),
    Check("NATS_PASSWORD", SERVICES, lambda settings: bool(settings.nats_password), "is not set"),
    Check("REDIS_PASSWORD", SERVICES, lambda settings: bool(settings.redis_password), "is not set"),
    Check("TOKEN_PUBLIC_KEYS", SERVICES, lambda settings: bool(settings.token_public_keys), "is not set"),
    Check("TOKEN_PRIVATE_KEY", (MAIL,), lambda settings: bool(settings.token_private_key), "is not set"),
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
