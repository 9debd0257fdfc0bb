"""How many tokens of a prompt are evaluated in a second, for each length of prompt."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bench.metrics import identity
from bench.metrics.metric import Identity, Metric, Records, Rounds
from bench.records.types import Record
from bench.stats.estimates import Estimate, least_n, percentile_estimate

MEASURE = "prefill"
MEDIAN = 0.5


def lengths(records: Records) -> Sequence[str]:
    """Return each length of prompt that was timed, the shortest first."""
    each = {length for record in records if (one := record.prefill) for length in one.prompt_tokens}
    return [f"{length} tokens" for length in sorted(each)]


def _seconds_per_token(records: Records, task: str) -> list[list[float]]:
    """Return a list per round that timed prompts of this length."""
    rounds = []
    for record in records:
        if one := record.prefill:
            pairs = zip(one.prompt_tokens, one.seconds, strict=True)
            rounds.append([seconds / length for length, seconds in pairs if f"{length} tokens" == task])
    return [seconds for seconds in rounds if seconds]


def _tokens_per_s(records: Records, task: str = "") -> Estimate | None:
    """Return the tokens of a prompt by the median of its seconds."""
    rounds = _seconds_per_token(records, task)
    if not rounds:
        return None
    each = percentile_estimate(np.concatenate(rounds), MEDIAN)
    low, high = (None if end is None else 1 / end for end in (each.high, each.low))
    return Estimate(1 / each.value, low, high, each.n)


def _rounds(records: Records, task: str = "") -> Rounds | None:
    rounds = _seconds_per_token(records, task)
    return Rounds(rounds, "seconds", MEDIAN, least_n(MEDIAN), reciprocal=True) if rounds else None


def _identity(record: Record, task: str = "") -> Identity:
    """Name the machine, its cards and the prompts: which tokens they are of."""
    asked = record.config.measures.get(MEASURE) or {}
    return {**identity.machine(record), **identity.cards(record), f"{MEASURE}.seed": identity.stated(asked.get("seed"))}


METRICS = (
    Metric(
        "prefill_tokens_per_s", "Prefill", "tokens/s", MEASURE, _tokens_per_s, _identity,
        better="higher", limit=0.05, test="rounds", sample=_rounds, tasks=lengths, column="prefill, tokens/s",
    ),
)  # fmt: skip
