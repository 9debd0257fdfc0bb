"""What a measure is: raw values of one artifact through one session; nothing is averaged here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from bench.runtimes.session import Session
from bench.scoring.scorer import Progress
from variants.artifact import Artifact


@dataclass(frozen=True)
class Subject:
    """What is measured: an artifact, opened; `reference` is its runtime's base as a measure asked to have it kept."""

    artifact: Artifact
    session: Session
    reference: Artifact | None


class Measure(Protocol):
    """A frozen dataclass; its fields are its configuration, `tools` the packages whose version moves its values."""

    name: ClassVar[str]
    tools: ClassVar[tuple[str, ...]]

    def measure(self, subject: Subject, round_: int, progress: Progress) -> dict[str, Any]:
        """Return the raw values, ready for JSON."""
        ...
