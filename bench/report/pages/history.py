"""The history of a branch as one self-contained page: its change points, its charts, and what broke a series."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import get_args

from bench.history.branch import History
from bench.history.series import BranchCommit, ChangePoint, Series
from bench.metrics.metric import Metric, Test
from bench.report.charts.cache import kept
from bench.report.charts.history import history_chart
from bench.report.findings import Finding
from bench.report.grid import NOT_MEASURED, Entry, Grid, Line
from bench.report.numbers import changed, p_value, plural, with_unit
from bench.report.pages.html import inline, rendered
from bench.report.pages.sweep import Headline
from bench.stats.changepoints import ALPHA, LEAST

WORDS = {True: "better", False: "worse"}
NAMED = 3
SUBJECT = 44
"""Characters of a commit's subject that a table has room for."""


def history_charts(history: History, folder: Path) -> dict[str, str]:
    """Draw a chart per metric of the series that ever changed, unless the folder keeps it from the last time.

    Returns SVG documents by their file names.
    """
    groups = defaultdict(list)
    for series in history.series:
        if not series.constant:
            groups[series.metric.name].append(series)
    charts = {}
    for name, group in groups.items():
        draw = partial(history_chart, name, group, history.commits, history.failures)
        drawn_from = (name, [_drawn(series) for series in group], history.commits, history.failures)
        file = f"history-{name.replace(' ', '-')}"
        charts[file] = kept(folder / f"{file}.svg", drawn_from, draw)
    return charts


def _drawn(series: Series) -> tuple[object, ...]:
    """Return what a chart shows of a series."""
    points = [[(p.commit.place, p.value.value, p.value.low, p.value.high) for p in part] for part in series.stretches]
    changes = [(change.before.commit.place, change.after.commit.place, change.better) for change in series.changes]
    return series.variant, series.metric.title, series.metric.unit, points, changes


def history_page(history: History, charts: dict[str, str]) -> str:
    """Write the page with its charts inside; it loads nothing from anywhere."""
    return rendered(
        "history.html.j2",
        head=_headline(history),
        findings=[
            *(Finding("bad", "left out", line) for line in history.left_out),
            *(Finding("note", "not in it", note) for note in history.notes),
        ],
        changes=change_grid(history.changes),
        commands=commands(history.changes),
        grids=[grid for grid in (_newest(history), _breaks(history), _failures(history)) if grid.lines],
        charts={name: inline(name, name.replace("-", " "), svg) for name, svg in charts.items()},
        definitions=definitions(history),
    )


def about_history(history: History) -> About:
    """Return what the list of reports shows of the page."""
    return About(
        kind="history",
        says=_says(history),
        sweep=history.sweep,
        model="",
        machine=history.machine,
        measured="",
        commit=history.commits[-1].sha[:12],
        variants=len({series.variant for series in history.series}),
    )


def _headline(history: History) -> Headline:
    first, last = history.commits[0], history.commits[-1]
    changes, commits = history.changes, f"{len(history.commits):,}, {history.measured:,} measured"
    worse = sum(not change.better for change in changes)
    says = (
        f"{plural(worse, 'change')} for the worse, {len(changes) - worse} for the better"
        if changes
        else "no change point was found, which does not mean that nothing changed"
    )
    return Headline(
        title=f"History of {history.branch}",
        says=f"{plural(history.measured, 'commit')} with records, in git's order: {says}.",
        facts=(
            ("Machine", history.machine),
            ("Sweep", history.sweep),
            ("Commits", f"{first.sha[:12]} to {last.sha[:12]}: {commits}"),
            ("Releases", ", ".join(tag for commit in history.commits for tag in commit.tags) or "none tagged"),
        ),
    )  # fmt: skip


def change_grid(changes: Sequence[ChangePoint]) -> Grid:
    """Make the table of change points, the newest first."""
    columns = (
        "Variant",
        "Metric",
        "Change",
        "95 % interval",
        "p",
        "Last before",
        "First after",
        "Commits",
        "Artifact",
        "Canary",
    )
    return Grid(
        "changes",
        "Change points",
        "" if changes else "None was found.",
        columns,
        tuple(_change_line(change) for change in changes),
    )  # fmt: skip


def _change_line(change: ChangePoint) -> Line:
    before, after = change.before, change.after
    interval = (
        "" if change.low is None or change.high is None else f"{_by(change, change.low)} to {_by(change, change.high)}"
    )
    same, ratio = change.same_artifact, change.machine_ratio
    return Line(
        (
            Entry(change.variant),
            Entry(change.metric.title),
            Entry(f"{_size_of(change)} {WORDS[change.better]}", _levels(change), tone=WORDS[change.better]),
            Entry(interval or "exact"),
            Entry("" if change.p is None else p_value(change.p)),
            Entry(before.commit.sha[:12], _subject(before.commit)),
            Entry(after.commit.sha[:12], _subject(after.commit)),
            Entry(f"{change.commits:,}", "" if change.commits == 1 else "see bisect"),
            NOT_MEASURED if same is None else Entry("same" if same else "changed"),
            NOT_MEASURED if ratio is None else Entry(f"{ratio:.2f}×"),
        )
    )


def _levels(change: ChangePoint) -> str:
    ends = (change.before.value.value, change.after.value.value)
    if change.metric.unit == "byte" and change.metric.test == "exact":
        return " → ".join(f"{value:,.0f} B" for value in ends)
    return " → ".join(with_unit(value, change.metric.unit) for value in ends)


def _size_of(change: ChangePoint) -> str:
    """Write how much a metric changed: a size is exact to the byte."""
    if change.metric.unit == "byte" and change.metric.test == "exact":
        return f"{change.after.value.value - change.before.value.value:+,.0f} B".replace("-", "−")
    return _by(change, change.change)


def _by(change: ChangePoint, value: float) -> str:
    return changed(value, change.metric.scale, change.metric.unit)


def commands(changes: Sequence[ChangePoint]) -> list[str]:
    """Return the commands that find the one commit, one for all metrics of a variant that changed together."""
    first = {(c.variant, c.before.commit.sha, c.after.commit.sha): c.bisect for c in reversed(changes) if c.bisect}
    return list(first.values())[::-1]


def _subject(commit: BranchCommit) -> str:
    named = " ".join([*(f"[{tag}]" for tag in commit.tags), commit.subject])
    return named if len(named) <= SUBJECT else named[: SUBJECT - 1] + "…"


def _newest(history: History) -> Grid:
    """Make a table of what each series says at its newest commit."""
    metrics = {series.metric.name: series.metric for series in history.series}
    newest = {(series.variant, series.metric.name): series for series in history.series}
    variants = list(dict.fromkeys(series.variant for series in history.series))
    lines = [
        Line(
            (
                Entry(variant),
                *(_newest_entry(metric, newest.get((variant, name))) for name, metric in metrics.items()),
            )
        )
        for variant in variants
    ]
    columns = ("Variant", *(metric.title for metric in metrics.values()))
    return Grid(
        "newest",
        "Where each series stands",
        "The newest measured commit of each. A series that was constant throughout has no panel above.",
        columns,
        tuple(lines),
    )


def _newest_entry(metric: Metric, series: Series | None) -> Entry:
    if series is None:
        return NOT_MEASURED
    last, n = series.points[-1], plural(len(series.points), "commit")
    return Entry(
        with_unit(last.value.value, metric.unit),
        f"{last.commit.sha[:8]}, {'constant over ' if series.constant else ''}{n}",
    )


def _breaks(history: History) -> Grid:
    """Make a table of what broke series off; series that broke alike share a line."""
    groups: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for series in history.series:
        for (before, after), why in zip(pairwise(series.stretches), series.breaks, strict=True):
            ends = before[-1].commit.sha[:12], after[0].commit.sha[:12]
            groups[(*ends, why)].append(f"{series.variant} {series.metric.title}")
    lines = []
    for (left, right, why), names in groups.items():
        more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
        lines.append(Line((Entry(f"{left} to {right}"), Entry(", ".join(names[:NAMED]) + more), Entry(why))))
    says = "What was measured is not the same on both sides: no line is drawn across, and no change is looked for."
    return Grid("breaks", "Broken series", says, ("Between", "Series", "What differs"), tuple(lines))


def _failures(history: History) -> Grid:
    lines = [
        Line((Entry(variant), Entry(f"{len(commits):,}"), Entry(", ".join(c.sha[:12] for c in commits[-6:]))))
        for variant, commits in history.failures.items()
    ]
    says = "A cross at the foot of its panels."
    return Grid("failures", "Failed", says, ("Variant", "Commits", "The newest"), tuple(lines))


def definitions(history: History) -> list[tuple[str, str]]:
    """Say what the words of the page mean, with the limits of the metrics that it shows."""
    metrics = {series.metric.name: series.metric for series in history.series}.values()
    limits = {test: _limits([metric for metric in metrics if metric.test == test]) for test in get_args(Test)}
    means = "; ".join(filter(None, (limits["documents"], limits["windows"])))
    return [
        (
            "Order",
            "git's, along first parents: the commits of a merged branch are one step. Not the time of a file or a "
            "record.",
        ),
        (
            "Value and interval",
            "over all rounds of one commit: percentiles with order-statistic intervals, accuracy with Wilson's, means "
            "over documents or windows of a text with Student's, 95 %.",
        ),
        (
            "Change point of a latency or a memory peak",
            "the split of a stretch of commits that a two-sample t separates best (Worsley 1979), stretches as in "
            "seeded binary segmentation (Kovács and others 2023). p is multiplied by the number of all splits looked "
            f"at on this page: in {ALPHA:.0%} of pages of nothing but noise at most one is shown. A level needs "
            f"{LEAST} commits on each side, and the change has to exceed a limit{_in_brackets(limits['rounds'])}. A "
            "machine that drifts looks like a change: see the canary.",
        ),
        ("Change point of a size", "any byte between two measured commits that follow each other: a size is exact."),
        (
            "Change point of an accuracy",
            "two measured commits that follow each other, same questions: exact McNemar, Holm over all such pairs "
            f"whose answers differ, and by more than a limit{_in_brackets(limits['questions'])}. Many small steps are "
            "seen by comparing with an older commit.",
        ),
        (
            "Change point of a perplexity, a score or a divergence",
            "two measured commits that follow each other, same documents or windows of the same text: paired t, Holm "
            f"over all such pairs that differ, and by more than a limit{_in_brackets(means)}.",
        ),
        ("Canary", "memory bandwidth of the machine after / before: where it moved as well, the machine changed."),
        ("Artifact", "whether the name meant the same bytes before and after."),
        ("No change point", "no change was shown. It does not mean that there was none."),
    ]


def _limits(metrics: Sequence[Metric]) -> str:
    limits = {metric.kind: metric for metric in metrics if metric.limit}
    return ", ".join(
        f"{100 * metric.limit:g} {'points' if metric.scale == 'points' else '%'} {kind}"
        for kind, metric in limits.items()
    )


def _in_brackets(text: str) -> str:
    return f" ({text})" if text else ""
