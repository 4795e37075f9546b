"""Every refusal is a problem as the API's own document and RFC 9457 say it, whatever raised it."""

from http import HTTPStatus
from typing import Any

import jsonschema
import msgspec
import pytest

from shared import openapi
from shared.web.problems import problems

BOOKINGS = "/api/ads/v1/bookings"
PICTURES = "/api/ads/v1/pictures"
THING = "/api/ads/v1/things/one"
GOOD = b'{"budget_vnd": 5}'
JSON = {"Content-Type": "application/json"}

KINDS: dict[str, tuple[int, str, str, str, dict[str, str], bytes]] = {
    "a body that cannot be read": (400, "bad-input", "POST", BOOKINGS, JSON, b"{"),
    "a parameter that nobody reads": (400, "unknown-parameter", "GET", "/api/ads/v1/things?x=1", {}, b""),
    "a parameter that is no number": (
        400,
        "bad-input",
        "GET",
        "/api/ads/v1/listed?fromDay=x&limit=y",
        {},
        b"",
    ),
    "no Idempotency-Key": (400, "key-missing", "POST", BOOKINGS, {**JSON, "Idempotency-Key": ""}, GOOD),
    "nobody": (401, "not-signed-in", "GET", "/api/ads/v1/things", {"Authorization": ""}, b""),
    "no right": (403, "not-allowed", "GET", "/api/ads/v1/things", {"Authorization": "reader"}, b""),
    "nothing there": (404, "not-found", "GET", "/api/ads/v1/nothing", {}, b""),
    "a wrong method": (405, "wrong-method", "DELETE", BOOKINGS, {}, b""),
    "the state of things": (409, "slot-taken", "POST", BOOKINGS, JSON, b'{"budget_vnd": 13}'),
    "an old version": (412, "stale", "PUT", THING, {"If-Match": '"2"'}, b""),
    "too much JSON": (413, "too-large", "POST", BOOKINGS, JSON, GOOD + b" " * 300_000),
    "too much of anything": (413, "too-large", "POST", PICTURES, JSON, b"x" * (9 * 1024 * 1024)),
    "another content type": (
        415,
        "wrong-content-type",
        "POST",
        BOOKINGS,
        {"Content-Type": "text/plain"},
        GOOD,
    ),
    "no content type": (415, "wrong-content-type", "POST", BOOKINGS, {}, GOOD),
    "JSON for a form": (415, "wrong-content-type", "POST", PICTURES, JSON, GOOD),
    "no version": (428, "version-missing", "PUT", THING, {}, b""),
    "a fault": (500, "fault", "GET", "/api/ads/v1/broken/x", {}, b""),
    "a circle of locks": (503, "unavailable", "GET", "/api/ads/v1/circle", {}, b""),
    "a full disk": (503, "unavailable", "GET", "/api/ads/v1/full", {}, b""),
    "a full pool": (503, "unavailable", "GET", "/api/ads/v1/away", {}, b""),
}
"""What is sent (method, address, headers, body), and the status and code that it is refused with."""


def judge() -> jsonschema.Draft202012Validator:
    """Validates a problem by the schema that every OpenAPI document of ours gives for it."""
    _, schemas = msgspec.json.schema_components([openapi.Problem], ref_template=openapi.REF)
    return jsonschema.Draft202012Validator(schemas["Problem"])


def check(answer: Any, status: int, code: str) -> None:
    told = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    judge().validate(told)
    assert (answer.status_code, told["status"], told["code"]) == (status, status, code), told
    assert told["type"] == f"/docs/problems#{code}"
    assert told["title"] == HTTPStatus(status).phrase
    assert told["instance"] == answer.request.url.path
    assert ("retry-after" in answer.headers) == (status in (429, 503))
    # The sample's own refusal is in nobody's list.
    assert code == "slot-taken" or (code, status) in {(one.code, one.status) for one in problems()}


@pytest.mark.promise("F5", "F11")
@pytest.mark.parametrize("kind", KINDS)
async def test_every_kind_of_refusal_is_a_problem_by_its_schema_and_is_explained_at_its_type(door, kind):
    status, code, method, path, headers, content = KINDS[kind]
    sent = door.headers(**headers)
    if headers.get("Authorization") == "reader":
        sent["Authorization"] = f"Bearer {door.key(scopes=['ads:read'])}"
    answer = await door.client.request(method, path, headers=sent, content=content)
    check(answer, status, code)
    assert await door.said() == 0


@pytest.mark.promise("F5", "F11")
async def test_a_key_that_came_before_with_other_input_and_too_many_requests_are_problems_too(door):
    headers = door.headers()
    assert (await door.client.post(BOOKINGS, json={"budget_vnd": 5}, headers=headers)).status_code == 201
    check(await door.client.post(BOOKINGS, json={"budget_vnd": 6}, headers=headers), 422, "key-reused")
    answers = [await door.client.get("/api/ads/v1/limited", headers=headers) for _ in range(8)]
    check(answers[-1], 429, "too-many")
    assert int(answers[-1].headers["retry-after"]) >= 1


async def test_who_met_another_at_the_same_moment_is_told_so_and_to_try_again(door):
    seen = await door.client.get("/circle", headers={"Accept": "text/html"})
    assert seen.status_code == 503
    assert "Có người khác vừa sửa đúng việc này cùng lúc" in seen.text
    assert "hãy thử lại" in seen.text


@pytest.mark.parametrize(
    "broken",
    [{"type": "about:blank"}, {"status": 200}, {"code": "Not Found"}, {"detail": ""}, {"title": None}, {}],
    ids=["a strange type", "a good status", "a code with blanks", "no sentence", "no title", "nothing wrong"],
)
def test_the_schema_of_problems_refuses_what_is_none(broken):
    told = {"type": "/docs/problems#a", "title": "A", "status": 409, "code": "a-b", "detail": "A.", **broken}
    assert judge().is_valid(told) == (not broken)
