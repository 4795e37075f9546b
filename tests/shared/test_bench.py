"""The record of speed: what `make bench` wrote down, and how a later run is held against it. Nothing is timed here."""

import json
import re
from pathlib import Path

import pytest

from bench.report import Row, compared, table

ROOT = Path(__file__).parent.parent.parent
RECORD = (ROOT / "docs" / "speed.md").read_text(encoding="utf-8")
BASELINE = json.loads((ROOT / "bench" / "baseline.json").read_text(encoding="utf-8"))


def row(name: str, ours: list[float], against: list[float]) -> Row:
    return Row(name, "something", ours, against, "/s", "≥ 0.50", met=True)


def test_a_ratio_is_the_median_of_pairs_and_may_fall_by_a_third():
    measured = [row("V1", [60, 10, 61], [100, 100, 100]), row("V6", [0.2], [])]
    assert measured[0].ratio == 0.6
    assert measured[1].ratio is None
    assert compared(measured, {"V1": 0.89, "V5": 20.0}) == []
    assert compared(measured, {"V1": 0.91}) == ["V1 fell from 0.91 to 0.60."]
    assert "| V1 | something | 60.00 [10.00–61.00] /s |" in table(measured)


@pytest.mark.promise("V3", "V4", "V5", "V6", "V9", "V10")
@pytest.mark.parametrize("name", ["V3", "V3b", "V4", "V4b", "V5", "V6", "V9", "V10"])
def test_the_measurement_on_record_meets_its_bar(name):
    said = re.search(rf"^\| {name} \|.*\| (yes|\*\*no\*\*) \|$", RECORD, re.MULTILINE)
    assert said
    assert said[1] == "yes"


def test_the_baseline_is_of_the_same_run_as_the_table():
    for name, ratio in BASELINE.items():
        line = re.search(rf"^\| {name} \|.*$", RECORD, re.MULTILINE)
        assert line
        assert f"| {ratio:.2f} |" in line[0], name
