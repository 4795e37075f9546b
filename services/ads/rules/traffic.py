"""Invalid traffic that can be told at once, each with its reason (after the IAB's general list)."""

import re

_CRAWLERS = re.compile(
    r"bot\b|bot/|crawl|spider|slurp|lighthouse|scrapy|facebookexternalhit|embedly|preview|monitor|pingdom",
    re.IGNORECASE,
)
_TOOLS = re.compile(
    r"headless|phantomjs|python-|python/|curl/|wget/|java/|go-http|okhttp|httpclient|axios|node-fetch",
    re.IGNORECASE,
)
_MOBILE = re.compile(r"Mobi|Android|iPhone|iPod", re.IGNORECASE)
_TABLET = re.compile(r"iPad|Tablet", re.IGNORECASE)


def invalid(user_agent: str, purpose: str, *, tools_count: bool) -> str:
    """Why a beacon is not a person's, or nothing. `purpose` is the Sec-Purpose, Purpose or X-Moz header.

    Outside production `tools_count`: whoever tries the house with curl or a headless browser is its reader.
    """
    if not user_agent:
        return "no-agent"
    if _CRAWLERS.search(user_agent) or (not tools_count and _TOOLS.search(user_agent)):
        return "bot"
    if "prefetch" in purpose or "prerender" in purpose or "preview" in purpose:
        return "prefetch"
    return ""


def device_of(user_agent: str) -> str:
    """phone, tablet or desktop, by what the browser says of itself."""
    if _TABLET.search(user_agent):
        return "tablet"
    return "phone" if _MOBILE.search(user_agent) else "desktop"
