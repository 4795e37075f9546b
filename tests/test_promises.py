"""`docs/promises.md` and the marks on tests are kept in step."""

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
ROW = re.compile(r"^\| ([A-Z]\d+) \| (.+?) \| (kept|partly|open) \|", re.MULTILINE)
MARK = re.compile(r"promise\(([^)]*)\)")


def listed() -> dict[str, str]:
    text = (ROOT / "docs" / "promises.md").read_text(encoding="utf-8")
    return {row: state for row, _, state in ROW.findall(text)}


def shown() -> set[str]:
    found: set[str] = set()
    for path in (ROOT / "tests").rglob("*.py"):
        if path != Path(__file__):
            for inside in MARK.findall(path.read_text(encoding="utf-8")):
                found |= set(re.findall(r'"([A-Z]\d+)"', inside))
    return found


def test_a_promise_is_kept_only_when_a_test_shows_it():
    kept = {row for row, state in listed().items() if state == "kept"}
    begun = kept | {row for row, state in listed().items() if state == "partly"}
    assert kept - shown() == set(), "listed as kept, but no test shows it"
    assert shown() - begun == set(), "shown by a test, but not listed as kept or partly"


def test_what_is_partly_kept_says_what_is_missing():
    text = (ROOT / "docs" / "promises.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| [A-Z]\d+ \| [^|]+ \| partly \| \|$", text, re.MULTILINE) == []


def test_no_promise_is_listed_twice_or_left_out():
    text = (ROOT / "docs" / "promises.md").read_text(encoding="utf-8")
    rows = [row for row, _, _ in ROW.findall(text)]
    assert len(rows) == len(set(rows))
    wanted = {"F": 11, "L": 19, "P": 12, "S": 19, "A": 18, "E": 20, "W": 13, "T": 19, "V": 12}
    expected = {f"{letter}{n}" for letter, last in wanted.items() for n in range(1, last + 1)}
    assert set(rows) == expected
