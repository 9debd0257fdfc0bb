"""A metric: a number that is computed from the raw values of a measure, and how two such numbers are compared.

Each file of this folder lists its metrics in `METRICS`; tables, verdicts, series and charts loop over them.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from typing import Literal

from bench.records.types import Record
from bench.stats.estimates import Estimate

Records = Sequence[Record]
"""The rounds of one variant, or those of several."""
Identity = Mapping[str, str]
"""What was measured, in words: values are compared only where the keys that both sides have are equal."""
Unit = Literal["byte", "ms", "s", "tokens/s", "share", "nat", "bit", "1"]
Better = Literal["lower", "higher"]
Scale = Literal["ratio", "points", "difference"]
Test = Literal["exact", "rounds", "questions", "documents", "windows"]


@dataclass(frozen=True)
class Rounds:
    """Raw values in blocks, one per round; the metric is their `q` percentile, or its reciprocal.

    `column` names the values in a record. Below `least_n` values on a side the percentile has no interval.
    """

    blocks: Sequence[Sequence[float]]
    column: str
    q: float
    least_n: int = 1
    reciprocal: bool = False


@dataclass(frozen=True)
class Marks:
    """For each question whether it was answered right, and the answer that was given."""

    right: Sequence[bool]
    answers: Sequence[object] = ()


@dataclass(frozen=True)
class Clusters:
    """What each document or window of a text adds to a mean, and its weight; `log`: the metric is exp of the mean.

    `floor` is the smallest difference that means anything, in the unit of the mean.
    """

    sums: Sequence[float]
    weights: Sequence[float]
    log: bool = False
    floor: float = 0.0

    def limit(self, share: float) -> float:
        """Return what the limit of a metric, a share of its value, is on the scale of the mean: where `log`, a log."""
        mean = sum(self.sums) / sum(self.weights)
        return max(math.log1p(share) if self.log else share * abs(mean), self.floor)


Sample = Rounds | Marks | Clusters


def within_limit(before: float, after: float, limit: float) -> bool:
    """Say whether an exact value moved by no more than a share of itself, which makes it neither better nor worse."""
    return abs(after - before) <= limit * abs(before)


@dataclass(frozen=True)
class Metric:
    """One number of a variant, over all its rounds.

    `limit` is the smallest change that matters in practice: a share of the value, and of a share of right answers a
    difference (0.01 is a point). `test` is how a change is judged, None where nothing judges it; `sample` has what the
    test takes. `scale` is how a change is written: head / base, percentage points, or head - base in `unit`.
    `value` and `sample` return None where nothing was measured or a raw value is not finite; `not_finite` counts those.

    What a failed cell measured before it failed counts like any other value: it was measured.

    `value(records)`, `sample(records)`, `not_finite(records)` and `label(records)` take the rounds of a variant,
    `identity(record)` one of them. A metric with `tasks` is a template: `of` makes it for each task that these records
    were asked, and hands the functions the keyword `task`.
    `family` names the metrics that Holm's correction adjusts together; empty means those of its measure. A family of
    its own costs the other metrics no power, but adds a chance of its own of a false `worse`.
    `column` is the title of its column in the overview, where metrics of one title share a cell; `beside_base` that of
    the column with the change to the base of the same runtime. Without a title there is no such column.
    """

    name: str
    title: str
    unit: Unit
    measure: str
    value: Callable[..., Estimate | None]
    identity: Callable[..., Identity]
    better: Better | None = "lower"
    limit: float = 0.0
    test: Test | None = None
    scale: Scale = "ratio"
    sample: Callable[..., Sample | None] | None = None
    not_finite: Callable[..., int] | None = None
    tasks: Callable[[Records], Sequence[str]] | None = None
    task: str = ""
    label: Callable[..., str] | None = None
    family: str = ""
    column: str = ""
    beside_base: str = ""

    @property
    def kind(self) -> str:
        """Return the name without that of the task."""
        return self.name.partition(" ")[0]

    def of(self, task: str) -> Metric:
        """Return this metric for one task."""
        return replace(
            self,
            name=f"{self.kind} {task}",
            title=f"{self.title}, {task}",
            task=task,
            tasks=None,
            value=partial(self.value, task=task),
            identity=partial(self.identity, task=task),
            sample=self.sample and partial(self.sample, task=task),
            not_finite=self.not_finite and partial(self.not_finite, task=task),
            label=self.label and partial(self.label, task=task),
            column=self.column and f"{task}: {self.column}",
            beside_base=self.beside_base and f"{task}: {self.beside_base}",
        )

    def called(self, records: Records) -> str:
        """Return the metric's name in a table of many tasks: without the task, or as the task itself calls it."""
        return self.label(records) if self.label else self.kind


def identity_of(metric: Metric, records: Records) -> dict[str, str]:
    """Return what all rounds of a variant measured; rounds that differ are listed with all their values, sorted.

    Each comes with its share of the rounds where they are not equal: four rounds on one card and one on another are
    not what one and four are. A round without the measure, such as one that failed before it, says nothing.
    """
    values: dict[str, Counter[str]] = {}
    for record in records:
        if metric.measure and metric.measure not in record.measures:
            continue
        for key, value in metric.identity(record).items():
            values.setdefault(key, Counter())[value] += 1
    return {key: " | ".join(_in_shares(several)) for key, several in values.items()}


def _in_shares(counts: Counter[str]) -> Iterator[str]:
    are_equal = len(set(counts.values())) == 1
    for value, count in sorted(counts.items()):
        yield value if are_equal else f"{value} in {Fraction(count, counts.total())} of the rounds"


def difference(before: Identity, after: Identity) -> str:
    """Return the first thing that makes two values those of different things, empty where they can be compared.

    A key that only one side has is not compared: a round that only one side measured says nothing of the other's.
    """
    differing = (key for key, value in before.items() if key in after and value != after[key])
    return next((f"{key}: {before[key]} / {after[key]}" for key in differing), "")
