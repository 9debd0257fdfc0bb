"""`bench run`: plan the grid, run it, show the outcome."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bench.records import file as record_file
from bench.records.selection import Wanted
from bench.sweep import progress
from bench.sweep.cell import Cell, make_cell
from bench.sweep.conf import check_name
from bench.sweep.grid import check_places, compose, fetch_questions, multirun, needed_bytes, with_hub_folder
from bench.sweep.progress import label_of
from bench.sweep.request import parse
from bench.terminal import console
from variants.errors import UserError
from variants.paths import resolve

if TYPE_CHECKING:
    from bench.report import Report


def run(arguments: Sequence[str]) -> int:
    """Plan, run every cell that is not finished, render the report; return 0, or 1 where a cell failed."""
    request = parse(arguments)
    first = compose(request, request.variants[0] if request.variants else "base", 0, check=True)
    request = with_hub_folder(request, first)
    variants = request.variants or tuple(first["suite"]["variants"])
    for name in variants:
        check_name("variant", name)
        if variants.count(name) > 1:
            raise UserError(f"variant: {name!r} is named twice")
    rounds = first["suite"]["rounds"]
    if not isinstance(rounds, int) or rounds < 1:
        raise UserError(f"suite.rounds: got {rounds!r}, allowed: a whole number from 1")
    cells = [make_cell(compose(request, name, round_)) for round_ in range(rounds) for name in variants]
    check_places(cells)
    progress.show_plan(cells, needed_bytes(cells))
    if any(cell.finished() is None for cell in cells):
        fetch_questions(cells)
        multirun(request, variants, rounds)
    records = [record_file.read(cell.record_path) for cell in cells]
    return conclude(cells, records)


def conclude(cells: Sequence[Cell], records: Sequence[Mapping[str, Any] | None]) -> int:
    """Name the failed cells, render the report; return 1 if any cell failed, else 0."""
    from rich.markup import escape

    from bench.report import render

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
            f"[bold red]failed[/bold red] {label_of(cell)} at {where}: {escape(error['message'])}",
            soft_wrap=True,
            markup=True,
        )
        out.print(f"       log {error['log']}   again: {error['reproduce']}", soft_wrap=True, markup=False)
    first = cells[0]
    wanted = Wanted(first.commit["sha"], first.machine["id"], first.config["sweep"])
    report = render(results, results / "report", wanted)
    _show_outcome(report)
    out.print(f"report: {report}", soft_wrap=True)
    return 1 if failed else 0


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
