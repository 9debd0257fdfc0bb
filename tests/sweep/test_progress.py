"""What a person sees while a cell runs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.sweep.job_state import JobState
from bench.sweep.plan.grid import plan_sweep
from bench.sweep.plan.request import parse
from bench.sweep.show.progress import Job, Pace
from tests.sweep.conftest import arguments
from variants.paths import ROOT

NO_THREAD = """
import _thread, threading
from bench.sweep.plan.cell import PASSES
from bench.sweep.show.overview import Jobs
from bench.sweep.show.progress import watched

def fail(*_):
    raise RuntimeError("can't start new thread")

{} = fail
with watched(Jobs(dict.fromkeys(PASSES, ()), {{}}, {{}}), "run"):
    print("the jobs run", flush=True)
"""


class Clock:
    """Shows the time that a test sets."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


class Reports:
    """A stage without a terminal, reported to at times of the test's own."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.pace = Pace(self.clock)

    def report(self, what: str, done: int, total: int, now: float) -> str:
        self.clock.now = now
        return self.pace.report(what, done, total)


def test_the_time_left_follows_the_pace_of_the_stage_at_hand() -> None:
    stage = Reports()
    assert stage.report("building q4", 0, 1, now=0.0) == "building q4"
    assert stage.report("scoring tokens", 1_000, 9_000, now=100.0) == "scoring tokens 1,000/9,000"
    assert stage.report("scoring tokens", 3_000, 9_000, now=120.0) == "scoring tokens 3,000/9,000, about 60 s left"
    assert stage.report("scoring tokens", 5_000, 9_000, now=300.0) == "scoring tokens 5,000/9,000, about 3 min left"
    assert stage.report("scoring tokens", 9_000, 9_000, now=400.0) == "scoring tokens 9,000/9,000"


def test_a_second_task_of_the_same_kind_has_a_pace_of_its_own() -> None:
    stage = Reports()
    for at, done in ((0.0, 1), (50.0, 500)):
        stage.report("generating answers", done, 500, now=at)
    assert stage.report("generating answers", 1, 500, now=3_000.0) == "generating answers 1/500"
    assert stage.report("generating answers", 2, 500, now=3_001.0) == "generating answers 2/500, about 8 min left"


def test_what_an_earlier_run_kept_sets_no_pace_for_long() -> None:
    stage = Reports()
    for done in range(600):
        stage.report("generating answers", done, 1_200, now=0.001 * done)
    for done in range(600, 660):
        line = stage.report("generating answers", done, 1_200, now=10.0 * (done - 599))
    assert line == "generating answers 659/1,200, about 90 min left"


@pytest.mark.parametrize("terminal", ["0", "1"])
@pytest.mark.parametrize("broken", ["threading.Thread._bootstrap", "_thread.start_new_thread"])
def test_jobs_run_where_no_thread_that_watches_them_can_begin(broken: str, terminal: str) -> None:
    """The first is what python/cpython#140746 is about: a thread ends before it says that it has begun."""
    done = subprocess.run(
        [sys.executable, "-c", NO_THREAD.format(broken)],
        cwd=ROOT,
        env={**os.environ, "TTY_COMPATIBLE": terminal},
        capture_output=True,
        timeout=60,
    )
    assert b"the jobs run" in done.stdout, done.stderr
    assert (b"\x1b[?25l" in done.stdout) == (terminal == "1")  # the cursor is hidden while lines are redrawn


def test_a_log_says_once_what_a_job_waits_for_however_often_it_passes_from_hand_to_hand(
    tiny_model: Path, tmp_path: Path
) -> None:
    request = parse(arguments(tiny_model, tmp_path / "results", tmp_path / "cache", "variant=base")[1:])
    (cell,) = plan_sweep(request).cells
    job = Job(cell, "deterministic")
    states = (
        "starting",
        "waiting for a GPU: process 1 (bench), since 14:59",
        "waiting for a GPU: processes that share it",
        "waiting for memory: 3.2 GB are needed, 1.0 GB are free",
        "waiting for a GPU: process 1 (bench), since 14:59",
        "building q4",
        "waiting for memory: 3.2 GB are needed, 1.1 GB are free",
    )
    assert [job.take(JobState(0.0, what)) for what in states] == [False, True, False, True, False, False, True]
