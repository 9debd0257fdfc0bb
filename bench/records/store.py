"""Read the records under a folder, and name the files that are no sound records."""

from __future__ import annotations

import errno
import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.records.content import UNSOUND, why_unsound
from bench.records.schema import parse
from bench.records.types import Record
from bench.terminal import printable

RECORDS = "*.r*.json"


@dataclass(frozen=True)
class LeftOut:
    """A file that is no sound record, and why."""

    path: Path
    why: str

    def __str__(self) -> str:
        return printable(f"{self.path}: {self.why}")


def read(path: Path | str = "results", label: str = "*") -> tuple[list[Record], list[LeftOut]]:
    """Read the records under a folder; return them, and each file that was left out with the reason.

    `label` is a pattern of the folders of commits, such as `0123456789ab*`: only those are opened.
    """
    records: list[tuple[Path, Record]] = []
    left_out = []
    for file in sorted(Path(path).glob(f"*/{label}/{RECORDS}")):
        try:
            records.append((file, parse(file)))
        except UNSOUND as error:
            left_out.append(LeftOut(file, why_unsound(error)))
    for folder in sorted({*Path(path).glob("*"), *Path(path).glob(f"*/{label}")}):
        if folder.is_dir() and not os.access(folder, os.R_OK | os.X_OK):
            left_out.append(LeftOut(folder, os.strerror(errno.EACCES)))
    mixed = _mixed(records)
    return [record for file, record in records if file not in mixed], left_out + list(mixed.values())


def _mixed(records: Sequence[tuple[Path, Record]]) -> dict[Path, LeftOut]:
    """Return the rounds of variants whose rounds measured different artifacts: nothing shows which one is meant."""
    rounds: dict[tuple[str, ...], list[tuple[Path, Record]]] = defaultdict(list)
    for file, record in records:
        if not record.failed:
            rounds[record.machine.id, record.label, record.sweep, record.variant].append((file, record))
    mixed = {}
    for same in rounds.values():
        fingerprints = {str(record.fingerprint)[:12] for _, record in same}
        for file, _ in same if len(fingerprints) > 1 else ():
            why = f"artifact: the rounds of this variant measured different ones: {' / '.join(sorted(fingerprints))}"
            mixed[file] = LeftOut(file, why)
    return mixed
