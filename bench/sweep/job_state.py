"""Where each job of a run is, in a small file of the cache: jobs may run in other processes, and on other machines."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec
from msgspec import Struct

from bench.files import write_at_once
from bench.records.types import CellError, Record
from bench.sweep.plan.cell import PASSES, Cell, Pass
from bench.sweep.plan.settings import Settings
from bench.sweep.stage import Stage

WRITE_SECONDS = 1.0
"""How often a job writes where it is, at most: a write must not show in a latency."""


class JobState(Struct):
    """What a job does, how far it is, and how it ended.

    `began` and `ended` are seconds of the clock of the machine that it runs on. `recorded` says that the cell has its
    record, `failed` that it is a failed one or will be, `error` why where no stage of it can say so. `deaths` counts
    the processes that died with this job before. `built` and `measured` are the seconds of its parts.
    """

    began: float
    what: str = "starting"
    done: int = 0
    total: int = 1
    ended: float | None = None
    failed: bool = False
    error: CellError | None = None
    deaths: int = 0
    recorded: bool = False
    built: dict[str, float] = {}
    measured: float | None = None


def state_of(cell: Cell, pass_: Pass, run: str) -> JobState | None:
    """Return where the job of a cell is in a pass of a run, None where it has not begun, or its file is gone."""
    return _read(_path(cell.settings, pass_, run))


def state_error(settings: Settings, pass_: Pass, error: CellError) -> None:
    """State that a job has ended in an error before its cell could be made, or beside its stages.

    Raises OSError where that cannot be written: an error is not lost.
    """
    path = _path(settings, pass_, settings.sweep_run)
    state = _read(path) or JobState(time.time())
    state.ended, state.failed, state.error = time.time(), True, error
    path.parent.mkdir(parents=True, exist_ok=True)
    write_at_once(path, msgspec.json.encode(state))


def end_state(cell: Cell, pass_: Pass, run: str, state: JobState) -> None:
    """State that a job has ended, for one that could not do so itself."""
    state.ended = time.time()
    write_state(cell, pass_, run, state)


def write_state(cell: Cell, pass_: Pass, run: str, state: JobState) -> None:
    """State where a job is, for one that has died."""
    _write(_path(cell.settings, pass_, run), state)


def drop_states(cell: Cell, run: str) -> None:
    """Remove the states of a run that has ended."""
    for pass_ in PASSES:
        _path(cell.settings, pass_, run).unlink(missing_ok=True)


class Reporter:
    """Writes where the job of a cell is."""

    def __init__(self, cell: Cell, pass_: Pass) -> None:
        before = state_of(cell, pass_, cell.settings.sweep_run)
        self.state = JobState(time.time(), deaths=before.deaths if before else 0)
        self._path = _path(cell.settings, pass_, cell.settings.sweep_run)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._written = float("-inf")

    def report(self, what: str, done: int, total: int) -> None:
        """Take how far a job is, and write that unless it was written a moment ago."""
        changed = what != self.state.what
        self.state.what, self.state.done, self.state.total = what, done, total
        if changed or time.monotonic() - self._written >= WRITE_SECONDS:
            self.write()

    def write(self) -> None:
        """Write the state now."""
        self._written = time.monotonic()
        _write(self._path, self.state)

    def take(self, stage: Stage, record: Record | None, missing: Collection[str]) -> None:
        """Take what came of the job; `missing` are the fingerprints that were not built when it began."""
        self.state.failed = stage.error is not None or (record is not None and record.failed)
        self.state.recorded = record is not None
        self.state.measured = stage.seconds.get(stage.name)
        self.state.built = {
            made.step: made.build_seconds
            for made in stage.lineage
            if made.fingerprint in missing and made.build_seconds is not None
        }


@contextmanager
def reported(cell: Cell, pass_: Pass) -> Iterator[Reporter]:
    """Write that a job has begun and, whatever comes of it, that it has ended."""
    reporter = Reporter(cell, pass_)
    reporter.write()
    try:
        yield reporter
    except Exception:
        reporter.state.failed = True
        raise
    finally:
        reporter.state.ended = time.time()
        reporter.write()


def _read(path: Path) -> JobState | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=JobState)
    except (OSError, msgspec.DecodeError):
        return None


def _write(path: Path, state: JobState) -> None:
    with suppress(OSError):  # a full disk: the job goes on, and nobody sees how far it is
        write_at_once(path, msgspec.json.encode(state))


def _path(settings: Settings, pass_: Pass, run: str) -> Path:
    name = f"{settings.variant.name}.r{settings.round}.{pass_}.{run}.state.json"
    return settings.cache.jobs(settings.sweep) / name
