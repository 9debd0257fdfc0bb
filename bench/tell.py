"""What `bench list`, `bench gc` and `bench compare` print."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from variants.errors import UserError
from variants.paths import resolve

if TYPE_CHECKING:
    from rich.console import Console

    from bench.compare import Comparison
    from bench.flips import Flip
    from bench.verdict import Verdict

LOG_COLUMNS = 200


def console() -> Console:
    """Return a console on standard output; a log has no width to fit."""
    from rich.console import Console

    terminal = Console(highlight=False)
    return terminal if terminal.is_terminal else Console(highlight=False, width=LOG_COLUMNS)


def tell_comparison(arguments: argparse.Namespace) -> int:
    """Print what `bench compare` asks for; return its exit code. Raises UserError where there is nothing to compare."""
    from bench.compare import NoComparisonError, compare
    from bench.flips import flips
    from bench.judgement import Asked

    fail_on = frozenset(_verdict(name) for name in _listed(arguments.fail_on))
    asked = Asked(_listed(arguments.variant), _metrics(arguments.metric), _thresholds(arguments.threshold))
    results = resolve(arguments.results)
    try:
        found = compare(
            results,
            arguments.base,
            arguments.head,
            arguments.machine,
            arguments.sweep,
            asked,
            arguments.normalize,
            fail_on,
        )
    except NoComparisonError as error:
        raise UserError(str(error)) from None
    for line in found.left_out:
        print(f"bench: left out: {line}", file=sys.stderr)
    flipped = list(flips(found)) if arguments.flips else None
    if arguments.format in ("table", "html"):
        _tell_table(found, flipped)
    if arguments.format == "html":
        from bench.report.comparison_page import write_comparison

        print(f"page: {write_comparison(found, list(flips(found)), results / 'report')}")
    elif arguments.format != "table":
        from bench.comparison_text import FORMATS

        print(FORMATS[arguments.format](found, flipped).rstrip("\n"))
    return found.exit_code


def _tell_table(found: Comparison, flipped: Sequence[Flip] | None) -> None:
    from rich.table import Table

    from bench.comparison_text import flip_cells
    from bench.verdict_table import footnotes, summary, verdict_table

    out = console()
    out.print(verdict_table(found))
    if flipped is not None:
        table = Table("variant", "task", "question", "subject", "right", "base", "head", "flip", box=None)
        for flip in flipped:
            table.add_row(*flip_cells(flip))
        out.print(f"\n{len(flipped)} flipped questions; choices are counted from 0")
        out.print(table)
    for line in footnotes(found):
        out.print(line, soft_wrap=True, markup=False)
    out.print(summary(found), soft_wrap=True, markup=False)


def _verdict(name: str) -> Verdict:
    from bench.verdict import VERDICTS

    for verdict in VERDICTS:
        if name.strip().replace("-", " ") == verdict:
            return verdict
    raise UserError(f"--fail-on: got {name!r}, allowed: {', '.join(v.replace(' ', '-') for v in VERDICTS)}")


def _listed(asked: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in asked.split(",") if name.strip())


def _metrics(asked: str) -> tuple[str, ...]:
    from bench.judgement import METRICS

    for name in _listed(asked):
        if name.partition(" ")[0] not in METRICS:
            raise UserError(f"--metric: got {name!r}, allowed: {', '.join(METRICS)}, 'accuracy TASK' and so on")
    return _listed(asked)


def _thresholds(asked: str) -> dict[str, float]:
    from bench.verdict import THRESHOLDS

    found = {}
    for argument in _listed(asked):
        name, _, value = argument.partition("=")
        try:
            limit = float(value)
        except ValueError:
            limit = 0.0
        if name not in THRESHOLDS or not 0 < limit < 1:
            raise UserError(
                f"--threshold: got {argument!r}, allowed: METRIC=SHARE with a share between 0 and 1, such as "
                f"e2e_p50_ms=0.05; METRIC is one of {', '.join(THRESHOLDS)}"
            )
        found[name] = limit
    return found


def tell_stored(arguments: argparse.Namespace) -> int:
    """Print what `results/` holds, the newest commits first; return 0, or 1 where a file is no sound record."""
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    from bench.read import read
    from bench.stored import folders, n_records, stored

    results = resolve(arguments.results)
    found = folders(results)
    shown = found if arguments.all else found[: arguments.limit]
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
    out.print(table if found else f"no records under {results}: run `make bench`")
    if len(shown) < len(found):
        rest = sum(map(n_records, found[len(shown) :]))
        out.print(f"and {len(found) - len(shown):,} more commits with {rest:,} records: --all shows them")
    for line in unsound:
        print(f"bench: left out: {line}", file=sys.stderr)
    return 1 if unsound else 0


def tell_garbage(arguments: argparse.Namespace) -> int:
    """Print which artifacts no record names and how large they are, and with `--yes` remove them then."""
    from bench.garbage import find_garbage, remove
    from bench.report.numbers import plural

    cache, results = resolve(arguments.cache), resolve(arguments.results)
    found = find_garbage(cache, results)
    out = console()
    for item in found:
        held = "  held by a running build: stays" if item.held else ""
        out.print(f"{item.size_bytes:>15,} bytes  {item.step:<12} {item.path.name}{held}", soft_wrap=True)
    free = [item for item in found if not item.held]
    what = f"{plural(len(free), 'folder')}, {sum(item.size_bytes for item in free):,} bytes"
    out.print(f"no record under {results} names {what} in {cache}", soft_wrap=True)
    if any(item.step == "logprobs" for item in found):
        out.print("logprobs is what a base made of the text of a divergence: measuring another one makes it anew")
    if not arguments.yes:
        out.print("nothing was removed; --yes removes it" if free else "")
        return 0
    removed = remove(cache, results, free)
    freed_bytes = sum(item.size_bytes for item in removed)
    out.print(f"removed {plural(len(removed), 'folder')}, {freed_bytes:,} bytes")
    return 0
