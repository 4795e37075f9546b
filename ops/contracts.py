"""Writes the contracts down: a JSON Schema for each fact and an AsyncAPI document for each service."""

import json
from importlib import import_module
from pathlib import Path
from typing import Any

import msgspec

from shared import agencies, contracts
from shared.contracts import ALL, SERVICES
from shared.contracts.asyncapi import document

FOLDER = Path(contracts.__file__).parent / "schemas"
SCHEMA = "https://json-schema.org/draft/2020-12/schema"


def schemas() -> dict[str, dict[str, Any]]:
    """JSON Schema by subject, each with the definitions it needs."""
    made = {}
    for subject, kind in ALL.items():
        schema = msgspec.json.schema(kind)
        made[subject] = {"$schema": SCHEMA, "title": subject, **schema}
    return made


def written() -> dict[str, str]:
    """Every file that `make contracts` writes, by name."""
    files = {f"{subject}.json": _text(schema) for subject, schema in schemas().items()}
    files["asyncapi.json"] = _text({name: document(name, _consumes(name)) for name in SERVICES})
    return files


def _consumes(service: str) -> list[str]:
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
