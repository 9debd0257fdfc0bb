"""Draw every chart of a sweep."""

from __future__ import annotations

from functools import partial

from bench.advise.advice import Advice
from bench.report.charts.accuracy_size import accuracy_against_size
from bench.report.charts.chart import Chart
from bench.report.charts.divergence import divergence_against_bits
from bench.report.charts.latency import latency_percentiles
from bench.report.charts.style import chart
from bench.report.charts.subjects import accuracy_by_subject
from bench.summary.rows import Summary


def draw_all(summary: Summary, advice: Advice | None) -> dict[str, Chart]:
    """Draw every chart that the sweep has data for."""
    makers = {
        "decision": accuracy_against_size,
        "latency": latency_percentiles,
        "divergence": divergence_against_bits,
        "subjects": accuracy_by_subject,
    }
    drawn = {name: chart(name, partial(maker, summary)) for name, maker in makers.items()}
    return {name: Chart(name, name, "", name, svg, svg, b"", "") for name, svg in drawn.items() if svg}
