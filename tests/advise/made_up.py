"""Sweeps with exact numbers: how many of the questions are right, how long a request takes, how large a variant is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from bench.advise.advice import Advice, advise
from bench.advise.requirements import requirements_of
from bench.records.file import decode, sealed
from bench.records.questions import Questions
from bench.selftest import raw_values, records
from bench.summary.rows import Summary
from bench.summary.summarize import summarize

TUNED = ("source", "lora", "merge", "gguf")
STEPS: dict[str, tuple[str, ...]] = {
    "base": ("source", "gguf"),
    "quantized": ("source", "gguf", "q4"),
    "tuned": TUNED,
    "both": (*TUNED, "q4"),
    "qlora": ("source", "nf4", "lora", "merge", "gguf", "q4"),
    "control": ("source",),
}


@dataclass(frozen=True)
class V:
    """A variant: what it is, its size in MB, the ms of its requests, and how many of 1,000 it answers right.

    The ms are one number, or one of each round.
    `moved` answers more are right, and that many wrong, than `hr` and `general` say. It `failed` in all rounds, or in
    the round `failed_in` alone.
    """

    kind: str
    mb: float | None = 8.0
    ms: float | Sequence[float] | None = 100.0
    hr: int | None = 300
    general: int | None = 900
    memory_mb: float | None = None
    training_mb: float = 700.0
    failed: str = ""
    failed_in: int | None = None
    shuffled: int = 0
    moved: tuple[int, int] = (0, 0)


BASE, QUANT = V("base"), V("quantized", mb=2.5)
TUNED_V, BOTH = V("tuned", hr=940), V("both", mb=2.5, hr=940)


def but(variant: V, **changes: object) -> V:
    """Return a variant with some of its numbers changed."""
    return replace(variant, **changes)  # type: ignore[arg-type]


def summary_of(
    variants: Mapping[str, V],
    requests: int = 600,
    rounds: int = 3,
    questions: int = 1000,
    domain: str | None = "hr",
    per: int = 1000,
    limit: int | None = None,
) -> Summary:
    """Summarize a sweep of these variants; `requests` and `questions` are all that each was asked.

    `limit` is the `accuracy.limit` of a trial run.
    """
    made = []
    for number in range(rounds):
        for name, variant in variants.items():
            record = _record(name, variant, number, requests // rounds, questions, per)
            record["config"]["measures"]["accuracy"]["limit"] = limit
            made.append(decode(sealed(record).encode()))
    roles = Questions(general_task="general", domain_task=domain)
    return summarize(made, {"embedded": roles})


def advice_of(variants: Mapping[str, V], requirements: Mapping[str, object], **sweep: object) -> Advice:
    """Return the advice on a sweep of these variants."""
    return advise(summary_of(variants, **sweep), requirements_of(requirements), "mine")  # type: ignore[arg-type]


def _record(name: str, variant: V, number: int, requests: int, questions: int, per: int) -> dict[str, Any]:
    runtime = "transformers" if variant.kind == "control" else "llamacpp"
    size = int((variant.mb or 1.0) * 1e6)
    made = records.record(name, number, requests=1, spec=(STEPS[variant.kind], runtime, size, 1.0, 0.5, 0.5))
    measures: dict[str, object] = {}
    if variant.mb is not None:
        measures["size"] = {"size_bytes": size}
    if variant.memory_mb is not None:
        measures["memory"] = {"peak_resident_bytes": int(variant.memory_mb * 1e6), "peak_device_bytes": None}
    if variant.ms is not None and requests:
        ms = variant.ms if isinstance(variant.ms, (int, float)) else variant.ms[number]
        measures["latency"] = _latency(ms, requests)
    tasks = {"general": variant.general, "hr": variant.hr}
    asked = {
        task: _answers(task, n, questions, variant.shuffled, per, variant.moved)
        for task, n in tasks.items()
        if n is not None
    }
    if number == 0 and asked and questions:
        measures["accuracy"] = asked
    made |= {"measures": measures}
    for step in made["lineage"]:
        if step["step"] == "lora":
            step["build_peak_bytes"] = int(variant.training_mb * 1e6)
    if variant.failed and variant.failed_in in (None, number):
        error = {"stage": "build", "message": variant.failed}
        made |= {"status": "failed", "lineage": [], "artifact": None, "session": None, "measures": {}, "error": error}
    return made


def _latency(ms: float, requests: int) -> dict[str, object]:
    """Make requests that take about as long as each other: within 2 % of one another."""
    e2e = [ms * (0.98 + 0.02 * i / requests) for i in range(requests)]
    return {
        "loop": "closed", "output_tokens": 32, "e2e_ms": e2e, "ttft_ms": [x / 10 for x in e2e],
        "tpot_ms": [x / 40 for x in e2e], "prompt_tokens": [8] * len(e2e),
    }  # fmt: skip


def _answers(
    task: str, right_of_1000: int, n: int, shuffled: int, per: int, moved: tuple[int, int]
) -> dict[str, object]:
    """Make answers of which the first are right; `shuffled` of them are right elsewhere instead."""
    k = round(right_of_1000 * n / per)
    is_right = [i < k for i in range(n)]
    for i in range(shuffled):
        is_right[i], is_right[n - 1 - i] = is_right[n - 1 - i], is_right[i]
    gained, lost = moved
    is_right = [i >= lost and (right or i < k + gained) for i, right in enumerate(is_right)]
    return {
        **raw_values.asked(task, n),
        "subject": [task] * n,
        "gold": [0] * n,
        "picked": [0 if right else 1 for right in is_right],
        "loglik": [[-1.0, -2.0] if right else [-2.0, -1.0] for right in is_right],
    }
