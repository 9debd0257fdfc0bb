"""What a variant answers right, and how variants that stand together are named together."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.metrics.chance import ChanceLevel, chance_level, guesses
from bench.report.charts.labels import Label
from bench.report.charts.picture import shortened
from bench.stats.proportions import Paired
from bench.summary.family import FAMILIES
from bench.summary.rows import Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class Score:
    """A variant's right answers to one task in percent, with their interval, and its size in bytes.

    `like_the_best` says that it is not shown to answer more or less of the task than the best; None is not comparable.
    """

    row: Row
    right: float
    low: float
    high: float
    n: int
    size: float
    guesses: float
    chance: ChanceLevel
    like_the_best: bool | None

    @property
    def name(self) -> str:
        """Return the variant."""
        return self.row.variant

    @property
    def cells(self) -> list[object]:
        """Return the cells of the table of numbers, as `HEADER` names them."""
        return [
            self.name,
            self.row.family.name,
            self.row.runtime,
            f"{self.size:.0f}",
            *(self.right, self.low, self.high),
            self.n,
            self.chance,
            {True: "no", False: "yes", None: "not comparable"}[self.like_the_best],
        ]


HEADER = (
    "variant", "family", "runtime", "size_bytes", "right_percent", "right_percent_low", "right_percent_high", "n",
    "chance_level", "shown_to_differ_from_best",
)  # fmt: skip


def score_of(row: Row, task: str, best: Row, change_of: Callable[[Row, Row], Paired | None]) -> Score | None:
    """Return a variant's score; None where its right answers or its size were not measured."""
    right, size = row.values.get(f"accuracy {task}"), row.value("size_bytes")
    if right is None or size is None:
        return None
    change = change_of(best, row) if row is not best else None
    low, high = (right.value if end is None else end for end in (right.low, right.high))
    return Score(
        row=row,
        right=100 * right.value,
        low=100 * low,
        high=100 * high,
        n=right.n,
        size=size,
        guesses=100 * max(guesses(row.answers[task]), default=0.0),
        chance=chance_level(row.answers[task]),
        like_the_best=True if row is best else None if change is None else change.low <= 0 <= change.high,
    )


def groups(scores: Sequence[Score], reach: float) -> list[list[Score]]:
    """Put the variants together that do no more than guess, and those of one family within `reach` points of the next.

    The members of a group are in the order of families, then of size.
    """
    guessing = [score for score in scores if score.chance]
    together: list[list[Score]] = [guessing] if guessing else []
    for family in FAMILIES:
        mine = [score for score in scores if score.row.family == family and not score.chance]
        last: Score | None = None
        for score in sorted(mine, key=lambda one: one.right):
            if last and score.right - last.right <= reach:
                together[-1].append(score)
            else:
                together.append([score])
            last = score
    return [sorted(group, key=_place) for group in together]


def _place(score: Score) -> tuple[int, float, str]:
    return FAMILIES.index(score.row.family), score.size, score.name


def named(group: Sequence[Score]) -> str:
    """Name a group of variants, the smallest of a family first, a series by its ends; say where all only guess."""
    families = [[shortened(score.name) for score in group if score.row.family == family] for family in FAMILIES]
    text = ", ".join(_range(names) for names in families if names)
    if all(score.chance for score in group):
        below = any(score.chance == "below chance" for score in group)
        return f"{text}: {'no better than guessing' if below else 'guessing'}"
    return text


def _range(names: Sequence[str]) -> str:
    """Write names of one family, without repeating what they share; those of a series as its ends."""
    first, dash, _ = names[0].rpartition("-")
    shared = first + dash if all(name.startswith(first + dash) for name in names) else ""
    rest = [name.removeprefix(shared) for name in names]
    if len(names) < 3:
        return ", ".join([names[0], *rest[1:]])
    if all(re.fullmatch(r"[a-z]+\d+", name) for name in rest):
        return f"{names[0]} … {rest[-1]}"
    return f"{names[0]}, {rest[1]} and {len(names) - 2} more"


def labels_of(
    axes: Axes, scores: Sequence[Score], places: Mapping[str, tuple[float, float]], size: float, reach: float = 0.06
) -> list[Label]:
    """Return the labels of marks at some places: one for a group, two for a pair that stands far apart.

    `reach` is the share of the height within which variants of a family are a group.
    """
    low, high = axes.get_ylim()
    labels = []
    for group in groups(scores, reach * (high - low)):
        at = [places[score.name] for score in group]
        xs = [float(axes.transData.transform(place)[0]) for place in at]
        if len(group) == 2 and abs(xs[0] - xs[1]) > 0.15 * axes.get_window_extent().width:
            labels += [Label(named([score]), [place], size) for score, place in zip(group, at, strict=True)]
        else:
            labels.append(Label(named(group), at, size))
    return labels
