"""The table that a reader decides by: the choice first, then the other candidates."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bench.advise.advice import Advice, Judged
from bench.advise.limits import latency_metric
from bench.metrics.metric import Metric
from bench.report.advice.table import in_order
from bench.report.advice.variant_words import variant_in_words
from bench.report.advice.verdict import verdict_of
from bench.report.entries import value_entry
from bench.report.grid import Entry, Grid, Line
from bench.report.numbers import titled
from bench.summary.family import CONTROL
from bench.summary.rows import Row, Summary

SHOWN = 8
"""Rows that fit on a first screen; the others come when asked for."""
TONES = {"pass": "good", "fail": "bad", "undecided": "undecided", "not measured": "missing"}
TITLES = {"tokens_per_s": "Tokens/s"}


def decision_grid(summary: Summary, advice: Advice | None) -> Grid:
    """Make the table of candidates; without limits there is no verdict, and the order is that of the summary."""
    metrics = list(_metrics(summary, advice))
    if advice is None:
        rows = [row for row in summary.rows if row.family is not CONTROL]
        lines = [Line(tuple(_entries(row, metrics)), row.family, tone=_tone(place)) for place, row in enumerate(rows)]
    else:
        lines = _judged_lines(advice, metrics)
    verdict = ("Verdict",) if advice else ()
    columns = ("Variant", *map(_title, metrics), *verdict)
    return Grid("decision", "Candidates", "", columns, tuple(lines), verdict=bool(verdict))


def _judged_lines(advice: Advice, metrics: Sequence[Metric]) -> list[Line]:
    lines = []
    for place, one in enumerate(shown_first(advice)):
        verdict = Entry(verdict_of(advice, one), tone=TONES[one.status])
        tone = "pick" if one is advice.ship else _tone(place)
        lines.append(Line((*_entries(one.row, metrics), verdict), one.row.family, tone=tone))
    return lines


def shown_first(advice: Advice) -> list[Judged]:
    """Return the candidates by verdict, those that the decision names within the rows that are shown at first."""
    ordered = in_order(advice)
    named = [one for one in ordered if one in (advice.ship, advice.runner_up, advice.best) or one.row.is_reference]
    room = SHOWN - len(named)
    others = [one for one in ordered if one not in named]
    first = [one for one in ordered if one in named or one in others[:room]]
    return first + [one for one in ordered if one not in first]


def _tone(place: int) -> str:
    return "" if place < SHOWN else "more"


def _title(metric: Metric) -> str:
    return metric.task or TITLES.get(metric.name) or titled(metric.title, metric.unit)


def _metrics(summary: Summary, advice: Advice | None) -> Iterator[Metric]:
    """Yield size, the latency that is limited, tokens per second, and what the tasks are judged by."""
    latency = latency_metric(advice.limits if advice else ())
    for name in ("size_bytes", latency, "tokens_per_s"):
        yield from (metric for metric in summary.metrics if metric.name == name and summary.measured(name))
    first = advice.task if advice else None
    for task in sorted(summary.tasks, key=lambda task: task != first):
        mine = [metric for metric in summary.metrics if metric.task == task and summary.measured(metric.name)]
        yield from [metric for metric in mine if metric.kind == "accuracy" or metric.test == "documents"][:1]


def _entries(row: Row, metrics: Sequence[Metric]) -> Iterator[Entry]:
    yield Entry(row.variant, variant_in_words(row))
    yield from (value_entry(row, [metric]) for metric in metrics)
