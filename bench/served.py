"""One server under measure, in a process of its own and set as in the house: `python -m bench.served WHAT PORT`."""

import os
import sys
from importlib import import_module

import uvicorn
from litestar import Litestar, get

from ops.golive import load
from ops.serve import SERVER


def trivial() -> Litestar:
    """The yardstick: the plainest handler there is, on the same server."""

    @get("/trivial", sync_to_thread=False)
    def hello() -> dict[str, str]:
        return {"hello": "world"}

    return Litestar([hello], openapi_config=None)


def main() -> None:
    what, port = sys.argv[1], int(sys.argv[2])
    app = trivial() if what == "trivial" else import_module(f"services.{what}.app").create_app(load())
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {0})
    uvicorn.run(app, host="127.0.0.1", port=port, **SERVER)


if __name__ == "__main__":
    main()
