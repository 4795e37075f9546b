import ast
from contextlib import nullcontext
from pathlib import Path

import msgspec
import pytest

from ops.golive import load
from shared.settings import BadSetting, Settings


def test_a_misspelt_setting_stops_the_start():
    with pytest.raises(BadSetting, match="NGUONTHU_BASEURL"):
        load({"NGUONTHU_BASEURL": "x"})


def test_a_secret_can_come_from_a_file(tmp_path):
    path = tmp_path / "secret"
    path.write_text("s" * 40 + "\n")
    assert load({"NGUONTHU_SECRET_FILE": str(path)}).secret == "s" * 40


def test_a_value_of_the_wrong_kind_is_named():
    with pytest.raises(BadSetting, match="NGUONTHU_NATS_REPLICAS='three'"):
        load({"NGUONTHU_NATS_REPLICAS": "three"})


@pytest.mark.parametrize(
    ("text", "taken"),
    [
        ("", True),
        ("until:7,own:a1", True),
        ("until:7,own:a1,ads:b2;until:0,own:c3", True),
        ("own:a1", False),
        ("until:soon,own:a1", False),
        ("until:7", False),
        ("until:7,own:a1;", False),
    ],
)
def test_keys_of_before_that_are_not_written_as_such_are_refused(text, taken):
    refused = nullcontext() if taken else pytest.raises(BadSetting, match="NGUONTHU_FORMER_KEYS")
    with refused:
        load({"NGUONTHU_FORMER_KEYS": text})


def test_every_setting_is_read_by_something():
    """A setting that nothing reads promises what is not so."""
    root = Path(__file__).parents[2]
    read = {
        node.attr
        for folder in ("shared", "services", "ops", "demo", "bench")
        for file in (root / folder).rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and ast.unparse(node.value).endswith(("settings", "wishes"))
    }
    read |= {"home"}  # by `read(environ).home`
    read |= {"budget_registrations", "budget_holds"}  # their doors are being built
    assert {field.name for field in msgspec.structs.fields(Settings)} - read == set()
