"""Write a comparison as text: its table, the meaning of its words, and one summary line."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from bench.compare.undecided import Undecided, undecided
from bench.compare.verdict import REGRESSIONS, VERDICTS, VerdictLine
from bench.report.numbers import changed, digits, p_value, plural, with_unit

if TYPE_CHECKING:
    from bench.compare.comparison import Comparison

STYLES = {"worse": "bold red", "now fails": "bold red", "better": "green", "fixed": "green", "undecided": "yellow"}
NOUNS = {
    "latency": "latencies",
    "memory": "peaks of memory",
    "accuracy": "scores of tasks",
    "divergence": "divergences",
}
"""What the metrics of a measure are called."""
COLUMNS = ("variant", "metric", "base", "head", "change", "95 % interval", "n", "test", "Holm", "verdict", "why")
NUMBERS = COLUMNS[2:7]


def cells_of(line: VerdictLine) -> list[str]:
    """Write a line, a text for each of COLUMNS."""
    ends = (line.low, line.high)
    interval = "" if None in ends else " to ".join(_change(line, end, named=False) for end in ends)
    return [
        line.variant,
        line.metric,
        *(_value(line, value) for value in (line.base, line.head)),
        _change(line, line.change),
        interval,
        "" if line.n is None else f"{line.n:,}",
        line.test,
        "" if line.p is None else p_value(line.p).removeprefix("p "),
        line.verdict,
        line.why,
    ]


def _value(line: VerdictLine, value: float | str | None) -> str:
    if value is None:
        return "–"
    if isinstance(value, str):
        return value[:12] if line.metric == "artifact" else value
    # Bytes in full: the verdict may be on a single one.
    return f"{value:,.0f} B" if line.unit == "byte" else with_unit(value, line.unit)


def _change(line: VerdictLine, value: float | None, named: bool = True) -> str:
    return "" if value is None else changed(value, line.scale, line.unit, named)


def footnotes(comparison: Comparison) -> list[str]:
    """Say what the verdicts mean, which limits and tests they use, and what else a reader must know, a line each."""
    limits = {line.metric.partition(" ")[0]: line for line in comparison.lines if line.limit}
    in_words = ", ".join(
        f"{name} {100 * line.limit:g} {'pt' if line.scale == 'points' else '%'}" for name, line in limits.items()
    )
    within = f" ({in_words})" if in_words else ""
    return [
        f"worse/better: p < 0.05 after Holm and beyond the limit{within}; a size, which is exact, by more than the "
        "limit. same: the whole 95 % interval within the limit, or the same bytes gave the same answers. undecided: "
        "neither is shown. changed: other bytes under the same name, or a size within its limit, which says nothing of "
        "better or worse.",
        f"Holm's families: {families(comparison)}. Latency and memory: rounds resampled as blocks, all variants "
        "showing how much rounds differ, Student's t. Accuracy: exact McNemar on the same questions; perplexity and "
        "score of a task, of its family too: paired t over the same documents. Divergence: paired t over windows of "
        "the same tokens.",
        *drift_lines(comparison),
        *comparison.notes,
        *(f"left out: {line}" for line in comparison.left_out),
    ]


def families(comparison: Comparison) -> str:
    """Name the families of tests with their sizes."""
    return ", ".join(f"{name} {plural(size, 'test')}" for name, size in comparison.families.items()) or "no test"


def drift_lines(comparison: Comparison) -> list[str]:
    """Say how fast the machine itself was on either side."""
    if not comparison.drift:
        return ["machine check (canary): not measured on both sides, so a machine that drifted looks like a change"]
    readings = ", ".join(
        f"{c.name} {digits(c.base)} → {digits(c.head)} ({100 * c.change:+.1f} %)" for c in comparison.drift
    )
    drifted = "a machine that drifted looks like a change (--normalize)"
    return [f"machine check (canary), median beside the cells: {readings}; {drifted}"]


def counts(comparison: Comparison) -> str:
    """Count the lines of each verdict, in the order of VERDICTS."""
    lines = Counter(line.verdict for line in comparison.lines)
    return ", ".join(f"{lines[verdict]} {verdict}" for verdict in VERDICTS if lines[verdict])


def machines(comparison: Comparison) -> str:
    """Name the machine, or both where they differ."""
    base, head = comparison.base.machine, comparison.head.machine
    return head if base == head else f"{base} → {head}"


def summary(comparison: Comparison) -> str:
    """Sum up in one line: what was compared, how many of each verdict, and what follows."""
    base, head = comparison.base, comparison.head
    verdicts = counts(comparison) or "nothing"
    return f"{base.label} → {head.label}, {head.sweep}, {machines(comparison)}: {verdicts}: {outcome(comparison)}"


def outcome(comparison: Comparison) -> str:
    """Say what follows, in a word or a few; where nothing failed, also what was not decided."""
    failing = {line.verdict for line in comparison.lines} & comparison.fail_on
    if failing == {"worse"} or failing == {"worse", "now fails"}:
        return "REGRESSION"
    if failing:
        return f"FAILED: {', '.join(sorted(failing))}"
    if comparison.left_out:
        return f"could not compare everything: {plural(len(comparison.left_out), 'record')} left out"
    if comparison.exit_code != 0:
        return "nothing could be compared"
    still_open = [_not_decided(one) for one in undecided(comparison.lines)]
    if not still_open:
        return "no regression"
    # With --fail-on, a verdict that is worse may be let through: then "nothing proven worse" would be wrong.
    let_through = {line.verdict for line in comparison.lines} & REGRESSIONS
    proven = f"{', '.join(sorted(let_through))} is let through" if let_through else "nothing proven worse"
    return "; ".join([proven, *still_open])


def _not_decided(one: Undecided) -> str:
    """Say how much of a measure is undecided, and what would decide it."""
    metrics = NOUNS.get(one.measure, f"metrics of {one.measure}")
    if one.needed is None:
        return f"{one.n} of {one.of} {metrics} undecided: {one.why}"
    n = f"{one.most:,}" if one.least == one.most else f"{one.least:,} to {one.most:,}"
    few = f"{one.counted.removesuffix('s')} is" if one.most == 1 else f"{one.counted} are"
    return f"{one.n} of {one.of} {metrics} undecided: {n} {few} too few (about {one.needed:,} would decide)"
