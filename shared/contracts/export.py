"""Writes the contracts down: a JSON Schema for each fact and an AsyncAPI document for each service."""

import inspect
import json
import re
from pathlib import Path
from typing import Any

import msgspec

from shared.contracts import ALL, PUBLISHERS, envelope, published_by

FOLDER = Path(__file__).parent / "schemas"
SCHEMA = "https://json-schema.org/draft/2020-12/schema"


def schemas() -> dict[str, dict[str, Any]]:
    """JSON Schema by subject, each with the definitions it needs."""
    made = {}
    for subject, kind in ALL.items():
        schema = msgspec.json.schema(kind)
        made[subject] = {"$schema": SCHEMA, "title": subject, **schema}
    return made


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


def written() -> dict[str, str]:
    """Every file that `make contracts` writes, by name."""
    files = {f"{subject}.json": _text(schema) for subject, schema in schemas().items()}
    files["asyncapi.json"] = _text({name: document(name, _consumes(name)) for name in PUBLISHERS})
    return files


def _consumes(service: str) -> list[str]:
    from importlib import import_module

    from shared import agencies

    module = import_module(f"services.{service}.consumers")
    agencies.listen(module.consumer)
    subjects: list[str] = module.consumer.subjects()
    return subjects


def _text(value: dict[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2, sort_keys=True) + "\n"


def write_all(folder: Path = FOLDER) -> list[str]:
    """Write the files; returns the names of those that changed."""
    folder.mkdir(exist_ok=True)
    changed = []
    for name, text in written().items():
        path = folder / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            changed.append(name)
    return changed
