"""`bench run`: plan the grid, run it, show the outcome."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from bench.records import file as record_file
from bench.records.selection import Wanted
from bench.records.types import CellError, Record
from bench.sweep import progress
from bench.sweep.cell import Cell
from bench.sweep.grid import fetch_data, multirun, needed_bytes, plan_sweep
from bench.sweep.progress import label_of
from bench.sweep.request import parse
from bench.terminal import console

if TYPE_CHECKING:
    from bench.report import Report

NO_RECORD = CellError(stage="?", message="no record")


def run(arguments: Sequence[str]) -> int:
    """Plan, run every cell that is not finished, render the report; return 0, or 1 where a cell failed."""
    sweep = plan_sweep(parse(arguments))
    progress.show_plan(sweep.cells, needed_bytes(sweep.cells))
    if any(cell.finished() is None for cell in sweep.cells):
        fetch_data(sweep.cells)
        multirun(sweep)
    return conclude(sweep.cells, [record_file.read(cell.record_path) for cell in sweep.cells])


def conclude(cells: Sequence[Cell], records: Sequence[Record | None]) -> int:
    """Name the failed cells, render the report; return 1 if any cell failed, else 0."""
    from bench.commands.report import texts_of
    from bench.report import render

    out = console()
    failed = [(cell, record) for cell, record in zip(cells, records, strict=True) if record is None or record.failed]
    for cell, record in failed:
        error = (record.error if record else None) or NO_RECORD
        where = " ".join(filter(None, (error.stage, error.step)))
        out.print("[bold red]failed[/bold red]", end=" ")
        out.print(f"{label_of(cell)} at {where}: {error.message}", soft_wrap=True, markup=False)
        out.print(f"       log    {error.log}", soft_wrap=True, markup=False)
        out.print(f"       again  {error.reproduce}", soft_wrap=True, markup=False)
    first = cells[0]
    results = first.settings.results
    wanted = Wanted(first.commit.sha, first.machine.id, first.settings.sweep)
    report = render(results, None, wanted, texts_of=texts_of)
    _show_outcome(report)
    out.print(f"report: {report}", soft_wrap=True, markup=False)
    if report.selection is not None:
        _show_advice(report.selection.records, first.settings.suite.requirements)
    return 1 if failed else 0


def _show_advice(records: Sequence[Record], requirements: str | None) -> None:
    """Print which variant to ship by the requirements that the suite names, in one sentence."""
    if requirements is None:
        return
    from bench.advise.advice import advise
    from bench.advise.named import chosen
    from bench.report.advice.answer import sentence
    from bench.summary.summarize import summarize

    name, limits = chosen([], requirements)
    advice = advise(summarize(records), limits, name)
    console().print(sentence(advice), style="bold", soft_wrap=True, markup=False)


def _show_outcome(report: Report) -> None:
    """Print the table of a sweep and what must be known before it is believed."""
    from rich.text import Text

    from bench.report.terminal import first_lines, terminal_table

    out = console()
    if report.outcome is not None:
        out.print(terminal_table(report.outcome))
    for level, line in first_lines(report.findings):
        mark = ("problem", "bold red") if level == "bad" else ("note", "bold")
        out.print(Text.assemble(mark, " ", line), soft_wrap=True)
