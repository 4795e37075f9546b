"""The articles of the sample newspaper, read once from `articles/`."""

from datetime import datetime, time, timedelta
from functools import cache
from pathlib import Path

from msgspec import Struct

from shared import calendar, clock
from shared.web import N_

FOLDER = Path(__file__).parent / "articles"
SECTIONS = {
    "thoi-su": N_("Thời sự"),
    "kinh-te": N_("Kinh tế"),
    "du-lich": N_("Du lịch"),
    "the-thao": N_("Thể thao"),
    "van-hoa": N_("Văn hóa"),
}
TEASER_WORDS = 55


class Article(Struct, frozen=True, kw_only=True):
    """One article; `days` and `at` place it relative to today, so that the paper is never old."""

    slug: str
    title: str
    lead: str
    section: str
    author: str
    picture: str
    caption: str
    days: int
    at: time
    premium: bool
    blocks: tuple[tuple[str, str], ...]
    """(kind, text), kind being `p`, `h2` or `quote`."""

    @property
    def published_at(self) -> datetime:
        """When it came out: at its hour, so many days ago, and never in the future."""
        today = calendar.local_day(clock.now())
        then = datetime.combine(today - timedelta(days=self.days), self.at, calendar.ZONE)
        return then if then <= clock.now() else then - timedelta(days=1)

    @property
    def section_name(self) -> str:
        return SECTIONS[self.section]

    @property
    def address(self) -> str:
        return f"/bai/{self.slug}"

    @property
    def minutes(self) -> int:
        """Minutes to read, at 200 words a minute."""
        return max(1, round(sum(len(text.split()) for _, text in self.blocks) / 200))

    @property
    def teaser(self) -> tuple[tuple[str, str], ...]:
        """The beginning that anyone may read: the first words of the first paragraph."""
        words = self.blocks[0][1].split()
        cut = " ".join(words[:TEASER_WORDS])
        return (("p", cut if len(words) <= TEASER_WORDS else cut.rstrip(",;:") + "…"),)


@cache
def articles() -> dict[str, Article]:
    """Each article by its slug, newest first."""
    found = [read(path) for path in FOLDER.glob("*.md")]
    return {a.slug: a for a in sorted(found, key=lambda a: (a.days, -a.at.hour, -a.at.minute, a.slug))}


def of_section(section: str) -> list[Article]:
    return [article for article in articles().values() if article.section == section]


def related(article: Article, count: int = 3) -> list[Article]:
    """Others of the same section first, then the newest."""
    others = [a for a in articles().values() if a.slug != article.slug]
    return sorted(others, key=lambda a: a.section != article.section)[:count]


def read(path: Path) -> Article:
    """Read `name: value` lines, an empty line, then paragraphs; `##` opens a heading, `>` a quotation.

    Raises ValueError or KeyError, naming the file's mistake, for a file that is not so.
    """
    head, _, body = path.read_text(encoding="utf-8").partition("\n\n")
    fields = dict(line.split(": ", 1) for line in head.splitlines())
    if fields["section"] not in SECTIONS:
        raise ValueError(f"{path.name}: there is no section {fields['section']}.")
    return Article(
        slug=path.stem,
        title=fields["title"],
        lead=fields["lead"],
        section=fields["section"],
        author=fields["author"],
        picture=fields["picture"],
        caption=fields["caption"],
        days=int(fields["days"]),
        at=time.fromisoformat(fields["at"]),
        premium=fields["premium"] == "yes",
        blocks=tuple(_block(text) for text in body.strip().split("\n\n")),
    )


def _block(text: str) -> tuple[str, str]:
    line = " ".join(text.split())
    for mark, kind in (("## ", "h2"), ("> ", "quote")):
        if line.startswith(mark):
            return kind, line.removeprefix(mark)
    return "p", line
