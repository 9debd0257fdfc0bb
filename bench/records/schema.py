"""Read one record file strictly: every value has its type, and the path fits the content.

`results/README.md` describes every key. Any defect is a ValueError of one line.
"""

from __future__ import annotations

from pathlib import Path

from bench.records.content import content_of
from bench.records.file import decode
from bench.records.types import Record


def parse(path: Path) -> Record:
    """Read one record file in full. Raises OSError, or ValueError for what is no sound record."""
    record = decode(content_of(path))
    _check_place(path, record)
    _ = record.size, record.latency, record.prefill, record.memory, record.answers, record.divergence
    return record


def _check_place(path: Path, record: Record) -> None:
    """Compare the path with the content: a file that was moved or copied would count as a record of something else."""
    label = record.label
    old = label.partition("-dirty")[0] + "-dirty"  # older versions kept all dirty states of a commit in one folder
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
