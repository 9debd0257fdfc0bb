"""What a person sees while a sweep runs: live progress with the time left, and a line with the outcome of each job.

All of it is read from the files that the jobs write: they may run in this process or on other machines.
"""

from __future__ import annotations

import _thread
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress

from rich.console import Console, RenderableType
from rich.live import Live
from rich.progress import Progress as Bar
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from bench.sweep.job_state import JobState, drop_states, state_of
from bench.sweep.plan.cell import PASSES, Cell, Pass
from bench.sweep.show.overview import TITLES, Jobs, about, label_of
from bench.sweep.show.time_left import Part, measure_part, step_part
from bench.terminal import console, printable, say

LOOK_SECONDS = 1.0
"""How often the files of the jobs are read. More often would show in the latency of a child."""
LOG_SECONDS = 120.0
"""How often a log gets a line about a job that is still running; a terminal is redrawn instead."""
PACE_SECONDS = 300.0
"""The pace of work is that of the last so many seconds: what an earlier run kept passes at once and sets no pace."""
BAR_COLUMNS = 40


class Pace:
    """What a job is doing at present, and at which pace: one task of rich's progress, which gives the time left."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._bar = Bar(disable=True, get_time=clock, speed_estimate_period=PACE_SECONDS)
        self._task = self._bar.add_task("")
        self._work = ("", 0)

    def report(self, what: str, done: int, total: int) -> str:
        """Take a report; return what is being done, how far it is, and the time left at the recent pace."""
        task = self._bar.tasks[0]
        if (what, total) != self._work or done < task.completed:
            self._work = (what, total)
            self._bar.reset(self._task, total=total)
        self._bar.update(self._task, completed=done)
        text = f"{what} {done:,}/{total:,}" if total > 1 else what
        seconds = task.time_remaining
        return f"{text}, {about(seconds)} left" if seconds is not None and 0 < done < total else text


class Job:
    """One job as it is seen from outside: what its file said last, and what was printed of it."""

    def __init__(self, cell: Cell, pass_: Pass) -> None:
        self.cell, self.pass_ = cell, pass_
        self.label = label_of(cell)
        self.pace = Pace()
        self.line = ""
        self.waits: set[str] = set()
        self.logged = time.monotonic()
        self.is_running = False

    def take(self, state: JobState) -> bool:
        """Take what the file says now; return whether the job waits for something that is new since it last worked."""
        self.line = f"{TITLES[self.pass_]}, {self.label}: {self.pace.report(state.what, state.done, state.total)}"
        if not state.what.startswith("waiting"):
            self.waits.clear()
            return False
        what, known = state.what.partition(":")[0], len(self.waits)
        self.waits.add(what)  # whoever holds it
        return len(self.waits) > known

    def measured(self, state: JobState, costs: Mapping[str, float]) -> list[tuple[Part, float]]:
        """Return the seconds of the parts of a job that has ended well."""
        if state.failed:
            return []
        parts = [(step_part(name, costs), seconds) for name, seconds in state.built.items()]
        if state.measured is not None:
            names = self.cell.measures_of(self.pass_)
            runtime = self.cell.settings.variant.runtime
            parts.append((measure_part(self.cell.variant, runtime, names, costs), state.measured))
        return parts


class Watch:
    """Reads where the jobs of a run are, and shows it."""

    def __init__(self, jobs: Jobs, run: str, out: Console) -> None:
        self._jobs, self._run, self._out = jobs, run, out
        self._left = [Job(cell, pass_) for pass_ in PASSES for cell in jobs.cells[pass_]]
        self._counts: dict[Pass, int] = dict.fromkeys(PASSES, 0)
        self._began = time.monotonic()
        self._spinner = Spinner("dots")
        self.live = Live(get_renderable=self.draw, console=out, auto_refresh=False, transient=True)

    def look(self) -> None:
        """Read the files of the jobs that have not ended."""
        for job in list(self._left):
            state = state_of(job.cell, job.pass_, self._run)
            if state is not None:
                self._take(job, state)

    def _take(self, job: Job, state: JobState) -> None:
        times = self._jobs.times[job.pass_]
        if not job.is_running:
            job.is_running = True
            times.begin(job.label)
        if state.ended is not None:
            self._left.remove(job)
            times.finish(job.label, job.measured(state, self._jobs.costs))
            self._print_outcome(job, state, state.ended - state.began)
            return
        begins_to_wait, now = job.take(state), time.monotonic()
        if job.waits:
            times.wait(job.label)
        else:
            times.begin(job.label)
        if not self._out.is_terminal and (begins_to_wait or now - job.logged >= LOG_SECONDS):
            job.logged = now
            left = self.seconds_left()
            say(job.line + (f"; sweep {about(left)} left" if left else ""))

    def _print_outcome(self, job: Job, state: JobState, seconds: float) -> None:
        self._counts[job.pass_] += 1
        count = f"{self._counts[job.pass_]}/{len(self._jobs.cells[job.pass_])} "
        outcome = Text.assemble(
            f"{count}{job.label:<30} {TITLES[job.pass_]} ", ("failed", "bold red") if state.failed else ("ok", "")
        )
        left = self.seconds_left()
        outcome.append(f" {seconds:6.1f} s" + (f"; {about(left)} left" if left else ""))
        self._out.print(outcome, soft_wrap=True)

    def seconds_left(self) -> float | None:
        """Return the seconds that both passes still take, None where that is not known yet."""
        left = [times.left() for times in self._jobs.times.values()]
        return None if None in left else sum(seconds for seconds in left if seconds is not None)

    def draw(self) -> RenderableType:
        """Return the lines as they are now: each running job, and a bar for the whole sweep."""
        grid = Table.grid(padding=(0, 1))
        for job in [job for job in self._left if job.is_running]:
            grid.add_row(self._spinner, Text(printable(job.line)))
        left, passed = self.seconds_left(), time.monotonic() - self._began
        share = passed / (passed + left) if left is not None and passed + left else 0.0
        text = "the time left is not known yet" if left is None else f"{share:.0%} of this run, {about(left)} left"
        bar = Table.grid(padding=(0, 1))
        bar.add_row(ProgressBar(1.0, share, width=BAR_COLUMNS), Text(text))
        grid.add_row("", bar)
        return grid


@contextmanager
def watched(jobs: Jobs, run: str) -> Iterator[None]:
    """Show how far the jobs of a run are, in a thread of its own, and at last what came of them."""
    out = console()
    watch, looking, ended = Watch(jobs, run, out), threading.Lock(), threading.Event()

    def look_until_the_end() -> None:
        while not ended.wait(LOOK_SECONDS):
            with looking:
                if not ended.is_set():
                    watch.look()
                    if out.is_terminal:
                        watch.live.refresh()

    # threading.Thread.start waits for ever for a thread that lacks the memory to begin (python/cpython#140746).
    with suppress(RuntimeError, MemoryError):  # no thread can be started: all is shown at the end
        _thread.start_new_thread(look_until_the_end, ())
    try:
        with watch.live if out.is_terminal else nullcontext():
            try:
                yield
            finally:
                with looking:  # a look that has begun ends before the display does
                    ended.set()
    finally:
        watch.look()
        _forget(jobs, run)


def _forget(jobs: Jobs, run: str) -> None:
    cells: Sequence[Cell] = [cell for pass_ in PASSES for cell in jobs.cells[pass_]]
    for cell in cells:
        drop_states(cell, run)
