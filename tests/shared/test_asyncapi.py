"""Facts as others read them: AsyncAPI documents and CloudEvents, judged by programs that are not ours."""

import json
import re
import warnings
from collections.abc import Callable
from typing import Any

import jsonschema
import msgspec
import pytest
from cloudevents.core.bindings.http import HTTPMessage, from_binary
from cloudevents.core.formats.json import JSONFormat

from ops import contracts as export
from shared import contracts
from shared.contracts import envelope
from tests.sample import withdrawn

with warnings.catch_warnings():
    # Its models shadow names of pydantic's own, and say so.
    warnings.simplefilter("ignore")
    from asyncapi3.models.asyncapi import AsyncAPI3

DOCUMENTS = json.loads(export.written()["asyncapi.json"])


@pytest.mark.promise("F3", "F11")
@pytest.mark.parametrize("service", DOCUMENTS)
def test_the_document_is_valid_by_an_outside_judge_and_every_reference_in_it_leads_somewhere(service):
    document = DOCUMENTS[service]
    AsyncAPI3.model_validate(document)
    for path in set(re.findall(r'"\$ref": "#/([^"]+)"', json.dumps(document))):
        found = document
        for part in path.split("/"):
            found = found[part]
    sent = [one for one in document["operations"].values() if one["action"] == "send"]
    assert len(sent) == len(contracts.published_by(service))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda document, channel: document["info"].pop("version"),
        lambda document, channel: channel.update(wrong=1),
        lambda document, channel: channel.update(address=5),
        lambda document, channel: channel["messages"]["fact"].update(headers="none"),
    ],
    ids=["no version of ours", "unknown member", "no text", "no headers"],
)
def test_the_judge_refuses_what_is_no_asyncapi(spoil: Callable[[Any, Any], Any]):
    document = json.loads(json.dumps(DOCUMENTS["ads"]))
    spoil(document, next(iter(document["channels"].values())))
    with pytest.raises(ValueError, match="validation error"):
        AsyncAPI3.model_validate(document)


@pytest.mark.promise("F3", "F11")
def test_a_fact_is_a_cloudevent_by_the_sdk_of_cloudevents():
    fact = msgspec.structs.replace(withdrawn(), correlation="yêu cầu 1")
    headers = envelope.headers(str(fact.id), fact.subject(), contracts.encode(fact))
    jsonschema.Draft202012Validator(envelope.HEADERS).validate(headers)
    event = from_binary(HTTPMessage(headers, contracts.encode(fact)), JSONFormat())
    assert (event.get_id(), event.get_type(), event.get_source()) == (str(fact.id), fact.subject(), "/ads")
    assert (event.get_specversion(), event.get_time()) == ("1.0", fact.occurred_at)
    assert event.get_extension("correlationid") == "yêu cầu 1"
    assert event.get_data()["invoice"] == str(fact.invoice)
