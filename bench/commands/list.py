"""`bench list`: show the records in `results/`, or the names that overrides take."""

from __future__ import annotations

import argparse

from bench.sweep.conf import CONF, names
from bench.terminal import console, warn
from variants.paths import resolve


def list_names() -> int:
    """Print the names that overrides take."""
    import yaml

    for group in ("suite", "model", "variant"):
        console().print(f"[bold]{group}[/bold]  {', '.join(names(group))}")
    steps = yaml.safe_load((CONF / "steps" / "default.yaml").read_text())
    console().print(f"[bold]steps[/bold]  {', '.join(steps)}")
    return 0


def show_stored(arguments: argparse.Namespace) -> int:
    """Print what `results/` holds, the newest commits first; return 0, or 1 where a file is no sound record."""
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    from bench.records.listing import folders, n_records, stored
    from bench.records.store import read

    results = resolve(arguments.results)
    commits = folders(results)
    shown = commits if arguments.all else commits[: arguments.limit]
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for name in ("commit", "machine", "sweep", "measured"):
        table.add_column(name, no_wrap=True)
    table.add_column("cells", justify="right")
    table.add_column("failures")
    table.add_column("variants")
    unsound = []
    for folder in shown:
        sweeps, left_out = stored(folder)
        unsound += left_out
        for one in sweeps:
            failures = ", ".join(f"{name} {n}" for name, n in one.failed.items())
            when, cells = one.started_at[:16].replace("T", " "), f"{one.cells:,}"
            row = [one.label, one.machine, one.sweep, when, cells, failures or "–", ", ".join(one.variants)]
            table.add_row(*map(escape, row))
    if arguments.check:
        unsound = read(results)[1]
    out = console()
    out.print(table if commits else f"no records under {results}: run `make bench`")
    if len(shown) < len(commits):
        rest = sum(map(n_records, commits[len(shown) :]))
        out.print(f"and {len(commits) - len(shown):,} more commits with {rest:,} records: --all shows them")
    for line in unsound:
        warn(f"left out: {line}")
    return 1 if unsound else 0
