"""Staff at the desk's one search, without a browser."""

import re
from html import unescape
from typing import Any
from uuid import uuid4

import httpx

from tests.conftest import Flat, Flats


async def ask(flat: Flat, path: str, *, part: bool = True, **query: str) -> httpx.Response:
    """Ask a flat as our script does, or open its page: as whoever `sign_in` made of the client."""
    headers = {"accept": "text/html", **({"x-part": "1"} if part else {})}
    return await flat.client.get(path, params=query, headers=headers)


def sign_in(flats: Flats, flat: Flat, **roles: list[str]) -> None:
    """Be a new person with these roles."""
    flat.client.cookies.set("nt_token", flats.token(id=uuid4(), roles=roles))


def said(answer: httpx.Response) -> str:
    """The text of a part, in one line."""
    assert answer.status_code == 200, answer.text[:500]
    assert answer.headers["x-part"] == "1"
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", answer.text)).split())


async def found(flats: Flats, flat: Flat, desk: str, q: str, **roles: list[str]) -> str:
    """What somebody with these roles finds."""
    sign_in(flats, flat, **roles)
    return said(await ask(flat, f"{desk}/find", q=q))


async def card(flats: Flats, flat: Flat, desk: str, buyer: Any, **roles: list[str]) -> str:
    """What somebody with these roles sees of a buyer."""
    sign_in(flats, flat, **roles)
    return said(await ask(flat, f"{desk}/card/{buyer}"))
