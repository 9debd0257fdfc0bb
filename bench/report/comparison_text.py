"""A comparison as JSON for a program, as Markdown, and as a comment for a pull request."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict

from bench.compare.comparison import Comparison
from bench.compare.flips import Flip
from bench.compare.verdict import ALPHA, VERDICTS, VerdictLine
from bench.report.markdown import plain
from bench.report.tables.comparison import COLUMNS, NUMBERS, cells_of, footnotes, outcome, summary

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
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)


def _finite(line: Mapping[str, object]) -> dict[str, object]:
    return {key: None if isinstance(value, float) and math.isinf(value) else value for key, value in line.items()}


def as_markdown(comparison: Comparison, flipped: Sequence[Flip] | None) -> str:
    """Write the whole comparison as Markdown."""
    parts = [
        f"# {comparison.base.label} → {comparison.head.label}",
        summary(comparison),
        _table(comparison, comparison.lines),
        "\n".join(f"- {plain(note)}" for note in footnotes(comparison)),
    ]
    if flipped is not None:
        parts += ["## Flipped questions", _flips(flipped)]
    return "\n\n".join(parts) + "\n"


def as_github(comparison: Comparison, flipped: Sequence[Flip] | None) -> str:
    """Write a comment for a pull request: what matters in sight, the rest folded; cut where GitHub would refuse it."""
    mark = {0: "✅", 1: "❌", 2: "⚠️"}[comparison.exit_code]
    ranked = sorted(comparison.lines, key=lambda line: VERDICTS.index(line.verdict))
    notable = [line for line in ranked if line.verdict not in ("same", "undecided")]
    parts = [
        MARKER,
        f"### {mark} variantbench: {outcome(comparison)}",
        summary(comparison),
        _table(comparison, notable) if notable else "No metric changed beyond chance and its limit.",
        _folded(f"All {len(comparison.lines)} lines", _table(comparison, comparison.lines)),
        _folded("How to read this", "\n".join(f"- {plain(note)}" for note in footnotes(comparison))),
    ]
    if flipped:
        parts.append(_folded(f"{len(flipped)} flipped questions", _flips(flipped)))
    while len("\n\n".join(parts)) > COMMENT_CHARACTERS - 200 and len(parts) > 3:
        cut = max(range(3, len(parts)), key=lambda place: len(parts[place]))
        parts[cut] = "A table is too long for a comment: see the output of `bench compare`."
    return "\n\n".join(parts) + "\n"


FORMATS: dict[str, Callable[[Comparison, Sequence[Flip] | None], str]] = {
    "json": as_json,
    "md": as_markdown,
    "github": as_github,
}


def _table(comparison: Comparison, lines: Sequence[VerdictLine]) -> str:
    names = {"base": comparison.base.label, "head": comparison.head.label}
    rows = [[names.get(name, name) for name in COLUMNS], ["--:" if name in NUMBERS else "---" for name in COLUMNS]]
    rows += [[plain(cell) for cell in cells_of(line)] for line in lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _flips(flipped: Sequence[Flip]) -> str:
    rows = [["variant", "task", "question", "subject", "right", "base", "head", ""], ["---"] * 8]
    rows += [[*flip_cells(flip)] for flip in flipped]
    return "\n".join(f"| {' | '.join(map(plain, row))} |" for row in rows)


def flip_cells(flip: Flip) -> list[str]:
    """Write a flipped question, choices counted from 0."""
    answers = ("–" if answer is None else str(answer) for answer in (flip.gold, flip.base, flip.head))
    return [flip.variant, flip.task, flip.question, flip.subject, *answers, "lost" if flip.lost else "gained"]


def _folded(title: str, text: str) -> str:
    return f"<details><summary>{title}</summary>\n\n{text}\n\n</details>"
