"""The strict reading of one record file: all its values have their types, and it lies where it belongs.

What each key means stands in `results/README.md`. Whatever is wrong is a ValueError that says it in one line.
"""

from __future__ import annotations

from pathlib import Path

from bench.records.file import decode
from bench.records.types import Record


def parse(path: Path) -> Record:
    """Read one record file in full. Raises OSError, or ValueError for what is no sound record."""
    record = decode(path.read_bytes())
    _check_place(path, record)
    _ = record.size, record.latency, record.memory, record.answers, record.divergence
    return record


def _check_place(path: Path, record: Record) -> None:
    """Compare the path with the content: a file that was moved or copied would be counted as another's."""
    label = record.label
    old = label.partition("-dirty")[0] + "-dirty"  # how dirty states were kept before each had a folder of its own
    name, _, round_ = path.name.removesuffix(".json").rpartition(".r")
    places = (
        ("machine", record.machine.id, path.parent.parent.name, ()),
        ("commit", label, path.parent.name, (old,) if record.commit.dirty else ()),
        ("variant", record.variant, name, (f"{record.variant}~{record.sweep}",)),
        ("round", str(record.round), round_, ()),
    )
    for what, stated, placed, allowed in places:
        if placed not in (stated, *allowed):
            raise ValueError(f"{what}: the record says {stated}, its path {placed}: a file from elsewhere")
