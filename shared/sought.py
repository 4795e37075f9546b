"""What staff type into the one search, read once for every flat: a name, an address, a number, money or an id."""

import re
import unicodedata
from collections.abc import Callable
from contextlib import suppress
from itertools import pairwise
from typing import Any, cast
from uuid import UUID

import msgspec
import sqlalchemy as sa

from shared import identity
from shared.errors import Unprocessable
from shared.http import whole_number

LEAST, MOST = 3, 200
"""How many letters and digits a search needs at least, and how many characters it may have."""


class Sought(msgspec.Struct, frozen=True, kw_only=True):
    """All that a text may mean; empty where it cannot mean that."""

    name: str
    """Without accents and in lower case, as `plain` in the database spells names; empty where it is no name."""
    email: str
    phone: str
    tax_code: str
    codes: list[str]
    """What may be the number of a document or the reference of a payment: letters and digits, without their dashes."""
    amount_vnd: int | None
    id: UUID | None


def plain(text: str) -> str:
    """A text as names are compared: `Trần Đình Ấn` is `tran dinh an`. The SQL function `plain` does the same."""
    letters = unicodedata.normalize("NFD", text.lower())
    return re.sub("[\u0300-\u036f]", "", letters).replace("đ", "d")


def sought(text: str) -> Sought:
    """What somebody searches for. Raises Unprocessable where it is too short to tell, or too long to be meant."""
    text = " ".join(text.split())
    if sum(character.isalnum() for character in text) < LEAST:
        raise Unprocessable("Type at least three letters or digits.", field="q")
    if len(text) > MOST:
        raise Unprocessable(f"Type at most {MOST} characters.", field="q")
    email, phone = _read(identity.email, text), _read(identity.phone, text)
    return Sought(
        name="" if email or phone or not re.search(r"[^\W\d_]{2}", text) else plain(text),
        email=email,
        phone=phone,
        tax_code=_read(identity.tax_code, text),
        codes=_codes(text),
        amount_vnd=_amount(text),
        id=_id(text),
    )


def same(column: Any, value: Any) -> sa.ColumnElement[bool]:
    """Whether a column is what was typed; nothing is, where it cannot mean that."""
    return cast("sa.ColumnElement[bool]", column == value) if value else sa.false()


def named(column: Any, name: str) -> sa.ColumnElement[bool]:
    """Whether any word of a column begins what was typed: a whole name finds it, and the given name alone."""
    return sa.func.strpos(" " + sa.func.plain(column), f" {name}") > 0 if name else sa.false()


def _read(reader: Callable[[str], str], text: str) -> str:
    with suppress(Unprocessable):
        return reader(text)
    return ""


def _codes(text: str) -> list[str]:
    """Each word, and each two together: banks drop the dash of a number, or put a space in its place."""
    words = [word.replace("-", "") for word in re.findall(r"[0-9A-Z-]+", plain(text).upper())]
    joined = (first + second for first, second in pairwise(words))
    return [code for code in dict.fromkeys((*words, *joined)) if len(code) >= LEAST]


def _amount(text: str) -> int | None:
    with suppress(ValueError):
        return whole_number(text)
    return None


def _id(text: str) -> UUID | None:
    with suppress(ValueError):
        return UUID(text)
    return None
