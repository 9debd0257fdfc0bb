"""The types of a record: what the runner writes is what every reader gets. `results/README.md` describes each key.

A value that is None was not measured. Unknown keys are ignored; they stay in the file.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, cached_property
from typing import Annotated, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct

from bench.records.questions import Questions
from bench.records.values import (
    AnchorTimes,
    Answers,
    Bytes,
    Count,
    Divergence,
    Fields,
    Latency,
    Memory,
    Name,
    Positive,
    Prefill,
    Seconds,
    Size,
)

SCHEMA = 1
Role = Literal["source", "convert", "quantize", "finetune", "merge", "reference", "other"]
_ROLES: Mapping[str, Role] = {
    "Source": "source", "Gguf": "convert", "Quantize": "quantize", "Nf4": "quantize", "Int8": "quantize",
    "Lora": "finetune", "Merge": "merge",
}  # fmt: skip
"""The roles of the step classes in older records, which do not state them."""
T = TypeVar("T")


class Commit(Struct, frozen=True):
    """The commit that a record was measured at; `tree` is `clean`, or a digest of the uncommitted changes."""

    sha: Annotated[str, Meta(pattern=r"^\w[\w.-]{0,63}$")] | None
    dirty: bool
    tree: Annotated[str, Meta(pattern=r"^[\w.-]{0,64}$")]

    @property
    def label(self) -> str:
        """Return `<commit12>`, or `<commit12>-dirty-<tree>`: two uncommitted states of one commit are kept apart."""
        return (self.sha or "no-commit")[:12] + (f"-dirty-{self.tree}" if self.dirty else "")


class Machine(Struct, frozen=True):
    """The machine that a record was measured on; `id` is readable and stable."""

    id: Name
    cpu: str = ""
    cores: Count | None = None
    memory_bytes: Bytes | None = None
    gpus: tuple[str, ...] = ()
    os: str = ""
    python: str = ""


class Card(Struct, frozen=True):
    """A GPU that a cell was measured on; two of one model differ, so that the UUID says which."""

    uuid: Name
    name: str = ""
    driver: str | None = None


class Model(Struct, frozen=True):
    """The model that the variants start from, as configured; one with a `shape` has random weights."""

    name: str | None = None
    path: str | None = None
    id: str | None = None
    revision: str | None = None
    shape: Fields | None = None


class Variant(Struct, frozen=True):
    """A list of steps and a runtime; `roles` says what each step does. It is empty in older records."""

    name: Name
    steps: tuple[str, ...]
    runtime: str
    roles: tuple[Role, ...] = ()

    def __post_init__(self) -> None:
        if self.roles and len(self.roles) != len(self.steps):
            raise ValueError(f"{len(self.roles)} roles for {len(self.steps)} steps")


class Device(Struct, frozen=True):
    """The device that was asked for (`auto`, `cpu`, `cuda`, `cuda:1`) and the kind that was used (`cpu`, `cuda`)."""

    asked: str
    used: str


class Config(Struct, frozen=True):
    """The resolved configuration that moved the numbers of a cell, and which questions its suite answers."""

    variant: Variant
    suite: str | None = None
    model: Model = Model()
    steps: dict[str, Fields] = {}
    runtime: Fields = {}
    measures: dict[str, Fields] = {}
    device: Device | None = None
    overrides: tuple[str, ...] = ()
    questions: Questions | None = None


class Made(Struct, frozen=True):
    """One step of the lineage: the artifact that it made, its time and its peak of memory."""

    step: str
    kind: str
    fingerprint: str
    size_bytes: Count = 0
    build_seconds: Seconds | None = None
    build_peak_bytes: Count | None = None
    sha256: dict[str, str] = {}
    tools: Fields = {}
    notes: Fields = {}
    warnings: tuple[str, ...] = ()


class Measured(Struct, frozen=True):
    """The identity of the artifact that was measured."""

    fingerprint: str
    kind: str


class CellError(Struct, frozen=True):
    """Where and why a cell failed, and the command that shows it again."""

    stage: str
    message: str
    type: str = ""
    step: str | None = None
    traceback: str = ""
    log: str = ""
    reproduce: str = ""


@cache
def _decoder(kind: type[T]) -> msgspec.json.Decoder[T]:
    return msgspec.json.Decoder(kind)


def _decoded(raw: msgspec.Raw, kind: type[T], place: str) -> T:
    try:
        measured: T = _decoder(kind).decode(raw)  # type: ignore[arg-type]  # types are hashable
        return measured
    except msgspec.ValidationError as error:
        text = str(error) if "`$" in str(error) else f"{error} - at `$`"  # of the whole, it names no place
        raise ValueError(text.replace("`$", f"`$.measures.{place}", 1)) from None
    except RecursionError:
        raise ValueError(f"nested too deeply - at `$.measures.{place}`") from None


class Company(Struct, frozen=True):
    """In which company a pass measured: `alone` on the machine, or it was `shared` with other jobs of this tool.

    `cores` is how many the job could use, `cards` the UUIDs of its GPUs, `launcher` what had started it. One cell of a
    sweep that is timed one job a GPU has `alone_e2e_ms`: its requests once more, alone on the machine.
    """

    measures: tuple[str, ...] = ()
    machine: Literal["alone", "shared"] = "alone"
    launcher: str = "local"
    cores: Count | None = None
    cards: tuple[Name, ...] = ()
    started_at: str = ""
    alone_e2e_ms: tuple[float, ...] = ()


class Record(Struct, frozen=True, kw_only=True, dict=True):
    """A variant measured once, in one round: the content of one file under `results/`."""

    schema: int
    variant: Name
    round: Count
    status: Literal["ok", "failed"]
    cell: str = ""
    sweep: Name = "unnamed"
    started_at: str
    seconds: dict[str, Seconds] = {}
    commit: Commit
    machine: Machine
    cards: tuple[Card, ...] = ()
    versions: dict[str, str | None] = {}
    config: Config
    lineage: tuple[Made, ...]
    artifact: Measured | None
    session: Fields | None = None
    measures: dict[str, msgspec.Raw]
    canary: dict[str, dict[str, Positive] | None] | None = None
    company: dict[str, Company] = {}
    anchor: AnchorTimes | None = None
    warnings: tuple[str, ...]
    error: CellError | None

    def __post_init__(self) -> None:
        measured = self.artifact.fingerprint if self.artifact else None
        built = self.lineage[-1].fingerprint if self.lineage else None
        if measured != built:
            both = f"{str(measured)[:12]}, the last of its lineage {str(built)[:12]}"
            raise ValueError(f"artifact: its fingerprint is {both}")
        if self.status == "ok" and built is None:
            raise ValueError("incomplete: its status is ok, and it names no artifact")

    def measured(self, name: str, kind: type[T]) -> T | None:
        """Return the raw values of a measure, None where it was not measured.

        Raises ValueError, with the path inside the file, for values of another type.
        """
        raw = self.measures.get(name)
        return None if raw is None else _decoded(raw, kind, name)

    @cached_property
    def size(self) -> Size | None:
        """Return the size."""
        return self.measured("size", Size)

    @cached_property
    def latency(self) -> Latency | None:
        """Return the latencies of the requests."""
        return self.measured("latency", Latency)

    @cached_property
    def prefill(self) -> Prefill | None:
        """Return how long prompts of stated lengths took."""
        return self.measured("prefill", Prefill)

    @cached_property
    def memory(self) -> Memory | None:
        """Return the peaks of memory."""
        return self.measured("memory", Memory)

    @cached_property
    def answers(self) -> dict[str, Answers]:
        """Return the answers by task, empty where no task was asked."""
        tasks = self.measured("accuracy", dict[str, msgspec.Raw]) or {}  # one by one: an error then names the task
        return {task: _decoded(raw, Answers, f"accuracy.{task}") for task, raw in tasks.items()}

    @cached_property
    def divergence(self) -> Divergence | None:
        """Return the distance to the base."""
        return self.measured("divergence", Divergence)

    @property
    def label(self) -> str:
        """Return the commit and its state as the folder of the record is called."""
        return self.commit.label

    @property
    def sha(self) -> str:
        """Return the commit in full, `no-commit` where there was no repository."""
        return self.commit.sha or "no-commit"

    @property
    def failed(self) -> bool:
        """Say whether the cell ended in an error."""
        return self.status != "ok"

    @property
    def fingerprint(self) -> str | None:
        """Return the identity of the artifact that was measured, None where there was none."""
        return self.artifact.fingerprint if self.artifact else None

    @property
    def source(self) -> str | None:
        """Return the fingerprint of the model that the variant starts from, None where nothing was built."""
        return self.lineage[0].fingerprint if self.lineage else None

    @property
    def runtime(self) -> str:
        """Return the runtime that the variant asks for."""
        return self.config.variant.runtime

    @property
    def steps(self) -> tuple[str, ...]:
        """Return the names of the steps, in order."""
        return self.config.variant.steps

    @property
    def roles(self) -> tuple[Role, ...]:
        """Return what each step does, in order: as stated, else by the class of the step."""
        if self.config.variant.roles:
            return self.config.variant.roles
        classes = (str(self.config.steps.get(step, {}).get("_target_")).rpartition(".")[2] for step in self.steps)
        return tuple(_ROLES.get(name, "other") for name in classes)
