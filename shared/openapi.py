"""One OpenAPI document a service, read from its handlers, guards and Structs, so that it cannot say anything else.

A handler's docstring says what it does, a Struct's attribute docstrings or `glossary.md` what its fields mean, and a
request Struct's `example` what would be accepted today. What a raw ASGI handler takes and answers stands in its `opt`.
"""

import inspect
from collections.abc import Iterator
from datetime import date
from http import HTTPStatus
from typing import Annotated, Any, NamedTuple

import msgspec
from litestar import Litestar, Response
from litestar.handlers import BaseRouteHandler
from litestar.params import KwargDefinition
from litestar.routes import ASGIRoute, HTTPRoute
from litestar.typing import FieldDefinition
from msgspec import Meta

from shared import limits, strangers
from shared.errors import OF_STATUS, Stale, VersionMissing
from shared.glossary import explain, meaning

REF = "#/components/schemas/{name}"
SECURITY = {
    "key": {
        "type": "http",
        "scheme": "bearer",
        "description": "An API key as `Authorization: Bearer nt_…`; the name beside it is the scope that it needs. "
        "Accounts gives an advertiser its first key (`POST /api/accounts/v1/advertisers`).",
    }
}
PROBLEMS = {
    400: "What was sent cannot be read, or a header or parameter is missing or unknown; nothing was changed.",
    401: "No valid key came with the request.",
    403: "The key is valid and has not the right.",
    404: "There is no such thing, or not for the caller; the two are never told apart.",
    409: "It cannot be done in the present state of things; `code` says why.",
    412: "`If-Match` names a version that is no longer current.",
    413: "The body has more bytes than are taken here.",
    415: "The body is of another content type than the one that is read here.",
    422: "It can be read and contradicts itself or a rule; `code` and `detail` say how.",
    428: "An edit came without `If-Match`.",
    429: "More requests than the limit; come back after `Retry-After` seconds.",
    503: "Something needed is away for a moment; come back after `Retry-After` seconds.",
}

CODES = {
    **{status: kind.code for status, kind in OF_STATUS.items()},
    409: "still-working",
    412: Stale.code,
    428: VersionMissing.code,
}
"""A code of each of them, for the examples."""


class Problem(msgspec.Struct, frozen=True):
    """A refusal (RFC 9457). It may hold more members, which belong to its `code`."""

    type: Annotated[str, Meta(pattern="^/docs/problems#", extra_json_schema={"format": "uri-reference"})]
    """Address of the explanation, below the house's own."""
    title: Annotated[str, Meta(min_length=1)]
    """The status in words."""
    status: Annotated[int, Meta(ge=400, le=599)]
    """The HTTP status again."""
    code: Annotated[str, Meta(pattern="^[a-z]+(-[a-z]+)*$")]
    """What a program goes by; all are listed at `/docs/problems`."""
    detail: Annotated[str, Meta(min_length=1)]
    """A sentence for people: what is wrong, and where."""
    instance: Annotated[str, Meta(extra_json_schema={"format": "uri-reference"})] = ""
    """The path that was asked; left out while the service itself is away."""


class Described(msgspec.Struct, frozen=True):
    """What a raw ASGI handler takes and answers, which no signature tells; it stands in `opt["described"]`."""

    method: str
    answer: Any
    data: Any = None
    scope: str = ""
    parameters: tuple[str, ...] = ()


class Operation(NamedTuple):
    """One method of one path, as the document needs it."""

    path: str
    method: str
    handler: BaseRouteHandler
    status: int
    data: Any
    form: Any
    answer: Any
    query: dict[str, FieldDefinition]
    path_types: dict[str, type]


def document(app: Litestar, service: str, today: date) -> dict[str, Any]:
    """The OpenAPI 3.1 document of a service, with examples that are accepted on that day."""
    operations = list(_operations(app, f"/api/{service}/v1"))
    kinds = [Problem, *(kind for one in operations for kind in (one.data, one.form, one.answer) if kind)]
    refs, schemas = msgspec.json.schema_components(kinds, ref_template=REF)
    by_kind = dict(zip(map(repr, kinds), refs, strict=True))
    explain(schemas, kinds)
    for form in filter(None, (one.form for one in operations)):
        _as_parts(schemas[form.__name__])
    paths: dict[str, Any] = {}
    for one in operations:
        paths.setdefault(one.path, {})[one.method] = _operation(one, service, by_kind, today)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": f"Nguồn Thu · {service}",
            "version": "1",
            "description": "Money is whole đồng. Times are UTC, days are those of Asia/Ho_Chi_Minh. "
            "Refusals are `application/problem+json`.",
        },
        "servers": [{"url": "/", "description": "The house that this document was read from."}],
        "tags": [{"name": service}],
        "paths": dict(sorted(paths.items())),
        "components": {
            "schemas": dict(sorted(schemas.items())),
            "securitySchemes": SECURITY,
            "responses": {str(status): _problem(status, by_kind) for status in PROBLEMS},
        },
    }


def _operations(app: Litestar, base: str) -> Iterator[Operation]:
    for route in app.routes:
        if not route.path.startswith(base):
            continue
        if isinstance(route, HTTPRoute):
            yield from _read(route)
        elif isinstance(route, ASGIRoute) and "described" in route.route_handler.opt:
            handler = route.route_handler
            told: Described = handler.opt["described"]
            query = {name: FieldDefinition.from_annotation(str, default="") for name in told.parameters}
            yield Operation(route.path, told.method, handler, 200, told.data, None, told.answer, query, {})


def _read(route: HTTPRoute) -> Iterator[Operation]:
    for method, (handler, model) in route.route_handler_map.items():
        if method == "OPTIONS" or not handler.resolve_include_in_schema():
            continue
        fields = handler.parsed_fn_signature.parameters
        answer = handler.parsed_fn_signature.return_type
        if answer.is_subclass_of(Response):
            answer = answer.inner_types[0]
        data = handler.parsed_data_field
        asked = {one.field_name: one.field_alias for one in model.expected_query_params}
        yield Operation(
            path=route.path_format,
            method=method.lower(),
            handler=handler,
            status=handler.status_code,
            data=data.annotation if data else None,
            form=handler.opt.get("form"),
            answer=None if answer.annotation is type(None) else answer.annotation,
            query={asked[name]: field for name, field in fields.items() if name in asked},
            path_types={name: one.type for name, one in route.path_parameters.items()},
        )


def _operation(one: Operation, service: str, refs: dict[str, Any], today: date) -> dict[str, Any]:
    words = inspect.cleandoc(one.handler.fn.__doc__ or "")
    made: dict[str, Any] = {
        "operationId": one.handler.handler_name,
        "tags": [service],
        "summary": words.split("\n", 1)[0],
        "description": words,
        "parameters": [*_in_path(one), *_in_query(one), *_in_headers(one)],
        "responses": _responses(one, refs),
    }
    if (scope := _scope(one)) is not None:
        made["security"] = [{"key": [scope] if scope else []}]
    if one.data is not None:
        content: dict[str, Any] = {"schema": refs[repr(one.data)]}
        if hasattr(one.data, "example"):
            content["example"] = msgspec.to_builtins(one.data.example(today))
        made["requestBody"] = {"required": True, "content": {"application/json": content}}
    elif one.form is not None:
        made["requestBody"] = {
            "required": True,
            "content": {"multipart/form-data": {"schema": refs[repr(one.form)]}},
        }
    return made


def _in_path(one: Operation) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "path", "required": True, "description": meaning(name), "schema": _schema(kind)}
        for name, kind in one.path_types.items()
    ]


def _in_query(one: Operation) -> list[dict[str, Any]]:
    made = []
    for name, field in one.query.items():
        schema, default = _schema(field.annotation), field.default
        if isinstance(told := field.kwarg_definition, KwargDefinition):
            bounds = {"minimum": told.ge, "maximum": told.le}
            schema |= {key: bound for key, bound in bounds.items() if bound is not None}
        if field.has_default and default not in (None, "", date.min, date.max):
            schema["default"] = default
        required = not field.has_default
        made.append(
            {
                "name": name,
                "in": "query",
                "required": required,
                "description": meaning(name),
                "schema": schema,
            }
        )
    return made


def _in_headers(one: Operation) -> list[dict[str, Any]]:
    """The headers that a handler asks for: what it calls says which."""
    made = []
    if _calls(one, "once"):
        words = (
            "A new random value for each new request, the same for its repeat, which gets the first answer."
        )
        made.append(("Idempotency-Key", words, {"type": "string", "minLength": 8, "maxLength": 128}))
    if one.method == "put":
        made.append(("If-Match", "The `ETag` that was last read.", {"type": "string"}))
    return [
        {"name": name, "in": "header", "required": True, "description": words, "schema": schema}
        for name, words, schema in made
    ]


def _calls(one: Operation, name: str) -> bool:
    return name in one.handler.fn.__code__.co_names


LIMITING = {limits.__name__, strangers.__name__}
"""Modules whose guards count who comes, and let in whoever it is."""


def _scope(one: Operation) -> str | None:
    """The scope that a key needs; empty where any key will do, None where everybody may ask."""
    if (described := one.handler.opt.get("described")) is not None:
        return described.scope or None
    guards = one.handler.resolve_guards()
    # Whatever is no limit of the rate, or of strangers, asks who comes.
    asking = [guard for guard in guards if getattr(guard, "__module__", "") not in LIMITING]
    return getattr(asking[0], "scope", "") if asking else None


def _as_parts(schema: dict[str, Any]) -> None:
    """In multipart form data bytes are a file and not text in base64."""
    for part in schema["properties"].values():
        if part.pop("contentEncoding", None):
            part["format"] = "binary"


def _responses(one: Operation, refs: dict[str, Any]) -> dict[str, Any]:
    good: dict[str, Any] = {"description": HTTPStatus(one.status).phrase}
    if one.answer is not None:
        good["content"] = {"application/json": {"schema": refs[repr(one.answer)]}}
    if _calls(one, "etag"):
        good["headers"] = {
            "ETag": {"description": "The version; an edit names it.", "schema": {"type": "string"}}
        }
    wrong = {400, 429, 503}
    wrong |= {401, 403} if _scope(one) is not None else set()
    wrong |= {404} if one.path_types else set()
    wrong |= {404, 409, 422} if one.method != "get" else set()
    wrong |= {413, 415} if one.data is not None or one.form is not None else set()
    wrong |= {412, 428} if one.method == "put" else set()
    problems = {str(status): {"$ref": f"#/components/responses/{status}"} for status in sorted(wrong)}
    return {str(one.status): good, **problems}


def _problem(status: int, refs: dict[str, Any]) -> dict[str, Any]:
    code = CODES[status]
    # Without an example of ours the page that shows the document makes up letters.
    example = {
        "type": f"/docs/problems#{code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "code": code,
        "detail": PROBLEMS[status],
    }
    made: dict[str, Any] = {
        "description": PROBLEMS[status],
        "content": {"application/problem+json": {"schema": refs[repr(Problem)], "example": example}},
    }
    if status in (429, 503):
        seconds = {"description": "Seconds to wait.", "schema": {"type": "integer"}}
        made["headers"] = {"Retry-After": seconds}
    return made


def _schema(kind: Any) -> dict[str, Any]:
    made: dict[str, Any] = msgspec.json.schema(kind)
    return made
