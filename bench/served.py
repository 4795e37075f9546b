"""One server under measure, in a process of its own: `python -m bench.served WHAT PORT [LINES]`."""

import os
import sys
from datetime import timedelta
from typing import Any

import uvicorn
from litestar import Litestar, get

from shared import clock
from shared.service import SERVER
from shared.settings import load

SECTIONS = ("thoi-su", "kinh-te", "du-lich", "the-thao", "van-hoa")
DEVICES = ("phone", "tablet", "desktop")
LANGUAGES = ("vi", "en", "fr")
PLACES = ("home-top", "article-mid", "article-bottom")


def trivial() -> Litestar:
    """The yardstick: the plainest handler there is, on the same server."""

    @get("/trivial", sync_to_thread=False)
    def hello() -> dict[str, str]:
        return {"hello": "world"}

    return Litestar([hello], openapi_config=None)


def ads(lines: int) -> Litestar:
    """The ads service deciding among so many line items: five dimensions targeted, caps on for one in ten."""
    from services.ads.app import create_app
    from services.ads.rules.decision import Creative, Line, Placement, Snapshot

    app = create_app(load())
    made = []
    for n in range(lines):
        creatives = tuple(
            Creative(clock.new_id(), f"{n:064x}", "https://example.com/", *size)
            for size in ((970, 250), (300, 250), (728, 90))
        )
        line = Line(
            id=clock.new_id(),
            agency="bkh",
            tier=1 + n % 3,
            placements=PLACES if n % 4 else PLACES[:1],
            sections=(SECTIONS[n % 5],) if n % 3 else (),
            devices=(DEVICES[n % 3],) if n % 5 == 0 else (),
            languages=(LANGUAGES[n % 3],) if n % 7 == 0 else (),
            hours=tuple(range(n % 6, 24)) if n % 4 == 0 else (),
            cap_day=20 if n % 10 == 0 else 0,
            creatives=creatives,
        )
        made.append(line)
    sizes = ((970, 250), (300, 250), (728, 90))
    places = [Placement("bkh", code, *size) for code, size in zip(PLACES, sizes, strict=True)]
    server: Any = app.state.server
    server._left = {line.id: 1 << 40 for line in made}
    server.use(Snapshot(made, places))
    return app


def access() -> Litestar:
    """The subscriptions service with the house's default wall: free articles from memory, premium ones metered."""
    from services.subscriptions.app import create_app

    return create_app(load())


def ledger() -> Litestar:
    """The ledger as it runs, with its consumers."""
    from services.ledger.app import create_app

    return create_app(load())


def main() -> None:
    what, port = sys.argv[1], int(sys.argv[2])
    apps = {"trivial": trivial, "access": access, "ledger": ledger, "ads": lambda: ads(int(sys.argv[3]))}
    app = apps[what]()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {0})
    uvicorn.run(app, host="127.0.0.1", port=port, **SERVER)


def expires() -> timedelta:
    """How long the benchmark's own keys live."""
    return timedelta(hours=1)


if __name__ == "__main__":
    main()
