"""A comparison as JSON for a program, as Markdown, and as a comment for a pull request."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict

from bench.compare.comparison import Comparison
from bench.compare.flips import Flip
from bench.compare.verdict import ALPHA, VerdictLine
from bench.report.markdown import plain
from bench.report.tables.comparison import (
    FOLDED,
    READ,
    READ_NUMBERS,
    conclusion,
    footnotes,
    notable_cells,
    read_cells,
    summary,
)
from bench.report.tables.flips import columns, flip_cells, lost_and_gained

MARKER = "<!-- variantbench compare -->"
"""The first line of the comment, by which a workflow finds the one that it wrote before."""
COMMENT_CHARACTERS = 65_536
"""What GitHub takes in one comment."""


def as_json(comparison: Comparison, flipped: Sequence[Flip] | None) -> str:
    """Write everything, numbers as they are; `flips` is null where they were not asked for.

    An infinite number, such as the perplexity of a broken model, is null: JSON has no word for it.
    """
    sides = {
        name: {
            "commit": side.sha,
            "label": side.label,
            "dirty": side.dirty,
            "machine": side.machine,
            "sweep": side.sweep,
            "n_records": len(side.records),
        }
        for name, side in (("base", comparison.base), ("head", comparison.head))
    }
    content = {
        **sides,
        "exit_code": comparison.exit_code,
        "fail_on": sorted(comparison.fail_on),
        "thresholds": comparison.asked.limits,
        "alpha": ALPHA,
        "holm_families": comparison.families,
        "canary": [{**asdict(canary), "change": canary.change} for canary in comparison.drift],
        "notes": list(comparison.notes),
        "left_out": list(comparison.left_out),
        "lines": [_finite(asdict(line)) for line in comparison.lines],
        "flips": None if flipped is None else [asdict(flip) for flip in flipped],
    }
    return json.dumps(content, indent=1, allow_nan=False)


def _finite(line: Mapping[str, object]) -> dict[str, object]:
    return {key: None if isinstance(value, float) and math.isinf(value) else value for key, value in line.items()}


def as_markdown(comparison: Comparison, flipped: Sequence[Flip] | None) -> str:
    """Write the whole comparison as Markdown: the outcome, what to look at, every line, and last what was compared."""
    title, rest = conclusion(comparison)
    parts = [f"# {plain(title)}", f"{plain(rest)}.", *_notable(comparison), "## Every line", _table(comparison.lines)]
    if flipped is not None:
        parts += [f"## Flipped questions: {lost_and_gained(flipped)}", _flips(flipped)]
    return "\n\n".join([*parts, "## How to read this", _notes(comparison), plain(summary(comparison))]) + "\n"


def as_github(comparison: Comparison, flipped: Sequence[Flip] | None) -> str:
    """Write a comment for a pull request: what matters in sight, the rest folded; cut where GitHub would refuse it."""
    open_ = any(line.verdict == "undecided" for line in comparison.lines)
    mark = {0: "🟡" if open_ else "✅", 1: "❌", 2: "⚠️"}[comparison.exit_code]
    title, rest = conclusion(comparison)
    parts = [MARKER, f"### {mark} {plain(title)}", f"{plain(rest)}.", *_notable(comparison)]
    fixed = len(parts)
    for verdict in FOLDED:
        if lines := [line for line in comparison.lines if line.verdict == verdict]:
            parts.append(_folded(f"{len(lines)} {verdict}", _table(lines)))
    if flipped:
        parts.append(_folded(f"Flipped questions: {lost_and_gained(flipped)}", _flips(flipped)))
    parts.append(
        _folded("How to read this, and what was compared", f"{_notes(comparison)}\n\n{plain(summary(comparison))}")
    )
    while len("\n\n".join(parts)) > COMMENT_CHARACTERS - 200 and len(parts) > fixed:
        cut = max(range(3, len(parts)), key=lambda place: len(parts[place]))
        parts[cut] = "A table is too long for a comment: see the output of `bench compare`."
    return "\n\n".join(parts) + "\n"


FORMATS: dict[str, Callable[[Comparison, Sequence[Flip] | None], str]] = {
    "json": as_json,
    "md": as_markdown,
    "github": as_github,
}


def _notable(comparison: Comparison) -> list[str]:
    rows = notable_cells(comparison.lines)
    return [_rows(rows) if rows else "No metric is shown to have changed beyond chance and its limit."]


def _table(lines: Sequence[VerdictLine]) -> str:
    return _rows([read_cells(line) for line in lines])


def _rows(cells: Sequence[Sequence[str]]) -> str:
    rows = [list(READ), ["--:" if name in READ_NUMBERS else "---" for name in READ]]
    rows += [list(map(plain, row)) for row in cells]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _flips(flipped: Sequence[Flip]) -> str:
    titles = columns("base", "head")
    rows = [[*titles, "Choices"], ["---"] * (len(titles) + 1)]
    rows += [[*map(plain, flip_cells(flip)), plain(" / ".join(flip.choices))] for flip in flipped]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _notes(comparison: Comparison) -> str:
    return "\n".join(f"- {plain(note)}" for note in footnotes(comparison))


def _folded(title: str, text: str) -> str:
    return f"<details><summary>{title}</summary>\n\n{text}\n\n</details>"
