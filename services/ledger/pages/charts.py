"""Charts as Vega-Lite specifications: plain data, drawn elsewhere."""

from collections.abc import Sequence
from typing import Any, Literal

from services.ledger.rules.growth import MonthPair

Theme = Literal["light", "dark"]

INK = {
    "light": {
        "ink": "#15232a",
        "soft": "#48575e",
        "rule": "#ddd5c5",
        "now": "#0b5563",
        "before": "#b9cfd0",
        "goal": "#b3361c",
    },
    "dark": {
        "ink": "#ece6da",
        "soft": "#a9b6ba",
        "rule": "#2b3a41",
        "now": "#86cdd3",
        "before": "#3a5a60",
        "goal": "#f29a7e",
    },
}
"""The colours of the design system; an <img> does not see the page's."""
MILLION = 1_000_000
POINTS = "replace(format(datum.value, ',.0f'), /,/g, '.')"
"""Points between thousands, as readers here write numbers."""


def months_chart(
    pairs: Sequence[MonthPair], labels: Sequence[str], words: dict[str, str], theme: Theme, *, narrow: bool
) -> dict[str, Any]:
    """Each month's revenue beside last year's, with a line at last year's plus the target; in million đồng.

    `words` names `now`, `before`, `goal` and `unit` in the reader's language.
    """
    ink = INK[theme]
    rows = [
        {"month": label, "year": words[key], "value": amount / MILLION}
        for pair, label in zip(pairs, labels, strict=True)
        for key, amount in (("before", pair.base_vnd), ("now", pair.current_vnd))
    ]
    goals = [
        {"month": label, "year": words["goal"], "value": pair.target_vnd / MILLION}
        for pair, label in zip(pairs, labels, strict=True)
    ]
    names = [words["before"], words["now"], words["goal"]]
    colour = {
        "field": "year",
        "type": "nominal",
        "scale": {"domain": names, "range": [ink["before"], ink["now"], ink["goal"]]},
        "legend": {"title": None, "orient": "top", "symbolType": "square", "columns": 2 if narrow else 3},
    }
    month = {
        "field": "month",
        "type": "ordinal",
        "sort": list(labels),
        "title": None,
        "axis": {"labelAngle": 0},
    }
    value = {
        "field": "value",
        "type": "quantitative",
        "title": words["unit"],
        "axis": {"tickCount": 5, "labelExpr": POINTS},
    }
    return {
        "$schema": "https://vega.github.io/schema/vega-lite/v5.json",
        "width": 300 if narrow else 760,
        "height": 260 if narrow else 280,
        "background": "transparent",
        "config": _config(ink, 11 if narrow else 13),
        "layer": [
            {
                "data": {"values": rows},
                "mark": {"type": "bar", "cornerRadiusEnd": 2},
                "encoding": {
                    "x": month,
                    "xOffset": {"field": "year", "sort": names},
                    "y": value,
                    "color": colour,
                },
            },
            {
                "data": {"values": goals},
                "mark": {
                    "type": "tick",
                    "thickness": 3,
                    "width": 18 if narrow else 44,
                    "orient": "horizontal",
                },
                "encoding": {"x": month, "y": value, "color": colour},
            },
        ],
    }


def _config(ink: dict[str, str], size: int) -> dict[str, Any]:
    return {
        "font": "Liberation Sans, Arial, sans-serif",
        "view": {"stroke": None},
        "axis": {
            "labelColor": ink["soft"],
            "titleColor": ink["soft"],
            "labelFontSize": size,
            "titleFontSize": size,
            "titleFontWeight": "normal",
            "gridColor": ink["rule"],
            "domainColor": ink["rule"],
            "tickColor": ink["rule"],
        },
        "legend": {"labelColor": ink["ink"], "labelFontSize": size + 1},
    }
