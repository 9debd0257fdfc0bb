"""What `bench history` prints and writes: the change points for a terminal, the page, its charts and a CSV."""

from __future__ import annotations

import argparse
import gc
from pathlib import Path

from bench.commands.arguments import folder_typed, formats_of, names_in
from bench.history.branch import History, history
from bench.records.selection import Wanted
from bench.report.history_csv import comma_separated
from bench.report.pages.folder import check_folder
from bench.terminal import say, say_command, shown, warn
from variants.cache import Cache
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
    formats = formats_of(arguments.format, FORMATS)
    results, out = resolve(arguments.results), folder_typed(arguments.out)
    if out:
        check_folder(out)
    variants, metrics = (names_in(text or "") for text in (arguments.variant, arguments.metric))
    wanted = Wanted(machine=arguments.machine, sweep=arguments.sweep)
    cache = Cache(resolve(arguments.cache)) if arguments.cache else Cache.default()
    kept = cache.history(results)
    branch = history(results, kept, arguments.branch, wanted, variants, metrics)
    for line in branch.left_out:
        warn(f"left out: {line}")
    files = _write(branch, results, out, formats, kept)
    _print(branch)
    say(f"history: {shown(next((file for file in files if file.suffix == '.html'), files[0]))}")
    return 0


def _write(
    branch: History, results: Path, out: Path | None, formats: tuple[str, ...], kept_charts: Path
) -> tuple[Path, ...]:
    from bench.report.pages.folder import write_pages
    from bench.report.pages.history import about_history, history_charts, history_page

    drawn = {"html", "svg"} & set(formats)
    charts, failed = history_charts(branch, kept_charts) if drawn else ({}, ())
    for line in failed:
        warn(f"chart not drawn: {line}")
    files: dict[str, str] = {}
    if "html" in formats:
        files["history.html"] = history_page(branch, charts, failed)
    if "svg" in formats:
        files |= {f"{name}.svg": svg for name, svg in charts.items()}
    if "csv" in formats:
        files["history.csv"] = comma_separated(branch)
    return write_pages(results, out, "history", files, about_history(branch), set(formats) == set(FORMATS))


def _print(branch: History) -> None:
    """Print the change points, two lines each, the commands that find their commits, and how many there are."""
    from bench.report.numbers import plural
    from bench.report.tables.history import change_grid, commands, counted

    measured = f"{branch.measured:,} of {len(branch.commits):,} commits measured"
    say(f"{branch.branch}: {measured}, {branch.sweep}, {branch.machine}")
    for note in branch.notes:
        say(f"note: {note}", under="  ")
    grid = change_grid(branch.changes)
    for line in grid.lines:
        cells = dict(zip(grid.columns, (entry.text for entry in line.entries), strict=True))
        span = cells["From"] if cells["From"] == cells["To"] else f"{cells['From']} to {cells['To']}"
        evidence = ", p ".join(filter(None, (span, cells["p"])))
        change = f"{cells['Change']} {cells['Verdict']} ({evidence})"
        say(f" · {cells['Metric']}: {change}", lead=cells["Variant"], under="  ")
        between = f"  last before {cells['Last before']}, first after {cells['First after']}"
        commits = "" if cells["Commits"] == "1" else f": one of {cells['Commits']} commits"
        say(f"{between}{commits}; weights {cells['Weights']}, machine check {cells['Machine check']}", under="  ")
    for command in commands(branch.changes):
        say_command(command, lead="  ")
    breaks = sum(len(series.breaks) for series in branch.series)
    say(f"{len(branch.series):,} series, {plural(breaks, 'break')}: {counted(branch.changes)}")
