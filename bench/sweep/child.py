"""One job of a cell in a process of its own: what it is handed, what it reports, and why it died if it did."""

from __future__ import annotations

import json
import shlex
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import msgspec

from bench.files import write_at_once
from bench.measures.measure import Progress
from bench.records.types import CellError
from bench.sweep import jobs
from bench.sweep.jobs import BuildJob, ChildError, Job, Result
from bench.sweep.plan.cell import Cell
from variants.child import start
from variants.paths import ROOT

KILLED = "ChildKilled"
"""The type of the error of a child that was killed from outside, by a user or where memory ran out."""


class StageError(Exception):
    """A child process that did not do its job: what the record keeps of it, and what it measured before."""

    def __init__(self, error: CellError, partial: Result) -> None:
        super().__init__(error.message)
        self.error = error
        self.partial = partial


def folder_of(cell: Cell) -> Path:
    """Return the folder of a sweep's job files and logs."""
    return cell.cache.jobs(cell.settings.sweep)


def out_of(cell: Cell, stage: str) -> Path:
    """Return where the child of a stage leaves its result."""
    return folder_of(cell) / f"{_label(cell, stage)}.out.json"


def run_child(cell: Cell, stage: str, job: Job, step: str | None, progress: Progress) -> Result:
    """Run one job in a process of its own; return what it wrote, or raise StageError with all that is known."""
    out = Path(job.out)
    job_file, log = (folder_of(cell) / f"{_label(cell, stage)}.{kind}" for kind in ("job.json", "log"))
    out.parent.mkdir(parents=True, exist_ok=True)
    write_at_once(job_file, jobs.encode(job))
    out.unlink(missing_ok=True)
    with log.open("w") as stream:
        command = [sys.executable, "-m", "bench.sweep.worker", str(job_file)]
        child = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=stream,
            encoding="utf-8",
            errors="replace",  # a library may print anything
            cwd=ROOT,
            **start(),
        )
        assert child.stdout is not None
        handed_over: Result | None = None
        try:
            for line in child.stdout:
                handed_over = _forward(line, progress) or handed_over
            code = child.wait()
        except BaseException:
            child.kill()
            child.wait()
            raise
    if handed_over is None:
        handed_over = msgspec.json.decode(out.read_bytes(), type=Result) if out.exists() else Result()
    result = handed_over
    if code == 0 and result.done:
        return result
    how = KILLED if code in (-signal.SIGKILL, -signal.SIGTERM) else "ChildDied"
    failure = result.error or ChildError(how, cell.cache.no_room() or f"{died(code)}{last_line(log)}")
    error = CellError(
        stage="build" if isinstance(job, BuildJob) else "measure",
        message=failure.message,
        type=failure.type,
        step=step,
        traceback=failure.traceback,
        log=_shown(str(log)),
        reproduce=shlex.join([_shown(sys.executable), "-m", "bench.sweep.worker", _shown(str(job_file))]),
    )
    raise StageError(error, result)


def _label(cell: Cell, stage: str) -> str:
    # Two sweeps of one name may run at once, of other states of the tree or checkouts: their keys differ.
    return f"{cell.variant}.r{cell.round}.{stage}.{cell.key[:8]}"


def died(code: int) -> str:
    """Return in words how a process ended."""
    if code >= 0:
        return f"the child exited with {code} and left no result; see its log"
    name = signal.Signals(-code).name
    hint = {
        "SIGKILL": "killed, perhaps out of memory",
        "SIGABRT": "a native abort",
        "SIGSEGV": "a native crash",
    }
    return f"the child died of {name} ({hint.get(name, 'a signal')}); see its log"


def last_line(log: Path) -> str:
    """Return the last line of a log in brackets, where a native abort says why; empty where there is none."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return f" (its last line: {lines[-1][:300]})" if lines else ""


def _forward(line: str, progress: Progress) -> Result | None:
    """Hand a progress report on; return the result where a child had no room to write it."""
    with suppress(ValueError, TypeError):  # a library that prints to standard output is no progress
        if line.startswith(jobs.HANDED_OVER):
            return msgspec.json.decode(line.removeprefix(jobs.HANDED_OVER), type=Result)
        what, done, total = json.loads(line)
        progress(str(what), int(done), int(total))
    return None


def _shown(path: str) -> str:
    """Return a path relative to the project where it lies inside: records are read on other machines."""
    return str(Path(path).relative_to(ROOT)) if Path(path).is_relative_to(ROOT) else path
