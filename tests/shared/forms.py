"""A form for tests of how forms are read."""

import msgspec


class NameForm(msgspec.Struct, frozen=True):
    name: str = ""
