"""The chart of latencies: a number stands where its value is."""

from __future__ import annotations

from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Annotation

from bench.records.store import read
from bench.report.charts.latency import latency_percentiles
from bench.report.numbers import digits
from bench.selftest import records
from bench.summary.summarize import summarize


def test_each_number_stands_at_its_value_and_not_at_the_end_of_an_interval(tmp_path: Path) -> None:
    records.write_sweep(tmp_path, {name: records.VARIANTS[name] for name in ("base", "q4", "base-torch")}, requests=400)
    summary = summarize(read(tmp_path)[0])
    figure = latency_percentiles(summary)
    assert figure is not None
    FigureCanvasAgg(figure).draw()  # type: ignore[no-untyped-call]
    shown = []
    for axes in figure.axes:
        for text in axes.texts:
            assert isinstance(text, Annotation)
            x, y = text.xy
            value = float(text.get_text().replace(",", ""))
            assert digits(x) == text.get_text()
            shown.append(value)
            box, (at, _) = text.get_window_extent(), axes.transData.transform((x, y))
            assert box.x0 - 1 <= at < box.x1 + 20  # a P50 stands just left of its dot
    values = [
        row.values[f"{name}_p{q}_ms"] for row in summary.rows for name in ("ttft", "tpot", "e2e") for q in (50, 99)
    ]
    assert all(value.high and value.high > value.value for value in values if value.low)
    assert sorted(map(digits, shown)) == sorted(digits(value.value) for value in values)
