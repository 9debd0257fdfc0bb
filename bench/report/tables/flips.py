"""The questions whose answer went from right to wrong or back, in words."""

from __future__ import annotations

from collections.abc import Sequence
from string import ascii_uppercase

from bench.compare.flips import Flip
from bench.report.grid import Entry, Grid, Line
from bench.report.numbers import plural

SHOWN = 300
"""So many flips are listed on a page; `bench compare --flips` has all of them."""
CONSTANTS = (0, 6, 7)
"""The columns that are left out where all lines say the same: variant, task and subject."""


def columns(before: str, after: str) -> tuple[str, ...]:
    """Return the titles of a table of flips; `before` and `after` are what the two sides are called."""
    answers = (f"Answer of {before}", f"Answer of {after}")
    return ("Variant", "Question", "Flip", *answers, "Right answer", "Task", "Subject")


def flips_grid(flipped: Sequence[Flip], before: str, after: str, key: str = "flips") -> Grid:
    """Make the table of flips, the lost ones first."""
    ordered = sorted(flipped, key=lambda flip: not flip.lost)[:SHOWN]
    lines = [_entries(flip) for flip in ordered]
    titles = columns(before, after)
    shown = [p for p in range(len(titles)) if p not in CONSTANTS or len({line[p].text for line in lines}) > 1]
    return Grid(
        key,
        f"{plural(len(flipped), 'flipped question')}: {lost_and_gained(flipped)}",
        _says(flipped, ordered),
        tuple(titles[place] for place in shown),
        tuple(Line(tuple(line[place] for place in shown)) for line in lines),
        folded=True,
    )


def lost_and_gained(flipped: Sequence[Flip]) -> str:
    """Count the flips of either way."""
    lost = sum(flip.lost for flip in flipped)
    return f"{lost:,} lost, {len(flipped) - lost:,} gained"


def _says(flipped: Sequence[Flip], shown: Sequence[Flip]) -> str:
    parts = ["One side answers these questions right and the other wrong."]
    if len(shown) < len(flipped):
        parts.append(f"Listed are {len(shown)} of {len(flipped):,}: `bench compare --flips` lists all.")
    if unknown := sum(not flip.text for flip in shown):
        parts.append(
            f"The text of {unknown:,} is not in this checkout: their file has changed or lies elsewhere, and their "
            "digest stands here."
        )
    return " ".join(parts)


def _entries(flip: Flip) -> list[Entry]:
    tones = {1: "why", 2: "worse" if flip.lost else "better"}
    choices = "\n".join(f"{letter} {text}" for letter, text in zip(ascii_uppercase, flip.choices, strict=False))
    texts = flip_cells(flip)
    subs = {1: choices}
    return [Entry(text, subs.get(p, ""), tones.get(p, "words" if p else "")) for p, text in enumerate(texts)]


def flip_cells(flip: Flip) -> list[str]:
    """Write a flip in words, a text for each of `columns`."""
    question = flip.text or f"text not in this checkout ({flip.question})"
    answers = (_answer(flip, answer) for answer in (flip.base, flip.head, flip.gold))
    return [flip.variant, question, "lost" if flip.lost else "gained", *answers, flip.task, flip.subject]


def _answer(flip: Flip, answer: object) -> str:
    """Write an answer: a choice by its letter, and its text where it is known; a generated text as it is."""
    if answer is None or (flip.gold is not None and answer == -1):
        return "none"
    if flip.gold is None or not isinstance(answer, int):
        return str(answer)
    letter = ascii_uppercase[answer] if answer < len(ascii_uppercase) else f"choice {answer + 1}"
    return f"{letter} {flip.choices[answer]}" if answer < len(flip.choices) else letter
