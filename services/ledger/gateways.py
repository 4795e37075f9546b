"""Charts are drawn by Vega-Lite in a process of a few seconds, so that its 100 MB do not stay in ours."""

import asyncio
import hashlib
import json
import sys
from collections import OrderedDict
from typing import Any

from shared.errors import Unavailable

DRAW_LIMIT_S = 20
KEPT = 64

_one_at_a_time = asyncio.Semaphore(1)
_drawn: OrderedDict[bytes, bytes] = OrderedDict()


async def draw(spec: dict[str, Any]) -> bytes:
    """An SVG of a Vega-Lite specification; what was drawn lately is remembered. Raises Unavailable."""
    text = json.dumps(spec, sort_keys=True).encode()
    key = hashlib.sha256(text).digest()
    async with _one_at_a_time:
        if key not in _drawn:
            _drawn[key] = await _draw(text)
            if len(_drawn) > KEPT:
                _drawn.popitem(last=False)
        _drawn.move_to_end(key)
        return _drawn[key]


async def _draw(text: bytes) -> bytes:
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "services.ledger.gateways",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        svg, errors = await asyncio.wait_for(child.communicate(text), DRAW_LIMIT_S)
    except TimeoutError as error:
        raise Unavailable("The chart takes too long to draw.", retry_after_s=5) from error
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    if child.returncode != 0:
        raise RuntimeError(f"The chart was not drawn: {errors.decode(errors='replace')[-500:]}")
    return svg


def main() -> None:
    """The drawing process: a specification on standard input, an SVG on standard output."""
    import vl_convert

    sys.stdout.write(vl_convert.vegalite_to_svg(json.load(sys.stdin), allowed_base_urls=[]))


if __name__ == "__main__":
    main()
