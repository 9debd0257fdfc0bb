"""The questions whose answer went from right to wrong or back, in words."""

from __future__ import annotations

from collections.abc import Sequence
from string import ascii_uppercase

from bench.compare.flips import Flip
from bench.report.grid import Entry, Grid, Line
from bench.report.numbers import plural

SHOWN = 300
"""So many flips are listed on a page; `bench compare --flips` has all of them."""
COLUMNS = ("Variant", "Task", "Subject", "Flip", "Question", "Right answer")


def flips_grid(flipped: Sequence[Flip], before: str, after: str, key: str = "flips") -> Grid:
    """Make the table of flips, the lost ones first; `before` and `after` are what the two sides are called.

    A column that says the same in every line is left out.
    """
    ordered = sorted(flipped, key=lambda flip: not flip.lost)[:SHOWN]
    lines = [flip_entries(flip) for flip in ordered]
    told = [place for place in range(len(COLUMNS) + 2) if place > 2 or len({line[place].text for line in lines}) > 1]
    titles = (*COLUMNS, f"Answer of {before}", f"Answer of {after}")
    return Grid(
        key,
        f"{plural(len(flipped), 'flipped question')}: {lost_and_gained(flipped)}",
        _says(flipped, ordered),
        tuple(titles[place] for place in told),
        tuple(Line(tuple(line[place] for place in told)) for line in lines),
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


def flip_entries(flip: Flip) -> tuple[Entry, ...]:
    """Write a flip, an entry for each of COLUMNS and for the answers of the two sides."""
    texts = flip_cells(flip)
    choices = "\n".join(f"{letter} {text}" for letter, text in zip(ascii_uppercase, flip.choices, strict=False))
    question = Entry(texts[4], choices, tone="why")
    return (*map(Entry, texts[:3]), Entry(texts[3], tone=texts[3]), question, *(Entry(text) for text in texts[5:]))


def flip_cells(flip: Flip) -> list[str]:
    """Write a flip in words, a text for each of COLUMNS and for the answers of the two sides."""
    question = flip.text or f"text not in this checkout ({flip.question})"
    answers = (_answer(flip, answer) for answer in (flip.gold, flip.base, flip.head))
    return [flip.variant, flip.task, flip.subject, "lost" if flip.lost else "gained", question, *answers]


def _answer(flip: Flip, answer: object) -> str:
    """Write an answer: a choice by its letter, and its text where it is known; a generated text as it is."""
    if answer is None or (flip.gold is not None and answer == -1):
        return "none"
    if flip.gold is None or not isinstance(answer, int):
        return str(answer)
    letter = ascii_uppercase[answer] if answer < len(ascii_uppercase) else f"choice {answer + 1}"
    return f"{letter} {flip.choices[answer]}" if answer < len(flip.choices) else letter
