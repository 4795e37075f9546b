"""What each service is given to hold, and nothing that another holds."""

from collections.abc import Iterable

import msgspec

from shared.keys import derived, nats_password, postgres_password, redis_password
from shared.links import OWN
from shared.settings import Settings

SELLERS = ("ads", "subscriptions", "events")
CASHIER = "payments"


class Former(msgspec.Struct, frozen=True):
    """An operator's secret of before: until when what was signed by it opens, in seconds since 1970."""

    secret: str
    until: int


def of_service(operator_secret: str, service: str, formers: Iterable[Former] = ()) -> dict[str, str]:
    """All that one service holds, by setting."""
    held = {
        "secret": derived(operator_secret, f"secret {service}"),
        "csrf_secret": derived(operator_secret, "csrf"),
        "postgres_password": postgres_password(operator_secret, service, "worker"),
        "nats_password": nats_password(operator_secret, service),
        "redis_password": redis_password(operator_secret, service),
    }
    if pay_links := _pay_link_keys(operator_secret, service):
        held["pay_link_keys"] = pay_links
    held["former_keys"] = ";".join(_opening(former, service) for former in formers)
    return held


def _pay_link_keys(operator_secret: str, service: str) -> str:
    sellers = SELLERS if service == CASHIER else [service] if service in SELLERS else []
    return ",".join(f"{seller}:{derived(operator_secret, f'pay links {seller}')}" for seller in sellers)


def _opening(former: Former, service: str) -> str:
    """What a service opens by a secret of before."""
    own = derived(former.secret, f"secret {service}")
    pay_links = _pay_link_keys(former.secret, service)
    return ",".join(filter(None, (f"until:{former.until}", f"{OWN}:{own}", pay_links)))


def as_service(settings: Settings, service: str) -> Settings:
    """The operator's settings as one service has them, so that a command can do that service's work."""
    return msgspec.structs.replace(settings, **of_service(settings.operator_secret, service))
