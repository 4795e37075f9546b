"""Refusals: every expected "no" is one exception with a code, a status and a sentence (RFC 9457 problem+json)."""

from http import HTTPStatus
from typing import ClassVar


class Refused(Exception):
    """A rule said no. Subclasses are named for the reason; the sentence says what and where."""

    status: ClassVar[int] = HTTPStatus.CONFLICT
    code: ClassVar[str] = "refused"

    def __init_subclass__(cls, status: int = HTTPStatus.CONFLICT) -> None:
        cls.status = status
        cls.code = "".join("-" + c.lower() if c.isupper() else c for c in cls.__name__).lstrip("-")

    def __init__(self, sentence: str, **more: object) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.more = more


class NotFound(Refused, status=404):
    """There is no such thing, or not for you; the two are never told apart."""


class NotSignedIn(Refused, status=401):
    """No valid sign-in or key came with the request."""


class NotAllowed(Refused, status=403):
    """Signed in, but without the right."""


class BadInput(Refused, status=400):
    """What was sent cannot be read; the sentence says where."""


class Unprocessable(Refused, status=422):
    """What was sent can be read but contradicts itself or the rules of its fields."""


class WrongMethod(Refused, status=405):
    """The address does not take that method; `Allow` says which it takes."""


class PriceChanged(Refused):
    """The price is another one by now than the buyer was shown: it has to be agreed to."""


class Stale(Refused, status=412):
    """If-Match named a version that is no longer current."""


class TooLarge(Refused, status=413):
    """What was sent has more bytes than are taken here."""


class WrongContentType(Refused, status=415):
    """What was sent is of another content type than the one that is read here."""


class VersionMissing(Refused, status=428):
    """An edit came without If-Match, so that nobody can tell whether it saw the current version."""


class TooMany(Refused, status=429):
    """More requests than the limit; Retry-After says when."""


class Unavailable(Refused, status=503):
    """Something needed is away for a moment; Retry-After says when."""


OF_STATUS: dict[int, type[Refused]] = {
    int(kind.status): kind
    for kind in (
        *(BadInput, NotSignedIn, NotAllowed, NotFound, WrongMethod, TooLarge, WrongContentType),
        *(Unprocessable, TooMany, Unavailable),
    )
}
"""How a refusal of the framework's own is named: its words for a status differ from one Python to the next."""


class Waits(Exception):
    """A fact cannot be handled before what `key` names has arrived."""

    def __init__(self, key: str) -> None:
        super().__init__(f"waits for {key}")
        self.key = key
