"""Records that had no room in the results: they are kept in the cache, and moved to the results when there is room."""

from __future__ import annotations

from pathlib import Path

from bench.records.file import put, read, text_of
from bench.records.types import Record
from variants.errors import UserError


def write(record: Record, path: Path, kept: Path) -> str:
    """Write a record to `path`, or to `kept` where that is not possible; return what to say of it, empty for nothing.

    An `ok` record that is there stays: one of the same cell, of another sweep, makes this one needless.

    Raises ValueError for a number that is not finite, UserError where neither place takes the record.
    """
    text = text_of(record)
    try:
        aside = put(text, path)
    except OSError as error:
        if _is_of(path, record):
            return ""
        why = error.strerror
    else:
        return f"{path}: it was no sound record, and is {aside.name} now" if aside else ""
    try:
        put(text, kept)
    except OSError as error:
        raise UserError(
            f"{path}: the record cannot be written ({why}), nor can {kept} ({error.strerror}); make room and run again"
        ) from None
    return f"{path}: the record cannot be written ({why}); it is kept as {kept}, and the next run moves it"


def move(folder: Path, results: Path) -> tuple[list[Path], list[str]]:
    """Move the records that are kept in `folder` to the results; return where they are now, and why others stay."""
    moved, stay = [], []
    for kept in sorted(folder.glob("*/*/*.json")):
        path, record = results / kept.relative_to(folder), read(kept)
        try:
            if record is None:
                raise OSError(0, "it is no sound record")
            if not _is_of(path, record):
                put(kept.read_text(encoding="utf-8"), path)
            kept.unlink()
            moved.append(path)
        except OSError as error:
            stay.append(f"{kept}: not moved to {path} ({error.strerror})")
    return moved, stay


def _is_of(path: Path, record: Record) -> bool:
    """Return whether a file is an `ok` record of the same cell, or of any where this one failed."""
    there = read(path)
    return there is not None and not there.failed and (there.cell == record.cell or record.failed)
