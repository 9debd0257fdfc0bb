"""`bench compare`: compare two revisions and print the verdicts."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from bench.commands.arguments import names_in
from bench.terminal import console, printable, say, shown, visible, warn
from variants.configure import similar
from variants.errors import UserError
from variants.paths import resolve

if TYPE_CHECKING:
    from bench.compare.comparison import Comparison
    from bench.compare.flips import Flip
    from bench.compare.verdict import Verdict, VerdictLine


def show_comparison(arguments: argparse.Namespace) -> int:
    """Print what `bench compare` asks for; return its exit code. Raises UserError where there is nothing to compare."""
    from bench.commands.report import texts_of
    from bench.compare.comparison import compare
    from bench.compare.flips import flips
    from bench.compare.lines import Asked
    from bench.records.selection import Wanted

    if not names_in(arguments.fail_on):
        raise UserError("--fail-on: got nothing, allowed: verdicts such as worse,now-fails")
    fail_on = frozenset(_verdict(name) for name in names_in(arguments.fail_on))
    asked = Asked(names_in(arguments.variant), _metrics(arguments.metric), _thresholds(arguments.threshold))
    results, wanted = resolve(arguments.results), Wanted(machine=arguments.machine, sweep=arguments.sweep)
    for name, typed in (("BASE", arguments.base), ("HEAD", arguments.head)):
        if typed is not None and not typed.strip():
            raise UserError(f"{name}: got nothing, allowed: a git revision with records, such as HEAD~1")
    comparison = compare(results, arguments.base, arguments.head, wanted, asked, arguments.normalize, fail_on)
    for line in comparison.left_out:
        warn(f"left out: {line}")
    html = arguments.format == "html"
    sides = (*comparison.base.records, *comparison.head.records)
    flipped = list(flips(comparison, texts_of(sides))) if arguments.flips or html else None
    if arguments.format == "table":
        _print_table(comparison, flipped, arguments.all)
    elif html:
        from bench.report.pages.comparison import write_comparison

        say(f"page: {shown(write_comparison(comparison, flipped or [], results))}")
    else:
        from bench.report.comparison_text import FORMATS

        print(visible(FORMATS[arguments.format](comparison, flipped).rstrip("\n")))
    return comparison.exit_code


def _print_table(comparison: Comparison, flipped: Sequence[Flip] | None, everything: bool) -> None:
    """Print a block a variant: what is not the same, or everything; then the flips, what to know, and the outcome."""
    from bench.report.tables.comparison import drift_lines, footnotes, summary

    variants: dict[str, list[VerdictLine]] = {}
    for line in comparison.lines:
        variants.setdefault(line.variant, []).append(line)
    same = [name for name, lines in variants.items() if all(line.verdict == "same" for line in lines)]
    for name, lines in variants.items():
        if everything or name not in same:
            _print_block(comparison, name, lines, everything)
    if same and not everything:
        say(f"same in everything: {', '.join(same)}", under="  ")
    if flipped is not None:
        _print_flips(flipped)
    if everything:
        notes = footnotes(comparison)
    else:
        notes = ["--all shows what is the same too, and how it was tested", *drift_lines(comparison), *comparison.notes]
    for note in notes:
        say(f"· {note}", under="  ")
    say(summary(comparison), style="bold")


def _print_block(comparison: Comparison, name: str, lines: Sequence[VerdictLine], everything: bool) -> None:
    from bench.report.tables.comparison import counts
    from bench.report.terminal import comparison_block

    out = console()
    say(f": {counts(replace(comparison, lines=tuple(lines)))}", lead=name)
    facts, tables, whys = comparison_block([line for line in lines if everything or line.verdict != "same"], out.width)
    for fact in facts:
        say(f"· {fact}", under="  ")
    for table in tables:
        out.print(table)
    for why in whys:
        say(f"· {why}", under="  ")
    out.print()


def _print_flips(flipped: Sequence[Flip]) -> None:
    from rich.text import Text

    from bench.report.numbers import plural
    from bench.report.tables.fitted import fitted
    from bench.report.tables.flips import columns, flip_cells, lost_and_gained

    out = console()
    say(f"{plural(len(flipped), 'flipped question')}: {lost_and_gained(flipped)}")
    titles = columns("base", "head")
    rows = [[Text(printable(cell)) for cell in flip_cells(flip)] for flip in flipped]
    for table in fitted(titles, rows, out.width, words=len(titles)):
        out.print(table)
    out.print()


def _verdict(name: str) -> Verdict:
    from bench.compare.verdict import VERDICTS

    for verdict in VERDICTS:
        if name.strip().replace("-", " ") == verdict:
            return verdict
    allowed = [verdict.replace(" ", "-") for verdict in VERDICTS]
    raise UserError(f"--fail-on: got {name!r}, allowed: {', '.join(allowed)}{similar(name, allowed)}")


def _metrics(typed: str) -> tuple[str, ...]:
    """Return the names of metrics, kinds and measures that were typed. Raises UserError for any other."""
    from bench.compare.lines import TEXTS
    from bench.metrics.catalogue import kinds, measures

    names = tuple(dict.fromkeys([*TEXTS, *kinds(), *measures()]))
    for name in names_in(typed):
        if name.partition(" ")[0] not in names:
            allowed = f"{', '.join(names)}, 'accuracy TASK' and so on"
            raise UserError(f"--metric: got {name!r}, allowed: {allowed}{similar(name, names)}")
    return names_in(typed)


def _thresholds(typed: str) -> dict[str, float]:
    from bench.compare.lines import Asked

    known = Asked().limits
    limits = {}
    for argument in names_in(typed):
        name, _, value = argument.partition("=")
        try:
            limit = float(value)
        except ValueError:
            limit = 0.0
        if name not in known or not 0 < limit < 1:
            raise UserError(
                f"--threshold: got {argument!r}, allowed: METRIC=SHARE with a share between 0 and 1, such as "
                f"e2e_p50_ms=0.05; METRIC is one of {', '.join(known)}{similar(name, known)}"
            )
        limits[name] = limit
    return limits
