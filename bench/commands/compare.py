"""`bench compare`: compare two revisions and print the verdicts."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from bench.terminal import console, visible, warn
from variants.errors import UserError
from variants.paths import resolve

if TYPE_CHECKING:
    from bench.compare.comparison import Comparison
    from bench.compare.flips import Flip
    from bench.compare.verdict import Verdict


def show_comparison(arguments: argparse.Namespace) -> int:
    """Print what `bench compare` asks for; return its exit code. Raises UserError where there is nothing to compare."""
    from bench.commands.report import texts_of
    from bench.compare.comparison import compare
    from bench.compare.flips import flips
    from bench.compare.lines import Asked
    from bench.records.selection import Wanted

    fail_on = frozenset(_verdict(name) for name in _listed(arguments.fail_on))
    asked = Asked(_listed(arguments.variant), _metrics(arguments.metric), _thresholds(arguments.threshold))
    results, wanted = resolve(arguments.results), Wanted(machine=arguments.machine, sweep=arguments.sweep)
    comparison = compare(results, arguments.base, arguments.head, wanted, asked, arguments.normalize, fail_on)
    for line in comparison.left_out:
        warn(f"left out: {line}")
    html = arguments.format == "html"
    sides = (*comparison.base.records, *comparison.head.records)
    flipped = list(flips(comparison, texts_of(sides))) if arguments.flips or html else None
    if arguments.format in ("table", "html"):
        _print_table(comparison, flipped if arguments.flips else None)
    if html:
        from bench.report.pages.comparison import write_comparison

        print(f"page: {write_comparison(comparison, flipped or [], results)}")
    elif arguments.format != "table":
        from bench.report.comparison_text import FORMATS

        print(visible(FORMATS[arguments.format](comparison, flipped).rstrip("\n")))
    return comparison.exit_code


def _print_table(comparison: Comparison, flipped: Sequence[Flip] | None) -> None:
    from rich.markup import escape
    from rich.table import Table

    from bench.report.tables.comparison import footnotes, summary, verdict_table
    from bench.report.tables.flips import columns, flip_cells

    out = console()
    out.print(verdict_table(comparison))
    if flipped is not None:
        table = Table(*columns("base", "head"), box=None)
        for flip in flipped:
            table.add_row(*map(escape, flip_cells(flip)))
        out.print(f"\n{len(flipped)} flipped questions")
        out.print(table)
    for line in footnotes(comparison):
        out.print(line, soft_wrap=True, markup=False)
    out.print(summary(comparison), soft_wrap=True, markup=False)


def _verdict(name: str) -> Verdict:
    from bench.compare.verdict import VERDICTS

    for verdict in VERDICTS:
        if name.strip().replace("-", " ") == verdict:
            return verdict
    raise UserError(f"--fail-on: got {name!r}, allowed: {', '.join(v.replace(' ', '-') for v in VERDICTS)}")


def _listed(typed: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in typed.split(",") if name.strip())


def _metrics(typed: str) -> tuple[str, ...]:
    """Return the names of metrics, kinds and measures that were typed. Raises UserError for any other."""
    from bench.compare.lines import TEXTS
    from bench.metrics.catalogue import kinds, measures

    names = tuple(dict.fromkeys([*TEXTS, *kinds(), *measures()]))
    for name in _listed(typed):
        if name.partition(" ")[0] not in names:
            raise UserError(f"--metric: got {name!r}, allowed: {', '.join(names)}, 'accuracy TASK' and so on")
    return _listed(typed)


def _thresholds(typed: str) -> dict[str, float]:
    from bench.compare.lines import Asked

    known = Asked().limits
    limits = {}
    for argument in _listed(typed):
        name, _, value = argument.partition("=")
        try:
            limit = float(value)
        except ValueError:
            limit = 0.0
        if name not in known or not 0 < limit < 1:
            raise UserError(
                f"--threshold: got {argument!r}, allowed: METRIC=SHARE with a share between 0 and 1, such as "
                f"e2e_p50_ms=0.05; METRIC is one of {', '.join(known)}"
            )
        limits[name] = limit
    return limits
