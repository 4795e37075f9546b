"""What a service sends and receives, as an AsyncAPI document."""

import inspect
import json
import re
from typing import Any

import msgspec

from shared.contracts import ALL, envelope, published_by


def document(service: str, consumes: list[str]) -> dict[str, Any]:
    """An AsyncAPI 3.0 document: what a service sends and receives, each fact as a CloudEvent in binary mode."""
    sends = [kind.subject() for kind in published_by(service)]
    names = sorted({*sends, *consumes})
    refs, parts = msgspec.json.schema_components(
        [ALL[name] for name in names], ref_template="#/components/schemas/{name}"
    )
    return _short(
        {
            "asyncapi": "3.0.0",
            "info": {"title": f"Nguồn Thu · {service}", "version": "1", "description": DESCRIPTION},
            "defaultContentType": envelope.CONTENT_TYPE,
            "channels": {
                _key(name): {"address": name, "messages": {"fact": _message(name, ref)}}
                for name, ref in zip(names, refs, strict=True)
            },
            "operations": {
                **{f"send-{_key(name)}": _operation("send", name) for name in sends},
                **{f"receive-{_key(name)}": _operation("receive", name) for name in consumes},
            },
            "components": {
                "schemas": dict(sorted(parts.items())),
                "messageTraits": {
                    "cloudevent": {"headers": envelope.HEADERS, "contentType": envelope.CONTENT_TYPE}
                },
            },
        }
    )


def _short(document: dict[str, Any]) -> dict[str, Any]:
    """Where several services have a fact of one name, its schema is told by the sender's: `ads-CreditGranted`."""
    text = re.sub(r"\bshared\.contracts\.(\w+)\.(?=\w+\")", r"\1-", json.dumps(document))
    made: dict[str, Any] = json.loads(text)
    return made


DESCRIPTION = (
    "Facts travel over NATS JetStream: the channel's address is the subject, the stream is the sender's name in "
    "capitals. Each is a CloudEvent 1.0 in binary mode (its attributes are headers that begin with `ce-`), may come "
    "more than once with the same `ce-id`, and in any order."
)


def _message(name: str, ref: dict[str, Any]) -> dict[str, Any]:
    kind = ALL[name]
    return {
        "name": name,
        "title": kind.__name__,
        "summary": inspect.cleandoc(kind.__doc__ or name).split("\n", 1)[0],
        "payload": ref,
        "traits": [{"$ref": "#/components/messageTraits/cloudevent"}],
    }


def _key(name: str) -> str:
    """A subject as the name of a channel or operation, which may hold no dots."""
    return name.replace(".", "-")


def _operation(action: str, name: str) -> dict[str, Any]:
    return {
        "action": action,
        "channel": {"$ref": f"#/channels/{_key(name)}"},
        "messages": [{"$ref": f"#/channels/{_key(name)}/messages/fact"}],
    }
