"""What a person sees while a sweep runs: the plan, live progress with time left, the outcome."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console
from rich.progress import Progress as Bar
from rich.progress import SpinnerColumn, TextColumn

from bench.measures.measure import Progress, cost_of
from bench.sweep.cell import Cell, to_build
from bench.terminal import console
from variants.step import Planned

LOG_SECONDS = 120.0
"""How often a log gets a line about a cell that is still running; a terminal is redrawn instead."""
PACE_SECONDS = 300.0
"""The pace of work is that of the last so many seconds: what an earlier run kept passes at once and sets no pace."""


@dataclass
class _Pace:
    """How far the sweep is, and its pace; kept here because Hydra calls the cells one by one."""

    total: int = 0
    done: int = 0
    todo: dict[str, float] = field(default_factory=dict)
    seconds_per_unit: list[float] = field(default_factory=list)


_pace = _Pace()


class Stage:
    """What a cell is doing at present: one task of rich's progress, whose speed gives the time left."""

    def __init__(self, out: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self.bar = Bar(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            console=out,
            refresh_per_second=1,  # a faster one would show in the child's latency
            transient=True,
            disable=not out.is_terminal,
            get_time=clock,
            speed_estimate_period=PACE_SECONDS,
        )
        self._task = self.bar.add_task("")
        self._work = ("", 0)

    def report(self, what: str, done: int, total: int) -> str:
        """Take a report; return what is being done, how far it is, and the time left at the recent pace."""
        task = self.bar.tasks[0]
        if (what, total) != self._work or done < task.completed:
            self._work = (what, total)
            self.bar.reset(self._task, total=total)
        self.bar.update(self._task, completed=done)
        text = f"{what} {done:,}/{total:,}" if total > 1 else what
        seconds = task.time_remaining
        return f"{text}, {about(seconds)}" if seconds is not None and 0 < done < total else text

    def show(self, line: str) -> None:
        """Replace the line on the terminal."""
        self.bar.update(self._task, description=line)


def show_plan(cells: Sequence[Cell], needed_bytes: int) -> None:
    """Print what will be built and measured, what is there already, and the disk it needs."""
    global _pace
    first = cells[0]
    todo = [cell for cell in cells if cell.finished() is None]
    needed = {p.fingerprint for cell in todo for p in cell.builds}
    missing = to_build(todo)
    _pace = _Pace(total=len(cells))
    built: set[str] = set()
    for cell in todo:
        new = [p for p in cell.builds if p.fingerprint in missing and p.fingerprint not in built]
        built.update(p.fingerprint for p in new)
        _pace.todo[label_of(cell)] = weight(cell, new)
    variants = list(dict.fromkeys(cell.variant for cell in cells))
    grid = f"{_n(len(variants), 'variant')} x {_n(len(cells) // len(variants), 'round')}"
    out = console()
    out.print(f"[bold]{first.settings.sweep}[/bold] on {first.machine.id}, device {first.device}")
    out.print(f"  variants   {', '.join(variants)}")
    out.print(f"  cells      {len(cells)} = {grid}; {len(cells) - len(todo)} finished, {len(todo)} to run")
    disk = f", about {needed_bytes / 1e6:,.0f} MB of disk" if missing else ""
    there = f"{len(needed)} needed; {len(needed) - len(missing)} in the cache, " if needed else ""
    out.print(f"  artifacts  {there}{len(missing)} to build{disk}")
    out.print(f"  records    {first.record_path.parent}", soft_wrap=True, markup=False)


def _n(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def weight(cell: Cell, new: Sequence[Planned]) -> float:
    """Return about how long a cell takes, in units of one measured round: for the time left alone, never for a result.

    The ratios are those of the embedded suite; a fine-tune outweighs all else.
    """
    measured = cell.runtime.expected_cost + sum(map(cost_of, cell.measures.values()))
    return measured + sum(planned.step.expected_cost for planned in new)


@contextmanager
def cell_progress(cell: Cell) -> Iterator[Progress]:
    """Show one cell's progress while it runs, and a line with its outcome after it."""
    out = console()
    label = label_of(cell)
    _pace.done += 1
    if cell.finished() is not None:
        yield lambda *_: None
        return
    started = time.monotonic()
    count = f"[{_pace.done}/{_pace.total}]" if _pace.total else ""
    left = time_left(_pace.todo, _pace.seconds_per_unit)
    stage = Stage(out)
    with stage.bar:
        logged = started

        def report(what: str, done: int, total: int) -> None:
            nonlocal logged
            now = time.monotonic()
            line = f"{count} {label:<20} {stage.report(what, done, total)}"
            stage.show(f"{line}; sweep {left}" if left and total <= 1 else line)
            if not out.is_terminal and now - logged >= LOG_SECONDS:
                logged = now
                out.print(line, soft_wrap=True, markup=False)

        report("starting", 0, 1)
        yield report
    seconds = time.monotonic() - started
    units = _pace.todo.pop(label, 0.0)
    if units:
        _pace.seconds_per_unit.append(seconds / units)
    outcome = "ok" if cell.finished() is not None else "[bold red]failed[/bold red]"
    out.print(rf"\{count} {label:<20} {outcome} {seconds:6.1f} s  {time_left(_pace.todo, _pace.seconds_per_unit)}")


def time_left(todo: Mapping[str, float], seconds_per_unit: Sequence[float]) -> str:
    """Return in words how long the rest will take, by the median pace of the cells so far."""
    if not seconds_per_unit or not todo:
        return ""
    ordered = sorted(seconds_per_unit)
    seconds = ordered[len(ordered) // 2] * sum(todo.values())
    return about(seconds)


def about(seconds: float) -> str:
    """Return in words how much time is left, in whole minutes or seconds."""
    return f"about {seconds / 60:.0f} min left" if seconds >= 90 else f"about {seconds:.0f} s left"


def label_of(cell: Cell) -> str:
    """Return a cell's name on the screen."""
    return f"{cell.variant} r{cell.round}"
