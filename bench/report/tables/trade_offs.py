"""What quantizing costs, what the order of steps does, what the engine does: a finding and a small table each."""

from __future__ import annotations

from collections.abc import Sequence

from bench.advise.judgement import unquantized
from bench.metrics.metric import Metric
from bench.records.questions import Change, Changes, Order
from bench.report.advice.variant_words import variant_in_words
from bench.report.advice.words import listed
from bench.report.entries import change_entry, tone_of
from bench.report.grid import ITSELF, NOT_MEASURED, Entry, Grid, Line
from bench.report.numbers import digits, plural, points, points_span, sized
from bench.stats.proportions import Paired, shown_to_lose
from bench.summary import pairs
from bench.summary.family import CONTROL
from bench.summary.rows import Row, Summary

COMPARED = ("size_bytes", "e2e_p50_ms", "e2e_p99_ms")
"""What the tables show beside the tasks; all other numbers of a variant are in the table of every number."""


def trade_off_grids(summary: Summary) -> list[Grid]:
    """Return a table per question of the suite, none where it asks none."""
    asked = summary.questions
    if asked is None:
        return []
    grids = quantizing_grid(summary)
    grids += [order_grid(summary, asked.order)] if asked.order else []
    return grids + ([changes_grid(summary, asked.changes)] if asked.changes else [])


def _accuracies(summary: Summary) -> list[Metric]:
    names = [f"accuracy {task}" for task in summary.right_or_wrong]
    return [metric for metric in summary.metrics if metric.name in names]


def _compared(summary: Summary) -> list[Metric]:
    return [metric for metric in summary.metrics if metric.name in COMPARED and summary.measured(metric.name)]


def quantizing_grid(summary: Summary) -> list[Grid]:
    """Make the table of quantized variants, each beside what it was quantized from; none without such a pair."""
    subjects = [row for row in summary.rows if row.family is not CONTROL]
    made = [(row, parent) for row in subjects if (parent := unquantized(row, subjects))]
    if not made:
        return []
    sizes = [metric for metric in _compared(summary) if metric.name == "size_bytes"]
    accuracies = _accuracies(summary)
    lines = []
    for row, parent in made:
        entries = [change_entry(pairs.beside(metric, parent, row)) for metric in sizes]
        entries += [_points_entry(pairs.paired(metric, parent, row)) for metric in accuracies]
        lines.append(Line((Entry(row.variant, f"from {parent.variant}"), *entries), row.family))
    columns = ["Variant", *("Smaller" for _ in sizes), *(f"{metric.task}: points" for metric in accuracies)]
    says = _losses(made, accuracies)
    return [Grid("quantizing", "What quantizing costs", says, tuple(columns), tuple(lines))]


def _losses(made: Sequence[tuple[Row, Row]], accuracies: Sequence[Metric]) -> str:
    """Say which quantized variants are shown to answer less than what they were made from, after Holm."""
    if not accuracies:
        return "What it costs in quality: not measured, no task with right and wrong answers was asked."
    tested = [
        (row.variant, metric.task, change)
        for metric in accuracies
        for row, parent in made
        if (change := pairs.paired(metric, parent, row))
    ]
    shown = shown_to_lose([change for _, _, change in tested])
    losses = [one for one, loses in zip(tested, shown, strict=True) if loses]
    lost = [f"{variant} loses {_points(change)} of {task}" for variant, task, change in losses]
    seen = max((change.detectable for _, _, change in tested), default=0.0)
    rest = len(made) - len({variant for variant, _, _ in losses})
    others = f"of {'the other ' if lost else ''}{plural(rest, 'quantized variant')}"
    none = f"{others} no loss is shown, and one under {100 * seen:.1f} points could not be seen"
    if not lost:
        return none[0].upper() + none[1:] + "."
    return f"{listed(lost, 'losses')}" + (f"; {none}." if rest else ".")


def _points_entry(change: Paired | None) -> Entry:
    return Entry(points(change.difference), points_span(change), tone_of(change)) if change else NOT_MEASURED


def _points(change: Paired) -> str:
    return f"{points(abs(change.difference)).removeprefix('+')} points ({points_span(change)})"


def order_grid(summary: Summary, order: Order) -> Grid:
    """Make the table of variants that differ in the order of their steps, each compared with one of them."""
    accuracies = _accuracies(summary)
    anchor = summary.by_name.get(order.anchor)
    lines = []
    for name in order.variants:
        row = summary.by_name.get(name)
        if row is None:
            lines.append(Line((Entry(name), *[NOT_MEASURED] * (3 + len(accuracies)))))
            continue
        size = row.values.get("size_bytes")
        entries = [Entry(row.variant, variant_in_words(row)), Entry(sized(size.value)) if size else NOT_MEASURED]
        for accuracy in accuracies:
            entries.append(ITSELF if row is anchor else _points_entry(pairs.paired(accuracy, anchor, row)))
        lines.append(Line((*entries, *_training(row)), row.family))
    columns = ["Variant", "Size", *(f"{accuracy.task}: points to {order.anchor}" for accuracy in accuracies)]
    return Grid(
        key="order",
        title=order.title,
        says=_orders(summary, order, accuracies),
        columns=(*columns, "Fine-tune: memory", "Fine-tune: time"),
        lines=tuple(lines),
        notes=(order.says, "Across runtimes a difference in accuracy also carries the runtime's effect."),
    )


def _orders(summary: Summary, order: Order, accuracies: Sequence[Metric]) -> str:
    """Say which variants are shown to answer otherwise than the anchor."""
    anchor = summary.by_name.get(order.anchor)
    compared = [row for name in order.variants if (row := summary.by_name.get(name)) and row is not anchor]
    differences, n = [], 0
    for accuracy in accuracies:
        for row in compared:
            change = pairs.paired(accuracy, anchor, row)
            n += change is not None
            if change and (change.low > 0 or change.high < 0):
                word = "better" if change.low > 0 else "worse"
                differences.append(f"{row.variant} answers {accuracy.task} {word} by {_points(change)}")
    if not n:
        return "Not measured: nothing here was asked the same questions."
    if differences:
        return f"Against {order.anchor}, {listed(differences, 'differences')}."
    tasks = listed([accuracy.task for accuracy in accuracies], "tasks")
    return f"No order is shown to answer {tasks} better or worse than {order.anchor}: choose by what training it needs."


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
    """Make the table of single changes: what each does to size, latency and accuracy."""
    ratios, accuracies = _compared(summary), _accuracies(summary)
    titles = [f"{metric.title}, times better" for metric in ratios]
    return Grid(
        key="changes",
        title=changes.title,
        says=_effects(summary, changes),
        columns=("Change", *titles, *(f"{one.task}: points" for one in accuracies)),
        lines=tuple(_change(summary, change, ratios, accuracies) for change in changes.rows),
        notes=(changes.says,),
    )


def _effects(summary: Summary, changes: Changes) -> str:
    """Say how much faster each change makes a request, and whether its rounds show that."""
    metric = next((metric for metric in _compared(summary) if metric.name == "e2e_p50_ms"), None)
    effects = []
    for change in changes.rows:
        before, after = (summary.by_name.get(name) for name in (change.before, change.after))
        faster = pairs.beside(metric, before, after) if metric else None
        if faster:
            entry = change_entry(faster)
            how_sure = [" ".join(entry.sub.split()), "" if faster.shown else "no difference shown"]
            effects.append(f"{change.title}: {entry.text} as fast ({', '.join(filter(None, how_sure))})")
    return f"{'. '.join(effects)}." if effects else "What each change does to speed: not measured."


def _change(summary: Summary, change: Change, ratios: Sequence[Metric], accuracies: Sequence[Metric]) -> Line:
    before, after = (summary.by_name.get(name) for name in (change.before, change.after))
    entries = [change_entry(pairs.beside(metric, before, after)) for metric in ratios]
    entries += [_points_entry(pairs.paired(metric, before, after)) for metric in accuracies]
    title = Entry(change.title, f"{change.before} → {change.after}")
    return Line((title, *entries), after.family if after else None)
