"""What each service holds in secret, derived from the one secret that the operator alone holds.

Whoever learns what one service holds has opened that service, and no other: nothing can be derived back.
"""

import hmac

OPERATOR = "operator"
"""Who makes databases, roles, streams and consumers; its name on NATS."""

STREAMS = "house"
"""The account of NATS in which the streams stand, and the name by which a service calls JetStream from its own."""


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
