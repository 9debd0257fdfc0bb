"""Compare two sweeps: join them by variant, test every metric, give one verdict each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from bench.compare import comparable
from bench.compare.effects import Effect, effect_of, rounds_effect
from bench.compare.verdict import ArtifactState, Verdict, VerdictLine, holm_by_family, judge, judge_exact, needed_n
from bench.metrics.canary import bandwidth_of
from bench.metrics.catalogue import metrics_of, templates
from bench.metrics.metric import Metric, Records, Rounds
from bench.stats import rounds
from bench.summary.rows import Row
from bench.summary.summarize import rows_alone

TEXTS = {"artifact": "artifact", "tensor_types": "size"}
"""The lines whose values are texts, and the measure that each is chosen by: the bytes, and the types of tensors."""
UNMOVED = "the same bytes gave the same answers"
"""Why what is too little to show equivalence is `same` all the same: there is nothing that could have moved."""
OF_FAILURES: frozenset[Verdict] = frozenset({"now fails", "fixed"})


@dataclass(frozen=True)
class Asked:
    """What to compare: variants and metrics (empty: all), limits by kind, and what the head's latencies are divided by.

    `slowdown` has that by the reading of the canary that a variant's device is judged by; empty divides nothing.
    A metric is chosen by its name, its kind or its measure: `accuracy` is that of all tasks, `latency` all percentiles.
    """

    variants: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    thresholds: Mapping[str, float] = field(default_factory=dict)
    slowdown: Mapping[str, float] = field(default_factory=dict)

    def wants(self, *names: str) -> bool:
        """Say whether any of these names was asked for."""
        return not self.metrics or not set(names).isdisjoint(self.metrics)

    def limit(self, metric: Metric) -> float:
        """Return the smallest change of a metric that matters."""
        return self.thresholds.get(metric.kind, metric.limit)

    @property
    def limits(self) -> dict[str, float]:
        """Return the limit of each kind of metric that has one."""
        return {metric.kind: self.limit(metric) for metric in templates() if metric.test and metric.limit}


@dataclass(frozen=True)
class Pair:
    """A variant on both sides; None is a side that does not have it."""

    variant: str
    base: Row | None
    head: Row | None

    @property
    def rows(self) -> tuple[Row, ...]:
        """Return the sides that have the variant, the head first."""
        return tuple(row for row in (self.head, self.base) if row)


Place = tuple[str, str]
"""A variant, and the name of a metric."""
Tested = Effect | str
"""The effect of a change, or why there is none to test."""


def compare_records(base: Records, head: Records, asked: Asked) -> tuple[dict[str, int], list[VerdictLine]]:
    """Join two sweeps on the variant's name; return the sizes of the families of tests, and the lines."""
    judged = [metric for metric in metrics_of([*base, *head]) if metric.test]
    before, after = ({row.variant: row for row in rows_alone(side, judged)} for side in (base, head))
    pairs = [Pair(name, before.get(name), after.get(name)) for name in dict.fromkeys([*after, *before])]
    metrics = [metric for metric in judged if asked.wants(metric.name, metric.kind, metric.measure)]
    wanted = [pair for pair in pairs if not asked.variants or pair.variant in asked.variants]
    names = {pair.variant for pair in wanted}
    tested = {place: result for place, result in _tested(pairs, metrics, asked) if place[0] in names}
    effects = {place: result for place, result in tested.items() if isinstance(result, Effect)}
    adjusted, sizes = holm_by_family(list(effects.values()))
    p_holm = dict(zip(effects, adjusted, strict=True))
    lines = []
    for pair in wanted:
        for line in _lines(pair, metrics, asked):
            place = pair.variant, line.metric
            result = tested.get(place)
            if isinstance(result, str):
                line = replace(line, verdict="not comparable", change=None, why=result)
            elif result is not None:
                line = _judged(line, result, p_holm[place], sizes)
            lines.append(line)
    return sizes, lines


def _tested(pairs: Sequence[Pair], metrics: Sequence[Metric], asked: Asked) -> Iterator[tuple[Place, Tested]]:
    """Yield every metric that both sides have: its effect, or why it is not comparable.

    Of all variants, asked for or not: together they show how much the rounds of these sweeps differ.
    """
    for metric in metrics:
        limit = asked.limit(metric)
        in_rounds: dict[str, tuple[Rounds, Rounds]] = {}
        for pair in pairs:
            if not pair.base or not pair.head or not _measured(metric, pair.base) or not _measured(metric, pair.head):
                continue
            sides = pair.base.records, pair.head.records
            if why := comparable.why_not_comparable(metric, *sides):
                yield (pair.variant, metric.name), why
                continue
            before, after = (metric.sample(records) if metric.sample else None for records in sides)
            if isinstance(before, Rounds) and isinstance(after, Rounds):
                in_rounds[pair.variant] = before, _normalized(after, metric, sides[1], asked.slowdown)
            elif before and after:
                yield (pair.variant, metric.name), effect_of(metric, before, after, limit)
        yield from _tested_together(metric, in_rounds, limit)


def _tested_together(
    metric: Metric, in_rounds: Mapping[str, tuple[Rounds, Rounds]], limit: float
) -> Iterator[tuple[Place, Effect]]:
    if not in_rounds:
        return
    q = next(before.q for before, _ in in_rounds.values())
    blocks = {name: (before.blocks, after.blocks) for name, (before, after) in in_rounds.items()}
    for name, change in rounds.compare_rounds(blocks, q).items():
        yield (name, metric.name), rounds_effect(metric, in_rounds[name][0], change, limit)


def _measured(metric: Metric, row: Row) -> bool:
    """Say whether a side measured the metric, even where that gave no finite number."""
    return metric.name in row.values or _without_number(metric, row)


def _without_number(metric: Metric, row: Row) -> bool:
    """Say whether a side measured the metric and has raw values that are not finite."""
    return metric.name not in row.values and bool(metric.not_finite and metric.not_finite(row.records))


def _normalized(sample: Rounds, metric: Metric, head: Records, slowdown: Mapping[str, float]) -> Rounds:
    """Divide the latencies of the head by how much slower the memory was that its model was read from."""
    if not slowdown or metric.measure != "latency":
        return sample
    by = slowdown[bandwidth_of(next(record for record in head if record.latency))]
    return replace(sample, blocks=[[value / by for value in block] for block in sample.blocks])


def _lines(pair: Pair, metrics: Sequence[Metric], asked: Asked) -> list[VerdictLine]:
    """Make the lines of a variant with its values and exact verdicts; `compare_records` adds the results of tests."""
    texts = [_texts(row) for row in (pair.base, pair.head)]
    artifacts = [side.get("artifact") for side in texts]
    mark: ArtifactState = "" if None in artifacts else "same" if artifacts[0] == artifacts[1] else "changed"
    lines = []
    for name, measure in TEXTS.items():
        before, after = (side.get(name) for side in texts)
        if asked.wants(name, measure) and (before or after):
            lines.append(_text_line(pair, mark, name, before, after))
    for metric in metrics:
        base, head = (_value(metric, row) for row in (pair.base, pair.head))
        if base is not None or head is not None:
            lines.append(_metric_line(pair, mark, metric, base, head, asked.limit(metric)))
    return lines + _run_lines(pair, mark, lines, asked)


def _texts(row: Row | None) -> dict[str, str]:
    """Return what a variant has of each of TEXTS."""
    if row is None:
        return {}
    fingerprint = next((record.fingerprint for record in row.records if record.fingerprint), "")
    types = ", ".join(f"{n} {kind}" for kind, n in sorted(row.tensor_types.items()))
    return {name: text for name, text in (("artifact", fingerprint), ("tensor_types", types)) if text}


def _value(metric: Metric, row: Row | None) -> float | str | None:
    if row is None:
        return None
    return "not finite" if _without_number(metric, row) else row.value(metric.name)


def _text_line(pair: Pair, mark: ArtifactState, name: str, before: str | None, after: str | None) -> VerdictLine:
    line = VerdictLine(pair.variant, mark, name, "same", base=before, head=after, test="exact")
    if not pair.base or not pair.head or before is None or after is None:
        return _one_sided(line, pair, gone=after is None)
    sides = pair.base.records, pair.head.records
    if name != "artifact" and (why := comparable.model_difference(*sides)):
        return replace(line, verdict="not comparable", why=why)
    if before == after:
        return line
    return replace(line, verdict="changed", why=comparable.recipe_difference(*sides) if name == "artifact" else "")


def _metric_line(
    pair: Pair, mark: ArtifactState, metric: Metric, before: float | str | None, after: float | str | None, limit: float
) -> VerdictLine:
    line = VerdictLine(pair.variant, mark, metric.name, "undecided", base=before, head=after)
    line = replace(line, unit=metric.unit, scale=metric.scale, limit=limit, measure=metric.measure)
    if before is None or after is None:
        return _one_sided(line, pair, gone=after is None)
    if metric.test != "exact" or isinstance(before, str) or isinstance(after, str):
        return line  # until its test is known
    verdict = judge_exact(before, after, metric.better, limit)
    why = f"{after - before:+,.0f} of {before:,.0f}: below the limit of {100 * limit:g} %".replace("-", "−")
    change = after / before if before else None
    return replace(line, verdict=verdict, change=change, test="exact", why=why if verdict == "changed" else "")


def _run_lines(pair: Pair, mark: ArtifactState, lines: Sequence[VerdictLine], asked: Asked) -> list[VerdictLine]:
    """Return the line `run`: for a variant without lines, and for a failure on one side that no metric shows."""
    fails = [bool(row and row.failures) for row in (pair.base, pair.head)]
    if not lines and pair.base and pair.head and not any(fails):
        name, why = ", ".join(asked.metrics) or "run", "not measured on either side"
        return [VerdictLine(pair.variant, mark, name, "not comparable", why=why)]
    shown = {line.verdict for line in lines} & OF_FAILURES
    if not lines or (fails[0] != fails[1] and not shown):
        return [_one_sided(VerdictLine(pair.variant, mark, "run", "gone"), pair, gone=fails[1])]
    return []


def _one_sided(line: VerdictLine, pair: Pair, gone: bool) -> VerdictLine:
    """Complete a line of which one side has no number: the head where `gone`, else the base."""
    failures = [f"round {f.round + 1} failed at {f.stage}: {f.message}" for row in pair.rows for f in row.failures]
    line, why = replace(line, test=""), failures[0] if failures else "not measured"
    if pair.base is None or pair.head is None:
        verdict: Verdict = "new" if pair.base is None else "gone"
        return replace(line, verdict=verdict, why=failures[0] if failures else "")
    fails = bool(pair.base.failures), bool(pair.head.failures)
    if all(fails):
        return replace(line, verdict="not comparable", why=f"both sides failed; {why}")
    if gone:
        return replace(line, verdict="now fails" if fails[1] else "gone", why=why)
    return replace(line, verdict="fixed" if fails[0] else "new", why=why)


def _judged(line: VerdictLine, effect: Effect, p_holm: float, sizes: Mapping[str, int]) -> VerdictLine:
    """Complete a line with its test; change and interval are written on the scale that the metric is read on."""
    change, low, high = effect.change()
    verdict, needed, why = judge(effect, p_holm), None, ""
    if effect.unmoved and line.artifact == "same" and verdict == "undecided":
        verdict, why = "same", UNMOVED
    if verdict == "undecided":
        needed = None if effect.doubt else needed_n(effect, sizes.get(effect.family or "", 1))
        why = f"about {needed:,} {effect.counted} would decide it" if needed else effect.doubt or "it lies at the limit"
    return replace(
        line,
        verdict=verdict,
        change=change,
        low=low,
        high=high,
        test=effect.test,
        n=effect.n,
        p=None if effect.low is None else p_holm,
        needed=needed,
        why=why,
        units=effect.units,
        counted=effect.counted,
    )
