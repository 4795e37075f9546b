"""The process that draws: a specification a line on standard input, an SVG a line on standard output, as JSON."""

import json
import os
import sys


def main() -> None:
    import vl_convert

    os.nice(10)  # whoever reads a page goes before whoever waits for a picture
    for line in sys.stdin:
        svg = vl_convert.vegalite_to_svg(json.loads(line), allowed_base_urls=[])
        print(json.dumps(svg), flush=True)  # noqa: T201 - to who asked


if __name__ == "__main__":
    main()
