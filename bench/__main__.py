"""Measures the speed table and writes it down: `python -m bench`; some rows, or `--short` for CI, are only shown."""

import argparse
import asyncio
import json
import sys
import traceback
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from bench import holding, house, ledger, recognising, serving
from bench.report import Row, compared, table

MEASURES: dict[str, Callable[[bool], Coroutine[Any, Any, list[Row]]]] = {
    "V1": serving.decisions,
    "V2": serving.decisions_beside_writes,
    "V3": serving.growth_of_decisions,
    "V4": serving.access_checks,
    "V5": ledger.posting,
    "V6": ledger.fact_to_ledger,
    "V7": holding.holds,
    "V8": house.lived_in,
    "V9": house.second_start,
    "V11": ledger.verifying,
    "V12": recognising.recognition,
}
BASELINE = Path(__file__).parent / "baseline.json"
DOCUMENT = Path(__file__).parent.parent / "docs" / "speed.md"


def main() -> int:
    """Run the measures; exit 1 when a ratio fell by more than a third below the one on record."""
    words = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    words.add_argument("rows", nargs="*", metavar="ROW", help=f"of {' '.join(MEASURES)}; all without any")
    words.add_argument("--short", action="store_true", help="a few seconds a row, for CI")
    given = words.parse_args()
    unknown = set(given.rows) - set(MEASURES)
    if unknown:
        words.error(f"no such row: {', '.join(sorted(unknown))}")
    rows: list[Row] = []
    broken: list[str] = []
    for name in given.rows or MEASURES:
        print(f"{name} …", flush=True)
        try:
            measured = asyncio.run(MEASURES[name](given.short))
        except Exception:  # noqa: BLE001 - a measure that breaks off takes no other's figures with it
            traceback.print_exc()
            broken.append(name)
            continue
        print(table(measured), flush=True)
        rows += measured
    print(table(rows))
    if broken:
        print(f"Broke off, so that nothing is written down: {', '.join(broken)}.", file=sys.stderr)
        return 1
    if not given.rows and not given.short:
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

`make bench` measures each path beside its yardstick in the same run, on one machine, and writes this page; ratios
count, absolute figures depend on the machine. Medians of the runs, with the lowest and highest in brackets.

It runs what users run: the real services, set as `nguonthu up` sets them, with relay, consumers and jobs beside the
web, line items and paid readers in PostgreSQL, leases from there. The server has one core, the load and the stores
share the other. Ratios (V1, V3, V4, V5, V7) come from closed loops, both sides in turn in many short rounds; V2 from an
open loop: requests fall due at a steady rate, and latency counts from the instant each was due, while every second a
creative is approved over the API and a payment arrives as a fact. Pages (V8) are asked for through the edge.
V1b asks two workers at the same instant for the same visitor until every capped line is used up. V7 sells an item out
in each turn, sixteen buyers at once, and both sides must hold exactly all of it. V12 is the ledger's own recognition,
as it is, over a million live lines (`--short`: 100,000), while a batch of 500 facts falls due twice a second; what
waits for the books longer than a service does is posted again.

`bench/baseline.json` keeps the ratios. CI runs the short form of V1, V4 and V5 and fails, without a second try, on a
ratio that fell by more than a third.

{table(rows)}
"""


if __name__ == "__main__":
    sys.exit(main())
