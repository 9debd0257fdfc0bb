"""List the sweeps in `results/`, newest commit first, reading only the head of each record."""

from __future__ import annotations

import os
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from bench.machine import git
from bench.records.content import UNSOUND, open_regular, why_unsound
from bench.records.schema import parse
from bench.records.store import RECORDS, LeftOut
from bench.records.types import Commit

HEAD_BYTES = 4096
# Atomic groups: where keys stand many times and one is missing, every way to choose among them would be tried.
_HEAD = re.compile(
    rb'"schema":\s*1,(?>.*?"variant":\s*"(?P<variant>[^"]*)")(?>.*?"round":\s*(?P<round>\d{1,18}))'
    rb'(?>.*?"status":\s*"(?P<status>\w+)")'
    rb'(?>.*?"sweep":\s*"(?P<sweep>[^"]*)")(?>.*?"started_at":\s*"(?P<started_at>[^"]*)")'
    rb'(?>.*?"commit":\s*\{\s*"sha":\s*(?:null|"(?P<sha>\w+)"),\s*"dirty":\s*(?P<dirty>\w+),'
    rb'\s*"tree":\s*"(?P<tree>\w*)")'
    rb'(?>.*?"machine":\s*\{\s*"id":\s*"(?P<machine>[^"]*)")',
    re.DOTALL,
)


@dataclass(frozen=True)
class Head:
    """What the head of a record states."""

    machine: str
    label: str
    sweep: str
    variant: str
    failed: bool
    started_at: str


_NONE = Head("", "", "", "", False, "")


@dataclass
class Stored:
    """The records of one sweep: one commit in one state, on one machine; `failed` counts cells by variant."""

    machine: str
    label: str
    sweep: str
    started_at: str = ""
    cells: int = 0
    variants: list[str] = field(default_factory=list)
    failed: Counter[str] = field(default_factory=Counter)

    def add(self, head: Head) -> None:
        """Count one more record."""
        self.cells += 1
        self.started_at = max(self.started_at, head.started_at)
        if head.variant not in self.variants:
            self.variants.append(head.variant)
        if head.failed:
            self.failed[head.variant] += 1


def folders(results: Path) -> list[Path]:
    """List the folders of commits, the newest first: those that git knows in its order, then the others by time."""
    all_folders = sorted(path for path in results.glob("*/*/") if any(path.glob(RECORDS)))
    known = git.ancestors(results, "--all", "HEAD") if all_folders else []
    places = {sha[:12]: place for place, sha in enumerate(known)}
    unknown = [path for path in all_folders if _commit12(path) not in places]
    unknown.sort(key=lambda path: max(_heads(path)[0], key=lambda one: one.started_at, default=_NONE).started_at)
    in_git = (path for path in all_folders if _commit12(path) in places)
    in_order = sorted(in_git, key=lambda path: places[_commit12(path)])
    return in_order + unknown[::-1]


def stored(folder: Path) -> tuple[list[Stored], list[LeftOut]]:
    """List the sweeps in the folder of one commit on one machine, and the files that are clearly no records.

    Only the head and the last bytes of each file are read; `bench list --check` reads all of it.
    """
    heads, left_out = _heads(folder)
    sweeps: dict[str, Stored] = {}
    for head in heads:
        sweeps.setdefault(head.sweep, Stored(head.machine, head.label, head.sweep)).add(head)
    return sorted(sweeps.values(), key=lambda one: one.started_at, reverse=True), left_out


def choices(results: Path, most: int = 6) -> str:
    """Name the newest commits that have records, for a message that lists what can be chosen."""
    listed = folders(results)
    labels = dict.fromkeys(f"{one.label} ({one.sweep})" for folder in listed[:most] for one in stored(folder)[0])
    more = f" and {len(listed) - most} more" if len(listed) > most else ""
    return ", ".join(labels) + more or "none, it is empty"


def _commit12(folder: Path) -> str:
    return folder.name.partition("-dirty")[0]


def _heads(folder: Path) -> tuple[list[Head], list[LeftOut]]:
    heads, left_out = [], []
    for path in sorted(folder.glob(RECORDS)):
        try:
            heads.append(_head(path))
        except UNSOUND as error:
            left_out.append(LeftOut(path, why_unsound(error)))
    return heads, left_out


def _head(path: Path) -> Head:
    """Read the head of a record. Raises OSError, or ValueError where the file is clearly no sound record."""
    handle = open_regular(path)
    try:
        head = os.pread(handle, HEAD_BYTES, 0)
        end = os.pread(handle, 2, max(0, os.fstat(handle).st_size - 2))
    finally:
        os.close(handle)
    seen = _HEAD.search(head)
    if seen is None or not end.rstrip().endswith(b"}"):  # not as this version writes it: read it all, to say why
        record = parse(path)
        machine, variant = record.machine.id, record.variant
        return Head(machine, record.label, record.sweep, variant, record.failed, record.started_at)
    text = {key: (value or b"").decode() for key, value in seen.groupdict().items()}
    label = Commit(text["sha"], text["dirty"] == "true", text["tree"]).label
    names = [f"{name}.r{text['round']}.json" for name in (text["variant"], f"{text['variant']}~{text['sweep']}")]
    if text["machine"] != path.parent.parent.name or label != path.parent.name or path.name not in names:
        parse(path)  # raises what is wrong with its place
    return Head(text["machine"], label, text["sweep"], text["variant"], text["status"] != "ok", text["started_at"])


def n_records(folder: Path) -> int:
    """Count the files of a folder that are named like records."""
    return sum(1 for _ in folder.glob(RECORDS))
