"""How figures and dates are written on pages: the same in both languages where law and habit say so."""

import re
from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from itertools import count
from typing import Any

from jinja2 import pass_context
from markupsafe import Markup, escape

from shared import calendar
from shared import money as _money


def money(amount_vnd: int) -> str:
    """`1.234.567 ₫`, with a space that does not break."""
    return _money.show(amount_vnd).replace(" ", "\u00a0")


def number(value: float | Decimal, digits: int = 0) -> str:
    """`1.234.567,5`: points between thousands, a comma before decimals."""
    return f"{value:,.{digits}f}".translate(str.maketrans(",.", ".,"))


def percent(share: float | Decimal, digits: int = 1) -> str:
    """A share of one as `12,3 %`."""
    return f"{number(share * 100, digits)}\u00a0%"


def day(value: date | datetime) -> str:
    """`dd/mm/yyyy`; an instant falls on its day in Viet Nam."""
    return calendar.show_day(calendar.local_day(value) if isinstance(value, datetime) else value)


def moment(value: datetime) -> str:
    """`dd/mm/yyyy HH:MM` in Viet Nam."""
    return f"{value.astimezone(calendar.ZONE):%d/%m/%Y %H:%M}"


@pass_context
def in_words(context: Mapping[str, Any], amount_vnd: int) -> str:
    """An amount as an invoice spells it, in the language of its page: `Một triệu hai trăm nghìn đồng`."""
    # Imported when the first amount is spelled: it brings sixty languages, which no start should wait for.
    from num2words import num2words

    words = str(num2words(amount_vnd, lang=context["lang"]))
    return f"{words[:1].upper()}{words[1:]} đồng"


def labelled(rows: Markup, heads: list[str | tuple[str, str]]) -> Markup:
    """Rows of a table whose cells each bear their heading, for phones, where a row is shown as a card."""
    texts = [escape(head if isinstance(head, str) else head[0]) for head in heads]
    place = count()

    def tell(found: re.Match[str]) -> str:
        nonlocal place
        if found[1] == "tr":
            place = count()
            return found[0]
        return f'{found[0]} data-label="{texts[next(place)]}"'

    return Markup(re.sub(r"<(tr|td|th)\b", tell, str(rows)))  # noqa: S704 - our own rows, their labels escaped


FILTERS = {
    "money": money,
    "number": number,
    "percent": percent,
    "day": day,
    "moment": moment,
    "in_words": in_words,
    "labelled": labelled,
}
