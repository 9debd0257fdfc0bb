"""What a cell asks of a child process, and what it gets back: two JSON files, typed for both sides."""

from __future__ import annotations

import msgspec
from msgspec import Struct

from bench.machine.places import Room
from bench.records.values import Fields

HANDED_OVER = "result "
"""How the line of standard output begins on which a child hands its result over that found no room on the disk."""


class BuildJob(Struct, frozen=True, forbid_unknown_fields=True, tag_field="stage", tag="build"):
    """Build one artifact on its parent; `step` is the node of the step named `name`, `room` what it needs."""

    name: str
    step: Fields
    fingerprint: str
    parent: str | None
    device: str
    cache: str
    out: str
    room: Room = Room()


class MeasureJob(Struct, frozen=True, forbid_unknown_fields=True, tag_field="stage", tag="measure"):
    """Measure one artifact; `references` are the fingerprints of what it is compared with, by measure and name.

    With `canary` the machine is checked before and after.
    """

    fingerprint: str
    references: dict[str, dict[str, str]]
    runtime: Fields
    measures: dict[str, Fields]
    round: int
    device: str
    cache: str
    out: str
    room: Room = Room()
    canary: bool = False


Job = BuildJob | MeasureJob


class ChildError(Struct, frozen=True):
    """Why a child failed; a mistake of the user's has no traceback."""

    type: str
    message: str
    traceback: str = ""


class Result(Struct):
    """What a child leaves behind: as much as it measured, on what, and `done` or the error."""

    done: bool = False
    session: Fields | None = None
    measures: dict[str, msgspec.Raw] = {}
    canary: dict[str, dict[str, float] | None] | None = None
    error: ChildError | None = None
    cards: tuple[str, ...] = ()
    cores: int | None = None
    waited_seconds: float = 0.0


def encode(job: Job) -> bytes:
    """Return the JSON of a job, indented: a person reads it to reproduce a failed cell."""
    return msgspec.json.format(msgspec.json.encode(job), indent=1)


def decode(content: bytes) -> Job:
    """Read a job back."""
    job: Job = msgspec.json.decode(content, type=Job)
    return job
