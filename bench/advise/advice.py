"""The decision of one sweep: which variant to ship by a set of requirements, why, and what is still open."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.advise.cost import Training, training_of
from bench.advise.judgement import (
    Judgement,
    Status,
    is_plain_finetune,
    judge,
    made_from,
    shown_no_worse,
    unquantized,
    worst,
)
from bench.advise.limits import Limit, deciding_task, latency_metric, limits_of
from bench.advise.requirements import Requirements
from bench.advise.roofline import Roofline, roofline_of
from bench.advise.situation import Situation, situation_of
from bench.advise.trial import question_limit
from bench.metrics.metric import Metric
from bench.stats.proportions import Paired
from bench.summary import pairs
from bench.summary.family import BASE, CONTROL
from bench.summary.rows import BesideBase, Row, Summary

SAME_SIZE = 0.001
"""Sizes that differ by less than this share are the same size: headers differ by a few hundred bytes."""


@dataclass(frozen=True)
class Judged:
    """A variant, what each limit makes of it, and what that comes to."""

    row: Row
    judgements: tuple[Judgement, ...]
    status: Status

    @property
    def name(self) -> str:
        """Return the name of the variant."""
        return self.row.variant

    @property
    def size(self) -> float:
        """Return the size in bytes, infinite where it was not measured: it never wins by it."""
        return self.row.value("size_bytes") or math.inf

    def those(self, *statuses: Status) -> tuple[Judgement, ...]:
        """Return the judgements of some statuses."""
        return tuple(judgement for judgement in self.judgements if judgement.status in statuses)


@dataclass(frozen=True)
class Quantizing:
    """What quantizing does here: a variant beside the same model unquantized, in one runtime.

    `faster` is the change of the latency `metric`, its ratio above 1 where the quantized one is faster. `needed` says
    that the unquantized one misses a limit on size, memory or latency; `skip` that quantizing gains nothing that the
    limits ask for. `roofline` is that of the unquantized one, None where no bandwidth was measured.
    """

    plain: Judged
    quantized: Judged
    metric: Metric | None
    faster: BesideBase | None
    needed: bool
    skip: bool
    roofline: Roofline | None = None


@dataclass(frozen=True)
class Advice:
    """The answer and its evidence. `variants` may be shipped; `controls` measure the engine and are only judged.

    `task` is the task by which variants are ordered, `margin` the share of its questions that counts as no loss.
    `best` is the reference among those that qualify: it answers most of the task. `cheaper` are smaller than the
    choice, and neither shown to be worse nor shown to be as good. `dominated` says by which variant another is beaten.
    `trial` is the number of questions that a trial run asked of each task: of such a run nothing is shipped.
    """

    name: str
    requirements: Requirements
    summary: Summary
    limits: tuple[Limit, ...]
    variants: tuple[Judged, ...]
    controls: tuple[Judged, ...]
    situation: Situation
    task: str | None
    margin: float
    ship: Judged | None
    runner_up: Judged | None
    best: Judged | None
    cheaper: tuple[Judged, ...]
    dominated: Mapping[str, str]
    quantizing: Quantizing | None
    training: Mapping[str, Training | None]
    trial: int | None = None

    @property
    def exit_code(self) -> int:
        """Return 0 where a variant qualifies, 1 where none does, 2 where too little was measured to say so."""
        if self.ship:
            return 0
        return 1 if self.trial is None and self.variants and all(one.status == "fail" for one in self.variants) else 2

    @property
    def judged(self) -> tuple[Judged, ...]:
        """Return the variants, then the controls."""
        return (*self.variants, *self.controls)

    def of(self, row: Row | None) -> Judged | None:
        """Return what was judged of a row of the sweep, None without one."""
        return next((one for one in self.judged if one.row is row), None)


def advise(summary: Summary, requirements: Requirements, name: str) -> Advice:
    """Judge every variant by every limit and choose: the smallest that is shown to answer like the best that qualifies.

    Controls, the same models in another engine, are judged and never chosen.
    """
    limits = limits_of(requirements, summary)
    judged = [_judged(row, limits, summary) for row in summary.rows]
    variants = tuple(one for one in judged if one.row.family != CONTROL)
    task = deciding_task(summary)
    trial = question_limit(summary)
    qualified = [one for one in variants if one.status == "pass" and trial is None]
    best = _best(qualified, task, summary)
    margin = margin_of(task, best, limits, summary) if best else 0.0
    order = _order(qualified, best, task, margin, summary)
    ship = order[0] if order else None
    bases = [one for one in variants if one.row.family == BASE]
    return Advice(
        name=name,
        requirements=requirements,
        summary=summary,
        limits=limits,
        variants=variants,
        controls=tuple(one for one in judged if one.row.family == CONTROL),
        situation=situation_of(
            requirements,
            next((one.judgements for one in bases if one.row.is_reference), None),
            [one.judgements for one in judged if is_plain_finetune(one.row)],
        ),
        task=task,
        margin=margin,
        ship=ship,
        runner_up=order[1] if len(order) > 1 else None,
        best=best,
        cheaper=_cheaper(ship, variants, task, summary) if ship else (),
        dominated=_dominated(ship, variants, limits, summary),
        quantizing=_quantizing(ship, variants, limits, summary),
        training={one.name: training_of(one.row, requirements.cost) for one in variants},
        trial=trial,
    )


def _judged(row: Row, limits: Sequence[Limit], summary: Summary) -> Judged:
    judgements = tuple(judge(limit, row, summary) for limit in limits)
    return Judged(row, judgements, worst(judgements))


def _place(one: Judged, task: str | None) -> tuple[float, float, str]:
    """Order by right answers, then by size."""
    return -(one.row.value(f"accuracy {task}") or 0.0), one.size, one.name


def _best(qualified: Sequence[Judged], task: str | None, summary: Summary) -> Judged | None:
    """Return what the others are compared with: of those not shown to differ from the top, an unquantized one.

    The top alone would be whichever variant was luckiest by a question or two. Quantizing adds nothing to a model, so
    that among equals the unquantized one is the better reference.
    """
    top = min(qualified, key=lambda one: _place(one, task), default=None)
    if top is None or task is None:
        return top
    changes = [(one, change_of(task, top, one, summary)) for one in qualified if "quantize" not in one.row.roles]
    equals = [one for one, change in changes if one is top or (change is not None and change.high >= 0)]
    return min(equals, key=lambda one: _place(one, task), default=top)


def margin_of(task: str | None, best: Judged, limits: Sequence[Limit], summary: Summary) -> float:
    """Return the share of a task's questions that counts as no loss: what the limits allow, else the metric's limit."""
    keeps = [limit.bound for limit in limits if limit.kind == "keeps" and limit.task == task]
    if keeps:
        return (1 - max(keeps)) * (best.row.value(f"accuracy {task}") or 0.0)
    kept = [limit.bound for limit in limits if limit.kind == "not forgotten" and limit.task == task]
    metric = accuracy_of(task, summary)
    return min(kept) if kept else metric.limit if metric else 0.0


def accuracy_of(task: str | None, summary: Summary) -> Metric | None:
    """Return the metric of a task's right answers."""
    return summary.metric(f"accuracy {task}")


def change_of(task: str | None, before: Judged, after: Judged, summary: Summary) -> Paired | None:
    """Return the change of a task's right answers from one variant to another, question by question."""
    metric = accuracy_of(task, summary)
    return pairs.paired(metric, before.row, after.row) if metric else None


def _order(
    qualified: Sequence[Judged], best: Judged | None, task: str | None, margin: float, summary: Summary
) -> list[Judged]:
    """Order what qualifies: those shown to answer like the best by size, then the others by right answers.

    Of the same size the one with more right answers comes first. Without a task all count as alike.
    """
    if best is None:
        return []

    def like_the_best(one: Judged) -> bool:
        change = change_of(task, best, one, summary)
        return one is best or task is None or (change is not None and shown_no_worse(change, margin))

    alike = sorted(filter(like_the_best, qualified), key=lambda one: one.size)
    order: list[Judged] = []
    while alike:
        same = [one for one in alike if one.size <= alike[0].size * (1 + SAME_SIZE)]
        order += sorted(same, key=lambda one: _place(one, task))
        alike = [one for one in alike if one not in same]
    return order + sorted((one for one in qualified if one not in order), key=lambda one: _place(one, task))


def smaller(one: Judged, other: Judged) -> bool:
    """Say whether a variant is smaller than another by more than headers differ."""
    return one.size < other.size * (1 - SAME_SIZE)


def _cheaper(ship: Judged, variants: Sequence[Judged], task: str | None, summary: Summary) -> tuple[Judged, ...]:
    """Return the smaller variants that miss no limit and are not shown to answer worse than the choice."""

    def inside_the_noise(one: Judged) -> bool:
        change = change_of(task, ship, one, summary)
        return task is None or (change is not None and change.high >= 0)

    open_ones = [one for one in variants if one.status != "fail" and smaller(one, ship) and inside_the_noise(one)]
    return tuple(sorted(open_ones, key=lambda one: one.size))


def _dominated(
    ship: Judged | None, variants: Sequence[Judged], limits: Sequence[Limit], summary: Summary
) -> dict[str, str]:
    """Name for each variant one that qualifies and beats it: smaller, and shown to be neither worse nor slower."""
    qualified = [one for one in variants if one.status == "pass"]
    by = ([ship] if ship else []) + [one for one in qualified if one is not ship]
    beaten = {}
    for one in variants:
        if one is not ship and (winner := next((other for other in by if _beats(other, one, limits, summary)), None)):
            beaten[one.name] = winner.name
    return beaten


def _beats(winner: Judged, one: Judged, limits: Sequence[Limit], summary: Summary) -> bool:
    """Say whether a variant is smaller, and shown to lose no more than the margin of each task and of its latency.

    The margin of a latency is the metric's limit, the smallest change that matters. What is not shown is not said: in
    noisy rounds an interval reaches too far, and of one round there is none.
    """
    if winner is one or not smaller(winner, one) or not summary.right_or_wrong or one.size == math.inf:
        return False
    for task in summary.right_or_wrong:
        change = change_of(task, one, winner, summary)
        if change is None or not shown_no_worse(change, margin_of(task, winner, limits, summary)):
            return False
    metric = summary.metric(latency_metric(limits))
    ratio = pairs.ratio(metric, one.row, winner.row) if metric else None
    return bool(metric and ratio and ratio.low is not None and ratio.low >= 1 / (1 + metric.limit))


def _quantizing(
    ship: Judged | None, variants: Sequence[Judged], limits: Sequence[Limit], summary: Summary
) -> Quantizing | None:
    """Put the choice beside the same model unquantized, or where it is unquantized beside its smallest quantization."""
    if ship is None:
        return None
    tuned = "finetune" in ship.row.roles
    alike = [one for one in variants if ("finetune" in one.row.roles) == tuned and one.row.runtime == ship.row.runtime]
    plain = ship
    small = [one for one in alike if "quantize" in one.row.roles and made_from(one.row, ship.row)]
    if "quantize" in ship.row.roles:
        parent = unquantized(ship.row, [one.row for one in variants])
        plain, small = next((one for one in variants if one.row is parent), ship), [ship]
    if "quantize" in plain.row.roles or not small:
        return None
    quantized = min(small, key=lambda one: (one.status == "fail", one.size))
    metric = summary.metric(latency_metric(limits))
    faster = pairs.beside(metric, plain.row, quantized.row) if metric else None
    binding = any(j.limit.kind in ("size", "memory", "latency") for j in plain.those("fail"))
    is_faster = bool(faster and faster.ratio and faster.shown and faster.ratio.value > 1)
    skip = not binding and plain.status == "pass" and (quantized.status == "fail" or not is_faster)
    return Quantizing(plain, quantized, metric, faster, binding, skip, roofline_of(plain.row))
