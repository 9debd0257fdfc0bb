"""Reads records back: as they are, as one tidy table, or those of one sweep."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.records.file import state_label
from bench.records.schema import parse

if TYPE_CHECKING:
    pass


@dataclass(frozen=True)
class LeftOut:
    """A file that is no sound record, and why."""

    path: Path
    why: str

    def __str__(self) -> str:
        return f"{self.path}: {self.why}"


@dataclass(frozen=True)
class Record:
    """One record as it was read: a variant measured once, in one round."""

    path: Path
    data: dict[str, Any]

    @property
    def variant(self) -> str:
        """Return the name of the variant."""
        return str(self.data["variant"])

    @property
    def round(self) -> int:
        """Return the number of the round, from 0."""
        return int(self.data["round"])

    @property
    def label(self) -> str:
        """Return the commit and its state as the folder of the record is called."""
        return state_label(self.data["commit"])

    @property
    def fingerprint(self) -> str | None:
        """Return the identity of the artifact that was measured, None where there was none."""
        return (self.data["artifact"] or {}).get("fingerprint")

    @property
    def failed(self) -> bool:
        """Say whether the cell ended in an error."""
        return bool(self.data["status"] != "ok")

    @property
    def sha(self) -> str:
        """Return the commit in full, `no-commit` where there was no repository."""
        return str(self.data["commit"]["sha"] or "no-commit")

    @property
    def dirty(self) -> bool:
        """Say whether the working tree differed from the commit."""
        return bool(self.data["commit"].get("dirty"))

    @property
    def machine(self) -> str:
        """Return the short name of the machine."""
        return str(self.data["machine"]["id"])

    @property
    def sweep(self) -> str:
        """Return the name of the sweep: suite, model, and a digest of what was overridden."""
        return str(self.data.get("sweep") or "unnamed")

    @property
    def started_at(self) -> str:
        """Return when the cell began, ISO 8601."""
        return str(self.data["started_at"])

    @property
    def runtime(self) -> str:
        """Return the runtime the variant asks for."""
        return str(self.data["config"]["variant"]["runtime"])

    @property
    def steps(self) -> tuple[str, ...]:
        """Return the names of the steps, in order."""
        return tuple(self.data["config"]["variant"]["steps"])

    @property
    def measures(self) -> dict[str, Any]:
        """Return what was measured; a measure that was not is absent."""
        measures: dict[str, Any] = self.data["measures"]
        return measures

    @property
    def source(self) -> str | None:
        """Return the fingerprint of the model the variant starts from, None where nothing was built."""
        lineage = self.data.get("lineage") or [{}]
        fingerprint: str | None = lineage[0].get("fingerprint")
        return fingerprint


def read(path: Path | str = "results", label: str = "*") -> tuple[list[Record], list[LeftOut]]:
    """Read the records under a folder, and say of each file that was left out why.

    `label` is a pattern of the folders of commits, such as `0123456789ab*`: only those are opened.
    """
    records, left_out = [], []
    for file in sorted(Path(path).glob(f"*/{label}/*.r*.json")):
        try:
            records.append(Record(file, parse(file)))
        except (OSError, ValueError) as error:
            left_out.append(LeftOut(file, " ".join(str(error).split())))
    mixed = _mixed(records)
    return [record for record in records if record.path not in mixed], left_out + list(mixed.values())


def _mixed(records: Sequence[Record]) -> dict[Path, LeftOut]:
    """Name the rounds of a variant that measured different artifacts: which of them is meant cannot be told."""
    rounds: dict[tuple[str, ...], list[Record]] = defaultdict(list)
    for record in records:
        if not record.failed:
            rounds[record.machine, record.label, record.sweep, record.variant].append(record)
    found = {}
    for same in rounds.values():
        prints = {str(record.fingerprint)[:12] for record in same}
        for record in same if len(prints) > 1 else ():
            why = f"artifact: the rounds of this variant measured different ones: {' / '.join(sorted(prints))}"
            found[record.path] = LeftOut(record.path, why)
    return found
