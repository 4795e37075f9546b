"""Lists in parts: how long a part may be, and the cursor behind which the next one begins."""

import base64
from collections.abc import Callable
from operator import attrgetter
from typing import Annotated, Any, Generic, TypeVar

import msgspec
from litestar.params import QueryParameter

from shared.errors import BadInput

T = TypeVar("T")


class Page(msgspec.Struct, Generic[T], frozen=True):
    """Part of a list; `next` goes into `?cursor=` for what follows, and is null at the end."""

    items: list[T]
    next: str | None = None


Limit = Annotated[int, QueryParameter(ge=1, le=200)]
"""How long a part of a list is asked to be."""


def page_of(rows: list[T], limit: int, place: Callable[[T], Any] = attrgetter("id")) -> Page[T]:
    """Cut a list that was read with `LIMIT limit + 1` into a page; `place` is what of a row the list is sorted by."""
    more = len(rows) > limit
    return Page(rows[:limit], encode_cursor(place(rows[limit - 1])) if more else None)


def encode_cursor(place: Any) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(place)).decode().rstrip("=")


def decode_cursor(cursor: str | None, kind: type[T]) -> T | None:
    """The place behind which a page begins, such as `UUID`; None for the first. Raises BadInput for one not of ours."""
    if not cursor:
        return None
    try:
        return msgspec.json.decode(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)), type=kind)
    except (msgspec.MsgspecError, ValueError) as error:
        raise BadInput("The cursor is not one that we gave.") from error
