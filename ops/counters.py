"""Redis's own configuration: what it keeps, and whom it lets in to what."""

import hashlib

from shared.contracts import SERVICES
from shared.counters import COMMANDS, own
from shared.keys import OPERATOR, redis_password


def configuration(operator_secret: str) -> str:
    """What Redis keeps and whom it lets in: passwords stand in it by their hashes alone.

    Append-only, and refusing rather than forgetting when full.
    """
    told = " ".join(f"+{command}" for command in COMMANDS)
    rights = {OPERATOR: "~* &* +@all"} | {service: f"~{own(service, '*')} {told}" for service in SERVICES}
    users = [
        f"user {user} reset on #{hashlib.sha256(redis_password(operator_secret, user).encode()).hexdigest()} {held}"
        for user, held in rights.items()
    ]
    # A script of ours takes microseconds: of one that does not end the others hear at once, and count for themselves.
    impatient = "busy-reply-threshold 100"
    kept = ("appendonly yes", 'save ""', "maxmemory 256mb", "maxmemory-policy noeviction", impatient)
    return "\n".join((*kept, "user default off", *users)) + "\n"
