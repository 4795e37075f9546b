"""A fact on its way is a CloudEvent 1.0 in binary mode: its attributes are headers, its data is the fact itself.

Who reads facts without knowing this house (a router, a trace, an archive) goes by the headers alone.
"""

from typing import Any
from urllib.parse import quote

import msgspec

CONTENT_TYPE = "application/json"
HEADERS: dict[str, Any] = {
    "type": "object",
    "required": ["ce-specversion", "ce-id", "ce-source", "ce-type", "ce-time", "content-type"],
    "properties": {
        "ce-specversion": {"const": "1.0", "description": "Version of CloudEvents."},
        "ce-id": {
            "type": "string",
            "format": "uuid",
            "description": "Id of the fact; the same when it is sent again.",
        },
        "ce-source": {"type": "string", "description": "The service that says so, such as `/ads`."},
        "ce-type": {"type": "string", "description": "Type of the fact, which is also its subject in NATS."},
        "ce-time": {"type": "string", "format": "date-time", "description": "When it happened."},
        "ce-correlationid": {
            "type": "string",
            "description": "The request or fact that led to it, where one did.",
        },
        "content-type": {"const": CONTENT_TYPE, "description": "How the fact is written."},
    },
}
"""JSON Schema of the headers, for the AsyncAPI documents."""

_PLAIN = "!#$&'()*+,-./:;<=>?@[]^_`{|}~"


class _Said(msgspec.Struct):
    """Of a fact's body what its headers repeat."""

    occurred_at: str = ""
    correlation: str = ""


_said = msgspec.json.Decoder(_Said).decode


def headers(fact_id: str, subject: str, body: bytes) -> dict[str, str]:
    """The attributes of a fact that is about to be published; what is not plain ASCII is percent-encoded."""
    said = _said(body)
    made = {
        "ce-specversion": "1.0",
        "ce-id": fact_id,
        "ce-source": "/" + subject.partition(".")[0],
        "ce-type": subject,
        "ce-time": said.occurred_at,
        "ce-correlationid": quote(said.correlation, safe=_PLAIN),
        "content-type": CONTENT_TYPE,
    }
    return {name: value for name, value in made.items() if value}
