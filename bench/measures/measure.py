"""What a measure is: raw values of one artifact through one session; nothing is averaged here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol, runtime_checkable

from bench.machine.gpu import Gpu, usable_gpus
from bench.runtimes.session import Session
from bench.scoring.scorer import Progress as Progress
from variants.artifact import Artifact
from variants.step import Planned


@dataclass(frozen=True)
class Subject:
    """What is measured: an opened artifact; `references` are, by name, those that `Compares.references` asked for."""

    artifact: Artifact
    session: Session
    references: Mapping[str, Artifact]


class Measure(Protocol):
    """A frozen dataclass; its fields are its configuration, `tools` the packages whose version moves its values.

    What is `timed` depends on what else the machine does, and is measured while nothing else runs; the rest gives the
    same values whatever else runs.

    A measure may also have what `Checks`, `NeedsContext`, `ReadsData`, `Fetches` and `Compares` describe, and an
    `expected_cost`.
    """

    name: ClassVar[str]
    tools: ClassVar[tuple[str, ...]]
    timed: ClassVar[bool]

    def measure(self, subject: Subject, round_: int, progress: Progress) -> Mapping[str, object]:
        """Return the raw values, ready for JSON."""
        ...


@runtime_checkable
class Checks(Protocol):
    """A measure that does not work with every model."""

    def check(self, model: Path) -> None:
        """Raise UserError where it does not work with the model in this folder; called before anything is built."""
        ...


@runtime_checkable
class NeedsContext(Protocol):
    """A measure that states how long its prompts are."""

    def check_context(self, n_ctx: int, runtime: str) -> None:
        """Raise UserError where they do not fit this many tokens of a runtime; called before anything is built."""
        ...


@runtime_checkable
class ReadsData(Protocol):
    """A measure whose fields alone do not identify the data that it reads."""

    def data(self) -> Mapping[str, object]:
        """Return what identifies the data, to be added to the fields or, under the name of one, to replace it."""
        ...


@runtime_checkable
class Fetches(Protocol):
    """A measure that reads data from the network."""

    def fetch(self) -> None:
        """Leave the data on this machine, so that a sweep cannot fail on it halfway. Raises UserError if it cannot."""
        ...


@dataclass(frozen=True)
class Reference:
    """What a measure compares with: the artifact of `step`, called `name`, after the steps of `variant`.

    `key` is where the user finds the variant's name in the configuration. A reference that is no variant of its own
    states its `steps`; `variant` is then what they are called.
    """

    key: str
    variant: str
    name: str
    step: Mapping[str, object]
    steps: tuple[str, ...] = ()


@runtime_checkable
class Compares(Protocol):
    """A measure that compares with something that other steps make."""

    def references(self, chain: Sequence[Planned], runtime: str, node: Mapping[str, object]) -> Mapping[str, Reference]:
        """Return, by name, what has to be built first for a variant; `node` is the configuration of its runtime."""
        ...


def cards_of(session: Session) -> tuple[Gpu, ...]:
    """Return the cards that a session computes on, to be watched while it is timed; none on a CPU."""
    return usable_gpus() if session.facts["device"] == "cuda" else ()


def needs_training(measure: Measure) -> bool:
    """Say whether a measure is of what a model has learned: of random weights it would show chance alone."""
    return bool(getattr(measure, "of_answers", False))


def cost_of(measure: Measure) -> float:
    """Return about how long a measure takes, in units of one measured round: for the time left, never for a result."""
    return float(getattr(measure, "expected_cost", 0.0))
