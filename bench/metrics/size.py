"""What an artifact takes: seconds to build and to measure, which are shown and never judged, and bytes on disk."""

from __future__ import annotations

from functools import partial

from bench.metrics import identity
from bench.metrics.metric import Metric, Records
from bench.stats.estimates import Estimate


def _first(records: Records, name: str) -> Estimate | None:
    """Return a number of the first round that has it: all rounds measure the same bytes."""
    values = (getattr(record.size, name) for record in records if record.size)
    return next((Estimate(value) for value in values if value is not None), None)


def _seconds(records: Records, stage: str) -> Estimate | None:
    values = [record.seconds[stage] for record in records if stage in record.seconds]
    return Estimate(sum(values)) if values else None


METRICS = (
    *(
        Metric(f"{stage}_seconds", title, "s", "", partial(_seconds, stage=stage), identity.machine)
        for stage, title in (("build", "Time to build"), ("measure", "Time to measure"))
    ),
    Metric(
        "size_bytes", "Size", "byte", "size", partial(_first, name="size_bytes"), identity.model,
        limit=0.001, test="exact", column="Size", beside_base="Smaller than base",
    ),
    Metric(
        "n_parameters", "Parameters", "1", "size", partial(_first, name="n_parameters"), identity.model, better=None,
    ),
    Metric(
        "bits_per_weight", "Bits per weight", "bit", "size", partial(_first, name="bits_per_weight"), identity.model,
        column="Bits / weight",
    ),
)  # fmt: skip
