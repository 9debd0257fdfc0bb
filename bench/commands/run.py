"""`bench run`: plan the grid, run it, show the outcome."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from bench.advise.named import KEY, chosen
from bench.commands.browser import attended, open_page
from bench.commands.report import texts_of
from bench.files import remove_leftovers
from bench.records import unplaced
from bench.records.selection import Wanted
from bench.records.types import CellError, Record
from bench.sweep.child import folder_of
from bench.sweep.passes import launcher_of, new_run, run_pass
from bench.sweep.plan.cell import PASSES, Cell
from bench.sweep.plan.grid import fetch_data, needed_bytes, plan_sweep
from bench.sweep.plan.request import parse
from bench.sweep.show.overview import jobs_of, label_of, show_plan
from bench.sweep.show.progress import watched
from bench.sweep.stage import drop
from bench.terminal import console, say, say_command, shown

if TYPE_CHECKING:
    from bench.report import Report

NO_RECORD = CellError(stage="?", message="no record")


def run(arguments: Sequence[str], open_report: bool = False, verify: bool = False) -> int:
    """Plan, run every cell that is not finished, render the report; return 0, or 1 where a cell failed.

    With `open_report` the report is opened in a browser where a person watches and there is a display. With `verify`
    the cached files are read in full first.
    """
    sweep = plan_sweep(parse(arguments))
    if named := sweep.cells[0].settings.suite.requirements:  # they judge at the end: what is wrong in them shows now
        chosen([(KEY, named)], None)
    _move_records(sweep.cells[0])
    _show_damage(sweep.cells, in_full=verify)
    jobs = jobs_of(sweep.cells)
    launchers = {pass_: launcher_of(sweep, pass_) for pass_ in PASSES}
    show_plan(sweep.cells, jobs, needed_bytes(sweep.cells), launchers)
    if any(jobs.cells.values()):
        fetch_data(sweep.cells)
        _tidy(sweep.cells)
        run = new_run()
        with watched(jobs, run):
            for pass_ in PASSES:
                run_pass(sweep, jobs.cells[pass_], pass_, run)
    return conclude(sweep.cells, [cell.stored() for cell in sweep.cells], open_report)


def _move_records(cell: Cell) -> None:
    """Move the records that are kept in the cache to the results, and say so."""
    results = cell.settings.results
    moved, stay = unplaced.move(cell.cache.unplaced(results), results)
    for path in moved:
        say(f"{shown(path)}: this record was kept in the cache, and is here now", lead="note ")
    for line in stay:
        say(line, lead="note ")


def _tidy(cells: Sequence[Cell]) -> None:
    """Remove what a killed run was writing, and what was kept for cells that have their record by now."""
    remove_leftovers(folder_of(cells[0]))
    for cell in cells:
        if cell.finished() is not None:
            drop(cell)


def _show_damage(cells: Sequence[Cell], *, in_full: bool) -> None:
    """Print which cached artifacts are not as they were built."""
    used = [cell for cell in cells if in_full or cell.finished() is None]
    names = {planned.fingerprint: planned.name for cell in used for planned in cell.builds}
    for fingerprint, name in names.items():
        if why := cells[0].cache.damage(fingerprint, in_full=in_full):
            say(f"step {name}: damaged in the cache, and built again when it is needed: {why}", lead="note ")


def conclude(cells: Sequence[Cell], records: Sequence[Record | None], open_report: bool = False) -> int:
    """Name the failed cells, render the report and open it where asked; return 1 if any cell failed, else 0."""
    from bench.report import render
    from bench.report.advice.answer import sentence

    # Another cell's record may have this name by now, and that is none of this one.
    both = zip(cells, records, strict=True)
    own = [(cell, record if record and record.cell == cell.key else None) for cell, record in both]
    failed = [(cell, record) for cell, record in own if record is None or record.failed]
    for cell, record in failed:
        error = (record.error if record else None) or NO_RECORD
        where = " ".join(filter(None, (error.stage, error.step)))
        say(f"{label_of(cell)} at {where}: {error.message}", lead="failed ", under="       ")
        if error.log:
            say(f"       log    {error.log}")
        if error.reproduce:
            say_command(error.reproduce, lead="       again  ")
    first = cells[0]
    results = first.settings.results
    wanted = Wanted(first.commit.sha, _machine(first, [record for _, record in own if record]), first.settings.sweep)
    named = first.settings.suite.requirements
    report = render(results, None, wanted, typed=[(KEY, named)] if named else [], texts_of=texts_of)
    if report.page is None:
        say("report: not written, no cell left a record")
        return 1
    _show_outcome(report)
    say(f"report: {shown(report.page)}")
    if open_report and attended() and (why := open_page(report.page)):
        say(why)
    if report.advice is not None:
        say(sentence(report.advice), style="bold")
    elif report.answer:
        say(f"{report.answer}.", style="bold")
    return 1 if failed else 0


def _machine(cell: Cell, records: Sequence[Record]) -> str:
    """Return the machine that a report is about: this one, or that of a cluster which has most records, and say so."""
    counted = Counter(record.machine.id for record in records)
    if not cell.settings.spans_machines or not counted:
        return cell.machine.id
    (most, _), *others = counted.most_common()
    if others:
        names = ", ".join(name for name, _ in others)
        say(f"the report is about {most}; `bench report --machine ID` shows one of the others: {names}", lead="note ")
    return most


def _show_outcome(report: Report) -> None:
    """Print the table of a sweep and what must be known before it is believed."""
    from bench.report.terminal import first_lines, grid_tables

    out = console()
    if report.outcome is not None:
        for table in grid_tables(report.outcome, out.width):
            out.print(table, "")
    for level, line in first_lines(report.findings):
        say(line, lead="problem " if level == "bad" else "note ", under="  ")
