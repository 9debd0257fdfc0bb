"""What a report says, in the order in which it is read, before it becomes a page or a text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from bench.advise.advice import Advice, Quantizing
from bench.advise.trial import question_limit
from bench.compare.flips import NO_TEXTS, Texts, flips_between
from bench.records.selection import Selection
from bench.report.advice.chips import Chip
from bench.report.advice.first_screen import first_screen
from bench.report.advice.next_steps import next_steps
from bench.report.advice.reasons import reasons
from bench.report.advice.rule import rule
from bench.report.charts.chart import Chart
from bench.report.findings import Finding
from bench.report.grid import Grid, without_constants
from bench.report.speed.answer import speed_screen
from bench.report.speed.tables import roofline_grids, speed_grid
from bench.report.tables.accuracy import task_grids
from bench.report.tables.claims import claims_grids, options_grids
from bench.report.tables.decision import decision_grid
from bench.report.tables.divergence import divergence_grid
from bench.report.tables.flips import flips_grid
from bench.report.tables.latency import latency_grids
from bench.report.tables.overview import making_grid, overview_grid
from bench.report.tables.provenance import commands, context, machine_grid, software_grid
from bench.report.tables.trade_offs import trade_off_grids
from bench.summary.rows import Summary

NO_LIMITS = "State limits and the report says what to ship: bench report requirements=NAME."


@dataclass(frozen=True)
class Fold:
    """What is folded under a title: lines of (topic, text), findings, charts, tables, then commands.

    `charts` is how the names of its charts begin: one may have a chart per task.
    """

    key: str
    title: str
    grids: tuple[Grid, ...] = ()
    lines: tuple[tuple[str, str], ...] = ()
    commands: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    charts: str = ""

    def drawn(self, charts: Mapping[str, Chart]) -> list[Chart]:
        """Return those charts that belong here."""
        return [chart for name, chart in charts.items() if self.charts and name.startswith(self.charts)]


@dataclass(frozen=True)
class Contents:
    """The decision and its evidence, the table to decide by, the sections, and what is folded.

    `context` says in a few words what was measured where; `banner` that this report decides nothing, if so. `problems`
    are findings that forbid to decide from these numbers.
    """

    heading: str
    evidence: tuple[str, ...]
    chips: tuple[Chip, ...]
    context: tuple[str, ...]
    banner: str
    problems: tuple[Finding, ...]
    decision: Grid
    sections: tuple[Grid, ...]
    folds: tuple[Fold, ...]


def contents(
    selection: Selection,
    summary: Summary,
    advice: Advice | None,
    findings: Sequence[Finding],
    texts: Texts = NO_TEXTS,
) -> Contents:
    """Gather everything that a report of a sweep says; without limits, `advice` is None and nothing is decided.

    `texts` are those of the questions, as far as they are known.
    """
    speed = None if advice else speed_screen(summary)
    screen = first_screen(advice) if advice else speed
    return Contents(
        heading=screen.heading if screen else "Not decided: this sweep has no limits to be judged by",
        evidence=screen.evidence if screen else (NO_LIMITS,),
        chips=screen.chips if screen else (),
        context=context(selection),
        banner=_banner(summary),
        problems=tuple(finding for finding in findings if finding.level == "bad"),
        decision=speed_grid(summary) if speed else decision_grid(summary, advice),
        sections=tuple(map(without_constants, _sections(summary, speed is not None))),
        folds=tuple(_trimmed(fold) for fold in _folds(selection, summary, advice, findings, texts) if _holds(fold)),
    )


def _sections(summary: Summary, only_speed: bool) -> list[Grid]:
    """Return what stands open on the page: of a sweep that asked nothing the claims on size and speed."""
    return [*claims_grids(summary), *roofline_grids(summary)] if only_speed else trade_off_grids(summary)


def _banner(summary: Summary) -> str:
    asked = question_limit(summary)
    if asked is None:
        return ""
    return f"This report decides nothing: it is of a trial run, which asked at most {asked:,} questions of each task."


def _trimmed(fold: Fold) -> Fold:
    return replace(fold, grids=tuple(replace(without_constants(grid), folded=False) for grid in fold.grids))


def _holds(fold: Fold) -> bool:
    return bool(fold.grids or fold.lines or fold.commands or fold.findings)


def _folds(
    selection: Selection, summary: Summary, advice: Advice | None, findings: Sequence[Finding], texts: Texts
) -> Iterator[Fold]:
    tasks = task_grids(summary)
    subjects = tuple(grid for grid in tasks if grid.key.startswith("subjects-"))
    if advice:
        yield Fold("why", "Why this one", lines=tuple(reasons(advice)))
        yield Fold("next", "What to measure next", lines=tuple(("", step) for step in next_steps(advice)))
        yield Fold("rule", "The rule it is decided by", lines=tuple(("", line) for line in rule(advice)))
    options, claims = options_grids(summary), claims_grids(summary)
    if advice or summary.tasks:  # else they stand open
        yield Fold("claimed", "Claimed against measured" if claims else "The options", (*options, *claims))
        yield Fold("roofline", "How near the bandwidth of the memory", tuple(roofline_grids(summary)))
    yield Fold("all", "Every variant, every number", (overview_grid(summary),), charts="accuracy-size")
    yield Fold("tests", "Tests between variants", tuple(grid for grid in tasks if grid not in subjects))
    if advice and advice.quantizing:
        yield _flips(advice.quantizing, texts)
    yield Fold("by-subject", "Each subject", subjects, charts="subjects")
    yield Fold("latencies", "Every percentile of latency", tuple(latency_grids(summary)), charts="latency")
    yield Fold("divergences", "Divergence", tuple(divergence_grid(summary)))
    yield Fold("memory", "Memory", (making_grid(summary),))
    yield Fold(
        "measured",
        "How it was measured: machine and versions",
        (machine_grid(selection, summary), software_grid(selection)),
    )
    notes = tuple(finding for finding in findings if finding.level != "bad")
    yield Fold("warnings", "Checks and warnings", findings=notes)
    yield Fold("commands", "Commands to reproduce", commands=commands(selection, summary, advice))


def _flips(quantizing: Quantizing, texts: Texts) -> Fold:
    """Show the questions that are answered differently after quantizing: one by one, with all choices."""
    plain, quantized = quantizing.plain.row, quantizing.quantized.row
    flipped = list(flips_between(plain, quantized, texts))
    grids = (flips_grid(flipped, plain.variant, quantized.variant, "flipped"),) if flipped else ()
    return Fold("flips", f"Questions that flip from {plain.variant} to {quantized.variant}", grids)
