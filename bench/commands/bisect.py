"""`bench bisect`: find the commit that made a metric worse, by `git bisect run` in a worktree of its own.

Every commit runs its own code in the environment of this checkout: the interpreter that runs this, with its packages
and its GGUF converter. What is measured lies under `bisect` in the cache and nowhere else; the user's checkout, index,
branches and results stay as they are. Artifacts are shared only between commits whose `variants/` is the same: a
fingerprint names the settings of a step and not its code.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from bench.commands.arguments import check_task
from bench.commands.worktree import NO_HOOKS, worktree
from bench.compare.verdict import VerdictLine
from bench.machine.git import commit_of, run_git
from bench.metrics.catalogue import templates
from bench.metrics.metric import Metric
from bench.sweep.request import keys
from bench.terminal import say, shown
from variants.cache import Cache
from variants.configure import similar
from variants.errors import UserError
from variants.paths import ROOT

GOOD, BAD, SKIP = 0, 1, 125
"""What `git bisect run` understands; a commit is skipped where it cannot be built, measured or compared."""
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

    @property
    def tree(self) -> Path:
        """Return the worktree."""
        return Path(self.place) / "tree"

    @property
    def file(self) -> Path:
        """Return the file from which each step reads what to do."""
        return Path(self.place) / "job.json"

    @property
    def evidence(self) -> Path:
        """Return the file in which each step leaves its evidence, as a line of JSON."""
        return Path(self.place) / "evidence.jsonl"


@dataclass(frozen=True)
class Evidence:
    """The evidence on one commit: the verdict's line, or why there is none."""

    sha: str
    code: int
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
        bisection = Bisection(metric, variant, ends[0], asked, str(place), str(place / "results" / digest))
        bisection.file.write_bytes(msgspec.json.encode(bisection))
        _print_environment(*ends)
        _check_ends(bisection, *ends)
        return _run(bisection, *ends)


def _commit(name: str) -> str:
    sha = commit_of(ROOT, name)
    if sha is None:
        raise UserError(f"{name!r}: no commit of this repository")
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
    if changed := (run_git(ROOT, "diff", "--name-only", good, bad, "--", *ENVIRONMENT) or "").split():
        text = f"note: {', '.join(changed)} changed in between: every commit runs in this checkout's environment"
        say(text, under="  ")


def _check_ends(bisection: Bisection, good: str, bad: str) -> None:
    """Measure both ends now: the machine may have changed since. Raises UserError where they do not differ."""
    for name, sha in (("GOOD", good), ("BAD", bad)):
        _git(bisection, "checkout", "--quiet", "--detach", sha)
        failure = _measure(bisection, sha)
        if failure:
            raise UserError(f"{name} {sha[:12]} could not be measured: {failure}")
    evidence = _compared(bisection, bad)
    _print(evidence)
    if evidence.code != BAD:
        verdict = evidence.line.verdict if evidence.line else evidence.why
        what = f"{bisection.metric} of {bisection.variant}"
        raise UserError(f"{what} is not worse at BAD {bad[:12]} than at GOOD {good[:12]}: {verdict}")


def _run(bisection: Bisection, good: str, bad: str) -> int:
    """Let git choose the commits, then print the first bad one. Raises UserError where skipped ones leave several."""
    _git(bisection, "bisect", "start", bad, good)
    step = [sys.executable, "-P", "-m", "bench.commands.bisect", str(bisection.file)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    log = Path(bisection.place) / "git.log"
    code = _drive(["git", *NO_HOOKS, "bisect", "run", *step], bisection.tree, environment, log)
    lines = bisection.evidence.read_bytes().splitlines() if bisection.evidence.exists() else ()
    tried = [msgspec.json.decode(line, type=Evidence) for line in lines]
    if code != 0:
        goods = _git(bisection, "for-each-ref", "--format=%(refname)", "refs/bisect/good-*").split()
        left = _git(bisection, "rev-list", "refs/bisect/bad", "--not", *goods).split()
        skipped = "; ".join(f"{evidence.sha[:12]} {evidence.why}" for evidence in tried if evidence.code == SKIP)
        if not skipped:
            raise UserError(f"git bisect ended with {code}, see {log}")
        raise UserError(f"the first bad commit is one of {', '.join(sha[:12] for sha in left)}; skipped: {skipped}")
    first = _git(bisection, "rev-parse", "refs/bisect/bad").strip()
    say(f"first bad commit: {first[:12]} {_subject(first)}", under="  ")
    say(f"records: {shown(Path(bisection.results))}")
    return 0


def _drive(command: Sequence[str], folder: Path, environment: Mapping[str, str], log: Path) -> int:
    """Run a command and all that it starts as one group, so that an interruption ends all of it."""
    with log.open("w") as stream:
        child = subprocess.Popen(command, cwd=folder, env=environment, stdout=stream, start_new_session=True)
        try:
            return child.wait()
        except BaseException:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
            raise


def _git(bisection: Bisection, *arguments: str) -> str:
    output = run_git(bisection.tree, *NO_HOOKS, *arguments)
    if output is None:
        raise UserError(f"git {shlex.join(arguments)} failed in {bisection.tree}")
    return output


def try_commit(job_file: Path) -> int:
    """Measure the commit that is checked out and return what `git bisect run` understands."""
    bisection = msgspec.json.decode(job_file.read_bytes(), type=Bisection)
    sha = _git(bisection, "rev-parse", "HEAD").strip()
    failure = _measure(bisection, sha)
    evidence = Evidence(sha, SKIP, None, failure) if failure else _compared(bisection, sha)
    with bisection.evidence.open("ab") as stream:
        stream.write(msgspec.json.encode(evidence) + b"\n")
    _print(evidence)
    return evidence.code


def _measure(bisection: Bisection, sha: str) -> str:
    """Run the commit's own code on the variant; return why that failed, or nothing."""
    code = _git(bisection, "rev-parse", "HEAD:variants").strip()[:12]
    places = [f"results_dir={bisection.results}", f"cache_dir={Path(bisection.place) / 'artifacts' / code}"]
    command = [sys.executable, "-m", "bench.cli", "run", f"variant={bisection.variant}", *bisection.overrides, *places]
    kept = {key: value for key, value in os.environ.items() if key != "PYTHONPATH" and not key.startswith("GIT_")}
    environment = {**kept, "PYTHONDONTWRITEBYTECODE": "1"}  # it would make the worktree dirty where nothing ignores it
    log = Path(bisection.place) / "logs" / f"{sha[:12]}.log"
    log.parent.mkdir(exist_ok=True)
    with log.open("w") as stream:
        done = subprocess.run(command, cwd=bisection.tree, env=environment, stdout=stream, stderr=subprocess.STDOUT)
    if done.returncode == 0:
        return ""
    lines = [line.strip() for line in log.read_text().splitlines() if line.strip()] or ["no message"]
    why = next((line for line in lines if line.startswith(("failed", "bench:"))), lines[-1])
    return f"exit {done.returncode}: {why} (log {log})"


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
    """Print the evidence on a commit to standard error: standard output is git's own while git drives."""
    from bench.report.tables.comparison import COLUMNS, cells_of

    cells = dict(zip(COLUMNS, cells_of(evidence.line), strict=True)) if evidence.line else {}
    word = {GOOD: "good", BAD: "bad", SKIP: "skip"}[evidence.code]
    numbers = f"{cells['base']} → {cells['head']} {cells['change']}".strip() if cells else ""
    interval = f"({cells['95 % interval']})" if cells and cells["95 % interval"] else ""
    p = f"{cells['test']} {cells['Holm']}".strip() if cells else ""
    parts = [
        evidence.sha[:12],
        word,
        cells.get("verdict", ""),
        numbers,
        interval,
        p,
        evidence.why,
        f"[{_subject(evidence.sha)}]",
    ]
    say("  ".join(part for part in parts if part), under="  ", stderr=True)


def _subject(sha: str) -> str:
    return (run_git(ROOT, "show", "--no-patch", "--format=%s", sha) or "").strip()


if __name__ == "__main__":
    sys.exit(try_commit(Path(sys.argv[1])))
