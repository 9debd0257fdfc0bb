"""The tables as they are read, made once for both the page and the Markdown report."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bench.metrics.accuracy import Accuracy
from bench.metrics.divergence import Divergence
from bench.report.grid import ITSELF, NOT_MEASURED, Entry, Grid, Line
from bench.report.numbers import (
    digits,
    nats,
    p_value,
    percent_span,
    plural,
    points,
    points_span,
    share,
    sized,
    span,
    times,
    times_span,
)
from bench.summary.family import CONTROL
from bench.summary.rows import Latency, Row, tasks_of

LATENCY_NAMES = {
    "ttft_ms": ("TTFT", "time to first token"),
    "tpot_ms": ("TPOT", "time per output token after the first"),
    "e2e_ms": ("E2E", "request start to last token"),
}


def named(row: Row) -> Entry:
    """Return a variant's name with what it is."""
    return Entry(row.variant, " · ".join((row.family.name, row.runtime)))


def latency_entry(found: Latency | None) -> Entry:
    """Return P50 and P99 with the interval of P99."""
    if found is None:
        return NOT_MEASURED
    return Entry(f"{digits(found.p50.value)} / {digits(found.p99.value)}", f"P99 {span(found.p99)}")


def faster_entry(row: Row, found: Latency | None, p99: bool = False) -> Entry:
    """Return how many times faster than the base of the same runtime, with its interval."""
    if row.is_reference:
        return ITSELF
    ratio = None if found is None else found.faster_p99 if p99 else found.faster_p50
    return NOT_MEASURED if ratio is None else Entry(times(ratio), times_span(ratio))


def accuracy_entry(found: Accuracy | None) -> Entry:
    """Return a task's share of right answers with its interval."""
    if found is None:
        return NOT_MEASURED
    note, tone = (f",\n{found.standing}", "chance") if found.standing else ("", "")
    return Entry(share(found.share.value), percent_span(found.share) + note, tone)


def difference_entry(row: Row, found: Accuracy | None) -> Entry:
    """Return the paired difference to the base of the same runtime, in points, with interval and p."""
    if row.is_reference and found is not None:
        return ITSELF
    if found is None or found.against is None:
        return NOT_MEASURED
    return Entry(points(found.against.difference), f"{points_span(found.against)};\n{p_value(found.against.p)}")


def divergence_entry(row: Row, found: Divergence | None) -> Entry:
    """Return mean KL divergence from the base of the same runtime, in nats, and how often both would go on alike."""
    if row.is_reference:
        return ITSELF
    if found is None:
        return NOT_MEASURED
    return Entry(nats(found.kl_mean.value), f"same top {share(found.same_top.value)}")


def memory_entry(row: Row) -> Entry:
    """Return peak resident memory, with that of the device where there is one."""
    if row.peak_resident_bytes is None:
        return NOT_MEASURED
    device = f"device {sized(row.peak_device_bytes)}" if row.peak_device_bytes is not None else ""
    return Entry(sized(row.peak_resident_bytes), device)


def size_entries(row: Row) -> tuple[Entry, Entry, Entry]:
    """Return size, bits per weight and how many times smaller than the base of the same runtime."""
    bits = NOT_MEASURED if row.bits_per_weight is None else Entry(f"{row.bits_per_weight:.2f}")
    smaller = NOT_MEASURED if row.smaller is None else Entry(times(row.smaller))
    size = NOT_MEASURED if row.size_bytes is None else Entry(sized(row.size_bytes))
    return size, bits, ITSELF if row.is_reference and row.size_bytes else smaller


def main_grid(rows: Sequence[Row]) -> Grid:
    """Make the table of all variants: size, speed, memory and accuracy, each beside its base."""
    tasks, diverged = tasks_of(rows), any(row.divergence for row in rows)
    lines = []
    for row in rows:
        e2e = row.latency.get("e2e_ms")
        entries = [named(row), *size_entries(row)]
        entries += [latency_entry(row.latency.get(name)) for name in LATENCY_NAMES]
        entries.append(_faster_both(row, e2e))
        entries.append(Entry(f"{e2e.n:,}") if e2e else NOT_MEASURED)
        entries.append(memory_entry(row))
        if diverged:
            entries.append(divergence_entry(row, row.divergence))
        for task in tasks:
            found = row.accuracy.get(task)
            entries += [accuracy_entry(found), difference_entry(row, found)]
        lines.append(_with_failures(row, entries))
    columns = ["Variant", "Size", "Bits / weight", "Smaller than base"]
    columns += [f"{short} P50 / P99, ms" for short, _ in LATENCY_NAMES.values()]
    columns += ["Faster than base, E2E P50 / P99", "Requests", "Peak memory"]
    columns += ["KL to base, nats"] if diverged else []
    for task in tasks:
        columns += [f"{task}: right", f"{task}: points to base"]
    return Grid(
        key="variants",
        title="All variants",
        says="One row per variant, the same artifact in every column. "
        "Smaller and faster are base ÷ variant, so above 1 is better; "
        "the base is always the one of the same runtime.",
        columns=tuple(columns),
        lines=tuple(lines),
        notes=(_bases(rows), _control_note(rows)),
    )


def _faster_both(row: Row, found: Latency | None) -> Entry:
    p50, p99 = faster_entry(row, found), faster_entry(row, found, p99=True)
    if found is None or p50 in (ITSELF, NOT_MEASURED):
        return p50
    return Entry(f"{p50.text} / {p99.text}", f"{p50.sub} /\n{p99.sub}")


def _with_failures(row: Row, entries: Iterable[Entry]) -> Line:
    if not row.failures:
        return Line(tuple(entries), row.family)
    first = row.failures[0]
    rounds = ", ".join(str(failure.round) for failure in row.failures)
    which = "rounds" if len(row.failures) > 1 else "round"
    wide = f"Failed at {first.stage} ({which} {rounds}): {first.message.rstrip('.')}."
    return Line(tuple(entries), row.family, wide, first.reproduce)


def _bases(rows: Sequence[Row]) -> str:
    found = {row.runtime: row.reference for row in rows if row.reference}
    missing = sorted({row.runtime for row in rows} - found.keys())
    said = [f"{base} for {runtime}" for runtime, base in sorted(found.items())]
    said += [f"none for {runtime} (its ratios are not measured)" for runtime in missing]
    return f"The base: {', '.join(said)}. Small print: 95 % intervals; in “points to base” also McNemar's exact p."


def _control_note(rows: Sequence[Row]) -> str:
    found = [row.variant for row in rows if row.family is CONTROL]
    if not found:
        return "There is no control in another runtime among these."
    return f"Controls, there to tell the runtime's effect from the variant's: {', '.join(found)}."


def latency_grid(rows: Sequence[Row], name: str) -> Grid:
    """Make the table of one latency with all its percentiles."""
    short, meaning = LATENCY_NAMES[name]
    lines = []
    for row in rows:
        found = row.latency.get(name)
        if found is None:
            lines.append(Line((named(row), *[NOT_MEASURED] * 6), row.family))
            continue
        rounds = sum(bool(record.measures.get("latency")) for record in row.records)
        percentiles = [Entry(digits(p.value), span(p)) for p in (found.p50, found.p90, found.p99)]
        faster = faster_entry(row, found), faster_entry(row, found, p99=True)
        requests = Entry(f"{found.n:,}", plural(rounds, "round"))
        lines.append(Line((named(row), requests, *percentiles, *faster), row.family))
    columns = ("Variant", "Requests", "P50, ms", "P90, ms", "P99, ms", "Faster at P50", "Faster at P99")
    return Grid(name, f"{short}: {meaning}", "", columns, tuple(lines))
