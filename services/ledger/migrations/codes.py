"""The charts of accounts as they are shipped: codes and names of the three regimes."""

import csv
from pathlib import Path

SHIPPED = Path(__file__).parents[1] / "chart.csv"


def shipped_codes() -> list[dict[str, str]]:
    """Rows of regime, account, code and name."""
    with SHIPPED.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
