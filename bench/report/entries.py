"""The entries of a variant's line: the values of metrics, and how they compare with the base of the same runtime."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.metrics.catalogue import templates
from bench.metrics.chance import chance_level
from bench.metrics.metric import Metric
from bench.report.grid import ITSELF, NOT_MEASURED, Entry
from bench.report.numbers import (
    MISSING,
    interval,
    nats,
    p_value,
    points,
    points_span,
    share,
    times,
    times_span,
    titled,
    written,
)
from bench.stats.proportions import Paired
from bench.summary.rows import BesideBase, Row, Summary

COUNTED = {"latency": "Requests"}
"""The measures whose number of samples has a column, and its title."""


@dataclass(frozen=True)
class Column:
    """One column of a table of variants: `entry` makes the cell of a row from the metrics that share it."""

    title: str
    metrics: tuple[Metric, ...]
    entry: Callable[[Row, Sequence[Metric]], Entry]

    def of(self, row: Row) -> Entry:
        """Return the cell of a row."""
        return self.entry(row, self.metrics)


def columns_of(summary: Summary) -> list[Column]:
    """Return the columns of the metrics that any variant has a value of (of all, where no variant has any), tasks last.

    A metric without a `column` has its place in another table; but where no metric of a measure has one, each metric
    gets a column under its own title.
    """
    metrics = sorted((metric for metric in summary.metrics if metric.measure), key=lambda metric: metric.task != "")
    groups: dict[tuple[str, str], list[Metric]] = {}
    for metric in [metric for metric in metrics if summary.measured(metric.name)] or metrics:
        groups.setdefault((metric.measure, metric.task), []).append(metric)
    return [column for (measure, _), group in groups.items() for column in _columns(measure, group)]


def _columns(measure: str, group: Sequence[Metric]) -> list[Column]:
    shown_elsewhere = {metric.measure for metric in templates() if metric.column}
    values: dict[str, list[Metric]] = {}
    changes: dict[str, list[Metric]] = {}
    for metric in group:
        if title := metric.column or ("" if measure in shown_elsewhere else metric.title):
            values.setdefault(titled(title, metric.unit), []).append(metric)
        if metric.beside_base:
            changes.setdefault(metric.beside_base, []).append(metric)
    columns = [Column(title, tuple(metrics), value_entry) for title, metrics in values.items()]
    columns += [Column(title, tuple(metrics), beside_base_entry) for title, metrics in changes.items()]
    if columns and measure in COUNTED:
        columns.append(Column(COUNTED[measure], tuple(group), count_entry))
    return columns


def named(row: Row) -> Entry:
    """Return a variant's name with what it is."""
    return Entry(row.variant, " · ".join((row.family.name, row.runtime)))


def value_entry(row: Row, metrics: Sequence[Metric]) -> Entry:
    """Return the values of the metrics, in small print the interval of the last one."""
    estimates = [row.values.get(metric.name) for metric in metrics]
    metric, estimate = metrics[-1], estimates[-1]
    if metric.kind == "kl_mean":
        return divergence_entry(row)
    if not any(estimates):
        return NOT_MEASURED
    values = (
        MISSING if one is None else written(one.value, metric.unit)
        for metric, one in zip(metrics, estimates, strict=True)
    )
    sub = interval(estimate, metric.unit) if estimate else ""
    if sub and len(metrics) > 1:
        sub = f"{metric.title.rpartition(' ')[2]} {sub}"
    level = chance_level(row.answers[metric.task]) if metric.kind == "accuracy" else ""
    return Entry(" / ".join(values), sub + (f",\n{level}" if level else ""), "chance" if level else "")


def divergence_entry(row: Row) -> Entry:
    """Return mean KL divergence from the base of the same runtime, in nats, and how often both would go on alike."""
    mean, same_top = row.value("kl_mean"), row.value("same_top_share")
    if row.is_reference:
        return ITSELF
    if mean is None or same_top is None:
        return NOT_MEASURED
    return Entry(nats(mean), f"same top {share(same_top)}")


def beside_base_entry(row: Row, metrics: Sequence[Metric]) -> Entry:
    """Return how the metrics compare with the base of the same runtime."""
    if row.is_reference:
        return ITSELF if any(metric.name in row.values for metric in metrics) else NOT_MEASURED
    entries = [change_entry(row.beside_base.get(metric.name)) for metric in metrics]
    if all(entry == NOT_MEASURED for entry in entries):
        return NOT_MEASURED
    subs = [entry.sub for entry in entries]
    tones = {entry.tone for entry in entries}
    tone = tones.pop() if len(tones) == 1 else ""
    return Entry(" / ".join(entry.text for entry in entries), " /\n".join(subs) if any(subs) else "", tone)


def change_entry(change: BesideBase | None) -> Entry:
    """Return one change from the base: how many times better, or points of right answers.

    A ratio whose rounds differ too much to be relied on says by how much, and has the tone `unsteady`. One of two
    variants that ran on different cards names the anchor beside which they are compared.
    """
    if change is None or change.ratio is None:
        return paired_entry(change.paired if change else None)
    differ = f"rounds differ by {100 * change.rounds_differ:.0f} %" if change.unsteady else ""
    beside = f"beside the anchor {change.anchor}" if change.anchor else ""
    sub = ",\n".join(filter(None, (change.why or times_span(change.ratio), differ, beside)))
    return Entry(times(change.ratio), sub, "unsteady" if change.unsteady else "")


def paired_entry(paired: Paired | None, between: str = ";\n") -> Entry:
    """Return a paired difference in points, in small print its interval and p."""
    if paired is None:
        return NOT_MEASURED
    return Entry(points(paired.difference), f"{points_span(paired)}{between}{p_value(paired.p)}", tone_of(paired))


def tone_of(paired: Paired) -> str:
    """Return the tone of a paired difference: better, worse, or unsteady where its interval leaves both open."""
    return "better" if paired.low > 0 else "worse" if paired.high < 0 else "unsteady"


def count_entry(row: Row, metrics: Sequence[Metric]) -> Entry:
    """Return how many samples the values of a row are of."""
    counts = [estimate.n for metric in metrics if (estimate := row.values.get(metric.name))]
    return Entry(f"{max(counts):,}") if counts else NOT_MEASURED
