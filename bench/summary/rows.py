"""One sweep as a table: a row per variant with every metric over its rounds, beside the base of its runtime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from bench.metrics.accuracy import asked, right_or_wrong
from bench.metrics.metric import Metric
from bench.records.questions import Questions
from bench.records.types import Record
from bench.records.values import Answers
from bench.stats.anchored import Anchored
from bench.stats.estimates import Estimate
from bench.stats.proportions import Paired
from bench.stats.rounds import Spread
from bench.summary.family import Family

UNSTEADY = 0.10
"""Rounds that differ by more than this make a ratio one to be read with care: the machine moved as much as that."""


def rounds_apart(rounds: Sequence[float]) -> float:
    """Return by what share the values of several rounds differ: largest / smallest - 1, 0 without any."""
    return max(rounds) / min(rounds) - 1 if rounds else 0.0


@dataclass(frozen=True)
class Failure:
    """A cell that ended in an error, and the command that shows it again."""

    variant: str
    round: int
    stage: str
    message: str
    reproduce: str


@dataclass(frozen=True)
class InRounds:
    """The value of a metric in each round of a variant, and how much the rounds of its sweep make it vary."""

    values: tuple[float, ...]
    spread: Spread


@dataclass(frozen=True)
class BesideBase:
    """A metric of a variant beside that of its base: how many times better, or the change of a share of right answers.

    `ratio` is above 1 where the variant is better: base / variant, of what is better higher variant / base. Its
    interval is over the rounds, whose values `rounds` has, those of the base first; where it has none, `why` says what
    there are too few of. Of answers to the same questions it is `paired` instead, with p adjusted for all such
    comparisons of the sweep (Holm). Of two variants of different cards the `ratio` and the `rounds` are beside the
    `anchor`: each time is divided by the anchor's on the same card.
    """

    ratio: Estimate | None = None
    paired: Paired | None = None
    p_holm: float | None = None
    rounds: tuple[tuple[float, ...], tuple[float, ...]] = ((), ())
    why: str = ""
    anchor: str = ""

    @property
    def rounds_differ(self) -> float:
        """Return by what share the rounds of the less steady side differ."""
        return max(map(rounds_apart, self.rounds))

    @property
    def unsteady(self) -> bool:
        """Say whether the rounds of either side differ by more than `UNSTEADY`."""
        return self.rounds_differ > UNSTEADY

    @property
    def shown(self) -> bool:
        """Say whether the ratio is shown to be another than 1: by its interval, and by every round of either side."""
        if self.ratio is None or self.ratio.low is None or self.ratio.high is None:
            return False
        before, after = self.rounds
        apart = bool(before and after) and (min(before) > max(after) or max(before) < min(after))
        return apart and not self.ratio.low <= 1 <= self.ratio.high


@dataclass(frozen=True)
class Row:
    """One variant of a sweep; a key that is absent was not measured.

    `values`, `beside_base`, `in_rounds` and `anchored` are by the name of the metric; the last one is empty unless the
    cards of the sweep differ.
    """

    variant: str
    family: Family
    runtime: str
    steps: tuple[str, ...]
    roles: tuple[str, ...]
    records: tuple[Record, ...]
    values: Mapping[str, Estimate]
    tensor_types: Mapping[str, int]
    failures: tuple[Failure, ...]
    warnings: tuple[str, ...]
    reference: str | None = None
    beside_base: Mapping[str, BesideBase] = field(default_factory=dict)
    in_rounds: Mapping[str, InRounds] = field(default_factory=dict)
    anchored: Mapping[str, Anchored] = field(default_factory=dict)

    @property
    def is_reference(self) -> bool:
        """Say whether this is the base that others of its runtime are compared with."""
        return self.reference == self.variant

    @property
    def answers(self) -> dict[str, Answers]:
        """Return the raw columns of every task; a task that several rounds asked is that of the first."""
        return {task: answers for record in reversed(self.records) for task, answers in record.answers.items()}

    @property
    def failed(self) -> bool:
        """Say whether no round of this variant was finished."""
        return all(record.failed for record in self.records)

    def value(self, name: str) -> float | None:
        """Return the value of a metric, None where it was not measured."""
        estimate = self.values.get(name)
        return None if estimate is None else estimate.value

    def rounds(self, name: str) -> tuple[float, ...]:
        """Return the value of a metric in each round, in their order; empty where it does not come in rounds."""
        return self.in_rounds[name].values if name in self.in_rounds else ()

    def ratio(self, name: str) -> Estimate | None:
        """Return how many times better than its base the variant is in a metric."""
        beside = self.beside_base.get(name)
        return None if beside is None else beside.ratio

    def paired(self, name: str) -> Paired | None:
        """Return the change of a share of right answers from its base."""
        beside = self.beside_base.get(name)
        return None if beside is None else beside.paired


@dataclass(frozen=True)
class Summary:
    """One sweep: its metrics in the order in which they are read, its rows, and the questions that it answers."""

    metrics: tuple[Metric, ...]
    rows: tuple[Row, ...]
    questions: Questions | None = None

    @property
    def by_name(self) -> dict[str, Row]:
        """Return the rows by the name of their variant."""
        return {row.variant: row for row in self.rows}

    @property
    def tasks(self) -> list[str]:
        """Return every task that any variant was asked, in the order in which they were asked."""
        return asked([record for row in self.rows for record in row.records])

    @property
    def right_or_wrong(self) -> list[str]:
        """Return the tasks with right and wrong answers, in the same order."""
        return right_or_wrong([record for row in self.rows for record in row.records])

    def metric(self, name: str) -> Metric | None:
        """Return a metric by its name, None where this sweep has none of that name."""
        return next((metric for metric in self.metrics if metric.name == name), None)

    def measured(self, name: str) -> bool:
        """Say whether any variant has a value of a metric."""
        return any(name in row.values for row in self.rows)
