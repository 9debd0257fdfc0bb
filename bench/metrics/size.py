"""What an artifact takes on disk."""

from __future__ import annotations

from functools import partial

from bench.metrics import identity
from bench.metrics.metric import Metric, Records
from bench.stats.estimates import Estimate


def _first(records: Records, name: str) -> Estimate | None:
    """Return a number of the first round that has it: all rounds measure the same bytes."""
    values = (getattr(record.size, name) for record in records if record.size)
    return next((Estimate(value) for value in values if value is not None), None)


METRICS = (
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
