"""The history of a branch: each metric of each variant over its commits in git's order, and where its level changed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from bench.history.changes import with_changes
from bench.history.index import Summary, summaries
from bench.history.series import Change, Commit, Point, Series
from bench.machine.git import git
from bench.metrics.metric import Metric, metric_of
from bench.report.numbers import plural


@dataclass(frozen=True)
class History:
    """The series of one sweep on one machine over a branch, and what is not in them."""

    branch: str
    machine: str
    sweep: str
    commits: tuple[Commit, ...]
    measured: int
    series: tuple[Series, ...]
    failures: Mapping[str, tuple[Commit, ...]]
    notes: tuple[str, ...]
    left_out: tuple[str, ...]

    @property
    def changes(self) -> list[Change]:
        """Return every change point, the newest first."""
        found = [change for series in self.series for change in series.changes]
        return sorted(found, key=lambda change: -change.after.commit.place)


class NoHistoryError(ValueError):
    """Say in one line why there is nothing to draw."""


def history(
    results: Path,
    kept: Path,
    branch: str = "HEAD",
    machine: str | None = None,
    sweep: str | None = None,
    variants: Sequence[str] = (),
    metrics: Sequence[str] = (),
) -> History:
    """Read the records of a branch's commits into series. Raises NoHistoryError where there are none.

    `kept` is the folder of the index that is kept for the next time.

    The branch is followed along first parents, so that the commits of a merged branch are one step of it. Without a
    machine or sweep it is the one that the newest commit was measured on, and of those the one with most commits.
    """
    if not results.is_dir():
        raise NoHistoryError(f"no records under {results}: run `make bench`")
    line = branch_commits(results, branch)
    if not line:
        raise NoHistoryError(f"--branch: git knows no commits of {branch!r} in {results}")
    commits = {commit.sha: commit for commit in line}
    everything, left_out = summaries(results, kept)
    found = [summary for summary in everything if summary.sha in commits]
    machine, others = _choose("machine", [s for s in found if sweep in (None, s.sweep)], commits, machine)
    sweep, more = _choose("sweep", [s for s in found if s.machine == machine], commits, sweep)
    found = [s for s in found if (s.machine, s.sweep) == (machine, sweep)]
    names = _asked("variant", variants, (summary.variant for summary in found))
    allowed = _asked("metric", metrics, (metric for summary in found for metric in summary.values))
    chosen = sorted((s for s in found if s.variant in names), key=lambda summary: commits[summary.sha].place)
    series = _series(chosen, commits, allowed)
    failures = {name: tuple(commits[s.sha] for s in chosen if s.variant == name and s.failures) for name in names}
    places = {commits[summary.sha].place for summary in chosen}
    return History(
        branch=(git(results, "rev-parse", "--abbrev-ref", branch) or "").strip() or branch,
        machine=machine,
        sweep=sweep,
        commits=tuple(line[min(places) : max(places) + 1]),
        measured=len(places),
        series=tuple(sorted(with_changes(series), key=lambda one: one.metric.place)),
        failures={name: failed for name, failed in failures.items() if failed},
        notes=(*_not_on_branch(everything, commits, results), *others, *more),
        left_out=tuple(left_out),
    )


def branch_commits(folder: Path, branch: str) -> list[Commit]:
    """Return the commits of a branch along first parents, oldest first; none where git does not know it."""
    asked = ("log", "--first-parent", "--topo-order", "--decorate-refs=refs/tags", "--format=%H%x09%D%x09%s")
    lines = (git(folder, *asked, "--end-of-options", branch, "--") or "").splitlines()
    commits = []
    for place, line in enumerate(reversed(lines)):
        sha, names, subject = line.split("\t", 2)
        tags = tuple(name.removeprefix("tag: ") for name in names.split(", ") if name)
        commits.append(Commit(sha, place, subject, tags))
    return commits


def _not_on_branch(found: Sequence[Summary], commits: Mapping[str, Commit], results: Path) -> list[str]:
    notes = []
    others = {summary.sha for summary in found if summary.sha not in commits}
    if others:
        some = ", ".join(sha[:12] for sha in sorted(others)[:3])
        notes.append(
            f"{plural(len(others), 'commit')} with records not on this branch's first-parent line ({some}"
            f"{' …' if len(others) > 3 else ''}): merged, rebased, or of another branch"
        )
    if dirty := len(list(results.glob("*/*-dirty*"))):
        notes.append(f"{plural(dirty, 'uncommitted state')} with records: not part of a history")
    return notes


def _choose(
    what: str, found: Sequence[Summary], commits: Mapping[str, Commit], asked: str | None
) -> tuple[str, list[str]]:
    measured: dict[str, set[int]] = defaultdict(set)
    for summary in found:
        measured[getattr(summary, what)].add(commits[summary.sha].place)
    if not measured:
        raise NoHistoryError("no records of committed states of this branch: run `make bench` at some of its commits")
    if asked is not None and asked not in measured:
        raise NoHistoryError(f"--{what}: got {asked!r}, allowed: {', '.join(sorted(measured))}")
    chosen = asked or max(measured, key=lambda name: (max(measured[name]), len(measured[name]), name))
    others = {name: places for name, places in measured.items() if name != chosen}
    if asked or not others:
        return chosen, []
    rest = ", ".join(f"{name} ({len(places)} commits)" for name, places in sorted(others.items()))
    return chosen, [f"{what} {chosen}, the one that the newest commit was measured with; not shown: {rest}"]


def _asked(what: str, asked: Sequence[str], there: Iterable[str]) -> list[str]:
    """Return the names asked for, or all there are, in the order in which metrics and variants are told."""
    known = list(dict.fromkeys(there))
    if unknown := [name for name in asked if name not in known]:
        raise NoHistoryError(f"--{what}: got {', '.join(map(repr, unknown))}, allowed: {', '.join(known)}")
    return sorted(name for name in known if not asked or name in asked)


def _series(chosen: Sequence[Summary], commits: Mapping[str, Commit], allowed: Sequence[str]) -> list[Series]:
    points: dict[tuple[str, str], list[Point]] = defaultdict(list)
    for summary in chosen:
        commit = commits[summary.sha]
        for metric, value in summary.values.items():
            points[summary.variant, metric].append(Point(commit, value, summary.artifact, summary.copy_gb_s))
    ordered = sorted(points.items(), key=lambda item: item[0][0])  # by variant; metrics as they came
    return [_broken(variant, metric_of(name), found) for (variant, name), found in ordered if name in allowed]


def _broken(variant: str, metric: Metric, points: Sequence[Point]) -> Series:
    """Break a series where what was measured is no longer the same thing."""
    stretches = [[points[0]]]
    breaks = []
    for before, after in pairwise(points):
        if before.value.identity != after.value.identity:
            breaks.append(_differing(before.value.identity, after.value.identity))
            stretches.append([])
        stretches[-1].append(after)
    return Series(variant, metric, tuple(map(tuple, stretches)), tuple(breaks))


def _differing(before: Mapping[str, str], after: Mapping[str, str]) -> str:
    names = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    return "; ".join(f"{name}: {before.get(name)} → {after.get(name)}" for name in names)
