"""How long it took to build and to measure, over all rounds: shown, and never judged."""

from __future__ import annotations

from functools import partial

from bench.metrics import identity
from bench.metrics.metric import Metric, Records
from bench.stats.estimates import Estimate


def _seconds(records: Records, stage: str) -> Estimate | None:
    values = [record.seconds[stage] for record in records if stage in record.seconds]
    return Estimate(sum(values)) if values else None


METRICS = tuple(
    Metric(f"{stage}_seconds", title, "s", "", partial(_seconds, stage=stage), identity.machine)
    for stage, title in (("build", "Time to build"), ("measure", "Time to measure"))
)
