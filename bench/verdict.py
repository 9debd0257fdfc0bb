"""Judge two sweeps: one verdict per variant and metric, from the rows of both."""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from bench import stats
from bench.read import right
from bench.report.table import Row, latency_rounds
from bench.stats import CONFIDENCE, Estimate, Paired

Verdict = Literal["better", "worse", "same", "undecided", "new", "gone", "now fails", "fixed", "not comparable"]
Mark = Literal["same", "changed", ""]

REGRESSIONS: frozenset[Verdict] = frozenset({"worse", "now fails"})
COMPARED: frozenset[Verdict] = frozenset({"better", "worse", "same", "undecided", "now fails", "fixed"})
ALPHA = 0.05
LATENCY = {"e2e_p50_ms": (0.5, 0.05), "e2e_p99_ms": (0.99, 0.10)}
"""Percentile, and the change of it that matters in practice, as a share of 1."""
ACCURACY_MARGIN = 0.01
WORKLOAD = ("prompts", "prompt", "seed")


@dataclass(frozen=True)
class Line:
    """One metric of one variant on both sides; None is what a side or the test does not have.

    `change` is head / base of a latency or a size, and head - base of an accuracy (share of 1); `low` and `high`
    are the ends of its 95 % interval, `p` is Holm's. `artifact` says whether the name still means the same bytes.
    """

    variant: str
    artifact: Mark
    metric: str
    verdict: Verdict
    base: float | None = None
    head: float | None = None
    change: float | None = None
    low: float | None = None
    high: float | None = None
    n: int | None = None
    p: float | None = None
    why: str = ""


def compare_rows(base: Sequence[Row], head: Sequence[Row]) -> tuple[int, list[Line]]:
    """Join two sweeps on the variant's name; return the size of the accuracy family and the lines."""
    before, after = {row.variant: row for row in base}, {row.variant: row for row in head}
    tests = {
        (name, task): pair
        for name in after.keys() & before.keys()
        for task in sorted(after[name].accuracy.keys() & before[name].accuracy.keys())
        if isinstance(pair := _paired(before[name], after[name], task), Paired)
    }
    adjusted = dict(zip(tests, stats.holm([pair.p for pair in tests.values()]), strict=True))
    lines = []
    for name in dict.fromkeys([*after, *before]):
        p_holm = {task: p for (variant, task), p in adjusted.items() if variant == name}
        lines += _variant(name, before.get(name), after.get(name), p_holm)
    return len(tests), lines


def _variant(name: str, base: Row | None, head: Row | None, p_holm: Mapping[str, float]) -> list[Line]:
    before, after = _values(base), _values(head)
    mark = _mark(base, head)
    lines = []
    for metric in dict.fromkeys([*after, *before]):
        if base and head and metric in before and metric in after:
            told = _measured(metric, base, head, p_holm)
        else:
            told = _one_sided(base, head, gone=metric not in after)
        lines.append(Line(name, mark, metric, base=before.get(metric), head=after.get(metric), **told))
    fails = [bool(row and row.failures) for row in (base, head)]
    if not lines or (fails[0] != fails[1] and not {line.verdict for line in lines} & {"now fails", "fixed"}):
        lines.append(Line(name, mark, "run", **_one_sided(base, head, gone=fails[1])))
    return lines


def _values(row: Row | None) -> dict[str, float]:
    if row is None:
        return {}
    values: dict[str, float] = {} if row.size_bytes is None else {"size_bytes": row.size_bytes}
    requests = [value for block in latency_rounds(row, "e2e_ms") for value in block]
    if requests:
        values |= {metric: stats.percentile(requests, share) for metric, (share, _) in LATENCY.items()}
    return values | {f"accuracy {task}": found.share.value for task, found in row.accuracy.items()}


def _mark(base: Row | None, head: Row | None) -> Mark:
    prints = [
        next((made["fingerprint"] for r in row.records if (made := r.data.get("artifact"))), None) if row else None
        for row in (base, head)
    ]
    if None in prints:
        return ""
    return "same" if prints[0] == prints[1] else "changed"


def _one_sided(base: Row | None, head: Row | None, gone: bool) -> dict[str, Any]:
    """Say why a side has no number; `gone` says that it is the head's."""
    said = [f"round {f.round} failed at {f.stage}: {f.message}" for row in (head, base) if row for f in row.failures]
    why = {"why": said[0] if said else "not measured"}
    if base and head and not said and not _values(base) and not _values(head):
        return {"verdict": "not comparable", **why}
    if base is None or head is None:
        return {"verdict": "new" if base is None else "gone", "why": said[0] if said else ""}
    if base.failures and head.failures:
        return {"verdict": "not comparable", "why": f"both sides failed; {why['why']}"}
    if gone:
        return {"verdict": "now fails", **why} if head.failures else {"verdict": "gone", **why}
    return {"verdict": "fixed", **why} if base.failures else {"verdict": "new", **why}


def _measured(metric: str, base: Row, head: Row, p_holm: Mapping[str, float]) -> dict[str, Any]:
    if metric == "size_bytes":
        before, after = base.size_bytes or 0, head.size_bytes or 0
        verdict: Verdict = "same" if after == before else "better" if after < before else "worse"
        return {"verdict": verdict, "change": after / before}
    if metric in LATENCY:
        return _latency(metric, base, head)
    task = metric.removeprefix("accuracy ")
    found = _paired(base, head, task)
    if not isinstance(found, Paired):
        return {"verdict": "not comparable", "why": found}
    verdict = judge_difference(found, p_holm[task])
    why = f"finds {100 * found.detectable:.1f} points and more" if verdict == "undecided" else ""
    numbers = {"change": found.difference, "low": found.low, "high": found.high, "n": found.n, "p": p_holm[task]}
    return {"verdict": verdict, "why": why, **numbers}


def _latency(metric: str, base: Row, head: Row) -> dict[str, Any]:
    difference = _workload_difference(base, head)
    if difference:
        return {"verdict": "not comparable", "why": difference}
    share, threshold = LATENCY[metric]
    seed = zlib.crc32(f"{head.variant} {metric}".encode())
    after, before = latency_rounds(head, "e2e_ms"), latency_rounds(base, "e2e_ms")
    ratio = stats.percentile_ratio(after, before, share, seed)
    verdict = judge_ratio(ratio, threshold)
    too_small = None in (ratio.low, ratio.high)
    why = f"n too small: a P{share * 100:.0f} needs {least_n(share)} requests on each side" if too_small else ""
    if verdict in ("worse", "better") and not rounds_agree(after, before, share):
        verdict, why = "undecided", "rounds of the two sides overlap: one slow round is no regression"
    return {
        "verdict": verdict, "why": why,
        "change": ratio.value, "low": ratio.low, "high": ratio.high, "n": ratio.n,
    }  # fmt: skip


def rounds_agree(after: Sequence[Sequence[float]], before: Sequence[Sequence[float]], share: float) -> bool:
    """Return whether every round of one side is slower than every round of the other.

    The interval of a ratio resamples requests within rounds: a slow spell of the machine is not in it.
    """
    ours, theirs = ([stats.percentile(block, share) for block in side if len(block)] for side in (after, before))
    return min(ours) > max(theirs) or max(ours) < min(theirs)


def least_n(share: float, confidence: float = CONFIDENCE) -> int:
    """Return the smallest sample whose extremes enclose a percentile: max(q, 1 - q)^n is at most half of alpha."""
    return math.ceil(math.log((1 - confidence) / 2) / math.log(max(share, 1 - share)))


def judge_ratio(ratio: Estimate, threshold: float) -> Verdict:
    """Judge head / base of a latency: beyond 1 with the whole interval and by more than the threshold, or within it.

    The threshold is a factor, 1 + threshold or its inverse, so that swapping the sides swaps better and worse.
    """
    if ratio.low is None or ratio.high is None:
        return "undecided"
    limit = 1 + threshold
    if ratio.low > 1 and ratio.value > limit:
        return "worse"
    if ratio.high < 1 and ratio.value < 1 / limit:
        return "better"
    return "same" if ratio.low >= 1 / limit and ratio.high <= limit else "undecided"


def judge_difference(found: Paired, p_holm: float) -> Verdict:
    """Judge a paired difference of accuracy: significant and by more than the margin, or shown to lie within it."""
    if p_holm < ALPHA and abs(found.difference) > ACCURACY_MARGIN:
        return "better" if found.difference > 0 else "worse"
    return "same" if found.low >= -ACCURACY_MARGIN and found.high <= ACCURACY_MARGIN else "undecided"


def _workload_difference(base: Row, head: Row) -> str:
    """Name the first thing that makes two latencies those of different requests or machines, else nothing."""
    sides = [_workload(row) for row in (base, head)]
    for key, value in sides[0].items():
        if value != sides[1][key]:
            return f"{key}: {value} / {sides[1][key]}"
    timed = [{r.round: r.measures["latency"] for r in row.records if "latency" in r.measures} for row in (base, head)]
    for number in sorted(timed[0].keys() & timed[1].keys()):
        before, after = (side[number].get("prompt_tokens", []) for side in timed)
        for a, b in zip(before, after, strict=False):
            if a != b:
                return f"prompts: one of round {number} has {a} / {b} tokens"
    return ""


def _workload(row: Row) -> dict[str, Any]:
    record = next(record for record in row.records if "latency" in record.measures)
    told, asked = record.measures["latency"], (record.data["config"].get("measures") or {}).get("latency") or {}
    return {
        "machine": record.machine,
        "device": (record.data.get("session") or {}).get("device"),
        "runtime": record.runtime,
        "loop": told.get("loop"),
        "output_tokens": told.get("output_tokens"),
        **{f"latency.{key}": asked.get(key) for key in WORKLOAD},
    }


def _paired(base: Row, head: Row, task: str) -> Paired | str:
    """Compare the answers to one task, or name what makes them answers to different questions."""
    before, after = (dict(row.accuracy[task].answers) for row in (base, head))
    for key in ("version", "question", "prompt_sha256", "gold"):
        if before.get(key) != after.get(key):
            return f"{task} {key}: {_first_difference(before.get(key), after.get(key))}"
    return stats.paired_difference(right(before), right(after))


def _first_difference(before: Any, after: Any) -> str:
    if not isinstance(before, list) or not isinstance(after, list):
        return f"{str(before)[:12]} / {str(after)[:12]}"
    if len(before) != len(after):
        return f"{len(before)} / {len(after)} of them"
    place = next(i for i, (a, b) in enumerate(zip(before, after, strict=True)) if a != b)
    return f"{before[place]} / {after[place]} at {place + 1}"
