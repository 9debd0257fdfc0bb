"""What a person sees while a sweep runs: the plan, live progress with time left, the outcome."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bench.sweep.cell import Cell
from bench.sweep.run import Tell
from bench.terminal import console

if TYPE_CHECKING:
    pass


@dataclass
class _Sweep:
    """Where the sweep of this process stands; Hydra calls the cells one by one and keeps nothing between them."""

    total: int = 0
    done: int = 0
    todo: dict[str, float] = field(default_factory=dict)
    seconds_per_unit: list[float] = field(default_factory=list)


_sweep = _Sweep()

LOG_SECONDS = 120.0
"""How often a log, where nothing can be redrawn, gets a line on a cell that is still running."""


PACE_SECONDS = 300.0
"""The pace of work is that of so many seconds: what was kept by an earlier run goes by in no time."""


@dataclass
class Stage:
    """What a cell is doing at present, and how much of it was done at which times (seconds) of late."""

    work: tuple[str, int] = ("", 0)
    reports: list[tuple[float, int]] = field(default_factory=list)

    def report(self, what: str, done: int, total: int, now: float) -> str:
        """Take a report in; return what is being done, how far it is, and the time left at the pace of late."""
        if (what, total) != self.work or done < self.reports[-1][1]:
            self.work, self.reports = (what, total), []
        self.reports.append((now, done))
        while len(self.reports) > 2 and now - self.reports[1][0] >= PACE_SECONDS:
            del self.reports[0]
        text = f"{what} {done:,}/{total:,}" if total > 1 else what
        since, first = self.reports[0]
        return f"{text}, {about((now - since) * (total - done) / (done - first))}" if first < done < total else text


def show_plan(cells: Sequence[Cell], needed_bytes: int) -> None:
    """Print what will be built and measured, what is there already, and the disk it needs."""
    global _sweep
    first = cells[0]
    todo = [cell for cell in cells if cell.finished() is None]
    everything = {p.fingerprint: p.name for cell in cells for p in cell.builds}
    to_build = {p.fingerprint for cell in cells for p in cell.cache.missing(cell.builds)}
    _sweep = _Sweep(total=len(cells))
    built: set[str] = set()
    for cell in todo:
        new = [p for p in cell.builds if p.fingerprint in to_build and p.fingerprint not in built]
        built.update(p.fingerprint for p in new)
        _sweep.todo[label_of(cell)] = weight(cell, [p.name for p in new])
    variants = list(dict.fromkeys(cell.variant for cell in cells))
    out = console()
    out.print(f"[bold]{first.config['sweep']}[/bold] on {first.machine['id']}, device {first.device}")
    out.print(f"  variants   {', '.join(variants)}")
    out.print(
        f"  cells      {len(cells)} = {len(variants)} variants x {len(cells) // len(variants)} rounds; "
        f"{len(cells) - len(todo)} finished, {len(todo)} to run"
    )
    out.print(
        f"  artifacts  {len(everything)}; {len(everything) - len(to_build)} in the cache, {len(to_build)} to build, "
        f"about {needed_bytes / 1e6:,.0f} MB of disk"
    )
    out.print(f"  records    {first.record_path.parent}", soft_wrap=True)


def weight(cell: Cell, new_steps: Sequence[str]) -> float:
    """Return about how long a cell takes, in units of one measured round: for the time left alone, never for a result.

    The ratios were seen on the embedded suite; a fine-tune outweighs all else.
    """
    costs = {"lora": 25.0, "merge": 4.0, "gguf": 2.5, "nf4": 2.5, "int8": 2.5}
    measured = (12.0 if cell.config["variant"]["runtime"] == "transformers" else 1.0) + (
        3.0 if "accuracy" in cell.measures else 0.0
    )
    return measured + sum(costs.get(name, 0.3) for name in new_steps)


@contextmanager
def cell_progress(cell: Cell) -> Iterator[Tell]:
    """Show one cell's progress while it runs, and a line with its outcome after it."""
    out = console()
    label = label_of(cell)
    _sweep.done += 1
    if cell.finished() is not None:
        yield lambda *_: None
        return
    started = time.monotonic()
    count = f"[{_sweep.done}/{_sweep.total}]" if _sweep.total else ""
    left = time_left(_sweep.todo, _sweep.seconds_per_unit)
    with out.status("", refresh_per_second=1) as status:  # a faster one would show in the child's latency
        stage = Stage()
        said = started

        def tell(what: str, done: int, total: int) -> None:
            nonlocal said
            now = time.monotonic()
            line = rf"\{count} {label:<20} {stage.report(what, done, total, now)}"
            status.update(f"{line}; sweep {left}" if left and total <= 1 else line)
            if not out.is_terminal and now - said >= LOG_SECONDS:
                said = now
                out.print(line, soft_wrap=True)

        tell("starting", 0, 1)
        yield tell
    seconds = time.monotonic() - started
    units = _sweep.todo.pop(label, 0.0)
    if units:
        _sweep.seconds_per_unit.append(seconds / units)
    outcome = "ok" if cell.finished() is not None else "[bold red]failed[/bold red]"
    out.print(rf"\{count} {label:<20} {outcome} {seconds:6.1f} s  {time_left(_sweep.todo, _sweep.seconds_per_unit)}")


def time_left(todo: Mapping[str, float], seconds_per_unit: Sequence[float]) -> str:
    """Say how long the rest will take, going by the median of what ran so far."""
    if not seconds_per_unit or not todo:
        return ""
    ordered = sorted(seconds_per_unit)
    seconds = ordered[len(ordered) // 2] * sum(todo.values())
    return about(seconds)


def about(seconds: float) -> str:
    """Say how much time is left, no finer than anyone knows."""
    return f"about {seconds / 60:.0f} min left" if seconds >= 90 else f"about {seconds:.0f} s left"


def label_of(cell: Cell) -> str:
    """Return a cell's name on the screen."""
    return f"{cell.variant} r{cell.round}"
