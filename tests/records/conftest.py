"""What tests of records share: made-up records as typed ones, written, and read back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bench.records.file import decode, record_path, sealed, write
from bench.records.selection import Selection, Wanted, select
from bench.records.store import read
from bench.records.types import Record


def typed(content: dict[str, Any]) -> Record:
    return decode(sealed(content).encode())


def written(results: Path, content: dict[str, Any]) -> Path:
    """Write a record as the tool does, sealed."""
    record = typed(content)
    path = record_path(results, record.machine.id, record.commit, "", record.variant, record.round)
    write(record, path)
    return path


def why_left_out(results: Path) -> str:
    sound, left_out = read(results)
    assert sound == []
    assert len(left_out) == 1
    return left_out[0].why


def chosen_of(results: Path, wanted: Wanted | None = None) -> Selection:
    chosen = select(read(results)[0], wanted or Wanted(), results)
    assert chosen is not None
    return chosen
