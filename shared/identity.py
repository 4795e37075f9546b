"""How people and organisations are named, once for all: e-mail, phone, tax code, and a way within the house.

Each is kept in one spelling, so that what is equal compares equal wherever it was typed. Pure.
"""

import re
import unicodedata
from typing import Literal
from urllib.parse import urlsplit

from shared.errors import Unprocessable

_EMAIL = re.compile(r"[^@\s<>\"',;:\\]{1,64}@[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9-]{1,63})+")
_TAX_WEIGHTS = (31, 29, 23, 19, 17, 13, 7, 5, 3)
_PATH_MAX = 2000


def email(text: str, field: str = "email") -> str:
    """An e-mail as we compare it: NFKC, lower case. Raises Unprocessable."""
    found = unicodedata.normalize("NFKC", text).strip().lower()
    if len(found) > 254 or not _EMAIL.fullmatch(found):  # noqa: PLR2004 - RFC 5321
        raise Unprocessable("This is not an e-mail address.", field=field)
    return found


def phone(text: str, field: str = "phone") -> str:
    """A phone as we compare it: +84 and nine or ten digits, or another country's + number. Raises Unprocessable."""
    digits = re.sub(r"[\s().-]", "", text.strip())
    if re.fullmatch(r"0\d{9,10}", digits):
        return "+84" + digits[1:]
    if re.fullmatch(r"\+\d{8,15}", digits):
        return digits
    raise Unprocessable("This is not a phone number.", field=field)


def identifier(text: str) -> tuple[Literal["email", "phone"], str]:
    """What a person typed to say who they are. Raises Unprocessable for neither e-mail nor phone."""
    return ("email", email(text)) if "@" in text else ("phone", phone(text))


def is_phone(value: str) -> bool:
    """Whether an identifier, once read, is a phone."""
    return "@" not in value


def mailbox(value: str) -> str:
    """Under which name letters to an e-mail are counted; a phone, and whatever else is none, under its own.

    What follows a `+`, and at Gmail each dot, is for sorting: thousands of such addresses are one mailbox.
    """
    name, at, host = value.partition("@")
    if not at:
        return value
    name = name.partition("+")[0]
    return (name.replace(".", "") if host == "gmail.com" else name) + at + host


def tax_check_digit(nine: str) -> int:
    """The tenth digit of a Vietnamese tax code; 10 where no code with these nine digits exists.

    Source: Circular 105/2020/TT-BTC.
    """
    return 10 - sum(int(d) * w for d, w in zip(nine, _TAX_WEIGHTS, strict=True)) % 11


def tax_code(text: str, field: str = "tax_code") -> str:
    """A tax code (MST) as an invoice prints it: 10 digits, 10-3, or 12 without a check. Raises Unprocessable."""
    digits = re.sub(r"[\s.-]", "", text)
    if not re.fullmatch(r"[0-9]{10}|[0-9]{12}|[0-9]{13}", digits):
        raise Unprocessable("A tax code has 10, 12 or 13 digits.", field=field)
    if len(digits) == 12:  # noqa: PLR2004 - personal numbers since 1 July 2025 have no check digit
        return digits
    if tax_check_digit(digits[:9]) != int(digits[9]):
        raise Unprocessable(
            "The tenth digit of this tax code does not fit the first nine: check the number.", field=field
        )
    return digits if len(digits) == 10 else f"{digits[:10]}-{digits[10:]}"  # noqa: PLR2004


def is_local_path(text: str) -> bool:
    """Whether a text is a path of this house, with its question: it can lead to nobody else's."""
    if len(text) > _PATH_MAX or not text.startswith("/") or "\\" in text or not text.isprintable():
        return False
    if text.startswith("//") or " " in text:
        return False
    parts = urlsplit(text)
    return not (parts.scheme or parts.netloc or "//" in parts.path)
