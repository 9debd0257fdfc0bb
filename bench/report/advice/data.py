"""An advice as plain data, for `bench advise --format json`: every number that the text is made of."""

from __future__ import annotations

from bench.advise.advice import Advice, Judged, Quantizing
from bench.advise.claims import Checked, checked
from bench.advise.judgement import Judgement
from bench.report.advice.answer import sentence
from bench.report.advice.next_steps import next_steps
from bench.report.advice.reasons import reasons
from bench.report.advice.rule import rule
from bench.report.advice.words import limit_text
from bench.terminal import printable

Data = dict[str, object]


def data_of(advice: Advice) -> Data:
    """Return the answer, the evidence and the rule; shares are of 1, times in ms, sizes in bytes."""
    return {
        "answer": sentence(advice),
        "exit_code": advice.exit_code,
        "requirements": advice.name,
        "ship": advice.ship and advice.ship.name,
        "runner_up": advice.runner_up and advice.runner_up.name,
        "best": advice.best and advice.best.name,
        "cheaper": [one.name for one in advice.cheaper],
        "dominated": dict(advice.dominated),
        "matrix": {
            "row": advice.situation.row.name,
            "situation": advice.situation.row.situation,
            "solution": advice.situation.row.solution,
            "problems": list(advice.situation.problems),
        },
        "task": advice.task,
        "margin": advice.margin,
        "variants": [_variant(one, candidate=True) for one in advice.variants]
        + [_variant(one, candidate=False) for one in advice.controls],
        "reasons": [{"topic": topic, "text": text} for topic, text in reasons(advice)],
        "rule": rule(advice),
        "next": next_steps(advice),
        "cost": {
            "serving": None,
            "training": {name: value and vars(value) for name, value in advice.training.items()},
        },
        "quantizing": advice.quantizing and _quantizing(advice.quantizing),
        "claims": [_claim(one) for one in checked(advice.summary)],
    }


def _quantizing(one: Quantizing) -> Data:
    """Return what quantizing does to the choice: how many times faster it is, and what reading the weights takes."""
    ratio, line = one.faster and one.faster.ratio, one.roofline
    return {
        "plain": one.plain.name,
        "quantized": one.quantized.name,
        "needed": one.needed,
        "skip": one.skip,
        "metric": one.metric and one.metric.name,
        "faster": ratio and ratio.value,
        "low": ratio and ratio.low,
        "high": ratio and ratio.high,
        "shown": bool(one.faster and one.faster.shown),
        "roofline": line and {**vars(line), "reading_ms": line.reading_ms, "launch_bound": line.launch_bound},
    }


def _claim(one: Checked) -> Data:
    """Return a claim and what was measured of it; a ratio, or of quality the share kept, with its interval."""
    measured, claim = one.measured, one.claim
    return {
        "title": claim.title,
        "metric": claim.metric,
        "before": claim.before,
        "after": claim.after,
        "claimed": list(claim.ends),
        "measured": measured and measured.value,
        "low": measured and measured.low,
        "high": measured and measured.high,
        "n": measured and measured.n,
        "measured_of_claimed": one.of_claimed and list(one.of_claimed),
        "holds": one.holds,
        "why": one.why,
        "source": claim.source,
    }


def _variant(one: Judged, *, candidate: bool) -> Data:
    return {
        "variant": one.name,
        "family": one.row.family.name,
        "candidate": candidate,
        "status": one.status,
        "size_bytes": one.row.value("size_bytes"),
        "limits": [_judgement(judgement) for judgement in one.judgements],
    }


def _judgement(judgement: Judgement) -> Data:
    limit = judgement.limit
    return {
        "limit": printable(limit_text(limit)),
        "kind": limit.kind,
        "metric": limit.metric,
        "unit": limit.unit,
        "status": judgement.status,
        "bound": judgement.bound,
        "value": judgement.value,
        "low": judgement.low,
        "high": judgement.high,
        "n": judgement.n,
        "needed": judgement.needed,
        "rounds": judgement.rounds,
        "needed_rounds": judgement.needed_rounds,
        "why": judgement.why,
    }
