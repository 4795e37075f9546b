"""Every refusal that a page can show is said in the reader's language."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.web.problems import REASONS
from shared.web.sentences import said, sentences
from shared.web.words import ROOT

# What only programs meet: the JSON API and rails' callbacks. (What operators meet stands in ops.)
PROGRAMS = (
    "/api.py",
    "/api/",
    "gateways.py",
    "simulators/",
    "ads/actions/beacons.py",
    "shared/leader.py",
)


def sources() -> list[Path]:
    found = [p for folder in ("shared", "services", "demo") for p in sorted((ROOT / folder).rglob("*.py"))]
    # Within the house: where a checkout lies may have any name.
    return [p for p in found if not any(part in f"/{p.relative_to(ROOT).as_posix()}" for part in PROGRAMS)]


def refusals_in(trees: list[ast.Module]) -> set[str]:
    """The names of all classes that descend from Refused."""
    classes = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    known = {"Refused"}
    while more := {c.name for c in classes if any(_name(b) in known for b in c.bases)} - known:
        known |= more
    return known


def _name(node: ast.expr) -> str:
    return getattr(node, "id", getattr(node, "attr", ""))


def raised() -> Iterator[tuple[str, str]]:
    """Each sentence with which a refusal is made, `{}` where it has a value, and its file."""
    trees = {path: ast.parse(path.read_text("utf-8")) for path in sources()}
    known = refusals_in(list(trees.values()))
    for path, tree in trees.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and _name(node.func) in known and node.args:
                sentence = node.args[0]
                if isinstance(sentence, ast.Constant) and isinstance(sentence.value, str):
                    yield sentence.value, str(path.relative_to(ROOT))
                elif isinstance(sentence, ast.JoinedStr):
                    parts = [p.value if isinstance(p, ast.Constant) else "{}" for p in sentence.values]
                    yield "".join(map(str, parts)), str(path.relative_to(ROOT))


def test_every_sentence_of_a_refusal_that_a_page_can_show_has_its_vietnamese() -> None:
    found = dict(raised())
    assert len(found) > 120
    missing = {sentence: file for sentence, file in found.items() if sentence not in sentences()}
    assert not missing, f"add them to shared/web/locale/vi.po: {missing}"


def test_the_values_of_a_sentence_are_written_as_in_viet_nam() -> None:
    assert said("vi", "The flight starts on 2020-01-31, which is past.") == "Ngày bắt đầu 31/01/2020 đã qua."
    small = "The least line is 1,000 impressions, here 57,000 đồng."
    assert said("vi", small) == "Một dòng ít nhất 1.000 lượt hiển thị, ở đây là 57.000 đồng."
    wrong = "budget_vnd: '5,000' is not a whole number. Write 5000000 or 5.000.000, without decimals."
    # What was typed is shown as it was typed.
    assert said("vi", wrong).startswith("“5,000” ")
    assert said("en", wrong) == wrong


def test_a_vietnamese_sentence_uses_only_values_that_the_english_has() -> None:
    for english, vietnamese in sentences().items():
        said_of = vietnamese.format(*["x"] * english.count("{}"))
        assert "{" not in said_of, vietnamese


@pytest.mark.parametrize(
    ("sentence", "code", "vietnamese"),
    [
        ("There is no such order.", "not-found", "Không có đơn này."),
        ("A password has 14 to 256 characters.", "unprocessable", "Mật khẩu cần từ 14 đến 256 ký tự."),
        ("Words that nobody translated.", "sold-out", REASONS["sold-out"]),
        ("Words that nobody translated.", "not-found", ""),
    ],
)
def test_a_sentence_is_said_with_its_values_else_its_reason_and_never_in_english(
    sentence: str, code: str, vietnamese: str
) -> None:
    assert said("vi", sentence, code) == vietnamese
    assert said("en", sentence, code) == sentence
