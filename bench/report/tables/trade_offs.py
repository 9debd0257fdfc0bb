"""The questions of a suite as tables: its options, the order of steps, and single changes, in the suite's own words."""

from __future__ import annotations

from collections.abc import Sequence

from bench.metrics.answers import right
from bench.metrics.metric import Metric
from bench.records.questions import Change, Changes, Claim, Kept, Option, Options, Order
from bench.report.entries import change_entry, paired_entry, value_entry
from bench.report.grid import ITSELF, NOT_MEASURED, Entry, Grid, Line
from bench.report.numbers import digits, p_value, points, points_span, sized, span
from bench.summary import pairs
from bench.summary.rows import Row, Summary


def question_grids(summary: Summary) -> list[Grid]:
    """Return a table per question of the suite, none where it asks none."""
    asked = summary.questions
    if asked is None:
        return []
    grids = []
    if asked.options and asked.domain_task:
        grids.append(options_grid(summary, asked.options, asked.domain_task))
    if asked.order:
        grids.append(order_grid(summary, asked.order))
    if asked.changes:
        grids.append(changes_grid(summary, asked.changes))
    return grids


def _accuracy(summary: Summary, task: str) -> Metric | None:
    return next((metric for metric in summary.metrics if metric.name == f"accuracy {task}"), None)


def _accuracies(summary: Summary) -> list[Metric]:
    return [metric for task in summary.right_or_wrong if (metric := _accuracy(summary, task))]


def options_grid(summary: Summary, options: Options, task: str) -> Grid:
    """Make the table of the options on the domain task, and in columns apart what is claimed for them."""
    columns = ["Option", "Size", "E2E P50, ms", "E2E P99, ms", f"{task}: right"]
    claimed = any(option.claim for option in options.rows)
    if claimed:
        columns += [f"{options.claimed_by}: {what}" for what in ("size", "latency", "quality")]
    accuracy = _accuracy(summary, task)
    lines = []
    for option in options.rows:
        row = summary.by_name.get(option.variant)
        entries = _option(row, accuracy) if row else [NOT_MEASURED] * 4
        entries += _claims(option, options.rows[0]) if claimed else []
        lines.append(Line((Entry(option.title, option.variant), *entries), row.family if row else None))
    notes = (_kept(summary, options.kept, task),) if options.kept else ()
    return Grid("options", options.title, options.says, tuple(columns), tuple(lines), notes)


def _option(row: Row, accuracy: Metric | None) -> list[Entry]:
    size, p50, p99 = (row.values.get(name) for name in ("size_bytes", "e2e_p50_ms", "e2e_p99_ms"))
    faster = [_times_better(row, name, "faster") for name in ("e2e_p50_ms", "e2e_p99_ms")]
    return [
        Entry(sized(size.value), _times_better(row, "size_bytes", "smaller")) if size else NOT_MEASURED,
        Entry(digits(p50.value), faster[0]) if p50 else NOT_MEASURED,
        Entry(digits(p99.value), "; ".join(filter(None, (span(p99), faster[1])))) if p99 else NOT_MEASURED,
        _quality(row, accuracy) if accuracy else NOT_MEASURED,
    ]


def _times_better(row: Row, name: str, word: str) -> str:
    """Write how many times better than its base a variant is, nothing for the base itself."""
    change = None if row.is_reference else row.beside_base.get(name)
    if change is None or change.ratio is None:
        return ""
    entry = change_entry(change)
    sub = entry.sub.replace(",\n", ", ")
    return f"{entry.text} {word}" + (f" ({sub})" if sub else "")


def _quality(row: Row, accuracy: Metric) -> Entry:
    entry, paired = value_entry(row, [accuracy]), row.paired(accuracy.name)
    if paired is None:
        return entry
    change = f"{points(paired.difference)} points ({points_span(paired)})"
    return Entry(f"{entry.text} ({entry.sub})", change, entry.tone)


def _claims(option: Option, first: Option) -> list[Entry]:
    if option.claim is None:
        return [Entry("–", tone="claim")] * 3
    changes = ("", "", "") if option is first or first.claim is None else _claimed_changes(option.claim, first.claim)
    texts = (
        f"{option.claim.size_gb:g} GB",
        f"{option.claim.latency_ms:g} ms",
        f"{option.claim.quality_percent:g} %",
    )
    return [Entry(text, change, "claim") for text, change in zip(texts, changes, strict=True)]


def _claimed_changes(claim: Claim, first: Claim) -> tuple[str, str, str]:
    return (
        f"{first.size_gb / claim.size_gb:.3g}× smaller",
        f"{first.latency_ms / claim.latency_ms:.3g}× faster",
        f"{claim.quality_percent - first.quality_percent:+g} points".replace("-", "−"),
    )


def _kept(summary: Summary, kept: Kept, task: str) -> str:
    """Say how many right answers one variant has for each that another one has."""
    before, after = (summary.by_name.get(name) for name in (kept.before, kept.after))
    accuracy = _accuracy(summary, task)
    change = pairs.paired(accuracy, before, after) if accuracy else None
    rights = [sum(right(row.answers[task])) for row in (before, after) if row] if change else []
    if change is None or not rights[0]:
        return f"What {kept.after} keeps of {kept.before}: not measured."
    text = (
        f"{kept.after} keeps {100 * rights[1] / rights[0]:.1f} % of what {kept.before} gets right on {task}: "
        f"{points(change.difference)} points ({points_span(change)}; {p_value(change.p)}, "
        f"{change.gained} gained, {change.lost} lost of {change.n})."
    )
    return " ".join(filter(None, (text, kept.claim)))


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
