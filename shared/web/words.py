"""Two languages: message ids are the Vietnamese text, and `locale/en.po` of each folder holds the English."""

import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po, write_po
from markupsafe import escape

LANGUAGES = ("vi", "en")
ROOT = Path(__file__).resolve().parents[2]

METHODS = [("**/templates/**.html", "jinja2"), ("**.py", "python")]
# By default a template that cannot be parsed is passed over in silence.
OPTIONS = {METHODS[0][0]: {"extensions": "jinja2.ext.do", "silent": "false"}}
KEYWORDS = {"_": None, "N_": None, "ngettext": (1, 2), "translate": (2,), "translate_n": (2, 3)}


def N_(text: str) -> str:  # noqa: N802 - the name by which translators' tools know it
    """Mark a text for translation where the language is not known yet; the template says `_(label)`."""
    return text


def translate(lang: str, text: str, **values: object) -> str:
    """The text in a language, with `{name}` replaced by the value of that name."""
    return _fill(_english().get(text, text) if lang == "en" else text, values)


def translate_n(lang: str, one: str, many: str, n: int, **values: object) -> str:
    """Like `translate`, choosing by number; Vietnamese needs no plural, so both ids may be the same text."""
    if lang == "en":
        plural = _plurals().get(one)
        text = (plural[n != 1] if plural else None) or (one if n == 1 else many)
    else:
        text = one if n == 1 else many
    return _fill(text, {"n": n, **values})


def _fill(text: str, values: dict[str, object]) -> str:
    if not values:
        return text
    # A link or a bold figure put into a text makes all of it HTML, so everything else in it is escaped here.
    if any(hasattr(value, "__html__") for value in values.values()):
        return escape(text).format(**values)
    return text.format(**values)


def folders() -> list[Path]:
    """Each folder that has texts of its own."""
    return [ROOT / "shared" / "web", *sorted((ROOT / "services").glob("[a-z]*")), ROOT / "demo"]


@cache
def _catalogues() -> list[Catalog]:
    return [read_english(folder) for folder in folders()]


@cache
def _english() -> dict[str, str]:
    return {
        str(message.id): str(message.string)
        for catalogue in _catalogues()
        for message in catalogue
        if isinstance(message.id, str) and message.id and message.string
    }


@cache
def _plurals() -> dict[str, tuple[str, str]]:
    return {
        message.id[0]: (message.string[0], message.string[-1])
        for catalogue in _catalogues()
        for message in catalogue
        if isinstance(message.id, tuple) and isinstance(message.string, tuple) and all(message.string)
    }


def read_english(folder: Path) -> Catalog:
    """The folder's catalogue; an empty one where there is none yet."""
    file = folder / "locale" / "en.po"
    if not file.exists():
        return Catalog(locale="en")
    with file.open("rb") as stream:
        return read_po(stream, locale="en")


def texts_in(folder: Path) -> Iterator[tuple[str | tuple[str, ...], str]]:
    """Each (message id, place) in the templates and the code of a folder."""
    found = extract_from_dir(folder, METHODS, OPTIONS, KEYWORDS, strip_comment_tags=True)
    for file, line, message, _comments, _context in found:
        yield message, f"{file}:{line}"


def missing_in(folder: Path) -> dict[str | tuple[str, ...], str]:
    """Message ids of a folder that have no English, with the first place of each.

    A text that shared/web translates need not be translated again.
    """
    known = {
        message.id
        for catalogue in (read_english(folder), read_english(ROOT / "shared" / "web"))
        for message in catalogue
        if message.id and message.string and all(message.string)
    }
    missing: dict[str | tuple[str, ...], str] = {}
    for message, place in texts_in(folder):
        if message not in known:
            missing.setdefault(message, place)
    return missing


def main(names: list[str]) -> int:
    """Add what is missing to the folders' `locale/en.po`, untranslated; return how many wait for English."""
    waiting = 0
    for folder in [ROOT / name for name in names] or folders():
        catalogue, missing = read_english(folder), missing_in(folder)
        waiting += len(missing)
        for message, place in missing.items():
            if message not in catalogue:
                catalogue.add(message)
            sys.stdout.write(f"{folder.relative_to(ROOT)}/{place}: {message!r}\n")
        if missing:
            (folder / "locale").mkdir(exist_ok=True)
            with (folder / "locale" / "en.po").open("wb") as stream:
                write_po(stream, catalogue, omit_header=True, no_location=True, width=110)
    sys.stdout.write(f"{waiting} texts have no English yet.\n")
    return waiting
