"""What msgspec says of a form, said as a person who filled it in understands it, with the name of the field."""

import re

from shared.errors import Unprocessable

_AT = re.compile(r"`\$(?:\[(\d+)\])?\.(\w+)")

_FIELDS = [
    (re.compile(pattern), sentence)
    for pattern, sentence in (
        (r"Expected `str` of length >= 1\b", "Fill this in."),
        (r"Expected `str` of length >= (\d+)", "Write at least {0} characters."),
        (r"Expected `str` of length <= (\d+)", "Write at most {0} characters."),
        (r"Expected `int` >= (-?\d+)", "The least is {0}."),
        (r"Expected `int` <= (-?\d+)", "The most is {0}."),
        (r"Object missing required field `(\w+)`", "Fill this in."),
        (r"Invalid (?:UUID|enum value)", "Choose one of what is offered."),
        (r"Invalid RFC3339 encoded date", "This is no day; write it as 2026-11-30."),
    )
]

_WRITTEN = {"email": "This is not an e-mail address.", "phone": "This is not a phone number."}
"""What is said of a field that does not look as it has to, by the end of its name."""


def field_refused(error: str) -> Unprocessable:
    """The refusal of a form, with its `field` where there is one; of rows that repeat, as `name-2` in the second."""
    for pattern, sentence in _FIELDS:
        if found := pattern.match(error):
            place = _AT.search(error)
            row = f"-{int(place[1]) + 1}" if place and place[1] else ""
            return Unprocessable(
                sentence.format(*found.groups()), field=(place[2] if place else found[1]) + row
            )
    if error.startswith("Expected `str` matching regex") and (place := _AT.search(error)):
        named = [sentence for end, sentence in _WRITTEN.items() if place[2].endswith(end)]
        return Unprocessable(*named or ("Check how this is written.",), field=place[2])
    return Unprocessable(f"The form cannot be read: {error}")
