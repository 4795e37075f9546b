"""What fits into a door: paths and bodies about things of one agency, made from what its handler reads."""

import io
import re
import types
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import httpx
import msgspec
from litestar.handlers import HTTPRouteHandler
from msgspec import inspect
from PIL import Image

from shared import clock
from shared.calendar import local_day
from tests.shared.visitor import UUIDS, Door

SENTENCE = "Một câu đủ dài để thử"
TEXTS = {
    "article_path": "/bai/{article}",
    "click_url": "https://yensao.example/mua",
    "crawlers": "full",
    "email": "dong-nghiep@yensao.example",
    "section": "*",
}
"""Texts that are more than a sentence."""


class Sent(NamedTuple):
    """One request that could be meant: where to, and what with."""

    path: str
    kind: str
    body: bytes


def fitting(door: Door, known: Mapping[str, list[str]]) -> Iterator[Sent]:
    """Requests about one known thing after the other, since a door does not say which kind of thing it is about."""
    if door.handler is None:
        return
    kind, is_form = _read_by(door.handler), door.handler.parsed_data_field is None
    seen = set()
    for n in range(len(known["*"])):
        chosen = {name: values[n % len(values)] for name, values in known.items() if values}
        path = re.sub(r"\{(\w+)\}", lambda found, of=chosen: of.get(found[1], of["*"]), door.path)
        told = _told(kind, chosen, yes=bool(n % 2)) if kind else {}
        if (path, repr(told)) not in seen:
            seen.add((path, repr(told)))
            yield _sent(path, told, is_form=is_form)


def _sent(path: str, told: dict[str, Any], *, is_form: bool) -> Sent:
    """The request as a browser or a program writes it."""
    files = {name: told.pop(name) for name in [*told] if isinstance(told[name], bytes)}
    body = {"data": told, "files": files} if is_form else {"json": told}
    made = httpx.Request("POST", "http://localhost", **body)  # type: ignore[arg-type]
    return Sent(path, made.headers.get("content-type", "application/x-www-form-urlencoded"), made.read())


def _read_by(handler: HTTPRouteHandler) -> type[msgspec.Struct] | None:
    """The Struct that is read: what the handler declares, or the form that its code names."""
    if handler.parsed_data_field is not None:
        return handler.parsed_data_field.annotation
    found = [handler.opt.get("form"), *map(handler.fn.__globals__.get, _names(handler.fn.__code__))]
    return next((kind for kind in found if getattr(kind, "__name__", "").endswith(("Form", "Upload"))), None)


def _names(code: types.CodeType) -> Iterator[str]:
    yield from (name for name in code.co_names if name.endswith("Form"))
    for inner in code.co_consts:
        if isinstance(inner, types.CodeType):
            yield from _names(inner)


def _told(kind: type[msgspec.Struct], chosen: Mapping[str, str], *, yes: bool) -> dict[str, Any]:
    """What to tell: the Struct's own example about the chosen things, or a value for each of its fields."""
    if hasattr(kind, "example"):
        return _about("", msgspec.to_builtins(kind.example(local_day(clock.now()))), chosen, yes=yes)  # type: ignore[no-any-return]
    return _value("", inspect.type_info(kind), chosen)  # type: ignore[no-any-return]


def _about(name: str, told: Any, chosen: Mapping[str, str], *, yes: bool) -> Any:
    if isinstance(told, dict):
        return {key: _about(key, value, chosen, yes=yes) for key, value in told.items()}
    if isinstance(told, list | tuple):
        return [_about(name, value, chosen, yes=yes) for value in told]
    if isinstance(told, bool):
        return yes
    if isinstance(told, str) and UUIDS.fullmatch(told):
        return chosen.get(name, chosen["*"])
    return type(told)(chosen.get(name, told)) if name in ("agency", "bib") else told


def _value(name: str, kind: inspect.Type, chosen: Mapping[str, str]) -> Any:
    """A value for a field of this name and kind."""
    made: Any
    match kind:
        case inspect.Metadata(type=inner):
            made = _value(name, inner, chosen)
        case inspect.StructType(fields=fields):
            made = {field.name: _value(field.name, field.type, chosen) for field in fields}
        case inspect.ListType(item_type=item):
            made = [_value(name, item, chosen)]
        case inspect.LiteralType(values=values):
            made = values[-1]
        case inspect.IntType():
            made = max(kind.ge or 0, 1)
        case inspect.UUIDType():
            made = chosen.get(name, chosen["*"])
        case inspect.BytesType():
            made = _picture()
        case inspect.StrType():
            made = chosen.get(name, TEXTS.get(name, SENTENCE))[: kind.max_length]
        case _:
            raise TypeError(f"Nothing is known to fit into {name}: {kind}")
    return made


def _picture() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (300, 250), "teal").save(file, "PNG")
    return file.getvalue()
