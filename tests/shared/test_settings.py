import ast
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
