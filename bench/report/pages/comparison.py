"""A comparison of two revisions as one self-contained page: verdicts, effects, what could not be compared, flips."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench.compare.comparison import Comparison
from bench.compare.flips import Flip
from bench.compare.verdict import REGRESSIONS, VERDICTS, VerdictLine
from bench.files import write_at_once
from bench.report.charts.effects import effects_chart
from bench.report.comparison_text import flip_cells
from bench.report.findings import Finding
from bench.report.grid import Entry, Grid, Line
from bench.report.numbers import plural
from bench.report.pages.html import inline, link_pages, rendered
from bench.report.pages.sweep import Headline
from bench.report.tables.comparison import (
    COLUMNS,
    cells_of,
    counts,
    drift_lines,
    families,
    footnotes,
    machines,
    outcome,
)

DEFINITIONS = (
    (
        "better, worse",
        "beyond chance (p < 0.05 after Holm's correction) and beyond the limit that matters in practice.",
    ),
    (
        "same",
        "shown: the whole 95 % interval lies within the limit, or the same bytes gave the same answers. “Not "
        "significant” alone is “undecided”.",
    ),
    ("undecided", "neither was shown; the last column says how much more would decide it, where that is known."),
    (
        "changed",
        "the name stands for other bytes than before, or the size moved by no more than its limit; that alone is "
        "neither better nor worse.",
    ),
    ("new, gone, now fails, fixed", "only one side has a number; failed cells say where and why."),
    ("not comparable", "the two numbers are of different things: the two values that differ are named."),
    (
        "canary",
        "the machine's own speed beside each cell: where it moved as well, the machine changed.",
    ),
)
TONES = {"worse": "worse", "now fails": "worse", "better": "better", "fixed": "better", "undecided": "undecided"}


def write_comparison(comparison: Comparison, flipped: Sequence[Flip], out: Path) -> Path:
    """Write `compare-<base>-<head>.html` into a folder, and its link into the other pages there."""
    out.mkdir(parents=True, exist_ok=True)
    name = f"compare-{comparison.base.label}-{comparison.head.label}.html"
    path = write_at_once(out / name, comparison_page(comparison, flipped))
    link_pages(out)
    return path


def comparison_page(comparison: Comparison, flipped: Sequence[Flip]) -> str:
    """Write the page with its chart inside; it loads nothing from anywhere."""
    svg = effects_chart(comparison.lines)
    every = _verdicts(comparison, "all", "All verdicts", comparison.lines)
    grids = [_verdicts(comparison, "notable", "What to look at", _notable(comparison.lines)), _flips(flipped)]
    return rendered(
        "comparison.html.j2",
        head=_headline(comparison),
        findings=_findings(comparison),
        notable=[grid for grid in grids[:1] if grid.lines],
        chart=inline("effects", "Effects", svg) if svg else "",
        grids=[grid for grid in (every, *grids[1:]) if grid.lines],
        notes=footnotes(comparison),
        definitions=DEFINITIONS,
    )


def _headline(comparison: Comparison) -> Headline:
    base, head = comparison.base, comparison.head
    return Headline(
        title=f"{base.label} → {head.label}",
        says=f"{outcome(comparison)}: {counts(comparison) or 'nothing to compare'}.",
        facts=(
            ("Machine", machines(comparison)),
            ("Sweep", head.sweep if base.sweep == head.sweep else f"{base.sweep} → {head.sweep}"),
            ("Base", f"{base.label}, measured from {min(record.started_at for record in base.records)}"),
            ("Head", f"{head.label}, measured from {min(record.started_at for record in head.records)}"),
            ("Holm's families", families(comparison)),
            ("Exit code", f"{comparison.exit_code}; fails on {', '.join(sorted(comparison.fail_on))}"),
        ),
    )


def _findings(comparison: Comparison) -> list[Finding]:
    regressions = [line for line in comparison.lines if line.verdict in REGRESSIONS]
    findings = [
        Finding("bad", f"{line.verdict}: {line.variant} {line.metric}", _evidence(line)) for line in regressions[:5]
    ]
    if len(regressions) > len(findings):
        findings.append(Finding("bad", f"and {len(regressions) - len(findings)} more", "see the table below"))
    return [
        *findings,
        *(Finding("bad", "left out", line) for line in comparison.left_out),
        *(Finding("note", "machine", line) for line in drift_lines(comparison)),
        *(Finding("note", "note", line) for line in comparison.notes),
    ]


def _evidence(line: VerdictLine) -> str:
    cells = dict(zip(COLUMNS, cells_of(line), strict=True))
    change = f"{cells['base']} → {cells['head']}, {cells['change']} ({cells['95 % interval']})"
    return ". ".join(text for text in (change if cells["change"] else "", line.why) if text)


def _notable(lines: Sequence[VerdictLine]) -> list[VerdictLine]:
    ranked = sorted(lines, key=lambda line: VERDICTS.index(line.verdict))
    return [line for line in ranked if line.verdict not in ("same", "undecided")]


def _verdicts(comparison: Comparison, key: str, title: str, lines: Sequence[VerdictLine]) -> Grid:
    names = {"base": comparison.base.label, "head": comparison.head.label}
    columns = tuple(names.get(name, name) for name in COLUMNS)
    return Grid(key, title, "", columns, tuple(Line(_entries(line)) for line in lines))


def _entries(line: VerdictLine) -> tuple[Entry, ...]:
    tones = {"verdict": TONES.get(line.verdict, ""), "why": "why"}
    return tuple(Entry(cell, tone=tones.get(name, "")) for name, cell in zip(COLUMNS, cells_of(line), strict=True))


def _flips(flipped: Sequence[Flip]) -> Grid:
    columns = ("variant", "task", "question", "subject", "right", "base", "head", "flip")
    lines = tuple(Line(tuple(map(Entry, flip_cells(flip)))) for flip in flipped)
    says = f"{plural(len(flipped), 'question')} that one side answers right and the other wrong; choices count from 0."
    return Grid("flips", "Flipped questions", says, columns, lines)
