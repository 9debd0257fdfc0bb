"""`bench list`: show the records in `results/`, or the names that overrides take."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from bench.sweep.plan.conf import CONF, content, names
from bench.terminal import say, shown, warn
from variants.errors import UserError
from variants.paths import resolve

if TYPE_CHECKING:
    from bench.records.listing import Stored


def list_names() -> int:
    """Print the names that overrides take."""
    steps = content(CONF / "steps" / "default.yaml")
    groups = {**{group: names(group) for group in ("suite", "requirements", "model", "variant")}, "steps": steps}
    for group, known in groups.items():
        say(f"  {', '.join(known)}", lead=group, under="  ")
    return 0


def show_stored(arguments: argparse.Namespace) -> int:
    """Print what `results/` holds, the newest commits first; return 0, or 1 where a file is no sound record.

    Raises UserError for a limit that shows nothing.
    """
    from bench.records.listing import folders, n_records, stored
    from bench.records.store import read
    from bench.report.numbers import plural

    if arguments.limit < 1:
        raise UserError(f"--limit: got {arguments.limit}, allowed: 1 and more")
    results = resolve(arguments.results)
    commits = folders(results)
    newest = commits if arguments.all else commits[: arguments.limit]
    sweeps: dict[str, list[Stored]] = {}
    unsound = []
    for folder in newest:
        kept, left_out = stored(folder)
        unsound += left_out
        for one in kept:
            sweeps.setdefault(f"{one.sweep} on {one.machine}", []).append(one)
    if arguments.check:
        unsound = read(results)[1]
    for title, of_sweep in sweeps.items():
        _print_sweep(title, of_sweep, arguments.long)
    if not commits:
        say(f"no records under {shown(results)}: run `make bench`")
    if len(newest) < len(commits):
        rest = plural(sum(map(n_records, commits[len(newest) :])), "record")
        say(f"and {plural(len(commits) - len(newest), 'more commit')} with {rest}: --all shows them")
    for line in unsound:
        warn(f"left out: {line}")
    return 1 if unsound else 0


def _print_sweep(title: str, kept: Sequence[Stored], long: bool) -> None:
    """Print a line a commit: when it was measured, its cells, how many of them failed, and its variants."""
    say("", lead=title)
    wide = max(len(one.label) for one in kept)
    say(f"  {'commit':<{wide}}  {'measured':<16}  cells  failed  variants", style="dim")
    for one in kept:
        when, failed = one.started_at[:16].replace("T", " "), f"{one.failed.total():,}" if one.failed else "–"
        say(f"  {one.label:<{wide}}  {when}  {one.cells:>5,}  {failed:>6}  {len(one.variants):>8}")
        if one.failed:
            say(f"    failed: {', '.join(f'{name} {n}' for name, n in one.failed.items())}", under="    ")
        if long:
            say(f"    variants: {', '.join(one.variants)}", under="    ")
