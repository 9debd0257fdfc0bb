"""`bench bisect`: find the commit that made a metric worse, by halves, in a worktree of its own.

Git names the commits, this process measures one after the other, and what measures ends with it, however it ends.
Every commit runs its own code in the environment of this checkout: the interpreter that runs this, with its packages
and its GGUF converter. What is measured lies under `bisect` in the cache and nowhere else; the user's checkout, index,
branches and results stay as they are. Artifacts are shared only between commits whose `variants/` is the same: a
fingerprint names the settings of a step and not its code.
"""

from __future__ import annotations

import hashlib
import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.commands.arguments import check_task
from bench.commands.worktree import worktree
from bench.compare.verdict import VerdictLine
from bench.machine.git import commit_of, run_git, shallow_note, subject_of
from bench.machine.group import end_group
from bench.metrics.catalogue import templates
from bench.metrics.metric import Metric
from bench.records.revision import short
from bench.sweep.plan.request import keys
from bench.terminal import say, shown
from variants.cache import Cache
from variants.child import start
from variants.configure import similar
from variants.errors import UserError
from variants.paths import ROOT

GOOD, BAD, SKIP = "good", "bad", "skip"
"""A commit is skipped where it cannot be built, measured or compared."""
OWN_KEYS = ("variant", "results_dir", "cache_dir")
ENVIRONMENT = ("constraints.txt", "pyproject.toml")


@dataclass(frozen=True)
class Bisection:
    """What each step does: measure the commit that is checked out, and compare it with the good one."""

    metric: str
    variant: str
    good: str
    overrides: tuple[str, ...]
    place: str
    results: str
    folder: str = ""

    @property
    def tree(self) -> Path:
        """Return the worktree."""
        return Path(self.place) / "tree"

    @property
    def project(self) -> Path:
        """Return the project in the worktree: its folder in a larger repository, else all of it."""
        return self.tree / self.folder


@dataclass(frozen=True)
class Evidence:
    """The evidence on one commit: the verdict's line, or why there is none."""

    sha: str
    judged: str
    line: VerdictLine | None
    why: str


def bisect(metric: str, variant: str, good: str, bad: str, overrides: Sequence[str]) -> int:
    """Print the first commit after `good` that is worse, and the evidence of every step; return 0.

    Raises UserError where there is nothing to find: unknown names, a GOOD that is no ancestor of BAD, or no difference.
    """
    ends = [_commit(name) for name in (good, bad)]
    if run_git(ROOT, "merge-base", "--is-ancestor", *ends) is None or ends[0] == ends[1]:
        raise UserError(
            f"GOOD {good} is no ancestor of BAD {bad}: a bisection goes from an older commit to a newer one"
        )
    asked = (*_needed(_metric(metric), overrides), *overrides)
    check_task(metric, variant, asked)
    with worktree(Cache.default().bisect, ends[1]) as place:
        digest = hashlib.sha256("\n".join([variant, *sorted(asked)]).encode()).hexdigest()[:12]
        folder = (run_git(ROOT, "rev-parse", "--show-prefix") or "").removesuffix("\n")
        bisection = Bisection(metric, variant, ends[0], asked, str(place), str(place / "results" / digest), folder)
        _print_environment(*ends)
        _check_ends(bisection, *ends)
        return _search(bisection, *ends)


def _commit(name: str) -> str:
    sha = commit_of(ROOT, name)
    if sha is None:
        note = shallow_note(ROOT)
        raise UserError(f"{short(repr(name))}: no commit of this repository{f' ({note})' if note else ''}")
    return sha


def _needed(metric: Metric, overrides: Sequence[str]) -> list[str]:
    """Return the overrides that measure what the metric needs and no more, unless the user typed them."""
    typed = keys(overrides)
    if own := sorted(typed & set(OWN_KEYS)):
        place = Cache.default().bisect
        raise UserError(f"{own[0]}: not yours to set in a bisection; it is part of the command, or kept in {place}")
    # A peak of memory is that of serving: it takes requests.
    measures = "latency,memory" if metric.measure == "memory" else metric.measure
    needed = {"suite.measures": f"[{measures}]"}
    if metric.test != "rounds":
        needed["suite.rounds"] = "1"  # the same in every round: a second one says nothing new
    return [f"{key}={value}" for key, value in needed.items() if key not in typed]


def _metric(name: str) -> Metric:
    """Return the metric of a name, without its task. Raises UserError for a metric that no test judges."""
    kind, _, task = name.partition(" ")
    judged = [metric for metric in templates() if metric.test]
    for metric in judged:
        if metric.kind == kind and bool(metric.tasks) == bool(task):
            return metric
    allowed = dict.fromkeys(f"'{metric.kind} TASK'" if metric.tasks else metric.kind for metric in judged)
    kinds = [metric.kind for metric in judged]
    raise UserError(f"METRIC: got {name!r}, allowed: {', '.join(allowed)}{similar(name, kinds)}")


def _print_environment(good: str, bad: str) -> None:
    if changed := (run_git(ROOT, "diff-tree", "-r", "--name-only", good, bad, "--", *ENVIRONMENT) or "").split():
        text = f"note: {', '.join(changed)} changed in between: every commit runs in this checkout's environment"
        say(text, under="  ")


def _check_ends(bisection: Bisection, good: str, bad: str) -> None:
    """Measure both ends now: the machine may have changed since. Raises UserError where they do not differ."""
    for name, sha in (("GOOD", good), ("BAD", bad)):
        if failure := _measure(bisection, sha):
            raise UserError(f"{name} {sha[:12]} could not be measured: {failure}")
    evidence = _compared(bisection, bad)
    _print(evidence)
    if evidence.judged != BAD:
        verdict = evidence.line.verdict if evidence.line else evidence.why
        what = f"{bisection.metric} of {bisection.variant}"
        raise UserError(f"{what} is not worse at BAD {bad[:12]} than at GOOD {good[:12]}: {verdict}")


def _search(bisection: Bisection, good: str, bad: str) -> int:
    """Halve the commits until one is left, print it, return 0. Raises UserError where skipped ones leave several."""
    goods, skipped = [good], dict[str, str]()
    while untried := [sha for sha in _between(bisection, goods, bad) if sha != bad and sha not in skipped]:
        evidence = _try(bisection, untried[0])
        _print(evidence)
        if evidence.judged == BAD:
            bad = evidence.sha
        elif evidence.judged == GOOD:
            goods.append(evidence.sha)
        else:
            skipped[evidence.sha] = evidence.why
    left = _between(bisection, goods, bad)
    if left != [bad]:
        some = "; ".join(f"{sha[:12]} {why}" for sha, why in skipped.items() if sha in left)
        raise UserError(f"the first bad commit is one of {', '.join(sha[:12] for sha in left)}; skipped: {some}")
    say(f"first bad commit: {bad[:12]} {subject_of(ROOT, bad)}", under="  ")
    say(f"records: {shown(Path(bisection.results))}")
    return 0


def _between(bisection: Bisection, goods: Sequence[str], bad: str) -> list[str]:
    """List the commits that may be the first bad one, first those that halve them best; BAD is one of them."""
    lines = _git(bisection, "rev-list", "--bisect-all", bad, "--not", *goods).splitlines()
    return [line.split(" ", 1)[0] for line in lines]


def _git(bisection: Bisection, *arguments: str) -> str:
    output = run_git(bisection.tree, *arguments)
    if output is None:
        raise UserError(f"git {shlex.join(arguments)} failed in {bisection.tree}")
    return output


def _try(bisection: Bisection, sha: str) -> Evidence:
    failure = _measure(bisection, sha)
    return Evidence(sha, SKIP, None, failure) if failure else _compared(bisection, sha)


def _measure(bisection: Bisection, sha: str) -> str:
    """Run the commit's own code on the variant; return why that failed, or nothing."""
    _git(bisection, "checkout", "--quiet", "--force", "--detach", sha)
    if not (bisection.project / "variants").is_dir():
        return "the project is not in this commit"
    code = _git(bisection, "rev-parse", f"HEAD:{bisection.folder}variants").strip()[:12]
    places = [f"results_dir={bisection.results}", f"cache_dir={Path(bisection.place) / 'artifacts' / code}"]
    command = [sys.executable, "-m", "bench.cli", "run", f"variant={bisection.variant}", *bisection.overrides, *places]
    log = Path(bisection.place) / "logs" / f"{sha[:12]}.log"
    log.parent.mkdir(exist_ok=True)
    ended = _run(command, bisection.project, log)
    if ended == 0:
        return ""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()] or ["no message"]
    why = next((line for line in lines if line.startswith(("failed", "bench:"))), lines[-1])
    return f"exit {ended}: {why} (log {log})"


def _run(command: Sequence[str], folder: Path, log: Path) -> int:
    """Run a command and all that it starts as one group, so that an interruption ends all of it."""
    how = start()
    kept = {name: text for name, text in how["env"].items() if name != "PYTHONPATH"}
    how["env"] = {**kept, "PYTHONDONTWRITEBYTECODE": "1"}  # it would make the worktree dirty where nothing ignores it
    with log.open("w") as stream:
        child = subprocess.Popen(command, cwd=folder, stdout=stream, stderr=stream, start_new_session=True, **how)
        try:
            return child.wait()
        except BaseException:
            end_group(child)
            raise


def _compared(bisection: Bisection, sha: str) -> Evidence:
    from bench.compare.comparison import compare
    from bench.compare.lines import Asked

    metric = _metric(bisection.metric)
    # The history shows every byte as a change; whoever asks for its commit has seen it.
    thresholds = {metric.kind: 0.0} if metric.test == "exact" else {}
    asked = Asked((bisection.variant,), (bisection.metric,), thresholds)
    try:
        comparison = compare(Path(bisection.results), bisection.good, sha, asked=asked)
    except UserError as error:
        return Evidence(sha, SKIP, None, str(error))
    line = next((line for line in comparison.lines if line.metric == bisection.metric), None)
    if line is None or line.verdict in ("not comparable", "gone", "new", "now fails", "fixed"):
        return Evidence(
            sha, SKIP, line, f"{line.verdict}: {line.why}" if line else f"no {bisection.metric} was measured"
        )
    return Evidence(sha, BAD if line.verdict == "worse" else GOOD, line, line.why)


def _print(evidence: Evidence) -> None:
    """Print the evidence on a commit to standard error: the first bad commit alone is the answer."""
    from bench.report.tables.comparison import COLUMNS, cells_of

    cells = dict(zip(COLUMNS, cells_of(evidence.line), strict=True)) if evidence.line else {}
    numbers = f"{cells['base']} → {cells['head']} {cells['change']}".strip() if cells else ""
    interval = f"({cells['95 % interval']})" if cells and cells["95 % interval"] else ""
    p = f"{cells['test']} {cells['Holm']}".strip() if cells else ""
    parts = [
        evidence.sha[:12],
        evidence.judged,
        cells.get("verdict", ""),
        numbers,
        interval,
        p,
        evidence.why,
        f"[{subject_of(ROOT, evidence.sha)}]",
    ]
    say("  ".join(part for part in parts if part), under="  ", stderr=True)
