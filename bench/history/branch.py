"""The history of a branch: each metric of each variant over its commits in git's order, and where its level changed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from bench.history.changes import with_changes
from bench.history.index import CommitValues, read_values
from bench.history.series import BranchCommit, ChangePoint, Point, Series, Value
from bench.machine.git import commit_of, project_of, run_git, shallow_note
from bench.metrics.catalogue import templates
from bench.metrics.metric import Metric, difference
from bench.records.revision import short
from bench.records.selection import Wanted
from variants.errors import UserError

ANY = Wanted()
"""The machine and the sweep that the newest commit was measured with."""


@dataclass(frozen=True)
class History:
    """The series of one sweep on one machine over a branch, and notes on what is not in them."""

    branch: str
    machine: str
    sweep: str
    commits: tuple[BranchCommit, ...]
    measured: int
    series: tuple[Series, ...]
    failures: Mapping[str, tuple[BranchCommit, ...]]
    notes: tuple[str, ...]
    left_out: tuple[str, ...]

    @property
    def changes(self) -> list[ChangePoint]:
        """Return every change point, the newest first."""
        changes = [change for series in self.series for change in series.changes]
        return sorted(changes, key=lambda change: -change.after.commit.place)


def history(
    results: Path,
    kept: Path,
    branch: str = "HEAD",
    wanted: Wanted = ANY,
    variants: Sequence[str] = (),
    metrics: Sequence[str] = (),
) -> History:
    """Read the records of a branch's commits into series. Raises UserError where there are none.

    `kept` is the folder of the index, which saves the next call from reading the same records.

    The branch is followed along first parents, so that the commits of a merged branch are one step of it. Without a
    machine or sweep it is the one that the newest commit was measured on, and of those the one with most commits.
    """
    if not results.is_dir():
        raise UserError(f"no records under {results}: run `make bench`")
    line = branch_commits(results, branch)
    if not line:
        note = f" ({shallow})" if (shallow := shallow_note(results)) else ""
        raise UserError(f"--branch: git knows no commits of {short(repr(branch))} in {results}{note}")
    commits = {commit.sha: commit for commit in line}
    everything, left_out, notes = read_values(results, kept)
    on_branch = [values for values in everything if values.sha in commits]
    fitting = [values for values in on_branch if wanted.sweep in (None, values.sweep)]
    machine, others = _choose("machine", fitting, commits, wanted.machine)
    sweep, more = _choose("sweep", [v for v in on_branch if v.machine == machine], commits, wanted.sweep)
    measured = [values for values in on_branch if (values.machine, values.sweep) == (machine, sweep)]
    names = _asked("variant", variants, (values.variant for values in measured))
    chosen = sorted((v for v in measured if v.variant in names), key=lambda values: commits[values.sha].place)
    series = _series(chosen, commits, _metrics(measured, metrics))
    failures = {name: tuple(commits[v.sha] for v in chosen if v.variant == name and v.failures) for name in names}
    places = {commits[values.sha].place for values in chosen}
    return History(
        branch=_name(results, branch),
        machine=machine,
        sweep=sweep,
        commits=tuple(line[min(places) : max(places) + 1]),
        measured=len(places),
        series=tuple(with_changes(series)),
        failures={name: failed for name, failed in failures.items() if failed},
        notes=(*_not_on_branch(everything, commits, results), *others, *more, *notes),
        left_out=tuple(left_out),
    )


def branch_commits(folder: Path, branch: str) -> list[BranchCommit]:
    """Return the commits of a branch along first parents, oldest first; none where git does not know it."""
    newest = commit_of(folder, branch)
    if newest is None:
        return []
    project = project_of(folder)
    asked = ("rev-list", "--first-parent", "--topo-order", "--encoding=UTF-8", "--format=%x00%s%x00", newest)
    parts = (run_git(project, *asked) or "").split("\0")
    headers, subjects = parts[0:-1:2], parts[1::2]  # a subject may hold any letter but a zero byte
    tags = _tags(project)
    commits = []
    for place, (header, subject) in enumerate(zip(reversed(headers), reversed(subjects), strict=True)):
        sha = header.split()[-1]
        commits.append(BranchCommit(sha, place, subject, tags.get(sha, ())))
    return commits


def _tags(project: Path) -> dict[str, tuple[str, ...]]:
    """Return the names of the tags of each commit."""
    asked = ("for-each-ref", "--format=%(objectname) %(*objectname) %(refname:lstrip=2)", "refs/tags")
    tags: dict[str, tuple[str, ...]] = {}
    for line in (run_git(project, *asked) or "").splitlines():
        tagged, commit, name = line.split(" ")
        sha = commit or tagged  # an annotated tag is an object that names a commit
        tags[sha] = (*tags.get(sha, ()), name)
    return tags


def _name(folder: Path, branch: str) -> str:
    """Return the branch that a revision such as HEAD names, as it is typed where it names none."""
    return (run_git(project_of(folder), "rev-parse", "--abbrev-ref", branch) or "").strip() or branch


def _not_on_branch(
    everything: Sequence[CommitValues], commits: Mapping[str, BranchCommit], results: Path
) -> Iterator[str]:
    """Say which records are no part of the history."""
    others = sorted({values.sha for values in everything if values.sha not in commits})
    if others:
        some = ", ".join(sha[:12] for sha in others[:3]) + (" …" if len(others) > 3 else "")
        yield (
            f"{_count(len(others), 'commit')} with records not on this branch's first-parent line ({some}): merged, "
            "rebased, or of another branch"
        )
    if dirty := len(list(results.glob("*/*-dirty*"))):
        yield f"{_count(dirty, 'uncommitted state')} with records: not part of a history"
    if note := shallow_note(results):
        yield note


def _count(n: int, noun: str) -> str:
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def _choose(
    what: str, values: Sequence[CommitValues], commits: Mapping[str, BranchCommit], asked: str | None
) -> tuple[str, list[str]]:
    measured: dict[str, set[int]] = defaultdict(set)
    for one in values:
        measured[getattr(one, what)].add(commits[one.sha].place)
    if not measured:
        raise UserError("no records of committed states of this branch: run `make bench` at some of its commits")
    if asked is not None and asked not in measured:
        raise UserError(f"--{what}: got {asked!r}, allowed: {', '.join(sorted(measured))}")
    chosen = asked or max(measured, key=lambda name: (max(measured[name]), len(measured[name]), name))
    others = {name: places for name, places in measured.items() if name != chosen}
    if asked or not others:
        return chosen, []
    rest = ", ".join(f"{name} ({len(places)} commits)" for name, places in sorted(others.items()))
    return chosen, [f"{what} {chosen}, the one that the newest commit was measured with; not shown: {rest}"]


def _asked(what: str, asked: Sequence[str], names: Iterable[str]) -> list[str]:
    """Return the names asked for, or all there are."""
    known = list(dict.fromkeys(names))
    if unknown := [name for name in asked if name not in known]:
        raise UserError(f"--{what}: got {', '.join(map(repr, unknown))}, allowed: {', '.join(known)}")
    return sorted(name for name in known if not asked or name in asked)


def _metrics(measured: Sequence[CommitValues], asked: Sequence[str]) -> dict[str, Metric]:
    """Return the metrics asked for (by name, kind or measure), or all there are, in the order of the catalogue."""
    values: dict[str, Value] = {}
    for one in measured:
        values |= one.values
    places = sorted(values, key=lambda name: (values[name].template, name))
    metrics = {name: _metric(name, values[name].template) for name in places}
    allowed = {alias for metric in metrics.values() for alias in (metric.name, metric.kind, metric.measure)}
    if unknown := [name for name in asked if name not in allowed]:
        raise UserError(f"--metric: got {', '.join(map(repr, unknown))}, allowed: {', '.join(metrics)}")
    return {
        name: metric
        for name, metric in metrics.items()
        if not asked or not {name, metric.kind, metric.measure}.isdisjoint(asked)
    }


@cache
def _metric(name: str, template: int) -> Metric:
    task = name.partition(" ")[2]
    return templates()[template].of(task) if task else templates()[template]


def _series(
    chosen: Sequence[CommitValues], commits: Mapping[str, BranchCommit], metrics: Mapping[str, Metric]
) -> list[Series]:
    """Return the series by metric, and of each metric by variant."""
    points: dict[tuple[str, str], list[Point]] = defaultdict(list)
    for values in chosen:
        for name, value in values.values.items():
            if name in metrics:
                point = Point(commits[values.sha], value, values.artifact, values.bandwidth_gb_s)
                points[name, values.variant].append(point)
    places = {name: place for place, name in enumerate(metrics)}
    ordered = sorted(points.items(), key=lambda item: (places[item[0][0]], item[0][1]))
    return [_broken(variant, metrics[name], series) for (name, variant), series in ordered]


def _broken(variant: str, metric: Metric, points: Sequence[Point]) -> Series:
    """Break a series where what was measured is no longer the same thing as before in the stretch."""
    stretches: list[list[Point]] = [[]]
    breaks = []
    known: dict[str, str] = {}
    last: Mapping[str, str] = {}
    for point in points:
        if point.value.identity is last:  # most are one and the same: see what the index shares
            stretches[-1].append(point)
            continue
        last = point.value.identity
        if differing := difference(known, last):
            breaks.append(differing)
            stretches.append([])
            known = {}
        stretches[-1].append(point)
        known = {**known, **last}
    return Series(variant, metric, tuple(map(tuple, stretches)), tuple(breaks))
