"""How every service speaks HTTP: strict bodies, answers given once, versions, problems."""

import errno
import hashlib
import re
from collections.abc import Callable, Coroutine
from http import HTTPStatus
from operator import itemgetter
from typing import Any, TypeVar, cast, get_args, get_type_hints
from urllib.parse import quote

import msgspec
import sqlalchemy as sa
from litestar import Response
from litestar.datastructures import FormMultiDict
from litestar.enums import RequestEncodingType
from litestar.exceptions import HTTPException
from litestar.response import Redirect

from shared import clock, texts
from shared.auth import principal_of
from shared.db import Tx
from shared.errors import (
    OF_STATUS,
    BadInput,
    Refused,
    Stale,
    TooLarge,
    Unavailable,
    Unprocessable,
    VersionMissing,
    WrongContentType,
)
from shared.fields import field_refused
from shared.limits import client_address
from shared.request import Request

T = TypeVar("T")

MAX_JSON_BYTES = 256 * 1024
MAX_DEPTH = 24
PROBLEM = "application/problem+json"


class StrictRequest(Request):
    """Decodes JSON strictly, with limits; Litestar's own decoding would take `"5e3"` for 5000."""

    async def form(self) -> FormMultiDict:
        """The form that was sent. Raises WrongContentType for any other body, which would read as an empty form."""
        kind = self.content_type[0]
        if kind not in FORMS and await self.body():
            raise WrongContentType(
                f"Send a form as multipart/form-data, not {kind or 'without a content type'}."
            )
        return await super().form()

    async def json(self) -> Any:
        kind = self.content_type[0]
        if kind != RequestEncodingType.JSON:
            raise WrongContentType(
                f"Send the body as application/json, not {kind or 'without a content type'}."
            )
        body = await self.body()
        if len(body) > MAX_JSON_BYTES:
            raise TooLarge(f"The body is larger than {MAX_JSON_BYTES} bytes.")
        check_body(body)
        body = readable(body)
        field = cast("Any", self.route_handler).parsed_data_field
        try:
            return msgspec.json.decode(body, type=field.annotation if field else Any, strict=True)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise BadInput(f"The body cannot be read: {error}") from error


def check_body(body: bytes) -> None:
    """Refuse a body with a NUL in a text, or nested deeper than any of ours. Raises BadInput."""
    if b"\\u0000" in body and _ESCAPED_NUL.search(body):
        raise BadInput(NO_NUL)
    if body.count(b"[") + body.count(b"{") <= MAX_DEPTH:
        return
    depth = 0
    for byte in _STRINGS.sub(b"", body).translate(None, _NO_BRACKETS):
        depth += 1 if byte in b"[{" else -1
        if depth > MAX_DEPTH:
            raise BadInput(f"The body is nested deeper than {MAX_DEPTH}.")


def readable(body: bytes) -> bytes:
    """JSON with each letter written one way. Raises BadInput for a character that nobody sees."""
    if body.isascii() and b"\\u" not in body:
        return body
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise BadInput(f"The body cannot be read: {error}") from error
    if found := texts.hidden_in_json(text):
        raise BadInput(NO_HIDDEN.format(found))
    return texts.composed(text).encode()


NO_HIDDEN = "The character {} cannot be seen: names and texts hold none such."
NO_NUL = "Texts cannot hold the character NUL."
"""PostgreSQL keeps none, so that a text with one could be taken here and never be stored."""

# An odd number of backslashes: an even one is a text about the escape itself.
_ESCAPED_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
_STRINGS = re.compile(rb'"(?:[^"\\]|\\.)*"')
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


def read_form(form: Any, kind: type[T]) -> T:
    """Turn a posted form into a Struct. Whole numbers may be written `1.234.567 ₫`; nothing else is guessed.

    Fields that the form does not name keep their defaults; hidden fields starting with `_` are left out.
    Raises NotAWholeNumber or Unprocessable naming the field, BadInput for a NUL.
    """
    hints, bounds = get_type_hints(kind), get_type_hints(kind, include_extras=True)
    values: dict[str, Any] = {}
    for name in form:
        if name.startswith("_"):
            continue
        if name not in hints:
            raise Unprocessable(f"The form has no field {name}.")
        many = form.getall(name) if hasattr(form, "getall") else [form[name]]
        is_list = getattr(hints[name], "__origin__", None) in (list, tuple)
        read = [_plain(name, value, hints[name], _most(bounds[name])) for value in many]
        values[name] = read if is_list else read[-1]
    try:
        return msgspec.convert(values, kind, strict=False, str_keys=True)
    except msgspec.ValidationError as error:
        raise field_refused(str(error)) from error


class NotAWholeNumber(Refused, status=422):
    """A number in a form is not written as a whole one; the sentence shows how."""


def whole_number(text: str) -> int:
    """The number that a person wrote: digits alone, or with a dot before each group of three, `₫` or `đ` behind it.

    A dot anywhere else may have been meant as a decimal point: `5000.00` is not half a million. Raises ValueError.
    """
    found = _WHOLE.fullmatch(text.strip())
    if found is None:
        raise ValueError(text)
    return int(found[1].replace(".", ""))


WHOLE_NUMBER = r"(-?(?:[0-9]{1,18}|[1-9][0-9]{0,2}(?:\.[0-9]{3}){1,5}))(?:\s*[₫đ])?"
"""How a person writes one; also what a field asks the browser to check, before anything is sent."""

_WHOLE = re.compile(WHOLE_NUMBER)
_HUGE = re.compile(r"-?(?:[0-9]{19,}|[1-9][0-9]{0,2}(?:\.[0-9]{3}){6,})(?:\s*[₫đ])?")
MOST = 10**18 - 1
"""No number in a form goes beyond this, and few come near."""


def _most(hint: Any) -> int:
    """The greatest number that a field takes."""
    said = [meta.le for meta in getattr(hint, "__metadata__", ()) if isinstance(meta, msgspec.Meta)]
    return next((int(most) for most in said if most is not None), MOST)


def _plain(name: str, value: Any, hint: Any, most: int) -> Any:
    if not isinstance(value, str):
        return value
    text = value.strip()
    if "\0" in text:
        raise BadInput(NO_NUL)
    if found := texts.hidden(text):
        raise Unprocessable(NO_HIDDEN.format(found), field=name)
    if hint is int or int in get_args(hint):
        if not text:
            raise Unprocessable("Fill this in.", field=name)
        try:
            return whole_number(text)
        except ValueError as error:
            if _HUGE.fullmatch(text):
                far = f"The least is {-MOST}." if text[0] == "-" else f"The most is {most}."
                raise Unprocessable(far, field=name) from error
            raise NotAWholeNumber(
                f"{name}: {text[:40]!r} is not a whole number. Write 5000000 or 5.000.000, without decimals.",
                field=name,
            ) from error
    return texts.composed(text)


class KeyMissing(Refused, status=400):
    """A business POST came without an Idempotency-Key, or with one that is too short or too long."""


class KeyReused(Refused, status=422):
    """The Idempotency-Key came before with other input."""


class StillWorking(Refused):
    """The first request with this Idempotency-Key is still being worked on."""


async def once(
    request: Request,
    tx: Tx,
    work: Coroutine[Any, Any, T],
    secret: Callable[[T], T] | None = None,
) -> T:
    """Do a business POST at most once per `Idempotency-Key` of a principal; a repeat gets the first answer.

    The key comes as a header, or in a form as the hidden field `_idempotency_key`. It is kept with a hash of
    the input in the transaction that does the work. What `secret` adds goes out with the first answer alone.
    A program that repeats itself while the first request is worked on is told so; a person's second click waits.
    Raises KeyMissing, KeyReused when the key came before with other input, StillWorking.
    """
    try:
        key, digest = await _key_and_hash(request)
    except BaseException:
        work.close()
        raise
    mine = {"who": asker(request), "key": key}
    patient = not request.url.path.startswith("/api/")
    claimed = await tx.execute(_CLAIM, {**mine, "hash": digest, "now": clock.now(), "patient": patient})
    if claimed.first() is None:
        work.close()
        return cast("T", await _first_answer(request, tx, mine, digest))
    result = await work
    if isinstance(result, Redirect):
        kept = {"body": result.url.encode(), "status": result.status_code}
    else:
        kept = {"body": msgspec.json.encode(result), "status": None}
    await tx.execute(_KEEP, {**mine, **kept})
    return secret(result) if secret else result


# From the claim on the transaction sees the answers that its asker got, and no one else's.
# Whoever works on a key holds its lock until the end of the transaction; no lock and no row means: still at it.
_CLAIM = sa.text(
    "INSERT INTO idempotency (principal, key, request_hash, created_at) "
    "SELECT asked.who, CAST(:key AS text), CAST(:hash AS bytea), CAST(:now AS timestamptz) "
    "FROM (SELECT set_config('app.asker', :who, true) AS who) AS asked "
    "WHERE CAST(:patient AS boolean) OR pg_try_advisory_xact_lock(hashtextextended(:who || ' ' || :key, 2)) "
    "ON CONFLICT DO NOTHING RETURNING key"
)
_KEEP = sa.text("UPDATE idempotency SET body = :body, status = :status WHERE principal = :who AND key = :key")
_ANSWERED = sa.text(
    "SELECT request_hash, status, body FROM idempotency WHERE principal = :who AND key = :key"
)


async def _first_answer(request: Request, tx: Tx, mine: dict[str, str], digest: bytes) -> Any:
    before = (await tx.execute(_ANSWERED, mine)).first()
    if before is None:
        raise StillWorking(
            "The first request with this Idempotency-Key is still being worked on.", retry_after_s=1
        )
    if bytes(before.request_hash) != digest:
        raise KeyReused("This Idempotency-Key was used before with other input.")
    if before.status is not None:
        return Redirect(bytes(before.body).decode(), status_code=before.status)
    kind = cast("Any", request.route_handler).parsed_fn_signature.return_type.annotation
    return msgspec.json.decode(before.body, type=kind)


def asker(request: Request) -> str:
    """Whose answers are remembered: the principal's, or, of those who did not sign in, the browser's.

    A browser is told by the cookie of its forms, which nobody else has. A program without a key has nothing of its
    own but its address, which it may share: no answer to it may hold what is not for its neighbours.
    """
    principal = principal_of(request)
    if principal.kind != "nobody":
        return principal.subject
    config = request.app.csrf_config
    browser = request.cookies.get(config.cookie_name) if config else None
    if browser and not request.url.path.startswith("/api/"):
        return f"browser:{hashlib.sha256(browser.encode()).hexdigest()}"
    return f"nobody:{client_address(request)}"


async def _key_and_hash(request: Request) -> tuple[str, bytes]:
    is_form = request.content_type[0] in FORMS
    form = await request.form() if is_form else None
    key = request.headers.get("idempotency-key", "")
    if not key and form is not None:
        key = str(form.get("_idempotency_key", ""))
    if not 8 <= len(key) <= 128 or not key.isprintable():  # noqa: PLR2004
        raise KeyMissing("Send an Idempotency-Key of 8 to 128 characters, a new one for each new request.")
    seen = hashlib.sha256(f"{request.method} {request.url.path}\0".encode())
    if form is None:
        seen.update(await request.body())
        return key, seen.digest()
    for name, value in sorted(form.multi_items(), key=itemgetter(0)):
        if not name.startswith("_"):
            seen.update(msgspec.json.encode([name, *await _content(value)]))
    return key, seen.digest()


FORMS = (RequestEncodingType.URL_ENCODED, RequestEncodingType.MULTI_PART)


async def _content(value: Any) -> list[str]:
    """What of a form's value makes two requests the same: its text, or a file's name and bytes."""
    if isinstance(value, str):
        return [value]
    digest = hashlib.sha256(await value.read()).hexdigest()
    await value.seek(0)
    return [value.filename, digest]


def etag(version: int) -> str:
    return f'"{version}"'


_COMPRESSED = re.compile(r'-(?:gzip|zstd|br)"$')


def require_match(request: Request, version: int) -> None:
    """An edit must name the version it saw. Raises Stale when it names another, VersionMissing when none."""
    given = request.headers.get("if-match")
    if given is None:
        raise VersionMissing("Send If-Match with the ETag that you last read.")
    # The edge marks the ETag of a compressed answer: `"3-gzip"` is the version "3".
    if _COMPRESSED.sub('"', given) != etag(version):
        raise Stale("Somebody changed this meanwhile: read it again and repeat your change.")


PROGRAMS = ("/gateway/", "/health", "/metrics", "/b/")
"""Addresses outside the API that programs call; browsers come there too, and say so."""


def wants_html(request: Request) -> bool:
    """Whether a person asks: any address but a program's is a page, unless JSON alone is asked for."""
    # As it was asked for: below a mount, `path` is what is left of it.
    path = (request.scope.get("raw_path") or request.url.path.encode()).decode("latin-1")
    accepted = request.headers.get("accept", "")
    if path.startswith("/api/"):
        return False
    if "text/html" in accepted:
        return True
    return not path.startswith(PROGRAMS) and "json" not in accepted


def problem(request: Request, error: Exception) -> Response[Any]:
    """Map any exception to an answer: a problem+json for programs, a page for people (RFC 9457)."""
    status, code, sentence, more = _facts_of(error)
    waits = status in (429, 503) or "retry_after_s" in more
    headers = {"Retry-After": str(more.get("retry_after_s", 1))} if waits else {}
    if isinstance(error, HTTPException) and error.headers:
        headers.update(error.headers)
    if status == HTTPStatus.UNAUTHORIZED and wants_html(request):
        # 307 keeps the method and the body, so that a form posted with an expired token is not lost.
        path = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        return Redirect(f"/account/renew?next={quote(path, safe='')}", status_code=307)
    if wants_html(request):
        from shared.web import page

        template = page(request, "error.html", status=status, code=code, sentence=sentence)
        template.status_code = int(status)
        template.headers.update(headers)
        return cast("Response[Any]", template)
    body = {
        "type": f"/docs/problems#{code}",
        "title": HTTPStatus(status).phrase,
        "status": int(status),
        "code": code,
        "detail": sentence,
        "instance": request.url.path,
        **more,
    }
    return Response(msgspec.json.encode(body), status_code=int(status), media_type=PROBLEM, headers=headers)


FAULT = "fault"
"""The code of what broke on our side."""


def _facts_of(error: Exception) -> tuple[int, str, str, dict[str, Any]]:
    if isinstance(error, Refused):
        return error.status, error.code, error.sentence, error.more
    if isinstance(error, HTTPException):
        extra = {"fields": error.extra} if isinstance(error.extra, list) and error.extra else {}
        status, kind = error.status_code, OF_STATUS.get(error.status_code)
        code = kind.code if kind else BadInput.code if status < 500 else FAULT  # noqa: PLR2004
        return status, code, error.detail or HTTPStatus(status).phrase, extra
    if (state := _passing(error)) is not None:
        said = AT_ONCE if state[:2] in ("40", "55") else AWAY
        return 503, Unavailable.code, said, {"retry_after_s": 2}
    return 500, FAULT, "Something broke on our side. Nothing was changed; it has been logged.", {}


AWAY = "Something we need is away for a moment; try again."
AT_ONCE = "Somebody else changed the same at this moment. Nothing of yours was changed; try again."


def _passing(error: Exception) -> str | None:
    """The SQLSTATE, or nothing more, of a failure that passes by itself, such as a full pool; None for any other."""
    if isinstance(error, sa.exc.DBAPIError):
        state = getattr(error.orig, "sqlstate", None) or ""
        passes = error.connection_invalidated or not state or state[:2] in ("08", "40", "53", "55", "57")
        return state if passes else None
    full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    return "" if full or isinstance(error, sa.exc.TimeoutError | ConnectionError) else None
