"""What each service holds in secret, derived from the one secret that the operator alone holds.

Whoever learns what one service holds has opened that service, and no other: nothing can be derived back.
"""

import hmac

import msgspec

from shared.settings import Settings

OPERATOR = "operator"
"""Who makes databases, roles, streams and consumers; its name on NATS."""

STREAMS = "house"
"""The account of NATS in which the streams stand, and the name by which a service calls JetStream from its own."""

SELLERS = ("ads", "subscriptions", "events")
CASHIER = "payments"


def derived(operator_secret: str, purpose: str) -> str:
    """256 bits in hexadecimal, the same for the same purpose. Raises ValueError without the operator's secret."""
    if not operator_secret:
        raise ValueError("This needs the operator's secret: set NGUONTHU_OPERATOR_SECRET.")
    return hmac.digest(operator_secret.encode(), purpose.encode(), "sha256").hex()


def postgres_password(operator_secret: str, service: str, role: str) -> str:
    """The password of a role: a service's `web` and `worker` share its own, `owner` is for migrations alone."""
    return derived(operator_secret, f"postgres {service}" + (" owner" if role == "owner" else ""))


def nats_password(operator_secret: str, user: str) -> str:
    """The secret with which a service, or the operator, enters NATS."""
    return derived(operator_secret, f"nats {user}")


def nats_door(password: str, service: str) -> str:
    """Below which subject a service's facts enter its stream, which keeps them by their own: a secret of its own.

    NATS leads its answers to whatever subject the asker names, so a stream that took facts by their public subjects
    would take such an answer among them.
    """
    return f"{service}.{hmac.digest(password.encode(), b'door', 'sha256').hex()}"


def redis_password(operator_secret: str, user: str) -> str:
    """The secret with which a service, or the operator, enters Redis."""
    return derived(operator_secret, f"redis {user}")


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
