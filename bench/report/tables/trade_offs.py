"""The questions of a suite as tables: its options, the order of steps, and single changes, in the suite's own words."""

from __future__ import annotations

from collections.abc import Sequence

from bench.metrics.metric import Metric
from bench.records.questions import Change, Changes, Order
from bench.report.entries import change_entry, paired_entry, value_entry
from bench.report.grid import ITSELF, NOT_MEASURED, Entry, Grid, Line
from bench.report.numbers import digits, sized
from bench.report.tables.claims import claims_grids, options_grid
from bench.summary import pairs
from bench.summary.rows import Row, Summary


def question_grids(summary: Summary) -> list[Grid]:
    """Return a table per question of the suite, none where it asks none."""
    asked = summary.questions
    if asked is None:
        return []
    grids = []
    if asked.options and asked.domain_task:
        grids += [options_grid(summary, asked.options, asked.domain_task), *claims_grids(summary)]
    if asked.order:
        grids.append(order_grid(summary, asked.order))
    if asked.changes:
        grids.append(changes_grid(summary, asked.changes))
    return grids


def _accuracy(summary: Summary, task: str) -> Metric | None:
    return next((metric for metric in summary.metrics if metric.name == f"accuracy {task}"), None)


def _accuracies(summary: Summary) -> list[Metric]:
    return [metric for task in summary.right_or_wrong if (metric := _accuracy(summary, task))]


def order_grid(summary: Summary, order: Order) -> Grid:
    """Make the table of variants that differ in the order of their steps, each compared with one of them."""
    accuracies = _accuracies(summary)
    anchor = summary.by_name.get(order.anchor)
    lines = []
    for name in order.variants:
        row = summary.by_name.get(name)
        if row is None:
            lines.append(Line((Entry(name), *[NOT_MEASURED] * (4 + 2 * len(accuracies)))))
            continue
        size = row.values.get("size_bytes")
        entries = [Entry(row.variant, f"{' → '.join(row.steps)}"), Entry(row.runtime)]
        entries.append(Entry(sized(size.value)) if size else NOT_MEASURED)
        for accuracy in accuracies:
            compared = paired_entry(pairs.paired(accuracy, anchor, row), "; ")
            entries += [value_entry(row, [accuracy]), ITSELF if row is anchor else compared]
        lines.append(Line((*entries, *_training(row)), row.family))
    columns = ["Variant", "Runtime", "Size"]
    for accuracy in accuracies:
        columns += [f"{accuracy.task}: right", f"{accuracy.task}: points to {order.anchor}"]
    return Grid(
        key="order",
        title=order.title,
        says=order.says,
        columns=(*columns, "Fine-tune: peak memory", "Fine-tune: time"),
        lines=tuple(lines),
        notes=("Across runtimes a difference in accuracy also carries the runtime's effect; see the runtime control.",),
    )


def _training(row: Row) -> tuple[Entry, Entry]:
    role = dict(zip(row.steps, row.roles, strict=True))
    trained = [made for record in row.records for made in record.lineage if role.get(made.step) == "finetune"]
    peaks = [made.build_peak_bytes for made in trained if made.build_peak_bytes is not None]
    seconds = [made.build_seconds for made in trained if made.build_seconds is not None]
    return (
        Entry(sized(max(peaks))) if peaks else NOT_MEASURED,
        Entry(f"{digits(max(seconds))} s") if seconds else NOT_MEASURED,
    )


def changes_grid(summary: Summary, changes: Changes) -> Grid:
    """Make the table of single changes: what each does to every metric that a ratio compares, and to accuracy."""
    ratios, accuracies = _ratios(summary), _accuracies(summary)
    return Grid(
        key="changes",
        title=changes.title,
        says=changes.says,
        columns=("Change", *(metric.title for metric in ratios), *(f"{one.task}: points" for one in accuracies)),
        lines=tuple(_change(summary, change, ratios, accuracies) for change in changes.rows),
    )


def _ratios(summary: Summary) -> list[Metric]:
    """Return the measured metrics for which before / after says how many times better: sizes, times and peaks."""
    judged = (metric for metric in summary.metrics if metric.test in ("exact", "rounds") and metric.better == "lower")
    return [metric for metric in judged if metric.scale == "ratio" and summary.measured(metric.name)]


def _change(summary: Summary, change: Change, ratios: Sequence[Metric], accuracies: Sequence[Metric]) -> Line:
    before, after = (summary.by_name.get(name) for name in (change.before, change.after))
    entries = [change_entry(pairs.beside(metric, before, after)) for metric in ratios]
    entries += [paired_entry(pairs.paired(metric, before, after), "; ") for metric in accuracies]
    title = Entry(change.title, f"{change.before} → {change.after}")
    return Line((title, *entries), after.family if after else None)
