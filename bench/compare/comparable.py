"""What makes two numbers those of different things: another model, machine, workload, task or scorer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from bench.metrics import divergence
from bench.metrics.answers import ASKED, documents, higher_is_better, not_numbers
from bench.summary.rows import Row

WORKLOAD = ("prompts", "prompt", "seed")
SCORED = ("scorer", "num_fewshot", "chat_template", "truncated")
SHOWN_CHANGES = 3


def model_difference(base: Row, head: Row) -> str:
    """Name the revisions of the two models, or their content where those say nothing; empty where it is one model."""
    sources = [next((record.source for record in row.records if record.source), None) for row in (base, head)]
    if None in sources or sources[0] == sources[1]:
        return ""
    models = [row.records[-1].data["config"].get("model") or {} for row in (base, head)]
    for key in ("name", "id", "revision"):
        said = [model.get(key) for model in models]
        if said[0] != said[1]:
            return f"model {key}: {said[0]} / {said[1]}"
    return f"model content: {str(sources[0])[:12]} / {str(sources[1])[:12]}"


def machine_difference(base: Row, head: Row, measure: str) -> str:
    """Name the first thing that makes a clock's or a memory's numbers those of different machines or engines."""
    sides = []
    for row in (base, head):
        record = next(record for record in row.records if measure in record.measures)
        device = (record.data.get("session") or {}).get("device")
        sides.append({"machine": record.machine, "device": device, "runtime": record.runtime})
    return _first_of(*sides)


def workload_difference(base: Row, head: Row) -> str:
    """Name the first thing that makes two latencies those of different requests."""
    told = [{r.round: r.measures["latency"] for r in row.records if "latency" in r.measures} for row in (base, head)]
    asked = [
        (next(r for r in row.records if "latency" in r.measures).data["config"].get("measures") or {}).get("latency")
        for row in (base, head)
    ]
    sides = []
    for rounds, config in zip(told, asked, strict=True):
        one = next(iter(rounds.values()))
        fixed = {key: one.get(key) for key in ("loop", "output_tokens")}
        sides.append(fixed | {f"latency.{key}": (config or {}).get(key) for key in WORKLOAD})
    found = _first_of(*sides)
    if found:
        return found
    for number in sorted(told[0].keys() & told[1].keys()):
        for a, b in zip(*(side[number].get("prompt_tokens", []) for side in told), strict=False):
            if a != b:
                return f"prompts: one of round {number} has {a} / {b} tokens"
    return ""


def task_difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """Name what makes two runs of a task answers to different questions, or differently scored."""
    for key in (*SCORED, *ASKED):
        if before.get(key) != after.get(key):
            return f"{key}: {_first_difference(before.get(key), after.get(key))}"
    return ""


def score_difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """Name what keeps two runs of a task with a number per document from being judged."""
    broken = [not_numbers(side) for side in (before, after)]
    if any(broken):
        return f"documents without a finite number: {broken[0]} / {broken[1]}"
    weights = [documents(side)[1] for side in (before, after)]
    if weights[0] != weights[1]:
        return f"weight of a document: {_first_difference(*weights)}"
    ways = [higher_is_better(side) for side in (before, after)]
    if ways[0] is None or ways[0] != ways[1]:
        told = {True: "higher", False: "lower", None: "not stated"}
        return f"{before['metric']}, which is better: {told[ways[0]]} / {told[ways[1]]}"
    return ""


def divergence_difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """Name what makes two divergences those from different bases, or over different text."""
    broken = [divergence.not_numbers(side) for side in (before, after)]
    if any(broken):
        return f"tokens without a finite number: {broken[0]} / {broken[1]}"
    for key in ("base", "text", "tokens", "window"):
        if before.get(key) != after.get(key):
            return f"divergence {key}: {_first_difference(before.get(key), after.get(key))}"
    return ""


def recipe_difference(base: Row, head: Row) -> str:
    """Say which fields of the steps, or which tools, differ between two artifacts of one name."""
    before, after = (dict(_recipe(row)) for row in (base, head))
    changes = [
        f"{key} {before.get(key, 'none')} → {after.get(key, 'none')}"
        for key in dict.fromkeys([*before, *after])
        if before.get(key) != after.get(key)
    ]
    more = f" and {len(changes) - SHOWN_CHANGES} more" if len(changes) > SHOWN_CHANGES else ""
    return "; ".join(changes[:SHOWN_CHANGES]) + more or "the same settings, other data"


def _recipe(row: Row) -> Iterator[tuple[str, Any]]:
    record = next((r for r in row.records if not r.failed), row.records[-1])
    yield "steps", ", ".join(row.steps)
    for step, fields in (record.data["config"].get("steps") or {}).items():
        yield from ((f"{step}.{key}", value) for key, value in fields.items())
    for made in record.data["lineage"]:
        yield from ((f"{made['step']} {tool}", version) for tool, version in (made.get("tools") or {}).items())


def _first_of(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    return next((f"{key}: {value} / {after[key]}" for key, value in before.items() if value != after[key]), "")


def _first_difference(before: Any, after: Any) -> str:
    if not isinstance(before, list) or not isinstance(after, list):
        return " / ".join("not stated" if side is None else str(side)[:12] for side in (before, after))
    if len(before) != len(after):
        return f"{len(before)} / {len(after)} of them"
    place = next(i for i, (a, b) in enumerate(zip(before, after, strict=True)) if a != b)
    return f"{before[place]} / {after[place]} at {place + 1}"
