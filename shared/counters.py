"""Redis: each service enters under its own name and finds the keys that begin with it, and no others."""

from urllib.parse import quote, urlsplit

from shared.settings import Settings

COMMANDS = (
    # what every client says when it enters, and asks of a line that was idle
    *("ping", "select", "client|setinfo"),
    # limits, the meter and frequency caps, each by commands of its own or inside a script
    *("eval", "time", "get", "set", "del", "exists", "expire"),
    *("sadd", "scard", "sismember", "sunionstore", "hgetall", "hincrby"),
)
"""All that a service may say. Whatever would show, empty, watch or change more than its own keys is missing."""


def own(service: str, name: str) -> str:
    """The key of this name that is a service's own."""
    return f"{service}:{name}"


def address(settings: Settings, user: str) -> str:
    """Redis's address as a service, or the operator, enters it; as it stands where Redis asks for no password."""
    if not settings.redis_password:
        return settings.redis_url
    url = urlsplit(settings.redis_url)
    place = url.netloc.rpartition("@")[2]
    return url._replace(netloc=f"{user}:{quote(settings.redis_password, safe='')}@{place}").geturl()
