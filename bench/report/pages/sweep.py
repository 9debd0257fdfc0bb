"""The report as one self-contained page: the decision on the first screen, then what it rests on, then all the rest."""

from __future__ import annotations

from collections.abc import Mapping

from bench.report.charts.chart import Chart
from bench.report.contents import Contents
from bench.report.glossary import DEFINITIONS
from bench.report.pages.html import rendered

DECISION = "decision"
"""The chart of the first screen."""
BESIDE = {"quantizing": "divergence"}
"""The chart that stands beside the table of a section."""


def page(contents: Contents, charts: Mapping[str, Chart], files: frozenset[str]) -> str:
    """Write the page with its charts inside; it loads nothing, and links the `files` of its folder alone."""
    placed = [chart.name for fold in contents.folds for chart in fold.drawn(charts)]
    beside = [BESIDE[grid.key] for grid in contents.sections if grid.key in BESIDE]
    return rendered(
        "page.html.j2",
        title=contents.heading,
        contents=contents,
        decision=charts.get(DECISION),
        charts=charts,
        BESIDE=BESIDE,
        others=[chart for name, chart in charts.items() if name not in (DECISION, *placed, *beside)],
        files=files,
        definitions=DEFINITIONS,
    )
