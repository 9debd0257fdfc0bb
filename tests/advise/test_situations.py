"""The decision in every situation that the matrix, the limits and the gaps of a sweep can make: one table."""

from __future__ import annotations

from typing import Any

import pytest

from bench.report.advice.answer import sentence
from tests.advise.made_up import BASE, BOTH, QUANT, TUNED_V, V, advice_of, but

FAST = {"max_p99_ms": 200}
DOMAIN = {"quality": {"hr": {"at_least": 0.6}}}
KEEPS = {"quality": {"hr": {"keeps": 0.98, "of": "fine-tuned"}}}
SMALL = {"max_size_gb": 0.005}
ALL = {**FAST, "quality": {"domain": {"at_least": 0.6, "keeps": 0.98, "of": "fine-tuned"}}}
FOUR = {"b": BASE, "q": QUANT, "f": TUNED_V, "fq": BOTH}
SLOW, BIG = {"ms": 300.0}, {"mb": 8.0}

# what: variants, requirements, how they were measured → exit code, row of the matrix, choice, the answer
TABLE: dict[str, tuple[dict[str, V], dict[str, Any], dict[str, Any], int, str, str | None, str]] = {
    # the rows of the matrix
    "too slow: quantize": (
        {"b": but(BASE, **SLOW), "q": QUANT}, FAST, {}, 0, "slow",
        "q",
        "Ship q: it answers like the full model at 31 % of its size.",
    ),
    "does not fit: Q4": ({"b": BASE, "q": QUANT}, SMALL, {}, 0, "big", "q",
        "Ship q: it answers like the full model at 31 % of its size."),
    "too slow and too big: quantize": (
        {"b": but(BASE, **SLOW), "q": QUANT}, {**FAST, **SMALL}, {}, 0, "big", "q",
        "Ship q: it answers like the full model at 31 % of its size.",
    ),
    "wrong domain: fine-tune": ({"b": BASE, "f": TUNED_V}, DOMAIN, {}, 0, "wrong", "f",
        "Ship f: it alone is shown to meet every limit."),
    "wrong domain, quantized too": (FOUR, ALL, {}, 0, "wrong", "fq",
        "Ship fq: it answers like the full fine-tune at 31 % of its size."),
    "wrong and slow: both": (
        {"b": but(BASE, **SLOW), "f": but(TUNED_V, **SLOW), "fq": BOTH}, ALL, {}, 0, "both", "fq",
        "Ship fq: it answers like the full fine-tune at 31 % of its size.",
    ),
    "wrong and big: both": (FOUR, {**DOMAIN, **SMALL}, {}, 0, "both", "fq",
        "Ship fq: it answers like the full fine-tune at 31 % of its size."),
    "phone": (FOUR, {**ALL, **SMALL, "target": "phone"}, {}, 0, "phone", "fq",
        "Ship fq: it answers like the full fine-tune at 31 % of its size."),
    "short of training memory: QLoRA": (
        {"b": BASE, "f": but(TUNED_V, training_mb=9000), "ql": but(BOTH, kind="qlora", training_mb=900)},
        {**DOMAIN, "max_training_memory_gb": 2}, {}, 0, "training memory", "ql",
        "Ship ql: it alone is shown to meet every limit.",
    ),
    "nothing is wrong": ({"b": BASE, "q": QUANT}, FAST, {}, 0, "none", "q",
        "Ship q: it answers like the full model at 31 % of its size."),
    "the row is open": ({"b": but(BASE, hr=600), "f": TUNED_V}, DOMAIN, {}, 0, "open", "f",
        "Ship f: it alone is shown to meet every limit."),
    "no base": ({"f": TUNED_V, "fq": BOTH}, DOMAIN, {}, 0, "open", "fq",
        "Ship fq: it answers like the full fine-tune at 31 % of its size."),
    # nothing qualifies, and whether the matrix's answer was tried
    "all too slow": (
        {"b": but(BASE, **SLOW), "q": but(QUANT, **SLOW)}, FAST, {}, 1, "slow", None,
        "Nothing meets your limits: all 2 variants miss E2E P99 ≤ 200 ms.",
    ),
    "wrong, and no fine-tune": (
        {"b": BASE, "q": QUANT}, DOMAIN, {}, 1, "wrong", None,
        "Nothing meets your limits: all 2 variants miss hr ≥ 60 %.",
    ),
    "each misses another limit": (
        {"b": BASE, "f": but(TUNED_V, **SLOW)}, {**DOMAIN, **FAST}, {}, 1, "wrong", None,
        "Nothing meets your limits: each of the 2 variants misses one.",
    ),
    "all too big": (
        {"b": BASE, "q": but(QUANT, mb=6.0)}, SMALL, {}, 1, "big", None,
        "Nothing meets your limits: all 2 variants miss size ≤ 5.00 MB.",
    ),
    "one variant, and it fails": (
        {"b": BASE}, {**DOMAIN, **SMALL}, {}, 1, "both", None,
        "Nothing meets your limits: b, the only variant measured, misses size ≤ 5.00 MB and hr ≥ 60 %.",
    ),
    "one variant, and it passes": ({"b": BASE}, FAST, {}, 0, "none", "b",
        "Ship b: it meets every limit; no other variant was measured."),
    "one variant, undecided": ({"b": but(BASE, hr=600)}, DOMAIN, {}, 2, "open", None,
        "Not decided: hr ≥ 60 % is open for b: it is too near the limit to decide."),
    "a control is never shipped": (
        {"b": BASE, "c": V("control", hr=990)}, DOMAIN, {}, 1, "wrong", None,
        "Nothing meets your limits: b, the only variant measured, misses hr ≥ 60 %.",
    ),
    # boundaries
    "a size at the limit fits": ({"b": but(BASE, mb=5.0)}, SMALL, {}, 0, "none", "b",
        "Ship b: it meets every limit; no other variant was measured."),
    "a byte over does not": ({"b": but(BASE, mb=5.000001)}, SMALL, {}, 1, "big", None,
        "Nothing meets your limits: b, the only variant measured, misses size ≤ 5.00 MB."),
    "memory at the limit fits": (
        {"b": but(BASE, memory_mb=5.0)}, {"max_memory_gb": 0.005}, {}, 0, "none", "b",
        "Ship b: it meets every limit; no other variant was measured.",
    ),
    "memory over it does not": (
        {"b": but(BASE, memory_mb=5.1)}, {"max_memory_gb": 0.005}, {}, 1, "big", None,
        "Nothing meets your limits: b, the only variant measured, misses memory ≤ 5.00 MB.",
    ),
    "a latency just inside the limit": ({"b": but(BASE, ms=199.9)}, FAST, {}, 0, "none", "b",
        "Ship b: it meets every limit; no other variant was measured."),
    "a latency at the limit": ({"b": but(BASE, ms=200.0)}, FAST, {}, 2, "open", None,
        "Not decided: E2E P99 ≤ 200 ms is open for b; about 4 rounds would decide."),
    "a latency outside it": ({"b": but(BASE, ms=206.0)}, FAST, {}, 1, "slow", None,
        "Nothing meets your limits: b, the only variant measured, misses E2E P99 ≤ 200 ms."),
    "a latency across the limit": ({"b": but(BASE, ms=201.0)}, {"max_p50_ms": 199}, {}, 2, "open", None,
        "Not decided: E2E P50 ≤ 199 ms is open for b; about 8 rounds would decide."),
    "366 requests have no P99": ({"b": BASE}, FAST, {"requests": 366}, 2, "open", None,
        "Not decided: E2E P99 ≤ 200 ms is open for b; about 368 requests would decide."),
    "369 requests have one": ({"b": BASE}, FAST, {"requests": 369}, 0, "none", "b",
        "Ship b: it meets every limit; no other variant was measured."),
    "few requests can show a miss": ({"b": but(BASE, ms=900.0)}, FAST, {"requests": 300}, 1, "slow", None,
        "Nothing meets your limits: b, the only variant measured, misses E2E P99 ≤ 200 ms."),
    "one slow round of three": (
        {"b": but(BASE, ms=[100.0, 105.0, 201.0])}, {"max_p50_ms": 190}, {}, 2, "open", None,
        "Not decided: E2E P50 ≤ 190 ms is open for b; about 7 rounds would decide.",
    ),
    "rounds that differ, all far inside": (
        {"b": but(BASE, ms=[10.0, 12.0, 14.0])}, {"max_p50_ms": 190}, {}, 0, "none", "b",
        "Ship b: it meets every limit; no other variant was measured.",
    ),
    "two rounds that differ, all inside": (
        {"b": but(BASE, ms=[100.0, 140.0])}, {"max_p50_ms": 190}, {"rounds": 2}, 2, "open", None,
        "Not decided: E2E P50 ≤ 190 ms is open for b; about 4 rounds would decide.",
    ),
    "one round decides no latency": ({"b": BASE}, FAST, {"rounds": 1}, 2, "open", None,
        "Not decided: E2E P99 ≤ 200 ms is open for b; about 3 rounds would decide."),
    "one round decides a size": ({"b": QUANT}, SMALL, {"rounds": 1}, 0, "open", "b",
        "Ship b: it meets every limit; no other variant was measured."),
    "a share just above the minimum": ({"b": but(BASE, hr=632)}, DOMAIN, {}, 0, "none", "b",
        "Ship b: it meets every limit; no other variant was measured."),
    "a share that may be below it": (
        {"b": but(BASE, hr=625)}, DOMAIN, {}, 2, "open", None,
        "Not decided: hr ≥ 60 % is open for b; about 1,482 questions would decide.",
    ),
    "exactly the minimum": (
        {"b": but(BASE, hr=600)}, DOMAIN, {}, 2, "open", None,
        "Not decided: hr ≥ 60 % is open for b: it is too near the limit to decide.",
    ),
    "a loss inside the margin": (
        {"b": BASE, "f": TUNED_V, "fq": but(BOTH, hr=932)}, KEEPS, {}, 0, "wrong", "fq",
        "Ship fq: it answers like the full fine-tune at 31 % of its size.",
    ),
    "a loss across the margin": (
        {"b": BASE, "f": TUNED_V, "fq": but(BOTH, hr=925)}, KEEPS, {}, 0, "wrong", "f",
        "Ship f: it alone is shown to meet every limit.",
    ),
    "a loss beyond the margin": (
        {"b": BASE, "f": TUNED_V, "fq": but(BOTH, hr=880)}, KEEPS, {}, 0, "wrong", "f",
        "Ship f: it alone is shown to meet every limit.",
    ),
    "forgotten": (
        {"b": BASE, "f": but(TUNED_V, general=800)}, {**DOMAIN, "not_forgotten": {"task": "general",
        "margin": 0.02}}, {},
        1, "wrong", None,
        "Nothing meets your limits: each of the 2 variants misses one.",
    ),
    "not forgotten": (
        {"b": BASE, "f": but(TUNED_V, general=898)}, {**DOMAIN, "not_forgotten": {"task": "general",
        "margin": 0.02}}, {},
        0, "wrong", "f",
        "Ship f: it alone is shown to meet every limit.",
    ),
    "perhaps forgotten": (
        {"b": BASE, "f": but(TUNED_V, general=885)}, {**DOMAIN, "not_forgotten": {"task": "general",
        "margin": 0.02}}, {}, 2, "wrong", None,
        "Not decided: general loses ≤ 2 pt of base is open for f; about 2,396 questions would decide.",
    ),
    # limits that contradict each other on these variants: no variant has both
    "right answers only where it is too big": (
        {"b": BASE, "f": TUNED_V, "fq": but(BOTH, hr=500)}, {**DOMAIN, **SMALL}, {}, 1, "both", None,
        "Nothing meets your limits: each of the 3 variants misses one.",
    ),
    "quick only where it is wrong": (
        {"b": BASE, "q": QUANT, "f": but(TUNED_V, **SLOW), "fq": but(BOTH, **SLOW)}, ALL, {}, 1, "wrong", None,
        "Nothing meets your limits: each of the 4 variants misses one.",
    ),
    # which of those that qualify
    "equal answers: the smallest": (FOUR, DOMAIN, {}, 0, "wrong", "fq",
        "Ship fq: it answers like the full fine-tune at 31 % of its size."),
    "smaller but worse": (
        {"b": BASE, "f": TUNED_V, "fq": but(BOTH, hr=700)}, DOMAIN, {}, 0, "wrong", "f",
        "Ship f: it answers most of hr, and no smaller one is shown to do as well.",
    ),
    "too few questions to choose": (
        {"b": BASE, "f": TUNED_V, "fq": but(BOTH, shuffled=2)}, DOMAIN, {"questions": 100}, 0, "wrong", "f",
        "Too few questions to choose between f and fq: f is the safe choice.",
    ),
    "equal sizes: more right answers": (
        {"f": TUNED_V, "x": BOTH, "y": but(BOTH, mb=2.501, hr=941)}, DOMAIN, {}, 0, "open", "y",
        "Ship y: it answers like the full fine-tune at 31 % of its size.",
    ),
    "no task: the smallest": (
        {"b": but(BASE, hr=None, general=None), "q": but(QUANT, hr=None, general=None)}, FAST, {}, 0, "none", "q",
        "Ship q: it is the smallest of the 2 that meet every limit.",
    ),
    "the general task decides without a domain": (
        {"b": BASE, "q": but(QUANT, general=700)}, FAST, {"domain": None}, 0, "none", "b",
        "Ship b: it answers most of general, and no smaller one is shown to do as well.",
    ),
    "kept of a variant by name": (
        {"b": BASE, "q": but(QUANT, hr=250)}, {"quality": {"hr": {"keeps": 0.95, "of": "b"}}}, {}, 0, "none", "b",
        "Ship b: it alone is shown to meet every limit.",
    ),
    # what is missing
    "no latency": (
        {"b": but(BASE, ms=None)}, FAST, {}, 2, "open", None,
        "Not decided: E2E P99 ≤ 200 ms was not measured of b.",
    ),
    "no size": ({"b": but(BASE, mb=None)}, SMALL, {}, 2, "open", None,
        "Not decided: size ≤ 5.00 MB was not measured of b."),
    "no memory": ({"b": BASE}, {"max_memory_gb": 1}, {}, 2, "open", None,
        "Not decided: memory ≤ 1.00 GB was not measured of b."),
    "no such task": ({"b": BASE}, {"quality": {"law": {"at_least": 0.5}}}, {}, 2, "open", None,
        "Not decided: law ≥ 50 % was not measured of b."),
    "no fine-tune to compare with": (
        {"b": BASE}, KEEPS, {}, 2, "open", None,
        "Not decided: hr keeps 98 % of fine-tuned was not measured of b.",
    ),
    "no variant of that name": (
        {"b": BASE}, {"quality": {"hr": {"keeps": 0.98, "of": "x"}}}, {}, 2, "open", None,
        "Not decided: hr keeps 98 % of x was not measured of b.",
    ),
    "a failed cell": (
        {"b": but(BASE, failed="no memory")}, FAST, {}, 2, "open", None,
        "Not decided: E2E P99 ≤ 200 ms was not measured of b.",
    ),
    "one failed, another qualifies": (
        {"b": but(BASE, failed="no memory"), "q": QUANT}, FAST, {}, 0, "open", "q",
        "Ship q: it alone is shown to meet every limit.",
    ),
    "training memory that nobody measured": (
        {"b": BASE, "f": but(TUNED_V, training_mb=0)}, {**DOMAIN, "max_training_memory_gb": 2}, {}, 2, "wrong", None,
        "Not decided: training memory ≤ 2.00 GB was not measured of f.",
    ),
    "a trial run": ({"b": BASE, "q": QUANT}, FAST, {"limit": 20, "questions": 20}, 2, "none", None,
        "A trial run decides nothing: it asked at most 20 questions of each task."),
    "one fails, another is open": (
        {"b": but(BASE, **SLOW), "q": but(QUANT, ms=None)}, FAST, {}, 2, "slow", None,
        "Not decided: E2E P99 ≤ 200 ms was not measured of q.",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", TABLE)
def test_the_decision(what: str) -> None:
    variants, requirements, sweep, code, row, ship, text = TABLE[what]
    advice = advice_of(variants, requirements, **sweep)
    answer = sentence(advice)
    assert (advice.exit_code, advice.situation.row.name, advice.ship and advice.ship.name) == (code, row, ship), answer
    assert answer == text


def test_the_table_has_at_least_forty_situations() -> None:
    assert len(TABLE) >= 40
