"""`bench compare`: compare two revisions and print the verdicts."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from bench.terminal import console
from variants.errors import UserError
from variants.paths import resolve

if TYPE_CHECKING:
    from bench.compare.comparison import Comparison
    from bench.compare.flips import Flip
    from bench.compare.verdict import Verdict


def tell_comparison(arguments: argparse.Namespace) -> int:
    """Print what `bench compare` asks for; return its exit code. Raises UserError where there is nothing to compare."""
    from bench.compare.comparison import compare
    from bench.compare.flips import flips
    from bench.compare.lines import Asked
    from bench.compare.revisions import NoComparisonError

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
        from bench.report.pages.comparison import write_comparison

        print(f"page: {write_comparison(found, list(flips(found)), results / 'report')}")
    elif arguments.format != "table":
        from bench.report.comparison_text import FORMATS

        print(FORMATS[arguments.format](found, flipped).rstrip("\n"))
    return found.exit_code


def _tell_table(found: Comparison, flipped: Sequence[Flip] | None) -> None:
    from rich.table import Table

    from bench.report.comparison_text import flip_cells
    from bench.report.tables.comparison import footnotes, summary, verdict_table

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
    from bench.compare.verdict import VERDICTS

    for verdict in VERDICTS:
        if name.strip().replace("-", " ") == verdict:
            return verdict
    raise UserError(f"--fail-on: got {name!r}, allowed: {', '.join(v.replace(' ', '-') for v in VERDICTS)}")


def _listed(asked: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in asked.split(",") if name.strip())


def _metrics(asked: str) -> tuple[str, ...]:
    from bench.compare.lines import METRICS

    for name in _listed(asked):
        if name.partition(" ")[0] not in METRICS:
            raise UserError(f"--metric: got {name!r}, allowed: {', '.join(METRICS)}, 'accuracy TASK' and so on")
    return _listed(asked)


def _thresholds(asked: str) -> dict[str, float]:
    from bench.metrics.metric import THRESHOLDS

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
