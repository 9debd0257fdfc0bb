"""A history as CSV: one row per point."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

from bench.history.branch import History


def comma_separated(history: History) -> str:
    """Write a row per point; values are in `unit`, `stretch` counts the breaks before it."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(("variant", "metric", "unit", "place", "commit", "tags", "stretch", "value", "low", "high", "n"))
    writer.writerows(_points(history))
    return out.getvalue()


def _points(history: History) -> Iterator[tuple[object, ...]]:
    for series in history.series:
        for number, stretch in enumerate(series.stretches):
            for point in stretch:
                at, value = point.commit, point.value
                place = (at.place, at.sha, " ".join(at.tags), number)
                yield (
                    series.variant,
                    series.metric.name,
                    series.metric.unit,
                    *place,
                    value.value,
                    value.low,
                    value.high,
                    value.n or None,
                )
