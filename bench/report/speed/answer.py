"""The first screen of a sweep that asked nothing: what fewer bits give in size and speed, as measured."""

from __future__ import annotations

from bench.metrics.identity import DECODING
from bench.metrics.metric import Metric
from bench.records.values import UNTRAINED
from bench.report.advice.chips import Chip
from bench.report.advice.first_screen import FirstScreen
from bench.report.numbers import digits, spread_percent
from bench.report.speed.random_weights import is_random
from bench.summary import pairs
from bench.summary.rows import BesideBase, Row, Summary
from bench.terminal import printable

REQUEST = "e2e_p50_ms"
UNASKED = "not measured, nothing was asked: this says what is small and fast, and not what still answers well"


def speed_screen(summary: Summary) -> FirstScreen | None:
    """Return what a sweep without any task comes to; None for one that asked a task, or measured nothing."""
    if summary.tasks or not any(summary.measured(name) for name in ("size_bytes", REQUEST)):
        return None
    before, after = _ends(summary)
    reference = next((row for row in summary.rows if row.is_reference), None)
    evidence = [_fastest(summary)]
    if reference not in (None, before, after):
        evidence.insert(0, f"Against {_called(reference)}: {_gains(summary, reference, after)}.")
    heading = _heading(summary, before, after)
    lines = tuple(printable(line) for line in evidence if line)
    return FirstScreen(printable(heading), lines, tuple(_chips(summary, before, after)))


def _ends(summary: Summary) -> tuple[Row, Row]:
    """Return what the first claim of the suite is about, else the largest and the smallest variant."""
    options = summary.questions.options if summary.questions else None
    for claim in options.claims if options else ():
        ends = summary.by_name.get(claim.before), summary.by_name.get(claim.after)
        if ends[0] and ends[1]:
            return ends[0], ends[1]
    sized = sorted(summary.rows, key=lambda row: row.value("size_bytes") or 0.0)
    return sized[-1], sized[0]


def _heading(summary: Summary, before: Row, after: Row) -> str:
    if before is after:
        return f"{after.variant} alone was measured: nothing to compare it with"
    return f"{after.variant} against {_called(before)}: {_gains(summary, before, after)}"


def _called(row: Row | None) -> str:
    """Name a variant by the bits of its weights, which are what is compared here."""
    assert row is not None
    bits = {"F32": "32 bits", "F16": "16 bits", "BF16": "16 bits"}
    kinds = [kind for kind in ("F16", "BF16") if kind in row.tensor_types] or list(row.tensor_types)[:1]
    return f"{row.variant} ({bits[kinds[0]]})" if kinds and kinds[0] in bits else row.variant


def _gains(summary: Summary, before: Row | None, after: Row) -> str:
    parts = []
    size = _beside(summary, "size_bytes", before, after)
    if size and size.ratio:
        parts.append(f"{digits(size.ratio.value)} times smaller")
    faster = _beside(summary, REQUEST, before, after)
    if faster and faster.ratio:
        parts.append(_speed(faster))
    return ", and ".join(parts) or "nothing was measured of both"


def _speed(faster: BesideBase) -> str:
    """Say how many times as fast a request is, and how sure that is."""
    ratio = faster.ratio
    assert ratio is not None
    if ratio.low is None or ratio.high is None:
        between = faster.why or "no interval"
    else:
        between = f"{digits(ratio.low)} to {digits(ratio.high)}"
    if faster.anchor:
        between += f", beside the anchor {faster.anchor}: they ran on different cards"
    if not faster.shown:
        return f"a request is not shown to be faster or slower ({digits(ratio.value)} times, {between})"
    return f"a request is {digits(ratio.value)} times as fast ({between})"


def _beside(summary: Summary, name: str, before: Row | None, after: Row) -> BesideBase | None:
    metric = summary.metric(name)
    return pairs.beside(metric, before, after) if metric else None


def _apart(summary: Summary, before: Row, after: Row) -> str:
    """Say in a few words why the times of two variants are not compared; a warning of the report names the cure."""
    metric = summary.metric(REQUEST)
    if metric is None or None in (before.value(REQUEST), after.value(REQUEST)):
        return ""
    return pairs.identity_difference(metric, before, after, pairs.ACROSS_RUNTIMES).split(":")[0]


def _fastest(summary: Summary) -> str:
    """Name the smallest variant, and the one with the shortest median request; nothing where times do not compare."""
    request = summary.metric(REQUEST)
    timed = [row for row in summary.rows if row.value(REQUEST) is not None]
    but = (*pairs.ACROSS_RUNTIMES, DECODING)  # a user waits for an answer however it is decoded
    if request is None or any(pairs.identity_difference(request, timed[0], row, but) for row in timed):
        return ""
    metrics = [metric for name in ("size_bytes", REQUEST) if (metric := summary.metric(name))]
    best = [(metric, row) for metric in metrics if (row := _least(summary, metric))]
    words = {"size_bytes": "Smallest", REQUEST: "shortest median request"}
    return f"{', '.join(f'{words[metric.name]}: {row.variant}' for metric, row in best)}." if len(best) == 2 else ""


def _least(summary: Summary, metric: Metric) -> Row | None:
    measured = [row for row in summary.rows if row.value(metric.name) is not None]
    return min(measured, key=lambda row: row.value(metric.name) or 0.0, default=None)


def _chips(summary: Summary, before: Row, after: Row) -> list[Chip]:
    untrained = is_random([record for row in summary.rows for record in row.records])
    made = [Chip("warn", f"Accuracy: {UNTRAINED if untrained else UNASKED}")]
    faster = _beside(summary, REQUEST, before, after)
    if faster and faster.unsteady:
        differ = spread_percent(faster.rounds_differ)
        made.append(
            Chip("warn", f"Speed: the rounds differ by up to {differ}; repeat on a quiet machine, or more rounds")
        )
    elif faster:
        made.append(Chip("good", f"Speed: the rounds differ by at most {spread_percent(faster.rounds_differ)}"))
    elif apart := _apart(summary, before, after):
        made.append(Chip("warn", f"Speed: {before.variant} and {after.variant} are not compared: {apart}"))
    if failed := [row.variant for row in summary.rows if row.failures]:
        made.append(Chip("bad", f"Failed: {', '.join(failed)}"))
    return [Chip(chip.level, printable(chip.text)) for chip in made]
