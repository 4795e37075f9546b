"""Refusals speak English to programs; `locale/vi.po` holds what the same sentence is to a Vietnamese reader."""

import re
from functools import cache

from babel.messages.pofile import read_po

from shared.web.problems import REASONS
from shared.web.words import ROOT

FILE = ROOT / "shared" / "web" / "locale" / "vi.po"

_PLACE = re.compile(r"\{\d*\}")


def said(lang: str, sentence: str, code: str = "") -> str:
    """A refusal in the reader's language: its own sentence, else the reason of its code, else nothing."""
    if lang == "en":
        return sentence
    return _vietnamese(sentence) or REASONS.get(code, "")


def _vietnamese(sentence: str) -> str | None:
    if sentence in sentences():
        return sentences()[sentence]
    for pattern, text in _patterns():
        if found := pattern.fullmatch(sentence):
            return text.format(*(_vietnamese(part) or _local(part) for part in found.groups()))
    return None


def _local(value: str) -> str:
    """A value as it is written in Viet Nam: `57,000` with a dot, `2026-11-30` day first, `'a'` in our quotes."""
    if re.fullmatch(r"\d{1,3}(,\d{3})+", value):
        return value.replace(",", ".")
    if found := re.fullmatch(r"(\d{4})-(\d\d)-(\d\d)", value):
        return "/".join(reversed(found.groups()))
    if found := re.fullmatch(r"'(.*)'", value, re.DOTALL):
        return f"“{found[1]}”"
    return value


@cache
def sentences() -> dict[str, str]:
    """Each English sentence, `{}` where it has a value, with its Vietnamese, `{0}` for the first value."""
    with FILE.open("rb") as stream:
        catalogue = read_po(stream, locale="vi")
    return {str(m.id): str(m.string) for m in catalogue if m.id and m.string}


@cache
def _patterns() -> list[tuple[re.Pattern[str], str]]:
    # The longest first: of two that fit, the one that says more of the sentence.
    known = sorted((s for s in sentences() if "{}" in s), key=len, reverse=True)
    return [
        (re.compile("(.*?)".join(re.escape(part) for part in _PLACE.split(s)), re.DOTALL), sentences()[s])
        for s in known
    ]
