"""The tables of a history: where a metric changed, how every other one went, and what broke a series or failed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from itertools import pairwise

from bench.history.branch import History
from bench.history.series import BranchCommit, ChangePoint, Series
from bench.report.advice.words import listed
from bench.report.grid import NOT_MEASURED, Entry, Grid, Line
from bench.report.metric_words import metric_in_words
from bench.report.numbers import changed, p_value, plural, with_unit

WAYS = {"worse": "for the worse", "better": "for the better", "changed": "within the limit"}
"""What the verdicts on a change are called where changes are counted."""
NAMED = 3
SUBJECT = 44
"""Characters of a commit's subject that a table has room for."""


def change_grid(changes: Sequence[ChangePoint]) -> Grid:
    """Make the table of change points, the newest first: the deciding columns first, commits last."""
    columns = (
        "Variant",
        "Metric",
        "Verdict",
        "Change",
        "Before",
        "After",
        "From",
        "To",
        "p",
        "Commits",
        "Weights",
        "Machine check",
        "First after",
        "Last before",
    )
    return Grid("changes", "Change points", "", columns, tuple(map(_change_line, changes)))


def _change_line(change: ChangePoint) -> Line:
    before, after = change.before, change.after
    same, ratio, verdict = change.same_artifact, change.machine_ratio, change.verdict
    return Line(
        (
            Entry(change.variant),
            Entry(metric_in_words(change.metric.name), tone="words"),
            Entry(verdict, tone=verdict),
            Entry(_size_of(change)),
            *(Entry(_level(change, point.value.value)) for point in (before, after)),
            *(Entry("exact" if end is None else _by(change, end)) for end in (change.low, change.high)),
            Entry("" if change.p is None else p_value(change.p).removeprefix("p ")),
            Entry(f"{change.commits:,}", "" if change.commits == 1 else "see bisect"),
            NOT_MEASURED if same is None else Entry("same" if same else "changed"),
            NOT_MEASURED if ratio is None else Entry(f"{ratio:.2f}×"),
            Entry(after.commit.sha[:12], _subject(after.commit)),
            Entry(before.commit.sha[:12], _subject(before.commit)),
        )
    )


def _level(change: ChangePoint, value: float) -> str:
    return f"{value:,.0f} B" if _to_the_byte(change) else with_unit(value, change.metric.unit)


def _size_of(change: ChangePoint) -> str:
    """Write how much a metric changed: a size is exact to the byte."""
    if _to_the_byte(change):
        return f"{change.after.value.value - change.before.value.value:+,.0f} B".replace("-", "−")
    return _by(change, change.change)


def _to_the_byte(change: ChangePoint) -> bool:
    return change.metric.unit == "byte" and change.metric.test == "exact"


def _by(change: ChangePoint, value: float) -> str:
    return changed(value, change.metric.scale, change.metric.unit)


def counted(changes: Sequence[ChangePoint]) -> str:
    """Count the changes, and those of each verdict: 3 changes, 2 for the worse and 1 within the limit."""
    counts = {way: sum(change.verdict == verdict for change in changes) for verdict, way in WAYS.items()}
    ways = [f"{n:,} {way}" for way, n in counts.items() if n]
    return f"{plural(len(changes), 'change')}{', ' if ways else ''}{listed(ways)}"


def commands(changes: Sequence[ChangePoint]) -> list[str]:
    """Return the commands that find the one commit, one for all metrics of a variant that changed together."""
    first = {(c.variant, c.before.commit.sha, c.after.commit.sha): c.bisect for c in reversed(changes) if c.bisect}
    return list(first.values())[::-1]


def _subject(commit: BranchCommit) -> str:
    named = " ".join([*(f"[{tag}]" for tag in commit.tags), commit.subject])
    return named if len(named) <= SUBJECT else named[: SUBJECT - 1] + "…"


def unchanged_grid(series: Sequence[Series], draw: Callable[[Series], str]) -> Grid:
    """Make the table of the series in which no change was found; `draw` makes the picture of one."""
    lines = [
        Line(
            (
                Entry(one.variant),
                Entry(metric_in_words(one.metric.name), tone="words"),
                Entry(_flat(one) or draw(one), tone="words"),
                *(Entry(with_unit(value, one.metric.unit)) for value in _extent(one)),
                Entry(f"{len(one.points):,}"),
                Entry(one.points[-1].commit.sha[:12]),
            )
        )
        for one in series
    ]
    columns = ("Variant", "Metric", "Over the commits", "Newest", "Lowest", "Highest", "Commits", "Newest commit")
    says = "Each picture goes from the lowest to the highest value of its series, so that noise looks large in it."
    return Grid("unchanged", f"{len(lines):,} series without a change", says, columns, tuple(lines), folded=True)


def _flat(series: Series) -> str:
    """Say why a series has no picture, empty where it has one."""
    return "one commit" if len(series.points) == 1 else "constant" if series.constant else ""


def _extent(series: Series) -> tuple[float, float, float]:
    values = [point.value.value for point in series.points]
    return values[-1], min(values), max(values)


def breaks_grid(history: History) -> Grid:
    """Make a table of what broke series off; series that broke alike share a line."""
    groups: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for series in history.series:
        for (before, after), why in zip(pairwise(series.stretches), series.breaks, strict=True):
            ends = before[-1].commit.sha[:12], after[0].commit.sha[:12]
            groups[(*ends, why)].append(f"{series.variant} {metric_in_words(series.metric.name)}")
    lines = []
    for (left, right, why), names in groups.items():
        more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
        named = Entry("; ".join(names[:NAMED]) + more, tone="why")
        lines.append(Line((Entry(why, tone="why"), named, Entry(left), Entry(right))))
    says = "What was measured is not the same on both sides: no line is drawn across, and no change is looked for."
    columns = ("What differs", "Series", "Last before", "First after")
    return Grid("breaks", plural(len(lines), "break") + " in series", says, columns, tuple(lines), folded=True)


def failures_grid(history: History) -> Grid:
    """Make a table of the variants that failed, and at which commits."""
    lines = [
        Line((Entry(variant), Entry(f"{len(commits):,}"), Entry(", ".join(c.sha[:12] for c in commits[-6:]))))
        for variant, commits in history.failures.items()
    ]
    says = "A cross at the foot of its panels."
    return Grid("failures", "Failed", says, ("Variant", "Commits", "The newest"), tuple(lines))
