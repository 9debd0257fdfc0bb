"""Write a comparison as text: its table, the meaning of its words, and one summary line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from bench.compare.undecided import Undecided, undecided
from bench.compare.verdict import REGRESSIONS, VERDICTS, Verdict, VerdictLine
from bench.report.metric_words import metric_in_words
from bench.report.numbers import changed, digits, least_to_most, p_value, plural, with_unit

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
READ = ("Variant", "Metric", "Verdict", "Why", "Base", "Head", "Change", "From", "To", "n", "p")
"""The columns where people read: the verdict stands first, and a cell has one number."""
READ_NUMBERS = READ[4:]
ONE_SIDED: tuple[Verdict, ...] = ("gone", "new", "now fails", "fixed")
"""Verdicts on metrics that one side has not measured: those of a variant are named together."""
WHICH_SIDE: Mapping[Verdict, str] = {"new": "only the head has it", "gone": "only the base has it"}
NAMED = 3
"""So many variants are named in a heading."""


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


def read_cells(line: VerdictLine) -> list[str]:
    """Write a line in words, a text for each of READ."""
    cells = dict(zip(COLUMNS, cells_of(line), strict=True))
    low, high = ("" if end is None else _change(line, end, named=False) for end in (line.low, line.high))
    ends = (low, high) if low and high else ("", "")
    values = (cells["base"], cells["head"], cells["change"])
    why = line.why or WHICH_SIDE.get(line.verdict, "")
    return [line.variant, metric_in_words(line.metric), line.verdict, why, *values, *ends, cells["n"], cells["Holm"]]


def notable_cells(lines: Sequence[VerdictLine]) -> list[list[str]]:
    """Write the lines of what to look at, the gravest first: neither `same` nor `undecided`.

    What only one side has of a variant is summed up in one line; other bytes under a name come last.
    """
    shown = [line for line in lines if line.verdict not in FOLDED]
    ranked = sorted(shown, key=lambda line: (VERDICTS.index(line.verdict), line.metric == "artifact"))
    groups: dict[object, list[VerdictLine]] = {}
    for place, line in enumerate(ranked):
        key = (line.variant, line.verdict, line.why) if line.verdict in ONE_SIDED else place
        groups.setdefault(key, []).append(line)
    return [_summed_up(group) for group in groups.values()]


def _summed_up(group: Sequence[VerdictLine]) -> list[str]:
    cells = read_cells(group[0])
    if len(group) == 1:
        return cells
    return [cells[0], f"all {len(group)} values", *cells[2:4], *[""] * len(READ_NUMBERS)]


def _value(line: VerdictLine, value: float | str | None) -> str:
    if value is None:
        return "–"
    if isinstance(value, str):
        return value[:12] if line.metric == "artifact" else value
    # Bytes in full: the verdict may be on a single one.
    return f"{value:,.0f} B" if line.unit == "byte" else with_unit(value, line.unit)


def _change(line: VerdictLine, value: float | None, named: bool = True) -> str:
    return "" if value is None else changed(value, line.scale, line.unit, named)


FOLDED: tuple[Verdict, ...] = ("undecided", "same")
"""The verdicts that nobody has to act on."""


def footnotes(comparison: Comparison) -> list[str]:
    """Say what the verdicts mean, which limits and tests they use, and what else a reader must know, a line each."""
    limits = {line.metric.partition(" ")[0]: line for line in comparison.lines if line.limit}
    listed = ", ".join(
        f"{name} {100 * line.limit:g} {'pt' if line.scale == 'points' else '%'}" for name, line in limits.items()
    )
    within = f" ({listed})" if listed else ""
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


def conclusion(comparison: Comparison) -> tuple[str, str]:
    """Return the outcome as a heading, and the rest of it, with how many lines have which verdict."""
    first, _, rest = outcome(comparison).partition("; ")
    regressions: dict[str, list[VerdictLine]] = {}
    for line in comparison.lines:
        if line.verdict in comparison.fail_on:
            regressions.setdefault(line.variant, []).append(line)
    if regressions:
        named = [_failing(variant, lines) for variant, lines in regressions.items()]
        more = f" and {len(named) - NAMED} more" if len(named) > NAMED else ""
        first = f"{first.partition(':')[0].capitalize()}: {', '.join(named[:NAMED])}{more}"
    return first[:1].upper() + first[1:], "; ".join(filter(None, (counts(comparison) or "nothing to compare", rest)))


def _failing(variant: str, lines: Sequence[VerdictLine]) -> str:
    """Say what of a variant fails a comparison: in words where it is one metric, else how many."""
    verdicts = list(dict.fromkeys(line.verdict for line in lines))
    if "now fails" in verdicts:
        return f"{variant} now fails"
    what = metric_in_words(lines[0].metric) if len(lines) == 1 else f"{len(lines)} metrics"
    return f"{variant} {' or '.join(verdicts)} in {what}"


def _not_decided(one: Undecided) -> str:
    """Say how much of a measure is undecided, and what would decide it."""
    metrics = NOUNS.get(one.measure, f"metrics of {one.measure}")
    if one.needed is None:
        return f"{one.n} of {one.of} {metrics} undecided: {one.why}"
    n = least_to_most((one.least, one.most))
    few = f"{one.counted.removesuffix('s')} is" if one.most == 1 else f"{one.counted} are"
    return f"{one.n} of {one.of} {metrics} undecided: {n} {few} too few (about {one.needed:,} would decide)"
