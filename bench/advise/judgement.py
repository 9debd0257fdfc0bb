"""Judge one variant by one limit: pass, fail or undecided, by the 95 % interval of what was measured."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from bench.advise.limits import Limit
from bench.stats.estimates import least_n
from bench.stats.proportions import Paired
from bench.summary import pairs
from bench.summary.rows import InRounds, Row, Summary

Status = Literal["pass", "fail", "undecided", "not measured"]
LEAST_ROUNDS = 3
"""What is proposed where one round was measured: a spread of two is hardly known."""
MANY = 1_000_000
"""More samples than that are not proposed."""


@dataclass(frozen=True)
class Judgement:
    """What a limit makes of a variant.

    `value`, `low` and `high` are in the limit's unit; an exact number is its own interval. An end that is None is open:
    the sample is too small to give it. `bound` is the limit itself, of a share to be kept the change that it allows.
    `n` counts samples, `needed` is the n that would decide what is undecided, were the value what it looks like.
    `rounds` counts the rounds of a latency, and `needed_rounds` those that would decide it where rounds are short.
    """

    limit: Limit
    status: Status
    bound: float
    value: float | None = None
    low: float | None = None
    high: float | None = None
    n: int = 0
    needed: int | None = None
    why: str = ""
    rounds: int = 0
    needed_rounds: int | None = None

    @property
    def room(self) -> float:
        """Return how far inside the limit the near end of the interval is, in shares of the bound or the margin."""
        end = self.high if self.limit.at_most else self.low
        if end is None:
            return -math.inf
        inside = self.bound - end if self.limit.at_most else end - self.bound
        return inside / abs(self.bound) if self.bound else inside


def judge(limit: Limit, row: Row, summary: Summary) -> Judgement:
    """Judge a variant by a limit. What was not measured is `not measured`, and never passes."""
    if limit.kind in ("keeps", "not forgotten"):
        return _kept(limit, row, summary)
    if limit.kind == "training memory":
        return _training_memory(limit, row)
    names = ("peak_device_bytes", "peak_resident_bytes") if limit.kind == "memory" else (limit.metric,)
    estimate = next((row.values[name] for name in names if name in row.values), None)
    if estimate is None:
        return Judgement(
            limit, "not measured", limit.bound, why=_not_asked(limit, summary) or _absent(row, limit.metric)
        )
    exact = limit.kind in ("size", "memory")
    low, high = (estimate.value, estimate.value) if exact else (estimate.low, estimate.high)
    judged = decided(limit, estimate.value, low, high, estimate.n, limit.bound)
    measured = row.in_rounds.get(limit.metric) if limit.kind == "latency" else None
    return by_rounds(judged, measured) if measured else judged


def decided(
    limit: Limit, value: float, low: float | None, high: float | None, n: int, bound: float, why: str = ""
) -> Judgement:
    """Compare an interval with a limit: pass where all of it is inside, fail where all of it is outside."""
    near, far = (high, low) if limit.at_most else (low, high)
    sign = 1.0 if limit.at_most else -1.0
    if near is not None and sign * near <= sign * bound:
        status: Status = "pass"
    elif far is not None and sign * far > sign * bound:
        status = "fail"
    else:
        status = "undecided"
    needed = n_to_decide(value, low, high, n, bound, limit.q) if status == "undecided" else None
    return Judgement(limit, status, bound, value, low, high, n, needed, why)


def by_rounds(judged: Judgement, measured: InRounds) -> Judgement:
    """Judge a latency again by the wider of two intervals, that of its requests and that of its rounds.

    The requests of one round are alike, so that requests alone are too sure. What both intervals show must also be so
    in every round. How much rounds differ is what all variants of the sweep show together: they share one machine.
    """
    value, bound, limit = judged.value, judged.bound, judged.limit
    rounds = len(measured.values)
    if value is None:
        return judged
    if rounds < 2:
        why = "one round does not show how much rounds differ"
        needed = max(LEAST_ROUNDS, math.ceil((judged.needed or 0) / judged.n))  # of as many requests as this one
        return replace(judged, status="undecided", why=why, rounds=rounds, needed=None, needed_rounds=needed)
    low, high = measured.spread.around(value)
    least = None if judged.low is None else min(low, judged.low)
    most = None if judged.high is None else max(high, judged.high)
    again = replace(decided(limit, value, least, most, judged.n, bound), rounds=rounds)
    agreeing = sum((one <= bound) == (value <= bound) for one in measured.values)
    if again.status != "undecided" and agreeing < rounds:
        why = f"only {agreeing} of {rounds} rounds show it"
        return replace(again, status="undecided", needed=None, needed_rounds=rounds + 1, why=why)
    if again.status == "undecided" and None not in (least, most) and low <= bound <= high:
        why = f"its rounds differ: {', '.join(map(_ms, measured.values))} ms"
        more = measured.spread.rounds_needed(value, bound, rounds)
        return replace(again, needed=None, needed_rounds=more, why=why)
    return again


def _kept(limit: Limit, row: Row, summary: Summary) -> Judgement:
    """Judge by a non-inferiority test: the paired interval of the change against the share that may be lost.

    Question by question against the variant that the limit names, so that a hard question counts for neither.
    """
    other = reference_of(limit, row, summary)
    metric = summary.metric(limit.metric)
    if other is None or metric is None:
        why = f"no {limit.of} in this sweep" if other is None else _absent(row, limit.metric)
        return Judgement(limit, "not measured", 0.0, why=_not_asked(limit, summary) or why)
    before = other.value(limit.metric)
    if before is None or row.value(limit.metric) is None:
        return Judgement(limit, "not measured", 0.0, why=_absent(other if before is None else row, limit.metric))
    bound = -limit.bound if limit.kind == "not forgotten" else -(1 - limit.bound) * before
    if other is row:
        return Judgement(limit, "pass", bound, 0.0, 0.0, 0.0, row.values[limit.metric].n, why="compared with itself")
    change = pairs.paired(metric, other, row)
    if change is None:
        return Judgement(limit, "not measured", bound, why=f"its questions differ from those of {other.variant}")
    return decided(limit, change.difference, change.low, change.high, change.n, bound, f"against {other.variant}")


def reference_of(limit: Limit, row: Row, summary: Summary) -> Row | None:
    """Return the variant whose answers are to be kept: the base of the runtime, the fine-tuned one, or one by name."""
    if limit.of == "base":
        return summary.by_name.get(row.reference or "")
    if limit.of == "fine-tuned":
        plain = [other for other in summary.rows if is_plain_finetune(other)]
        own = [other for other in plain if made_from(row, other)]
        same = [other for other in plain if other.runtime == row.runtime]
        return max(own or same or plain, key=lambda other: other.value(limit.metric) or 0.0, default=None)
    return summary.by_name.get(limit.of)


def made_from(row: Row, other: Row) -> bool:
    """Say whether a variant was built on the artifacts of another: it is the same model, with more steps."""
    lineages = [next((record.lineage for record in one.records if record.lineage), ()) for one in (row, other)]
    mine, theirs = ([made.fingerprint for made in lineage] for lineage in lineages)
    return bool(theirs) and mine[: len(theirs)] == theirs


def unquantized(row: Row, rows: Sequence[Row]) -> Row | None:
    """Return the same model before it was quantized, None where it is none of these rows, or nothing was quantized.

    It runs in the same runtime and is fine-tuned if the variant is: the loss from it is by quantization alone.
    """
    if "quantize" not in row.roles:
        return None
    plain = [
        other
        for other in rows
        if "quantize" not in other.roles
        and other.runtime == row.runtime
        and ("finetune" in other.roles) == ("finetune" in row.roles)
        and made_from(row, other)
    ]
    return max(plain, key=lambda other: len(other.steps), default=None)


def is_plain_finetune(row: Row) -> bool:
    """Say whether a variant is fine-tuned and never quantized."""
    return "finetune" in row.roles and "quantize" not in row.roles


def shown_no_worse(change: Paired, margin: float) -> bool:
    """Say whether a change of a share of right answers is shown to be no loss beyond the margin."""
    return change.low >= -margin


def _training_memory(limit: Limit, row: Row) -> Judgement:
    """Judge the largest peak of memory of its fine-tuning steps; a variant without any needs none."""
    if "finetune" not in row.roles:
        return Judgement(limit, "pass", limit.bound, 0.0, 0.0, 0.0, why="not trained")
    peaks = [
        made.build_peak_bytes
        for record in row.records
        for made, role in zip(record.lineage, record.roles, strict=False)
        if role == "finetune" and made.build_peak_bytes
    ]
    if not peaks:
        return Judgement(limit, "not measured", limit.bound, why=_absent(row, "the memory of its fine-tuning"))
    peak = float(max(peaks))
    return decided(limit, peak, peak, peak, 0, limit.bound)


def _not_asked(limit: Limit, summary: Summary) -> str:
    """Say that a task was asked of no variant, and which were: its name may be a mistake."""
    if not limit.task or limit.task in summary.tasks:
        return ""
    return f"no task {limit.task} in this sweep, but {' and '.join(summary.tasks) or 'none at all'}"


def _ms(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _absent(row: Row, what: str) -> str:
    """Say why a variant has no value."""
    if row.failures:
        failure = row.failures[0]
        return f"{row.variant} failed at {failure.stage}: {failure.message}"
    return f"{row.variant}: {what} was not measured"


def n_to_decide(
    value: float, low: float | None, high: float | None, n: int, bound: float, q: float | None = None
) -> int | None:
    """Return the n at which the interval would leave the limit outside, were the value what it looks like.

    The half width of an interval falls with the square root of n. The `q` percentile first needs both of its ends.
    """
    least = least_n(q) if q is not None else 0
    end = high if value < bound else low
    room = abs(bound - value)
    if n < least or end is None:
        return max(least, n + 1)
    if not room:
        return None
    needed = n * (abs(end - value) / room) ** 2
    return max(n + 1, math.ceil(needed)) if needed < MANY else None


def worst(judgements: Sequence[Judgement]) -> Status:
    """Return what a variant comes to: one failed limit fails it, and what is open leaves it open."""
    for status in ("fail", "not measured", "undecided"):
        if any(judgement.status == status for judgement in judgements):
            return status
    return "pass"
