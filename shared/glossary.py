"""What the fields of the API mean: said beside the field where it needs it, else once for the whole house by its name.

One word has one meaning, so that `glossary.md` can hold them by name.
"""

import ast
import inspect
import itertools
import re
import textwrap
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import msgspec

_ROW = re.compile(r"^\| `([a-z_]+)` \| (.+?) \|$", re.MULTILINE)


@cache
def glossary() -> dict[str, str]:
    """The meanings by name, read from the table in `glossary.md`."""
    return dict(_ROW.findall(Path(__file__).with_suffix(".md").read_text(encoding="utf-8")))


def meaning(name: str) -> str:
    """What a field or parameter of this name means; raises KeyError for one that nobody has explained."""
    return glossary()[name]


def explain(schemas: dict[str, Any], kinds: list[Any]) -> None:
    """Put into the JSON Schemas of Structs what each field means, and that an instant is one.

    Raises KeyError naming a field that is explained neither at its Struct nor in the glossary.
    """
    classes = _structs(kinds)
    for key, schema in schemas.items():
        if "properties" not in schema:
            continue
        kind = classes.get(key) or classes[schema["title"].partition("[")[0]]
        said, hints = _said(kind), get_type_hints(kind)
        for name, part in schema["properties"].items():
            part.setdefault("description", said.get(name) or meaning(name))
            hint = hints.get(name)
            if datetime in (hint, *get_args(hint)):
                for one in (part, *part.get("anyOf", ())):
                    if one.get("type") == "string":
                        one["format"] = "date-time"


def _structs(kinds: list[Any]) -> dict[str, type[msgspec.Struct]]:
    """All Structs within some types, by their names with and without their module."""
    found: dict[str, type[msgspec.Struct]] = {}
    left = list(kinds)
    while left:
        kind = left.pop()
        left += get_args(kind)
        plain = get_origin(kind) or kind
        if not (isinstance(plain, type) and issubclass(plain, msgspec.Struct)):
            continue
        full = f"{plain.__module__}.{plain.__qualname__}"
        if full not in found:
            found[full] = found[plain.__name__] = plain
            left += get_type_hints(plain, include_extras=True).values()
    return found


@cache
def _said(kind: type[msgspec.Struct]) -> dict[str, str]:
    """The docstrings below the fields of a Struct and of what it inherits from."""
    said: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        if base is msgspec.Struct or not issubclass(base, msgspec.Struct):
            continue
        body = ast.parse(textwrap.dedent(inspect.getsource(base))).body[0].body  # type: ignore[attr-defined]
        for field, after in itertools.pairwise(body):
            if isinstance(field, ast.AnnAssign) and isinstance(after, ast.Expr):
                said[ast.unparse(field.target)] = inspect.cleandoc(ast.literal_eval(after.value))
    return said
