"""Runtime parity: the same model in two runtimes must give the same answers, or the scores of neither are believed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from bench.metrics.answers import PERPLEXITIES, marked, same_questions
from bench.records.schema import Answers
from bench.summary.family import roles

SAME_ANSWERS = 0.99
"""Share of equal answers below which a runtime is said to score wrongly."""

Task = Mapping[str, Any]
"""What two runtimes said to one task: `n` questions, `same` answers (None where the task has none to compare) and the
`largest_difference` of a log-likelihood in nats (None where there is none that both have)."""


def model(record: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the artifacts that a record's model is made of, conversions left out; empty where nothing was built."""
    lineage = record.get("lineage") or []
    role = dict(zip(record["config"]["variant"]["steps"], roles(record["config"]), strict=True))
    return tuple(made["fingerprint"] for made in lineage if role.get(made["step"]) != "convert")


def parity(one: Mapping[str, Answers], other: Mapping[str, Answers]) -> dict[str, Task]:
    """Compare the answers of two runtimes, by task; only those that both were asked in the same words."""
    both = [task for task in one if task in other and same_questions(one[task], other[task])]
    return {task: _compared(one[task], other[task]) for task in both}


def _compared(one: Answers, other: Answers) -> Task:
    n = len(one["question"])
    column = next((name for name in ("picked", "answer", "value") if one.get(name) is not None), "value")
    comparable = column != "value" or (marked(one) and marked(other))
    pairs = zip(one[column], other[column], strict=True)
    return {
        "n": n,
        "same": sum(a == b for a, b in pairs) if comparable else None,
        "largest_difference": _largest_difference(one, other),
    }


def _largest_difference(one: Answers, other: Answers) -> float | None:
    left, right = ([value for row in _logliks(side) for value in row] for side in (one, other))
    found = [abs(a - b) for a, b in zip(left, right, strict=True) if a is not None and b is not None]
    return round(max(found), 6) if found else None


def _logliks(answers: Answers) -> list[list[float | None]]:
    """Return the log-likelihoods of each question, none where a task's values are something else."""
    if "loglik" in answers:
        return list(answers["loglik"])
    if any(isinstance(value, list) for value in answers["value"]):
        return [[None if value is None else value[0]] for value in answers["value"]]
    return [[value] for value in answers["value"]] if answers["metric"] in PERPLEXITIES else []


def agrees(found: Task) -> bool:
    """Say whether two runtimes give the same answer often enough to be the same model."""
    return found["same"] is None or found["same"] / found["n"] >= SAME_ANSWERS


def against(record: Mapping[str, Any], beside: Iterable[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Compare a record with the same model's in another runtime, if one of the same sweep lies beside it.

    Returns `{"with": variant, "tasks": {label: Task}}`, or None where there is nothing to compare with.
    """
    mine = record["measures"].get("accuracy")
    for other in beside:
        alike = all(record[key] == other.get(key) for key in ("sweep", "commit", "machine"))
        if not mine or not alike or other["status"] != "ok" or _runtime(other) == _runtime(record):
            continue
        if model(other) != model(record):
            continue
        if tasks := parity(mine, other["measures"].get("accuracy") or {}):
            return {"with": other["variant"], "tasks": tasks}
    return None


def _runtime(record: Mapping[str, Any]) -> str:
    return str(record["config"]["variant"]["runtime"])


def warnings(record: Mapping[str, Any]) -> list[str]:
    """Say in one line per task where a record's `parity` does not hold."""
    found = record.get("parity") or {"with": "", "tasks": {}}
    return [
        f"runtime parity: {record['variant']} and {found['with']} are the same model and pick the same answer on "
        f"{task['same']} of {task['n']} of {label}, below {SAME_ANSWERS:.0%}"
        for label, task in found["tasks"].items()
        if not agrees(task)
    ]
