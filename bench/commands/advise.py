"""`bench advise`: judge a sweep by a set of requirements and print which variant to ship."""

from __future__ import annotations

import argparse
import json
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

from bench.terminal import console, printable, warn
from variants.paths import resolve

if TYPE_CHECKING:
    from rich.console import Console

    from bench.advise.advice import Advice
    from bench.records.selection import Selection

WIDTH = 80


def show_advice(arguments: argparse.Namespace) -> int:
    """Print what `bench advise` asks for; return 0 where a variant qualifies, 1 where none does, 2 where it is open.

    Raises UserError without a record, and for requirements that are none.
    """
    from bench.advise.advice import advise
    from bench.advise.named import chosen, default_of
    from bench.commands.arguments import no_records, override, wanted_of
    from bench.commands.report import stated_questions
    from bench.records.selection import find
    from bench.summary.summarize import summarize

    results = resolve(arguments.results)
    typed = [override(argument) for argument in arguments.overrides]
    selection, left_out = find(results, wanted_of(arguments, results))
    for line in left_out:
        warn(f"left out: {line}")
    if selection is None:
        raise no_records(arguments, results)
    name, requirements = chosen(typed, default_of(selection.records))
    advice = advise(summarize(selection.records, stated_questions()), requirements, name)
    if arguments.format == "json":
        _print_json(advice, selection)
    else:
        _print(advice, selection)
    return advice.exit_code


def _print_json(advice: Advice, selection: Selection) -> None:
    from bench.report.advice.data import data_of

    sweep = {"commit": selection.sha, "label": selection.label, "machine": selection.machine, "sweep": selection.sweep}
    print(json.dumps({**data_of(advice), "of": sweep}, indent=2, allow_nan=False))


def _print(advice: Advice, selection: Selection) -> None:
    """Print the answer, the evidence, the reasons, the rule and what to measure next."""
    from bench.report.advice.answer import sentence
    from bench.report.advice.next_steps import next_steps
    from bench.report.advice.reasons import reasons
    from bench.report.advice.rule import rule
    from bench.report.advice.table import evidence_tables
    from bench.report.advice.words import LEGEND
    from bench.report.numbers import plural
    from bench.report.tables.claims import claimed_grids
    from bench.report.terminal import grid_tables

    out = console()
    out.width = min(out.width, WIDTH) if out.is_terminal else WIDTH
    out.print(sentence(advice), style="bold", markup=False)
    title = f" ({advice.requirements.title})" if advice.requirements.title else ""
    of = f"{selection.sweep} · {selection.machine} · {selection.label}: {selection.why}"
    out.print()
    out.print(printable(f"Limits: {advice.name}{title}. Sweep: {of}."), markup=False, style="dim")
    for table in evidence_tables(advice):
        out.print(table)
    out.print(LEGEND, style="dim", markup=False)
    if advice.controls:
        n = plural(len(advice.controls), "control")
        out.print(f"No candidates: {n}, the same models in another engine.", style="dim", markup=False)
    out.print()
    _print_list(out, [f"{topic}: {text}" if topic else text for topic, text in reasons(advice)])
    for grid in claimed_grids(advice.summary):
        out.print(f"\n{grid.title}", style="bold", markup=False)
        out.print(grid.says, style="dim", markup=False)
        for table in grid_tables(grid, out.width):
            out.print(table)
        _print_list(out, grid.notes)
    out.print("\nThe rule", style="bold")
    _print_list(out, rule(advice))
    out.print("\nMeasure next", style="bold")
    _print_list(out, next_steps(advice))


def _print_list(out: Console, lines: Sequence[str]) -> None:
    """Print a line an entry; what goes on in the next line of the terminal stands under its text."""
    for line in lines:
        out.print(textwrap.fill(f"· {line}", out.width, subsequent_indent="  ", break_on_hyphens=False), markup=False)
