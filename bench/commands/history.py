"""What `bench history` prints and writes: the change points for a terminal, the page, its charts and a CSV."""

from __future__ import annotations

import argparse
import gc
from pathlib import Path

from bench.history.branch import History, history
from bench.records.selection import Wanted
from bench.report.history_csv import comma_separated
from bench.terminal import console, warn
from variants.cache import Cache
from variants.errors import UserError
from variants.paths import resolve

FORMATS = ("html", "svg", "csv")


def show_history(arguments: argparse.Namespace) -> int:
    """Write the history that `bench history` asks for and print its change points. Raises UserError without records."""
    gc.disable()  # hundreds of thousands of objects live until the command ends: looking for garbage only costs time
    try:
        return _show(arguments)
    finally:
        gc.enable()


def _show(arguments: argparse.Namespace) -> int:
    formats = tuple(name.strip() for name in arguments.format.split(","))
    if unknown := [name for name in formats if name not in FORMATS]:
        raise UserError(f"--format: got {', '.join(map(repr, unknown))}, allowed: {', '.join(FORMATS)}")
    results = resolve(arguments.results)
    variants, metrics = (
        [part.strip() for part in (text or "").split(",") if part.strip()]
        for text in (arguments.variant, arguments.metric)
    )
    wanted = Wanted(machine=arguments.machine, sweep=arguments.sweep)
    cache = Cache(resolve(arguments.cache)) if arguments.cache else Cache.default()
    kept = cache.history(results)
    branch = history(results, kept, arguments.branch, wanted, variants, metrics)
    for line in branch.left_out:
        warn(f"left out: {line}")
    files = _write(branch, results, Path(arguments.out) if arguments.out else None, formats, kept)
    _print(branch)
    print(f"history: {next((file for file in files if file.suffix == '.html'), files[0])}")
    return 0


def _write(
    branch: History, results: Path, out: Path | None, formats: tuple[str, ...], kept_charts: Path
) -> tuple[Path, ...]:
    from bench.report.pages.folder import write_pages
    from bench.report.pages.history import about_history, history_charts, history_page

    charts = history_charts(branch, kept_charts) if {"html", "svg"} & set(formats) else {}
    files: dict[str, str] = {}
    if "html" in formats:
        files["history.html"] = history_page(branch, charts)
    if "svg" in formats:
        files |= {f"{name}.svg": svg for name, svg in charts.items()}
    if "csv" in formats:
        files["history.csv"] = comma_separated(branch)
    return write_pages(results, out, "history", files, about_history(branch), set(formats) == set(FORMATS))


def _print(branch: History) -> None:
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    from bench.report.tables.history import change_grid, commands

    out = console()
    measured = f"{branch.measured:,} of {len(branch.commits):,} commits measured"
    out.print(f"{branch.branch}: {measured}, {branch.sweep}, {branch.machine}")
    for note in branch.notes:
        out.print(f"note: {escape(note)}", soft_wrap=True)
    changes = branch.changes
    grid = change_grid(changes)
    if changes:
        table = Table(*grid.columns, box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
        for line in grid.lines:
            table.add_row(*(escape(entry.text) for entry in line.entries))
        out.print(table)
    for command in commands(changes):
        out.print(escape(command), soft_wrap=True)
    breaks = sum(len(series.breaks) for series in branch.series)
    worse = sum(not change.better for change in changes)
    verdict = f"{worse} changes for the worse, {len(changes) - worse} for the better"
    out.print(f"{len(branch.series)} series, {breaks} breaks: {verdict}")
