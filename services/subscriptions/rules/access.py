"""Who may read what: the decision itself, in two halves around the one question to the meter."""

from collections.abc import Iterable
from datetime import date
from typing import Annotated, Literal, Self
from uuid import UUID

import msgspec

from services.subscriptions.rules.catalogue import Grant
from shared.contracts.base import Code

Rule = Literal["free", "registration", "metered", "hard"]
Reason = Literal["free", "registration", "metered", "entitled", "wall", "policy"]
Count = Annotated[int, msgspec.Meta(ge=0, le=1000)]


class SectionPolicy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How one section is read, its premium articles and the others."""

    premium: Rule = "metered"
    ordinary: Rule = "free"
    limit: Count = 3
    """Different articles a month; one meter counts for all metered sections of the agency."""
    new_device_limit: Count = 1
    """The same for a device that has shown no identity yet: private windows and cleared cookies start here."""


class WallPolicy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole wall of an agency: one document with one version."""

    default: SectionPolicy = SectionPolicy()
    sections: Annotated[dict[Code, SectionPolicy], msgspec.Meta(max_length=200)] = {}
    crawlers: Literal["teaser", "full"] = "teaser"
    """What a crawler gets that the asking server has verified by DNS or address, never by its name alone."""
    article_path: Annotated[
        str, msgspec.Meta(pattern=r"^/[A-Za-z0-9/_\-]*\{article\}[A-Za-z0-9/_.\-]*$", max_length=200)
    ] = "/bai/{article}"
    """Where the agency's site shows an article, so that a buyer comes back to it."""

    @classmethod
    def example(cls, _: date) -> Self:
        return cls(sections={"kinh-te": SectionPolicy(limit=5), "the-thao": SectionPolicy(premium="free")})

    def of(self, section: str) -> SectionPolicy:
        return self.sections.get(section, self.default)


class Entitlement(msgspec.Struct, frozen=True):
    """A paid period of a person: what it opens, and its days."""

    grants: tuple[Grant, ...]
    start: date
    until: date


class Ask(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """May this reader read this article? Asked by the newsroom's server for each page view."""

    agency: Code
    article: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    section: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    premium: bool
    device: str | None = None
    """The token of the last answer; forged or lost ones count as a new device."""
    person_token: str | None = None
    """The reader's page token from the cookie of the house, if there is one."""
    crawler: bool = False

    @classmethod
    def example(cls, _: date) -> Self:
        return cls(agency="bkh", article="ca-ngu-dai-duong-duoc-gia", section="kinh-te", premium=True)


class Verdict(msgspec.Struct, frozen=True):
    """An answer, or (`reason` metered, `allowed` none) the question to the meter with its limit."""

    allowed: bool | None
    reason: Reason
    limit: int | None = None
    remaining: int | None = None


class Spent(msgspec.Struct, frozen=True):
    """What the meter said: whether the article counts among this month's, and how many do now."""

    allowed: bool
    used: int


def look(
    policy: WallPolicy,
    ask: Ask,
    person: UUID | None,
    entitlements: Iterable[Entitlement],
    agencies: frozenset[str],
    device_proved: bool,  # noqa: FBT001 - a fact of the request, not a switch
    today: date,
) -> Verdict:
    """Decide without the meter where that is possible. `agencies` are the one asked about and all it absorbed."""
    section = policy.of(ask.section)
    rule = section.premium if ask.premium else section.ordinary
    if rule == "free":
        return Verdict(True, "free")
    if ask.crawler:
        return Verdict(policy.crawlers == "full", "policy")
    if any(
        e.start <= today < e.until and any(g.opens(agencies, ask.section) for g in e.grants)
        for e in entitlements
    ):
        return Verdict(True, "entitled")
    if rule == "registration":
        return Verdict(person is not None, "registration")
    if rule == "hard":
        return Verdict(False, "wall")
    proved = device_proved or person is not None
    return Verdict(
        None, "metered", limit=section.limit if proved else min(section.limit, section.new_device_limit)
    )


def after_meter(policy: WallPolicy, ask: Ask, spent: Spent) -> Verdict:
    """Turn the meter's word into the answer. The limit shown is the policy's, also to a new device."""
    limit = policy.of(ask.section).limit
    if spent.allowed:
        return Verdict(True, "metered", limit, max(limit - spent.used, 0))
    return Verdict(False, "wall", limit, 0)


def explain(
    policy: WallPolicy, version: int, ask: Ask, verdict: Verdict, facts: dict[str, object]
) -> list[str]:
    """The answer's reasons in sentences, for newsrooms and the desk."""
    section = policy.of(ask.section)
    named = "its own rule" if ask.section in policy.sections else "the default rule"
    rule = section.premium if ask.premium else section.ordinary
    kind = "premium" if ask.premium else "ordinary"
    said = [
        f"Wall of {ask.agency}, version {version}: section {ask.section} has {named}; {kind} articles are {rule}.",
        f"Reader: {facts['person']}; device: {facts['device']}; paid periods today: {facts['periods']}.",
    ]
    if verdict.limit is not None:
        said.append(
            f"Meter: {verdict.limit} different articles a month, {verdict.remaining} left after this."
        )
    said.append(f"So: {'allowed' if verdict.allowed else 'not allowed'} ({verdict.reason}).")
    return said
