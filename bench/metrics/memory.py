"""The largest memory that serving took, over all rounds."""

from __future__ import annotations

from functools import partial

from bench.metrics import identity
from bench.metrics.metric import Metric, Records, Rounds
from bench.stats.estimates import Estimate


def _peaks(records: Records, name: str) -> list[float]:
    peaks = (getattr(record.memory, name) for record in records if record.memory)
    return [peak for peak in peaks if peak is not None]


def _largest(records: Records, name: str) -> Estimate | None:
    peaks = _peaks(records, name)
    return Estimate(max(peaks), n=len(peaks)) if peaks else None


def _rounds(records: Records, name: str) -> Rounds | None:
    """Return a block of one peak per round; their largest is the 1.0 percentile."""
    peaks = _peaks(records, name)
    return Rounds([[peak] for peak in peaks], name, 1.0) if peaks else None


METRICS = tuple(
    Metric(
        name, title, "byte", "memory", partial(_largest, name=name), same,
        limit=0.05, test="rounds", sample=partial(_rounds, name=name), column=title,
    )
    for name, title, same in (
        ("peak_resident_bytes", "Peak memory", identity.serving),
        ("peak_device_bytes", "Peak device memory", identity.memory),
    )
)  # fmt: skip
