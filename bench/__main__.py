"""Measures the speed table: `python -m bench [V1 V4 …]`; `--short` for CI, `--write` for the docs."""

import argparse
import asyncio
import json
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from bench import house, ledger, serving
from bench.report import Row, compared, table

MEASURES: dict[str, Callable[[bool], Coroutine[Any, Any, list[Row]]]] = {
    "V1": serving.decisions,
    "V3": serving.growth_of_decisions,
    "V4": serving.access_checks,
    "V5": ledger.posting,
    "V6": ledger.fact_to_ledger,
    "V9": house.second_start,
    "V10": house.memory,
}
BASELINE = Path(__file__).parent / "baseline.json"
DOCUMENT = Path(__file__).parent.parent / "docs" / "speed.md"


def main() -> int:
    """Run the measures; exit 1 when a ratio fell by more than a third below the one on record."""
    words = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    words.add_argument("rows", nargs="*", metavar="ROW", help=f"of {' '.join(MEASURES)}; all without any")
    words.add_argument("--short", action="store_true", help="a few seconds a row, for CI")
    words.add_argument(
        "--write", action="store_true", help="keep the result as docs/speed.md and as the baseline"
    )
    given = words.parse_args()
    unknown = set(given.rows) - set(MEASURES)
    if unknown:
        words.error(f"no such row: {', '.join(sorted(unknown))}")
    rows: list[Row] = []
    for name in given.rows or MEASURES:
        print(f"{name} …", flush=True)
        rows += asyncio.run(MEASURES[name](given.short))
    print(table(rows))
    if given.write:
        DOCUMENT.write_text(document(rows), encoding="utf-8")
        BASELINE.write_text(json.dumps({row.name: row.ratio for row in rows if row.ratio}, indent=1) + "\n")
        return 0
    fallen = compared(rows, json.loads(BASELINE.read_text(encoding="utf-8"))) if BASELINE.exists() else []
    for sentence in fallen:
        print(sentence, file=sys.stderr)
    return 1 if fallen else 0


def document(rows: list[Row]) -> str:
    """The page of the docs: what was measured, how, and what came out."""
    return f"""# Speed

`make bench` measures each path beside its yardstick in the same run, on one machine; ratios count, absolute figures
depend on the machine. Medians of the runs, with the lowest and highest in brackets. Server and load share two cores,
one each. `bench/baseline.json` keeps the ratios; CI runs the short form and fails on one that fell by more than a
third.

{table(rows)}
"""


if __name__ == "__main__":
    sys.exit(main())
