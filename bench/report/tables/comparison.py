"""Write a comparison for a reader: its table, what its words mean, and one summary line."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Literal

from bench.compare.verdict import VERDICTS, Line
from bench.metrics.metric import THRESHOLDS
from bench.report.numbers import digits, nats, p_value, plural, points, share

if TYPE_CHECKING:
    from rich.table import Table

    from bench.compare.comparison import Comparison

STYLES = {"worse": "bold red", "now fails": "bold red", "better": "green", "fixed": "green", "undecided": "yellow"}
COLUMNS = ("variant", "metric", "base", "head", "change", "95 % interval", "n", "test", "Holm", "verdict", "why")
NUMBERS = COLUMNS[2:7]


def verdict_table(found: Comparison) -> Table:
    """Make the table for a terminal: what repeats within a variant is written once."""
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    names = {"base": found.base.label, "head": found.head.label}
    shown = [place for place, name in enumerate(COLUMNS) if name != "test"]  # the footnotes tell which metric has which
    for name in (COLUMNS[place] for place in shown):
        whole = name in ("variant", "verdict")
        justify: Literal["left", "right"] = "right" if name in NUMBERS else "left"
        table.add_column(names.get(name, name), justify=justify, no_wrap=whole, overflow="fold")
    seen = ""
    for line in found.lines:
        cells = [escape(cell) for cell in cells_of(line)]
        cells[0] = "" if line.variant == seen else cells[0]
        seen = line.variant
        style = STYLES.get(line.verdict, "")
        cells[-2] = f"[{style}]{line.verdict}[/]" if style else line.verdict
        table.add_row(*(cells[place] for place in shown))
    return table


def cells_of(line: Line) -> list[str]:
    """Write a line, a text for each of COLUMNS."""
    ends = (line.low, line.high)
    interval = "" if None in ends else " to ".join(_change(line, end, unit=False) for end in ends)
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


def _value(line: Line, value: float | str | None) -> str:
    if value is None:
        return "–"
    if isinstance(value, str):
        return value[:12] if line.metric == "artifact" else value
    if line.metric.endswith("_bytes"):
        return f"{value:,.0f} B"  # exact: the verdict may be
    if line.metric == "divergence":
        return f"{nats(value)} nat"
    if line.metric.endswith("_ms"):
        return f"{digits(value)} ms"
    return share(value) if line.metric.startswith("accuracy ") else digits(value)


def _change(line: Line, value: float | None, unit: bool = True) -> str:
    if value is None:
        return ""
    if line.metric == "divergence":
        return ("+" if value >= 0 else "") + nats(value)
    if line.metric.startswith("score "):
        return f"{value:+.4g}".replace("-", "−")
    if line.metric.startswith("accuracy"):
        return points(value) + (" pt" if unit else "")
    return f"{value:.3f}" + ("×" if unit else "")


def footnotes(found: Comparison) -> list[str]:
    """Say what the verdicts mean, which limits they go by, and what else a reader must know, a line each."""
    limits = {**THRESHOLDS, **(found.asked.thresholds or {})}
    kinds = {line.metric.partition(" ")[0] for line in found.lines}
    said = ", ".join(
        f"{name} {100 * limit:g} {'pt' if name == 'accuracy' else '%'}"
        for name, limit in limits.items()
        if name in kinds
    )
    within = f" ({said})" if said else ""
    families = ", ".join(f"{name} {plural(size, 'test')}" for name, size in found.families.items()) or "no test"
    return [
        f"worse/better: p < 0.05 after Holm and beyond the limit{within}; a size by any byte. same: the whole 95 % "
        "interval within the limit. undecided: neither is shown. changed: other bytes under the same name, which says "
        "nothing of better or worse.",
        f"Holm's families: {families}. Latency and memory: rounds resampled as blocks, all variants telling how much "
        "rounds differ, Student's t. Accuracy: exact McNemar on the same questions; perplexity and score, of its "
        "family too: paired t over the same documents. Divergence: paired t over windows of the same tokens.",
        *drift_lines(found),
        *found.notes,
        *(f"left out: {line}" for line in found.left_out),
    ]


def drift_lines(found: Comparison) -> list[str]:
    """Say what the machine itself gave on either side."""
    if not found.drift:
        return ["canary: not measured on both sides, so that a machine that drifted looks like a change"]
    said = ", ".join(f"{c.name} {digits(c.base)} → {digits(c.head)} ({100 * c.change:+.1f} %)" for c in found.drift)
    return [f"canary, median beside the cells: {said}; a machine that drifted looks like a change (--normalize)"]


def summary(found: Comparison) -> str:
    """Sum up in one line: what was compared, how many of each verdict, and what follows."""
    base, head = found.base, found.head
    counts = Counter(line.verdict for line in found.lines)
    said = ", ".join(f"{counts[verdict]} {verdict}" for verdict in VERDICTS if counts[verdict])
    machines = head.machine if base.machine == head.machine else f"{base.machine} → {head.machine}"
    return f"{base.label} → {head.label}, {head.sweep}, {machines}: {said or 'nothing'}: {outcome(found)}"


def outcome(found: Comparison) -> str:
    """Say what follows, in a word or a few."""
    failing = {line.verdict for line in found.lines} & found.fail_on
    if failing == {"worse"} or failing == {"worse", "now fails"}:
        return "REGRESSION"
    if failing:
        return f"FAILED: {', '.join(sorted(failing))}"
    if found.left_out:
        return f"could not compare everything: {plural(len(found.left_out), 'record')} left out"
    return "no regression" if found.exit_code == 0 else "nothing could be compared"
