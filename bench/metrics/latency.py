"""The percentiles of latencies, over the requests of all rounds."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np

from bench.metrics import identity
from bench.metrics.metric import Metric, Records, Rounds
from bench.stats.estimates import Estimate, least_n, percentile_estimate

NAMES = {"ttft": "TTFT", "tpot": "TPOT", "e2e": "E2E"}
"""Time to first token, time per output token after the first, request start to last token."""
JUDGED = {0.5: 0.05, 0.99: 0.10}
"""The limits of the percentiles that are judged; P90 is shown alone."""
PARTS = "latency parts"
"""The family of the parts of E2E (see `Metric.family`): that they are judged too takes no power from E2E."""


def blocks(records: Records, name: str) -> list[list[float]]:
    """Return one latency of every request in ms, one list per round that has any; `name` is ttft, tpot or e2e."""
    return [getattr(record.latency, f"{name}_ms") for record in records if record.latency]


def _percentile(records: Records, name: str, q: float) -> Estimate | None:
    timed = blocks(records, name)
    return percentile_estimate(np.concatenate(timed), q) if timed else None


def _rounds(records: Records, name: str, q: float) -> Rounds | None:
    timed = blocks(records, name)
    return Rounds(timed, f"{name}_ms", q, least_n(q)) if timed else None


def _tokens_per_s(records: Records) -> Estimate | None:
    """Return 1000 / TPOT P50 in ms: the tokens a second of a single stream."""
    tpot = _percentile(records, "tpot", 0.5)
    if tpot is None:
        return None
    low, high = (None if end is None else 1000 / end for end in (tpot.high, tpot.low))
    return Estimate(1000 / tpot.value, low, high, tpot.n)


def _tpot_rounds(records: Records) -> Rounds | None:
    timed = blocks(records, "tpot")
    return Rounds(timed, "tpot_ms", 0.5, least_n(0.5), reciprocal=True) if timed else None


def _percentiles() -> Iterator[Metric]:
    for name, title in NAMES.items():
        for q in (0.5, 0.9, 0.99):
            point = f"{100 * q:.0f}"
            yield Metric(
                f"{name}_p{point}_ms",
                f"{title} P{point}",
                "ms",
                "latency",
                partial(_percentile, name=name, q=q),
                identity.timed if name == "ttft" else identity.decoded,
                limit=JUDGED.get(q, 0.0),
                test="rounds" if q in JUDGED else None,
                sample=partial(_rounds, name=name, q=q),
                family="" if name == "e2e" else PARTS,
                column=f"{title} P{point}" if q in JUDGED else "",
                beside_base=f"Faster than base, E2E P{point}" if q in JUDGED and name == "e2e" else "",
            )


METRICS = (
    *_percentiles(),
    Metric(
        "tokens_per_s", "Tokens per second", "tokens/s", "latency", _tokens_per_s, identity.decoded,
        better="higher", limit=JUDGED[0.5], test="rounds", sample=_tpot_rounds, family=PARTS, column="Tokens/s",
    ),
)  # fmt: skip
