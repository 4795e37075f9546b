"""What each service is given to hold, and nothing that another holds."""

import msgspec

from shared.keys import derived, nats_password, postgres_password, redis_password
from shared.settings import Settings

SELLERS = ("ads", "subscriptions", "events")
CASHIER = "payments"


def of_service(operator_secret: str, service: str) -> dict[str, str]:
    """All that one service holds, by setting."""
    held = {
        "secret": derived(operator_secret, f"secret {service}"),
        "csrf_secret": derived(operator_secret, "csrf"),
        "postgres_password": postgres_password(operator_secret, service, "worker"),
        "nats_password": nats_password(operator_secret, service),
        "redis_password": redis_password(operator_secret, service),
    }
    sellers = SELLERS if service == CASHIER else [service] if service in SELLERS else []
    if sellers:
        held["pay_link_keys"] = ",".join(
            f"{seller}:{derived(operator_secret, f'pay links {seller}')}" for seller in sellers
        )
    return held


def as_service(settings: Settings, service: str) -> Settings:
    """The operator's settings as one service has them, so that a command can do that service's work."""
    return msgspec.structs.replace(settings, **of_service(settings.operator_secret, service))
