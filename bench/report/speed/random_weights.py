"""What is said of a model whose weights are random."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from bench.records.types import Record
from bench.records.values import UNTRAINED

CHANGED = re.compile(r"model\.shape[.=](.+)")
UNSCORED = f"accuracy: {UNTRAINED}"
"""A warning of the records, which the line of a random model repeats."""


def is_random(records: Sequence[Record]) -> bool:
    """Say whether the weights are random in all of these records."""
    return bool(records) and all(record.config.model.shape for record in records)


def random_shapes(records: Sequence[Record]) -> Iterator[str]:
    """Yield for each model of random weights whose shape it has, and what its numbers can show."""
    models = {record.config.model.name: record.config for record in records if record.config.model.shape}
    for name, config in models.items():
        like = (config.model.shape or {}).get("like")
        changed = [match[1] for line in config.overrides if (match := CHANGED.fullmatch(line))]
        but = f", but with {', '.join(changed)}" if changed else ""
        text = f"size, memory and speed are those of any model of this shape; {UNSCORED}"
        yield f"{name} has random weights in the shape of {like}{but}: its {text}."
