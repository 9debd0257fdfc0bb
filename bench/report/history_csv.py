"""A history as CSV: one row per point."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

from bench.history.branch import History
from bench.history.series import Series
from bench.report.table_csv import inert

COLUMNS = ("variant", "metric", "unit", "place", "commit", "tags", "stretch", "value", "low", "high", "n")


def comma_separated(history: History) -> str:
    """Write a row per point; values are in `unit`, `stretch` counts the breaks before it, an exact value has no `n`."""
    commits = {commit.place: _row(commit.place, commit.sha, " ".join(commit.tags)) for commit in history.commits}
    rows = [_row(*COLUMNS), *(row for series in history.series for row in _points(series, commits))]
    return "\n".join(rows) + "\n"


def _points(series: Series, commits: dict[int, str]) -> Iterator[str]:
    """Yield a line per point: its names are quoted once per series and per commit, as there are 100,000 points."""
    names = _row(series.variant, series.metric.name, series.metric.unit)
    for number, stretch in enumerate(series.stretches):
        for point in stretch:
            value = point.value
            low, high = ("" if end is None else repr(end) for end in (value.low, value.high))
            yield f"{names},{commits[point.commit.place]},{number},{value.value!r},{low},{high},{value.n or ''}"


def _row(*cells: object) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="").writerow(map(inert, cells))
    return out.getvalue()
