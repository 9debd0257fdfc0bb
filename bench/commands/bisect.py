"""`bench bisect`: find the commit that made a metric worse, by `git bisect run` in a worktree of its own.

Every commit runs its own code in the environment of this checkout: the interpreter that runs this, with its packages
and its GGUF converter. What is measured lies under `bisect` in the cache and nowhere else; the user's checkout, index,
branches and results stay as they are. Artifacts are shared only between commits whose `variants/` is the same: a
fingerprint names the settings of a step and not its code.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType
from typing import NoReturn

from bench.compare.verdict import Line
from bench.machine.git import commit_of, git
from bench.metrics.metric import SHARES
from variants.cache import Cache
from variants.errors import UserError
from variants.paths import ROOT

GOOD, BAD, SKIP = 0, 1, 125
"""What `git bisect run` understands; a commit is skipped where it cannot be built, measured or compared."""
OF_A_TASK = ("accuracy", "perplexity", "score")
OWN = ("variant", "results_dir", "cache_dir")
ENVIRONMENT = ("constraints.txt", "pyproject.toml")
NO_HOOKS = ("-c", "core.hooksPath=/dev/null")


@dataclass(frozen=True)
class Job:
    """What one step has to do: measure the commit that is checked out, and hold it against the good one."""

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
        """Return where a step finds its job."""
        return Path(self.place) / "job.json"

    @property
    def steps(self) -> Path:
        """Return where a step leaves its evidence, a JSON line each."""
        return Path(self.place) / "steps.jsonl"


@dataclass(frozen=True)
class Step:
    """The evidence on one commit: the verdict's line, or why there is none."""

    sha: str
    code: int
    line: Line | None
    why: str


def bisect(metric: str, variant: str, good: str, bad: str, overrides: Sequence[str]) -> int:
    """Print the first commit after `good` that is worse, and the evidence of every step; return 0.

    Raises UserError where there is nothing to find: unknown names, no line of descent, or ends that do not differ.
    """
    ends = [_commit(name) for name in (good, bad)]
    if git(ROOT, "merge-base", "--is-ancestor", *ends) is None or ends[0] == ends[1]:
        raise UserError(
            f"GOOD {good} is no ancestor of BAD {bad}: a bisection goes from an older commit to a newer one"
        )
    asked = (*_needed(metric, overrides), *overrides)
    with _worktree(ends[1]) as place:
        digest = hashlib.sha256("\n".join([variant, *sorted(asked)]).encode()).hexdigest()[:12]
        job = Job(metric, variant, ends[0], asked, str(place), str(place / "results" / digest))
        job.file.write_text(json.dumps(asdict(job)))
        _tell_environment(*ends)
        _check_ends(job, *ends)
        return _run(job, *ends)


def _commit(name: str) -> str:
    sha = commit_of(ROOT, name)
    if sha is None:
        raise UserError(f"{name!r}: no commit of this repository")
    return sha


def _needed(metric: str, overrides: Sequence[str]) -> list[str]:
    """Return the overrides that measure what the metric needs and no more, where the user has not said otherwise."""
    measures = {"size_bytes": "size", "divergence": "divergence", "peak_resident_bytes": "latency,memory"}
    measures |= {"peak_device_bytes": "latency,memory", **dict.fromkeys(SHARES, "latency")}
    measures |= dict.fromkeys(OF_A_TASK, "accuracy")
    kind = metric.partition(" ")[0]
    if kind not in measures:
        allowed = sorted(measures.keys() - set(OF_A_TASK)) + [f"'{kind} TASK'" for kind in OF_A_TASK]
        raise UserError(f"METRIC: got {metric!r}, allowed: {', '.join(allowed)}")
    keys = {override.partition("=")[0] for override in overrides}
    if own := sorted(keys & set(OWN)):
        place = Cache.default().bisect
        raise UserError(f"{own[0]}: not yours to set in a bisection; it is part of the command, or kept in {place}")
    needed = {"suite.measures": f"[{measures[kind]}]"}
    if measures[kind] in ("size", "accuracy", "divergence"):
        needed["suite.rounds"] = "1"  # exact: a second round says nothing new
    return [f"{key}={value}" for key, value in needed.items() if key not in keys]


@contextmanager
def _worktree(sha: str) -> Iterator[Path]:
    """Lend a worktree of this repository at a commit, and take it away again whatever happens."""
    from filelock import FileLock, Timeout

    place = Cache.default().bisect
    place.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(place / ".lock", timeout=0), _terminated_like_interrupted():
            _remove(place)  # what a kill left behind
            try:
                if git(ROOT, *NO_HOOKS, "worktree", "add", "--force", "--detach", str(place / "tree"), sha) is None:
                    raise UserError(f"git could not make a worktree of {sha[:12]} in {place}")
                yield place
            finally:
                _remove(place)
    except Timeout:
        raise UserError(f"another bisection of this checkout is at work in {place}: wait for it, or end it") from None


@contextmanager
def _terminated_like_interrupted() -> Iterator[None]:
    def stop(number: int, frame: FrameType | None) -> NoReturn:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _remove(place: Path) -> None:
    git(ROOT, "worktree", "remove", "--force", "--force", str(place / "tree"))
    for name in ("tree", "artifacts"):
        shutil.rmtree(place / name, ignore_errors=True)
    common = ROOT / (git(ROOT, "rev-parse", "--git-common-dir") or ".git").strip()
    for known in common.glob("worktrees/*/gitdir"):  # git keeps one that was interrupted while it was made
        if Path(known.read_text().strip()) == place / "tree" / ".git":
            shutil.rmtree(known.parent)
    for name in ("job.json", "steps.jsonl"):
        (place / name).unlink(missing_ok=True)


def _tell_environment(good: str, bad: str) -> None:
    if changed := (git(ROOT, "diff", "--name-only", good, bad, "--", *ENVIRONMENT) or "").split():
        print(f"note: {', '.join(changed)} changed in between: every commit runs in this checkout's environment")


def _check_ends(job: Job, good: str, bad: str) -> None:
    """Measure both ends now: a machine of last week is another machine. Raises UserError where they do not differ."""
    for name, sha in (("GOOD", good), ("BAD", bad)):
        _git(job, "checkout", "--quiet", "--detach", sha)
        failure = _measure(job, sha)
        if failure:
            raise UserError(f"{name} {sha[:12]} could not be measured: {failure}")
    step = _judged(job, bad)
    _tell(step)
    if step.code != BAD:
        told = step.line.verdict if step.line else step.why
        raise UserError(
            f"{job.metric} of {job.variant} is not worse at BAD {bad[:12]} than at GOOD {good[:12]}: {told}"
        )


def _run(job: Job, good: str, bad: str) -> int:
    """Let git drive, then say what it found. Raises UserError where skipped commits leave more than one."""
    _git(job, "bisect", "start", bad, good)
    judge = [sys.executable, "-P", "-m", "bench.commands.bisect", str(job.file)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    log = Path(job.place) / "git.log"
    code = _drive(["git", *NO_HOOKS, "bisect", "run", *judge], job.tree, environment, log)
    steps = [_read(line) for line in (job.steps.read_text().splitlines() if job.steps.exists() else ())]
    if code != 0:
        goods = _git(job, "for-each-ref", "--format=%(refname)", "refs/bisect/good-*").split()
        left = _git(job, "rev-list", "refs/bisect/bad", "--not", *goods).split()
        skipped = "; ".join(f"{step.sha[:12]} {step.why}" for step in steps if step.code == SKIP)
        if not skipped:
            raise UserError(f"git bisect ended with {code}, see {log}")
        raise UserError(f"the first bad commit is one of {', '.join(sha[:12] for sha in left)}; skipped: {skipped}")
    first = _git(job, "rev-parse", "refs/bisect/bad").strip()
    print(f"first bad commit: {first[:12]} {_subject(first)}")
    print(f"records: {job.results}")
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


def _git(job: Job, *arguments: str) -> str:
    told = git(job.tree, *NO_HOOKS, *arguments)
    if told is None:
        raise UserError(f"git {shlex.join(arguments)} failed in {job.tree}")
    return told


def judge(job_file: Path) -> int:
    """Measure the commit that is checked out and return what `git bisect run` understands."""
    content = json.loads(job_file.read_text())
    job = Job(**{**content, "overrides": tuple(content["overrides"])})
    sha = _git(job, "rev-parse", "HEAD").strip()
    failure = _measure(job, sha)
    step = Step(sha, SKIP, None, failure) if failure else _judged(job, sha)
    with job.steps.open("a") as stream:
        stream.write(json.dumps(asdict(step)) + "\n")
    _tell(step)
    return step.code


def _read(text: str) -> Step:
    content = json.loads(text)
    return Step(**{**content, "line": Line(**content["line"]) if content["line"] else None})


def _measure(job: Job, sha: str) -> str:
    """Run the commit's own code on the variant; return why that failed, or nothing."""
    code = _git(job, "rev-parse", "HEAD:variants").strip()[:12]
    places = [f"results_dir={job.results}", f"cache_dir={Path(job.place) / 'artifacts' / code}"]
    command = [sys.executable, "-m", "bench.cli", "run", f"variant={job.variant}", *job.overrides, *places]
    kept = {key: value for key, value in os.environ.items() if key != "PYTHONPATH" and not key.startswith("GIT_")}
    environment = {**kept, "PYTHONDONTWRITEBYTECODE": "1"}  # it would make the worktree dirty where nothing ignores it
    log = Path(job.place) / "logs" / f"{sha[:12]}.log"
    log.parent.mkdir(exist_ok=True)
    with log.open("w") as stream:
        done = subprocess.run(command, cwd=job.tree, env=environment, stdout=stream, stderr=subprocess.STDOUT)
    if done.returncode == 0:
        return ""
    said = [line.strip() for line in log.read_text().splitlines() if line.strip()]
    why = next((line for line in said if line.startswith(("failed", "bench:"))), said[-1] if said else "no message")
    return f"exit {done.returncode}: {why} (log {log})"


def _judged(job: Job, sha: str) -> Step:
    from bench.compare.comparison import compare
    from bench.compare.lines import Asked
    from bench.compare.revisions import NoComparisonError

    try:
        found = compare(Path(job.results), job.good, sha, asked=Asked((job.variant,), (job.metric,)))
    except NoComparisonError as error:
        return Step(sha, SKIP, None, str(error))
    line = next((line for line in found.lines if line.metric == job.metric), None)
    if line is None or line.verdict in ("not comparable", "gone", "new", "now fails", "fixed"):
        return Step(sha, SKIP, line, f"{line.verdict}: {line.why}" if line else f"no {job.metric} was measured")
    return Step(sha, BAD if line.verdict == "worse" else GOOD, line, line.why)


def _tell(step: Step) -> None:
    """Print a step's evidence, beside git's own output: that goes to a file while git drives."""
    from bench.report.tables.comparison import COLUMNS, cells_of

    cells = dict(zip(COLUMNS, cells_of(step.line), strict=True)) if step.line else {}
    told = {GOOD: "good", BAD: "bad", SKIP: "skip"}[step.code]
    numbers = f"{cells['base']} → {cells['head']} {cells['change']}".strip() if cells else ""
    interval = f"({cells['95 % interval']})" if cells and cells["95 % interval"] else ""
    p = f"{cells['test']} {cells['Holm']}".strip() if cells else ""
    parts = [step.sha[:12], told, cells.get("verdict", ""), numbers, interval, p, step.why, f"[{_subject(step.sha)}]"]
    print("  ".join(part for part in parts if part), file=sys.stderr, flush=True)


def _subject(sha: str) -> str:
    return (git(ROOT, "show", "--no-patch", "--format=%s", sha) or "").strip()


if __name__ == "__main__":
    sys.exit(judge(Path(sys.argv[1])))
