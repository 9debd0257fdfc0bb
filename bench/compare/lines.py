"""Hold two sweeps against each other: join their variants, test every metric, one verdict each."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from bench.compare import comparable
from bench.compare.effects import Effect, Scale, accuracy_effect, divergence_effect, rounds_effect, score_effect
from bench.compare.verdict import Line, Mark, Verdict, holm_by_family, judge, judge_size, needed_n
from bench.metrics.accuracy import scores_of
from bench.metrics.answers import is_perplexity, right
from bench.metrics.metric import SHARES, THRESHOLDS
from bench.stats import estimates, proportions
from bench.stats.rounds import Rounds, compare_rounds
from bench.summary.rows import Row, latency_rounds

MEMORIES = ("peak_resident_bytes", "peak_device_bytes")
EXACT = ("artifact", "size_bytes", "tensor_types")
METRICS = (*EXACT, *SHARES, *MEMORIES, "accuracy", "perplexity", "score", "divergence")
"""What a line is on; accuracy, perplexity and score are told of each task: `accuracy hr`."""


@dataclass(frozen=True)
class Asked:
    """What to compare: variants and metrics (empty: all), the thresholds, and what the head's latencies are divided by.

    A metric is named as its line is, or by its kind: `accuracy` is that of every task.
    """

    variants: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    thresholds: Mapping[str, float] | None = None
    slowdown: float = 1.0

    def wants(self, metric: str) -> bool:
        """Say whether a metric was asked for."""
        return not self.metrics or bool({metric, metric.partition(" ")[0]} & set(self.metrics))


_SCALES: dict[Scale, Callable[[float], float]] = {"log": math.exp, "negated": lambda worse: -worse, "as is": float}
"""How an effect is written for a reader: as a ratio, a gain, or as it is."""
Told = tuple[str, str]
"""A variant and a metric."""


def compare_rows(base: Sequence[Row], head: Sequence[Row], asked: Asked) -> tuple[dict[str, int], list[Line]]:
    """Join two sweeps on the variant's name; return the sizes of the families of tests, and the lines."""
    before, after = ({row.variant: row for row in side} for side in (base, head))
    names = [name for name in dict.fromkeys([*after, *before]) if not asked.variants or name in asked.variants]
    for name in before.keys() & after.keys():
        before[name], after[name] = _alike(before[name], after[name]), _alike(after[name], before[name])
    both = {name: (before[name], after[name]) for name in after if name in before}
    tested = {told: found for told, found in _tested(both, asked) if told[0] in names}
    refused = {told: found for told, found in tested.items() if isinstance(found, str)}
    effects = {told: found for told, found in tested.items() if isinstance(found, Effect)}
    adjusted, sizes = holm_by_family(list(effects.values()))
    p_holm = dict(zip(effects, adjusted, strict=True))
    lines = []
    for name in names:
        for line in _variant(name, before.get(name), after.get(name), asked):
            told = name, line.metric
            if told in refused:
                line = replace(line, verdict="not comparable", change=None, why=refused[told])
            elif told in effects:
                line = _judged(line, effects[told], p_holm[told], sizes)
            lines.append(line)
    return sizes, lines


def _tested(both: Mapping[str, tuple[Row, Row]], asked: Asked) -> Iterator[tuple[Told, Effect | str]]:
    """Yield every metric that both sides have: its effect, or why it is not comparable.

    Of all variants, asked for or not: together they tell how much the rounds of these sweeps differ.
    """
    thresholds = {**THRESHOLDS, **(asked.thresholds or {})}
    comparable_rows: dict[str, dict[str, tuple[Rounds, Rounds]]] = {}
    for name, (base, head) in both.items():
        model = comparable.model_difference(base, head)
        for metric in filter(asked.wants, values(base).keys() & values(head).keys()):
            told, why = (name, metric), model or _difference(metric, base, head)
            if metric == "artifact" or (not why and metric in EXACT):
                continue
            if why:
                yield told, why
            elif metric in SHARES or metric in MEMORIES:
                rounds = _rounds(base, metric), _rounds(head, metric, asked.slowdown)
                comparable_rows.setdefault(metric, {})[name] = rounds
            elif metric == "divergence":
                yield told, divergence_effect(_divergence(base), _divergence(head), thresholds)
            else:
                kind, _, task = metric.partition(" ")
                before, after = (row.answers[task] for row in (base, head))
                if kind == "accuracy":
                    yield told, accuracy_effect(proportions.paired_difference(right(before), right(after)), thresholds)
                else:
                    yield told, score_effect(before, after, thresholds)
    for metric, sides in comparable_rows.items():
        for name, change in compare_rounds(sides, SHARES.get(metric, 0.5)).items():
            yield (name, metric), rounds_effect(change, metric, thresholds)


def _difference(metric: str, base: Row, head: Row) -> str:
    """Name what makes a metric's two numbers those of different things."""
    if metric in SHARES:
        return comparable.machine_difference(base, head, "latency") or comparable.workload_difference(base, head)
    if metric in MEMORIES:
        return comparable.machine_difference(base, head, "memory")
    if metric == "divergence":
        return comparable.divergence_difference(_divergence(base), _divergence(head))
    kind, _, task = metric.partition(" ")
    if not task:
        return ""
    before, after = (row.answers[task] for row in (base, head))
    found = comparable.task_difference(before, after)
    if not found and kind != "accuracy":
        found = comparable.score_difference(before, after)
    return f"{task} {found}" if found else ""


def values(row: Row | None) -> dict[str, float | str]:
    """Return what a variant has of each metric over all rounds, in the units of the metric's name, else as text."""
    if row is None:
        return {}
    found: dict[str, float | str] = {}
    fingerprint = next((record.fingerprint for record in row.records if record.fingerprint), None)
    if fingerprint:
        found["artifact"] = fingerprint
    if row.size_bytes is not None:
        found["size_bytes"] = row.size_bytes
    if row.tensor_types:
        found["tensor_types"] = ", ".join(f"{n} {kind}" for kind, n in sorted(row.tensor_types.items()))
    for metric, share in {**SHARES, **dict.fromkeys(MEMORIES, 0.5)}.items():
        measured = [value for block in _rounds(row, metric) for value in block]
        if measured:
            found[metric] = estimates.percentile(measured, share)
    found |= {f"accuracy {task}": answers.share.value for task, answers in row.accuracy.items()}
    for task, score in row.scores.items():
        kind = "perplexity" if is_perplexity(score.answers) else "score"
        found[f"{kind} {task}"] = score.found.value if score.found else "not finite"
    if _divergence(row):
        found["divergence"] = row.divergence.kl_mean.value if row.divergence else "not finite"
    return found


def _alike(row: Row, other: Row) -> Row:
    """Read as a number what is one on the other side, and here happens to be 0 or 1 in every document."""
    moved = {task for task in row.accuracy if task in other.scores and "metric" in row.answers[task]}
    accuracy = {task: found for task, found in row.accuracy.items() if task not in moved}
    numbers = scores_of({task: row.answers[task] for task in moved}, also_marked=True)
    return replace(row, accuracy=accuracy, scores={**row.scores, **numbers}) if moved else row


def _rounds(row: Row, metric: str, divisor: float = 1.0) -> list[list[float]]:
    if metric in SHARES:
        return [[value / divisor for value in block] for block in latency_rounds(row, "e2e_ms")]
    peaks = [(record.measures.get("memory") or {}).get(metric) for record in row.records]
    return [[float(peak)] for peak in peaks if peak is not None]


def _divergence(row: Row) -> dict[str, Any]:
    return next((record.measures["divergence"] for record in row.records if "divergence" in record.measures), {})


def _variant(name: str, base: Row | None, head: Row | None, asked: Asked) -> list[Line]:
    """Make the lines of a variant with its values and exact verdicts; what takes a test is judged elsewhere."""
    before, after = values(base), values(head)
    artifacts = [side.get("artifact") for side in (before, after)]
    mark: Mark = "" if None in artifacts else "same" if artifacts[0] == artifacts[1] else "changed"
    line = partial(Line, name, mark)
    lines = []
    for metric in filter(asked.wants, dict.fromkeys([*after, *before])):
        if base and head and metric in before and metric in after:
            told = _exact(metric, base, head, before[metric], after[metric])
        else:
            told = _one_sided(base, head, gone=metric not in after)
        lines.append(line(metric, base=before.get(metric), head=after.get(metric), **told))
    fails = [bool(row and row.failures) for row in (base, head)]
    if not lines and base and head and not any(fails):
        why = "not measured on either side"
        return [line(", ".join(asked.metrics) or "run", verdict="not comparable", why=why)]
    if not lines or (fails[0] != fails[1] and not {line.verdict for line in lines} & {"now fails", "fixed"}):
        lines.append(line("run", **_one_sided(base, head, gone=fails[1])))
    return lines


def _exact(metric: str, base: Row, head: Row, before: float | str, after: float | str) -> dict[str, Any]:
    if metric not in EXACT:
        return {"verdict": "undecided"}  # until its test is known
    verdict: Verdict = "same" if before == after else "changed"
    told: dict[str, Any] = {"test": "exact"}
    if metric == "artifact" and verdict == "changed":
        told["why"] = comparable.recipe_difference(base, head)
    if metric == "size_bytes":
        assert isinstance(before, int | float)
        assert isinstance(after, int | float)
        verdict = judge_size(before, after)
        told["change"] = after / before if before else None
    return {"verdict": verdict, **told}


def _one_sided(base: Row | None, head: Row | None, gone: bool) -> dict[str, Any]:
    """Say why a side has no number; `gone` says that it is the head's."""
    said = [f"round {f.round} failed at {f.stage}: {f.message}" for row in (head, base) if row for f in row.failures]
    why = {"why": said[0] if said else "not measured"}
    if base is None or head is None:
        return {"verdict": "new" if base is None else "gone", "why": said[0] if said else ""}
    if base.failures and head.failures:
        return {"verdict": "not comparable", "why": f"both sides failed; {why['why']}"}
    if gone:
        return {"verdict": "now fails", **why} if head.failures else {"verdict": "gone", **why}
    return {"verdict": "fixed", **why} if base.failures else {"verdict": "new", **why}


def _judged(line: Line, effect: Effect, p_holm: float, sizes: Mapping[str, int]) -> Line:
    """Complete a line with its test; change and interval are written on the scale that the metric is read on."""
    scale = _SCALES[effect.scale]
    ends = [None if end is None else scale(end) for end in (effect.low, effect.high)]
    low, high = ends[::-1] if effect.scale == "negated" else ends
    verdict, needed, why = judge(effect, p_holm), None, ""
    if verdict == "undecided":
        needed = None if effect.doubt else needed_n(effect, sizes.get(effect.family or "", 1))
        why = f"about {needed:,} {effect.counted} would decide it" if needed else effect.doubt or "it lies at the limit"
    return replace(
        line,
        verdict=verdict,
        change=scale(effect.value),
        low=low,
        high=high,
        test=effect.test,
        n=effect.n,
        p=None if effect.low is None else p_holm,
        needed=needed,
        why=why,
    )
