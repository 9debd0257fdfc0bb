"""What the first screen of a report says: the decision, two lines of evidence, and what of it can be trusted."""

from __future__ import annotations

from dataclasses import dataclass

from bench.advise.advice import Advice
from bench.report.advice.answer import heading
from bench.report.advice.chips import Chip, chips
from bench.report.advice.evidence import evidence


@dataclass(frozen=True)
class FirstScreen:
    """The decision as a heading, its evidence in at most two lines, and at most four chips; all of it plain text."""

    heading: str
    evidence: tuple[str, ...]
    chips: tuple[Chip, ...]


def first_screen(advice: Advice) -> FirstScreen:
    """Say what an advice comes to, everything computed from the records that it is made of."""
    return FirstScreen(heading(advice), evidence(advice), chips(advice))
