"""What msgspec says of a form, said as a person who filled it in understands it, with the name of the field."""

import re

from shared.errors import Unprocessable

_AT = re.compile(r"`\$\.(\w+)")

_FIELDS = [
    (re.compile(pattern), sentence)
    for pattern, sentence in (
        (r"Expected `str` of length >= (\d+)", "Write at least {0} characters."),
        (r"Expected `str` of length <= (\d+)", "Write at most {0} characters."),
        (r"Expected `int` >= (-?\d+)", "The least is {0}."),
        (r"Expected `int` <= (-?\d+)", "The most is {0}."),
        (r"Object missing required field `(\w+)`", "Fill this in."),
        (r"Invalid (?:UUID|enum value)", "Choose one of what is offered."),
        (r"Invalid RFC3339 encoded date", "This is no day; write it as 2026-11-30."),
    )
]


def field_refused(error: str) -> Unprocessable:
    """The refusal of a form, with its `field` where there is one."""
    for pattern, sentence in _FIELDS:
        if found := pattern.match(error):
            named = _AT.search(error) or found
            return Unprocessable(sentence.format(*found.groups()), field=named[1])
    return Unprocessable(f"The form cannot be read: {error}")
