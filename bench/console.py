"""What a person sees while a sweep runs: the plan, live progress with time left, the outcome."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.cell import Cell
from bench.overrides import names
from bench.run import Tell
from variants.build import missing
from variants.errors import UserError

if TYPE_CHECKING:
    from rich.console import Console

    from bench.report import Report


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


def console() -> Console:
    """Return a console on standard output."""
    from rich.console import Console

    return Console(highlight=False)


def show_plan(cells: Sequence[Cell], needed_bytes: int) -> None:
    """Print what will be built and measured, what is there already, and the disk it needs."""
    global _sweep
    first = cells[0]
    todo = [cell for cell in cells if cell.finished() is None]
    everything = {p.fingerprint: p.name for cell in cells for p in cell.builds}
    to_build = {p.fingerprint for cell in cells for p in missing(cell.cache, cell.builds)}
    _sweep = _Sweep(total=len(cells))
    built: set[str] = set()
    for cell in todo:
        new = [p for p in cell.builds if p.fingerprint in to_build and p.fingerprint not in built]
        built.update(p.fingerprint for p in new)
        _sweep.todo[_label(cell)] = weight(cell, [p.name for p in new])
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
    label = _label(cell)
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


def conclude(cells: Sequence[Cell], records: Sequence[Mapping[str, Any] | None]) -> int:
    """Name the failed cells, render the report; return 1 if any cell failed, else 0."""
    from rich.markup import escape

    from bench.report import render
    from variants.paths import resolve

    out = console()
    results = resolve(cells[0].config["results_dir"])
    failed = [(c, r) for c, r in zip(cells, records, strict=True) if r is None or r["status"] != "ok"]
    for cell, found in failed:
        error = (found or {}).get("error") or {
            "stage": "?",
            "message": "no record",
            "reproduce": "",
            "log": "",
        }
        where = " ".join(part for part in (error["stage"], error.get("step")) if part)
        out.print(
            f"[bold red]failed[/bold red] {_label(cell)} at {where}: {escape(error['message'])}",
            soft_wrap=True,
            markup=True,
        )
        out.print(f"       log {error['log']}   again: {error['reproduce']}", soft_wrap=True, markup=False)
    first = cells[0]
    report = render(
        results,
        results / "report",
        commit=first.commit["sha"],
        machine=first.machine["id"],
        sweep=first.config["sweep"],
    )
    _show_outcome(report)
    out.print(f"report: {report}", soft_wrap=True)
    return 1 if failed else 0


def _show_outcome(report: Report) -> None:
    """Print the table of a sweep and what must be known before it is believed."""
    from rich.console import Console
    from rich.text import Text

    from bench.report.outcome import first_lines, terminal_table

    out = console()
    if not out.is_terminal:
        out = Console(highlight=False, width=200)  # a log has no width to fit
    if report.outcome is not None:
        out.print(terminal_table(report.outcome))
    for level, line in first_lines(report.findings):
        mark = ("problem", "bold red") if level == "bad" else ("note", "bold")
        out.print(Text.assemble(mark, " ", line), soft_wrap=True)


def render_report(arguments: argparse.Namespace) -> int:
    """Render the report that `bench report` asks for. Raises UserError for an unknown format or without a record."""
    from bench.report import FORMATS, render
    from variants.paths import resolve

    results = resolve(arguments.results)
    formats = tuple(name.strip() for name in arguments.format.split(","))
    unknown = [name for name in formats if name not in FORMATS]
    if unknown:
        raise UserError(f"--format: got {', '.join(map(repr, unknown))}, allowed: {', '.join(FORMATS)}")
    chosen = {"commit": arguments.commit, "machine": arguments.machine, "sweep": arguments.sweep}
    report = render(results, Path(arguments.out) if arguments.out else results / "report", formats=formats, **chosen)
    for line in report.left_out:
        print(f"bench: left out: {line}", file=sys.stderr)
    if report.selection is None:
        asked = ", ".join(f"--{key} {value}" for key, value in chosen.items() if value)
        raise UserError(f"no records{f' for {asked}' if asked else ''} under {results}: run `make bench`")
    console().print(f"report: {report}", soft_wrap=True)
    return 0


def list_names() -> int:
    """Print the names that overrides take."""
    import yaml

    from bench.overrides import CONF

    for group in ("suite", "model", "variant"):
        console().print(f"[bold]{group}[/bold]  {', '.join(names(group))}")
    steps = yaml.safe_load((CONF / "steps" / "default.yaml").read_text())
    console().print(f"[bold]steps[/bold]  {', '.join(steps)}")
    return 0


def _label(cell: Cell) -> str:
    return f"{cell.variant} r{cell.round}"
