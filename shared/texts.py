"""What people may type: nothing hidden, and one way to write each letter."""

import re
import unicodedata

# Zero-width, control, turned and tagged characters, and letters that are blank: they make two names look alike, or
# one read another way.
_HIDDEN = re.compile(
    "[\x01-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e"
    "\u2060-\u206f\u2800\u3164\ufeff\uffa0\ufff9-\ufffb\U000e0000-\U000e0fff]"
)
# The same as a JSON text may escape them; an odd number of backslashes, an even one is a text about the escape.
_ESCAPED = re.compile(
    r"(?<!\\)(?:\\\\)*\\u(00(?:0[1-8bcef]|1[0-9a-f]|7f|[89][0-9a-f]|ad)|034f|061c|115f|1160|17b[45]|180[b-f]|200[b-f]"
    r"|202[89a-e]|206[0-9a-f]|2800|3164|feff|ffa0|fff[9ab]|db4[0-3])",
    re.IGNORECASE,
)


def hidden(text: str) -> str:
    """The first hidden character of a text as `U+202E`, or nothing. Tabs and line ends are none."""
    found = _HIDDEN.search(text)
    return f"U+{ord(found[0]):04X}" if found else ""


def hidden_in_json(text: str) -> str:
    """The same for JSON as it was sent, where a character may also be escaped."""
    found = _ESCAPED.search(text) if "\\u" in text else None
    return f"U+{found[1].upper()}" if found else hidden(text)


def composed(text: str) -> str:
    """A text with each letter written one way (NFC): `ế` typed on any keyboard is the same name."""
    return unicodedata.normalize("NFC", text)


def clean_name(text: str) -> str:
    """A name on one line, composed, with single spaces."""
    return " ".join(composed(text).split())
