"""The history of a branch as one self-contained page: where it changed, the charts of that, and all else folded."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import get_args

from bench.history.branch import History
from bench.history.series import Series
from bench.metrics.metric import Metric, Test
from bench.report.advice.words import listed
from bench.report.charts.cache import kept
from bench.report.charts.history import history_chart, sparkline
from bench.report.charts.style import why_not_drawn
from bench.report.findings import Finding
from bench.report.metric_words import metric_in_words
from bench.report.numbers import plural
from bench.report.pages.file_names import file_part
from bench.report.pages.html import inline, rendered
from bench.report.pages.listing import About
from bench.report.tables.history import WAYS, breaks_grid, change_grid, commands, counted, failures_grid, unchanged_grid
from bench.stats.changepoints import ALPHA, LEAST


def history_charts(history: History, folder: Path) -> tuple[dict[str, str], tuple[str, ...]]:
    """Draw a chart per metric of the series with a change, unless the folder keeps it from the last time.

    Returns SVG documents by their file names, and a line for each chart that failed.
    """
    groups = defaultdict(list)
    for series in history.series:
        if series.changes:
            groups[series.metric.name].append(series)
    charts, failed = {}, []
    for name, group in groups.items():
        draw = partial(history_chart, name, group, history.commits, history.failures)
        drawn_from = (name, [_drawn(series) for series in group], history.commits, history.failures)
        file = file_of(name)
        try:
            charts[file] = kept(folder / f"{file}.svg", drawn_from, draw)
        except Exception as error:  # it costs no other: the tables have its numbers
            failed.append(why_not_drawn(name, error))
    return charts, tuple(failed)


def file_of(metric: str) -> str:
    """Return the name of the chart of a metric; a task's name may hold what a file's cannot."""
    return f"history-{file_part(metric)}"


def _drawn(series: Series) -> tuple[object, ...]:
    """Return what a chart shows of a series."""
    points = [[(p.commit.place, p.value.value, p.value.low, p.value.high) for p in part] for part in series.stretches]
    changes = [(change.before.commit.place, change.after.commit.place, change.verdict) for change in series.changes]
    return series.variant, series.metric.title, series.metric.unit, points, changes


def history_page(history: History, charts: dict[str, str], not_drawn: Sequence[str] = ()) -> str:
    """Write the page with its charts inside; it loads nothing from anywhere. `not_drawn` says which charts failed."""
    drawn = {file: (_finding(history, file), svg) for file, svg in charts.items()}
    rest = [series for series in history.series if not series.changes]
    folded = (unchanged_grid(rest, sparkline), breaks_grid(history), failures_grid(history))
    return rendered(
        "history.html.j2",
        title=_title(history),
        says=_says(history),
        findings=[
            *(Finding("bad", "left out", line) for line in history.left_out),
            *(Finding("note", "chart not drawn", line) for line in not_drawn),
            *(Finding("note", "not in it", note) for note in history.notes),
        ],
        changes=change_grid(history.changes) if history.changes else None,
        commands=commands(history.changes),
        grids=[grid for grid in folded if grid.lines],
        charts={file: (finding, inline(file, finding, svg)) for file, (finding, svg) in drawn.items()},
        facts=_facts(history),
        definitions=definitions(history),
    )


def _finding(history: History, file: str) -> str:
    """Say what a chart shows: the changes in it."""
    changed = [change for change in history.changes if file_of(change.metric.name) == file]
    places = [f"{change.variant} {WAYS[change.verdict]} at {change.after.commit.sha[:7]}" for change in changed]
    return f"{metric_in_words(changed[0].metric.name) if changed else file}: {listed(places, 'changes')}"


def about_history(history: History) -> About:
    """Return what the list of reports shows of the page."""
    return About(
        kind="history",
        says=_title(history),
        sweep=history.sweep,
        model="",
        machine=history.machine,
        measured="",
        commit=history.commits[-1].sha[:12],
        variants=len({series.variant for series in history.series}),
    )


def _title(history: History) -> str:
    over = f"over {plural(history.measured, 'measured commit')} of {history.branch}"
    return f"{counted(history.changes)}, {over}" if history.changes else f"No change found {over}"


def _says(history: History) -> str:
    changed = {change.variant for change in history.changes}
    if not changed:
        return "No change was shown, which does not mean that there was none: small ones need more commits."
    share = f"{sum(bool(series.changes) for series in history.series):,} of {len(history.series):,} series"
    return (
        f"{share} changed, in {plural(len(changed), 'variant')}. Look first at the "
        "weights and the machine check of a change: other weights explain it, and a machine that drifts looks like one."
    )


def _facts(history: History) -> tuple[tuple[str, str], ...]:
    first, last = history.commits[0], history.commits[-1]
    commits = f"{len(history.commits):,} in git's order, {history.measured:,} measured"
    return (
        ("Machine", history.machine),
        ("Sweep", history.sweep),
        ("Releases", ", ".join(tag for commit in history.commits for tag in commit.tags) or "none tagged"),
        (
            "Commits",
            f"{commits}: {first.sha[:12]} to {last.sha[:12]}",
        ),
    )


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
