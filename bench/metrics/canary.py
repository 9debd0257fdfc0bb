"""The machine check (canary): how fast the machine itself was, before and after each cell."""

from __future__ import annotations

import statistics
from collections.abc import Iterator

from bench.metrics.metric import Records
from bench.records.types import Record

BANDWIDTH = "copy_gb_s"
"""The reading that latencies are compared with: decoding is as fast as memory can be read."""
DEVICE_BANDWIDTH = "device_copy_gb_s"
"""The same of a card's own memory; only cells that ran on a GPU have it."""


def bandwidth_of(record: Record) -> str:
    """Return the reading of the memory that a record's model was read from: the CPU's, or the card's own."""
    return DEVICE_BANDWIDTH if (record.session or {}).get("device") == "cuda" else BANDWIDTH


def readings(records: Records) -> Iterator[tuple[Record, str, float]]:
    """Yield each reading that timings are judged by: its record, its name (such as `copy_gb_s`) and its value.

    Where a cell ran on a card whose bandwidth was read, that counts alone: other programs may use the CPU beside it.
    """
    for record in records:
        taken = [pair for reading in (record.canary or {}).values() for pair in (reading or {}).items()]
        of_card = [pair for pair in taken if pair[0] == DEVICE_BANDWIDTH == bandwidth_of(record)]
        yield from ((record, name, value) for name, value in of_card or taken)


def medians(records: Records) -> dict[str, float]:
    """Return the median of each reading over all cells, before and after: one slow spell moves it little."""
    values: dict[str, list[float]] = {}
    for _, name, value in readings(records):
        values.setdefault(name, []).append(value)
    return {name: statistics.median(several) for name, several in values.items()}
