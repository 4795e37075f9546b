"""Writes the contracts down: a JSON Schema for each fact and an AsyncAPI document for each service."""

import json
from pathlib import Path
from typing import Any

import msgspec

from shared.contracts import ALL, PUBLISHERS, published_by

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
    """An AsyncAPI 3.0 document: what a service sends and receives."""
    sends = [kind.subject() for kind in published_by(service)]
    every = schemas()
    names = sorted({*sends, *consumes})
    return {
        "asyncapi": "3.0.0",
        "info": {"title": f"Nguồn Thu · {service}", "version": "1"},
        "channels": {
            name: {"address": name, "messages": {name: {"name": name, "payload": _inline(every[name])}}}
            for name in names
        },
        "operations": {
            **{f"send {name}": _operation("send", name) for name in sends},
            **{f"receive {name}": _operation("receive", name) for name in consumes},
        },
    }


def _operation(action: str, name: str) -> dict[str, Any]:
    return {"action": action, "channel": {"$ref": f"#/channels/{name}"}}


def _inline(schema: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in schema.items() if key != "$schema"}


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
