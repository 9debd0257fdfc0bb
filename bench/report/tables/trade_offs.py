"""The questions the comparison was made for: what each technique does, in which order, and what the runtime does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bench.metrics.accuracy import paired
from bench.report.grid import ITSELF, NOT_MEASURED, Entry, Grid, Line
from bench.report.numbers import digits, p_value, points, points_span, sized, span, times, times_span
from bench.report.tables.overview import accuracy_entry, faster_entry
from bench.stats.estimates import percentile_ratio
from bench.summary.rows import Row, by_name, comparable, latency_rounds, tasks_of

DOMAIN = "hr"
# "Quantization vs Fine-Tuning" (July 1, 2026), its Llama-13B example: size in GB, latency in ms, quality in percent.
ARTICLE = (
    ("Baseline", "base", 52.0, 150, 60),
    ("Quantize only", "q4", 6.5, 20, 59),
    ("Fine-tune only", "finetuned", 52.0, 150, 92),
    ("Fine-tune, then quantize", "finetuned-q4", 6.5, 20, 91),
)
ORDER = ("finetuned", "finetuned-q4", "qlora-q4", "finetuned-torch", "qlora")


def article_grid(rows: Sequence[Row]) -> Grid:
    """Make the article's four-row table of the domain task, with the article's own claims beside it."""
    known = by_name(rows)
    _, _, base_gb, base_ms, base_quality = ARTICLE[0]
    lines = []
    for title, variant, size_gb, latency_ms, quality in ARTICLE:
        row = known.get(variant)
        claimed = [
            Entry(f"{size_gb:g} GB", f"{base_gb / size_gb:.3g}× smaller"),
            Entry(f"{latency_ms} ms", f"{base_ms / latency_ms:.3g}× faster"),
            Entry(f"{quality} %", f"{quality - base_quality:+d} points".replace("-", "−")),
        ]
        if variant == ARTICLE[0][1]:
            claimed = [Entry(entry.text) for entry in claimed]
        measured = [NOT_MEASURED] * 4 if row is None else _article_measured(row)
        family = row.family if row else None
        lines.append(
            Line((Entry(title, variant), *measured, *(Entry(c.text, c.sub, "claim") for c in claimed)), family)
        )
    return Grid(
        key="article",
        title=f"Quantize, fine-tune, or both: the {DOMAIN} task",
        says="Measured here, and in the last three columns what the article “Quantization vs Fine-Tuning” "
        "(July 1, 2026) claims for its Llama-13B example. The claims are the article's: another model, an "
        "unnamed machine, not measured here.",
        columns=(
            "Option",
            "Size",
            "E2E P50, ms",
            "E2E P99, ms",
            f"{DOMAIN}: right",
            "Article: size",
            "Article: latency",
            "Article: quality",
        ),
        lines=tuple(lines),
        notes=tuple(filter(None, (_kept(known, "finetuned", "finetuned-q4"),))),
    )


def _article_measured(row: Row) -> list[Entry]:
    size = NOT_MEASURED
    if row.size_bytes is not None:
        ratio = "" if row.is_reference or row.smaller is None else f"{times(row.smaller)} smaller"
        size = Entry(sized(row.size_bytes), ratio)
    found, accuracy = row.latency.get("e2e_ms"), row.accuracy.get(DOMAIN)
    if found is None:
        speed = [NOT_MEASURED, NOT_MEASURED]
    else:
        faster = [faster_entry(row, found, p99) for p99 in (False, True)]
        said = ["" if f in (ITSELF, NOT_MEASURED) else f"{f.text} faster ({f.sub})" for f in faster]
        p99_said = "; ".join(part for part in (span(found.p99), said[1]) if part)
        speed = [Entry(digits(found.p50.value), said[0]), Entry(digits(found.p99.value), p99_said)]
    quality = accuracy_entry(accuracy)
    if accuracy is not None and accuracy.against is not None:
        change = f"{points(accuracy.against.difference)} points ({points_span(accuracy.against)})"
        quality = Entry(f"{quality.text} ({quality.sub})", change, quality.tone)
    return [size, *speed, quality]


def _kept(known: Mapping[str, Row], before: str, after: str) -> str:
    a, b = _pair(known, before, after)
    one, two = (row.accuracy.get(DOMAIN) if row else None for row in (a, b))
    change = paired(one, two)
    if one is None or two is None or change is None or not one.correct:
        return f"What {after} keeps of {before}: not measured."
    return (
        f"{after} keeps {100 * two.correct / one.correct:.1f} % of what {before} gets right on {DOMAIN}: "
        f"{points(change.difference)} points ({points_span(change)}; {p_value(change.p)}, "
        f"{change.gained} gained, {change.lost} lost of {change.n}). The article claims more than 98 %."
    )


def order_grid(rows: Sequence[Row]) -> Grid:
    """Make the table that sets fine-tune-then-quantize beside quantize-then-fine-tune."""
    known = by_name(rows)
    anchor = known.get("finetuned-q4")
    tasks = tasks_of(rows)
    lines = []
    for name in ORDER:
        row = known.get(name)
        if row is None:
            lines.append(Line((Entry(name), *[NOT_MEASURED] * (4 + 2 * len(tasks)))))
            continue
        entries = [Entry(row.variant, f"{' → '.join(row.steps)}"), Entry(row.runtime)]
        entries.append(Entry(sized(row.size_bytes)) if row.size_bytes is not None else NOT_MEASURED)
        for task in tasks:
            entries += [accuracy_entry(row.accuracy.get(task)), _against(anchor, row, task)]
        entries += _training(row)
        lines.append(Line(tuple(entries), row.family))
    columns = ["Variant", "Runtime", "Size"]
    for task in tasks:
        columns += [f"{task}: right", f"{task}: points to finetuned-q4"]
    return Grid(
        key="order",
        title="Which order: fine-tune then quantize, or quantize then fine-tune?",
        says="finetuned-q4 is trained on the 16-bit base and quantized after; qlora is trained on the 4-bit base; "
        "qlora-q4 is qlora merged and quantized again. Differences are paired, question by question.",
        columns=(*columns, "Fine-tune: peak memory", "Fine-tune: time"),
        lines=tuple(lines),
        notes=("Across runtimes a difference in accuracy also carries the runtime's effect; see the runtime control.",),
    )


def _against(anchor: Row | None, row: Row, task: str) -> Entry:
    if anchor is row:
        return ITSELF
    if anchor is None or not comparable(anchor, row):
        return NOT_MEASURED
    pair = paired(anchor.accuracy.get(task), row.accuracy.get(task))
    if pair is None:
        return NOT_MEASURED
    return Entry(points(pair.difference), f"{points_span(pair)}; {p_value(pair.p)}")


def _training(row: Row) -> tuple[Entry, Entry]:
    role = dict(zip(row.steps, row.roles, strict=True))
    built = [
        step
        for record in row.records
        for step in record.data.get("lineage") or []
        if role.get(step["step"]) == "finetune"
    ]
    peaks = [step["build_peak_bytes"] for step in built if step.get("build_peak_bytes") is not None]
    seconds = [step["build_seconds"] for step in built if step.get("build_seconds") is not None]
    return (
        Entry(sized(max(peaks))) if peaks else NOT_MEASURED,
        Entry(f"{digits(max(seconds))} s") if seconds else NOT_MEASURED,
    )


def _pair(known: Mapping[str, Row], before: str, after: str) -> tuple[Row | None, Row | None]:
    """Return both rows, or neither where they are not of the same model, workload and device."""
    a, b = known.get(before), known.get(after)
    return (None, None) if a and b and not comparable(a, b) else (a, b)


def runtime_grid(rows: Sequence[Row]) -> Grid:
    """Make the table that takes the runtime's effect and quantization's apart."""
    known = by_name(rows)
    pairs = (
        ("Runtime and the precision it computes in", "base-torch", "base"),
        ("Quantization alone", "base", "q4"),
        ("Both mixed: not quantization's effect", "base-torch", "q4"),
    )
    tasks = tasks_of(rows)
    lines = []
    for title, before, after in pairs:
        a, b = _pair(known, before, after)
        entries = [Entry(title, f"{before} → {after}")]
        entries.append(_times(a.size_bytes if a else None, b.size_bytes if b else None))
        entries += [_faster(a, b, name, 0.5) for name in ("ttft_ms", "tpot_ms", "e2e_ms")]
        entries.append(_faster(a, b, "e2e_ms", 0.99))
        entries.append(_times(a.peak_resident_bytes if a else None, b.peak_resident_bytes if b else None))
        for task in tasks:
            pair = paired(a.accuracy.get(task) if a else None, b.accuracy.get(task) if b else None)
            text = Entry(points(pair.difference), f"{points_span(pair)}; {p_value(pair.p)}") if pair else NOT_MEASURED
            entries.append(text)
        lines.append(Line(tuple(entries), b.family if b else None))
    return Grid(
        key="runtime",
        title="What the runtime does, and what quantization does",
        says="Two changes that are often reported as one. Ratios are before ÷ after: above 1 is smaller or "
        "faster. The last row is the mixed number, shown so that it can be recognised elsewhere.",
        columns=(
            "Change",
            "Smaller file",
            "Faster TTFT P50",
            "Faster TPOT P50",
            "Faster E2E P50",
            "Faster E2E P99",
            "Less memory",
            *(f"{task}: points" for task in tasks),
        ),
        lines=tuple(lines),
    )


def _times(before: int | None, after: int | None) -> Entry:
    return Entry(times(before / after)) if before and after else NOT_MEASURED


def _faster(before: Row | None, after: Row | None, name: str, share: float) -> Entry:
    above, below = (latency_rounds(row, name) if row else [] for row in (before, after))
    if not above or not below:
        return NOT_MEASURED
    ratio = percentile_ratio(above, below, share)
    return Entry(times(ratio), times_span(ratio))


def question_grids(rows: Sequence[Row]) -> list[Grid]:
    """Return the tables that answer the three questions."""
    return [article_grid(rows), order_grid(rows), runtime_grid(rows)]
