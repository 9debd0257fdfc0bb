"""A comparison of two revisions as one self-contained page: verdicts, what could not be compared, flips."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench.compare.comparison import Comparison
from bench.compare.flips import Flip
from bench.report.findings import Finding
from bench.report.grid import Entry, Grid, Line
from bench.report.pages.folder import write_pages
from bench.report.pages.html import rendered
from bench.report.pages.listing import about
from bench.report.tables.comparison import (
    FOLDED,
    READ,
    conclusion,
    families,
    footnotes,
    machines,
    notable_cells,
    read_cells,
)
from bench.report.tables.flips import flips_grid

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


def write_comparison(comparison: Comparison, flipped: Sequence[Flip], results: Path) -> Path:
    """Write `compare-<base>-<head>.html` into the folder of the head's sweep, and list it with the other pages."""
    page = f"compare-{comparison.base.label}-{comparison.head.label}"
    files = {f"{page}.html": comparison_page(comparison, flipped)}
    return write_pages(results, None, page, files, about(comparison.head, "comparison", conclusion(comparison)[0]))[0]


def comparison_page(comparison: Comparison, flipped: Sequence[Flip]) -> str:
    """Write the page; it loads nothing from anywhere."""
    title, rest = conclusion(comparison)
    notable = _grid("notable", "What to look at", notable_cells(comparison.lines))
    folded = [
        _grid(verdict, f"{len(lines)} {verdict}", [read_cells(line) for line in lines], folded=True)
        for verdict in FOLDED
        if (lines := [line for line in comparison.lines if line.verdict == verdict])
    ]
    flips = [flips_grid(flipped, "base", "head")] if flipped else []
    return rendered(
        "comparison.html.j2",
        title=title,
        says=f"{rest}.",
        findings=_findings(comparison),
        notable=notable if notable.lines else None,
        grids=[*flips, *folded],
        notes=footnotes(comparison),
        facts=_facts(comparison),
        definitions=DEFINITIONS,
    )


def _facts(comparison: Comparison) -> tuple[tuple[str, str], ...]:
    base, head = comparison.base, comparison.head
    return (
        ("Machine", machines(comparison)),
        ("Sweep", head.sweep if base.sweep == head.sweep else f"{base.sweep} → {head.sweep}"),
        ("Holm's families", families(comparison)),
        ("Exit code", f"{comparison.exit_code}; fails on {', '.join(sorted(comparison.fail_on))}"),
        ("Base", f"{base.label}, measured from {min(record.started_at for record in base.records)}"),
        ("Head", f"{head.label}, measured from {min(record.started_at for record in head.records)}"),
    )


def _findings(comparison: Comparison) -> list[Finding]:
    return [
        *(Finding("bad", "left out", line) for line in comparison.left_out),
        *(Finding("note", "", line) for line in comparison.notes),
    ]


def _grid(key: str, title: str, cells: Sequence[Sequence[str]], folded: bool = False) -> Grid:
    """Make a table of lines; a column that is empty in all of them is left out."""
    shown = [place for place in range(len(READ)) if any(row[place] for row in cells)]
    lines = tuple(Line(tuple(_entry(READ[place], row[place]) for place in shown)) for row in cells)
    return Grid(key, title, "", tuple(READ[place] for place in shown), lines, folded=folded)


def _entry(column: str, cell: str) -> Entry:
    tones = {"Metric": "words", "Why": "why", "Verdict": TONES.get(cell, "")}
    return Entry(cell, tone=tones.get(column, ""))
