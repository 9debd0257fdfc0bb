"""Write a comparison for a terminal or a log: the table, what its words mean, and one summary line."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from bench.report.numbers import digits, p_value, plural, points, share
from bench.verdict import ACCURACY_MARGIN, LATENCY, REGRESSIONS, Line

if TYPE_CHECKING:
    from rich.table import Table

    from bench.compare import Comparison

STYLES = {"worse": "bold red", "now fails": "bold red", "better": "green", "fixed": "green", "undecided": "yellow"}


def verdict_table(found: Comparison) -> Table:
    """Make the table: one row per variant and metric; what repeats within a variant is written once."""
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for name in ("variant", "artifact", "metric"):
        table.add_column(name, no_wrap=True)
    for name in (found.base.label, found.head.label, "change", "95 % interval", "n", "Holm"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    table.add_column("why")
    seen, told = "", ""
    for line in found.lines:
        name = "" if line.variant == seen else line.variant
        why = "" if not name and line.why == told else line.why
        seen, told = line.variant, line.why
        cells = [name, line.artifact if name else "", line.metric, *_numbers(line)]
        style = STYLES.get(line.verdict, "")
        verdict = f"[{style}]{line.verdict}[/]" if style else line.verdict
        table.add_row(*map(escape, cells), verdict, escape(why))
    return table


def _numbers(line: Line) -> list[str]:
    sides = [_value(line, value) for value in (line.base, line.head)]
    interval = (
        "" if line.low is None or line.high is None else f"{_change(line, line.low)} to {_change(line, line.high)}"
    )
    n = "" if line.n is None else f"{line.n:,}"
    return [*sides, _change(line, line.change), interval, n, "" if line.p is None else p_value(line.p)]


def _value(line: Line, value: float | None) -> str:
    if value is None:
        return "–"
    if line.metric.endswith("_bytes"):
        return f"{value:,.0f} B"  # exact: the verdict is
    return f"{digits(value)} ms" if line.metric.endswith("_ms") else share(value)


def _change(line: Line, value: float | None) -> str:
    if value is None:
        return ""
    return f"{points(value)} pt" if line.metric.startswith("accuracy") else f"{value:.3f}×"


def footnote(found: Comparison) -> str:
    """Say what the verdicts mean and which limits they go by."""
    limits = ", ".join(f"{limit:.0%} for P{100 * share_:.0f}" for share_, limit in LATENCY.values())
    trees = [(side.label, {r.data["commit"].get("tree") for r in side.records}) for side in (found.base, found.head)]
    mixed = [
        f" {label}: its records come from {len(seen)} different working trees."
        for label, seen in trees
        if len(seen) > 1
    ]
    return (
        f"worse/better: beyond chance and by more than {limits}, {100 * ACCURACY_MARGIN:.0f} point of accuracy; "
        "a size by any byte. same: the whole 95 % interval within that. undecided: neither is shown. "
        f"Accuracy: exact McNemar, Holm over {plural(found.family, 'test')}. "
        "Latency: bootstrap within rounds; the sides ran at different times, and a machine that drifted looks like a "
        "change. artifact: whether the name still means the same bytes." + "".join(mixed)
    )


def summary(found: Comparison) -> str:
    """Sum up in one line: what was compared, how many of each verdict, and what follows."""
    base, head = found.base, found.head
    counts = Counter(line.verdict for line in found.lines)
    changed = len({line.variant for line in found.lines if line.artifact == "changed"})
    said = ", ".join(
        f"{n} {verdict}" for verdict, n in sorted(counts.items(), key=lambda item: item[0] not in REGRESSIONS)
    )
    machines = head.machine if base.machine == head.machine else f"{base.machine} → {head.machine}"
    end = {0: "no regression", 1: "REGRESSION", 2: "nothing could be compared"}[found.exit_code]
    artifacts = f"; {plural(changed, 'artifact')} changed" if changed else ""
    return f"{base.label} → {head.label}, {head.sweep}, {machines}: {said}{artifacts}: {end}"
