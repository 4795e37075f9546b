"""The API documents: valid by an outside judge, complete, and with examples that would be accepted."""

import json
import re
from datetime import date
from importlib import import_module
from typing import Any, get_args

import jsonschema
import msgspec
import pytest
from joserfc.jwk import OKPKey
from litestar.routes import HTTPRoute
from openapi_spec_validator import OpenAPIV31SpecValidator

from shared import glossary, openapi
from shared.contracts import SERVICES
from shared.contracts.scopes import Scope
from shared.settings import Settings
from shared.web.problems import problems

TODAY = date(2026, 11, 27)
WITHOUT_KEY = {"submit", "review", "decide", "check_access", "check_access_batch"}
"""POSTs that need no Idempotency-Key: doing them again changes nothing, or they only answer."""

OPEN = {"register_advertiser", "list_agencies", "show_public_keys", "list_placements", "decide"}
OPEN |= {"list_packages", "list_events", "show_event", "show_availability"}
WITHOUT_SCOPE = {"show_me", "decide_refund"}
"""What any key may ask, and what a person alone decides."""


class Odd(msgspec.Struct):
    """A Struct whose field nobody has explained."""

    wobble: int


@pytest.fixture(scope="module", params=SERVICES)
def service(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def app_of(service: str) -> Any:
    key = OKPKey.generate_key("Ed25519", parameters={"kid": "test"})
    public = json.dumps({"keys": [key.as_dict(private=False)]})
    settings = Settings(token_private_key=json.dumps(key.as_dict(private=True)), token_public_keys=public)
    return import_module(f"services.{service}.app").create_app(settings)


@pytest.fixture(scope="module")
def app(service: str) -> Any:
    return app_of(service)


@pytest.fixture(scope="module")
def document(app: Any, service: str) -> Any:
    return json.loads(msgspec.json.encode(openapi.document(app, service, TODAY)))


@pytest.fixture(scope="module")
def operations(document: Any) -> list[tuple[str, str, Any]]:
    return [(path, method, one) for path, found in document["paths"].items() for method, one in found.items()]


@pytest.mark.promise("F5", "F11")
def test_the_document_is_valid_by_an_outside_validator(document):
    assert [str(error) for error in OpenAPIV31SpecValidator(document).iter_errors()] == []


@pytest.mark.promise("F5")
def test_every_route_of_the_api_is_described_and_no_other_one(app, document, service):
    about_itself = {f"/api/{service}/v1/{name}" for name in ("docs", "openapi.json", "asyncapi.json")}
    found = {
        (route.path_format, method.lower())
        for route in app.routes
        if isinstance(route, HTTPRoute) and route.path.startswith("/api/")
        for method in route.methods
        if method != "OPTIONS" and route.path not in about_itself
    }
    told = {(path, method) for path, one in document["paths"].items() for method in one}
    assert found <= told
    assert {path for path, _ in told - found} <= {"/api/ads/v1/decide", "/api/subscriptions/v1/access"}


@pytest.mark.promise("F5")
def test_every_operation_says_what_it_does_asks_and_refuses(operations):
    ids = [one["operationId"] for _, _, one in operations]
    assert len(ids) == len(set(ids))
    for path, method, one in operations:
        assert re.fullmatch(r"[a-z_]+", one["operationId"]), path
        assert one["summary"].endswith((".", ";")) or ":" in one["summary"], path
        assert one["tags"], path
        assert {"400", "429", "503"} <= set(one["responses"]), path
        for told in one["parameters"]:
            assert told["description"], (path, told["name"])
            assert told["schema"], (path, told["name"])
        headers = {told["name"] for told in one["parameters"] if told["in"] == "header" and told["required"]}
        once = method == "post" and one["operationId"] not in WITHOUT_KEY
        assert ("Idempotency-Key" in headers) == once, path
        assert ("If-Match" in headers) == (method == "put"), path
        if method in ("post", "put") and "requestBody" not in one:
            assert re.search(r"/(submit|cancel|cancellation)$", path), f"{path} takes a body that is not told"


@pytest.mark.promise("F5")
def test_every_operation_names_the_scope_of_the_key_that_it_asks_for(operations):
    for path, _, one in operations:
        if one["operationId"] in OPEN:
            assert "security" not in one, path
            continue
        [[named]] = [list(way.items()) for way in one["security"]]
        assert named[0] == "key"
        assert set(named[1]) <= set(get_args(Scope)), path
        assert named[1] or one["operationId"] in WITHOUT_SCOPE, path
        assert {"401", "403"} <= set(one["responses"]), path


@pytest.mark.promise("F5")
def test_every_list_with_a_cursor_says_how_long_a_part_may_be_asked_for(operations):
    for path, _, one in operations:
        told = {each["name"]: each for each in one["parameters"]}
        if "cursor" in told:
            limit = told["limit"]["schema"]
            assert (limit["minimum"], limit["default"], limit["maximum"]) == (1, 50, 200), path
        assert ("cursor" in told) == ("limit" in told), path


def test_a_field_with_a_closed_set_of_values_lists_them():
    closed = {
        "ads": ["CreativeView.status", "OrderView.status", "LineView.pricing", "RateView.pricing"],
        "events": ["SellableView.kind", "Left.kind", "SponsorshipView.state"],
        "payments": ["CaptureView.rail", "InvoiceView.collect", "InvoiceView.outcome", "RefundView.state"],
        "accounts": ["Agency.kind", "Me.kind"],
        "ledger": ["MonthCell.stream"],
        "subscriptions": ["Subscription.standing", "Package.reader_group", "Invoice.collection"],
    }
    for service, fields in closed.items():
        made = json.loads(msgspec.json.encode(openapi.document(app_of(service), service, TODAY)))
        for field in fields:
            name, part = field.split(".")
            assert '"enum"' in json.dumps(made["components"]["schemas"][name]["properties"][part]), field


@pytest.mark.promise("F5")
def test_every_field_says_what_it_means_and_an_instant_is_one(document):
    for name, schema in document["components"]["schemas"].items():
        for field, part in schema.get("properties", {}).items():
            assert part["description"].strip(), (name, field)
            if field.endswith("_at"):
                assert "date-time" in json.dumps(part), (name, field)


@pytest.mark.promise("F5")
def test_every_body_has_an_example_that_its_own_reader_takes(app, document, operations):
    kinds = {
        (one.path, one.method): one.data for one in openapi._operations(app, "/api/") if one.data is not None
    }
    for path, method, one in operations:
        content = one.get("requestBody", {}).get("content", {}).get("application/json")
        if content is None:
            continue
        example = content["example"]
        msgspec.json.decode(json.dumps(example), type=kinds[path, method], strict=True)
        jsonschema.Draft202012Validator({**content["schema"], "components": document["components"]}).validate(
            example
        )


@pytest.mark.promise("F5")
def test_every_refusal_has_an_example_with_a_code_that_the_list_of_problems_holds(document):
    judge = jsonschema.Draft202012Validator(
        {"$ref": "#/components/schemas/Problem", "components": document["components"]}
    )
    for status, answer in document["components"]["responses"].items():
        example = answer["content"]["application/problem+json"]["example"]
        judge.validate(example)
        assert (example["code"], int(status)) in {(one.code, one.status) for one in problems()}


def test_the_glossary_explains_no_word_that_nobody_uses():
    used: set[str] = set()
    for name in SERVICES:
        made = openapi.document(app_of(name), name, TODAY)
        for schema in made["components"]["schemas"].values():
            used |= schema.get("properties", {}).keys()
        for found in made["paths"].values():
            used |= {told["name"] for one in found.values() for told in one["parameters"]}
    assert set(glossary.glossary()) - used == set()


def test_a_field_that_nobody_has_explained_is_a_fault():
    _, schemas = msgspec.json.schema_components([Odd], ref_template=openapi.REF)
    with pytest.raises(KeyError, match="wobble"):
        glossary.explain(schemas, [Odd])
