"""A cell of the grid: one variant in one round, with all that identifies it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import msgspec
import yaml

from bench.machine.hardware import commit, machine, resolve_device, versions
from bench.measures.measure import Checks, Compares, Measure
from bench.records import file as record_file
from bench.records.types import Commit, Machine, Record, Variant
from bench.runtimes.session import Runtime
from bench.sweep.conf import CONF, names
from bench.sweep.settings import Settings
from bench.tasks import catalogue
from variants.cache import Cache
from variants.configure import configure, nearest
from variants.errors import UserError
from variants.paths import resolve
from variants.step import Planned, content_sha256, plan


@dataclass(frozen=True)
class Cell:
    """What to build and what to measure, and where the record goes; `key` is the identity of the whole.

    `references` are the steps of what a measure compares with, by the name of the measure.
    """

    settings: Settings
    runtime: Runtime
    chain: list[Planned]
    references: Mapping[str, list[Planned]]
    device: str
    measures: Mapping[str, Measure]
    commit: Commit
    machine: Machine
    key: str

    @property
    def variant(self) -> str:
        """The name of the variant."""
        return self.settings.variant.name

    @property
    def round(self) -> int:
        """The number of the round, from 0."""
        return self.settings.round

    @property
    def cache(self) -> Cache:
        """Where artifacts, locks, job files and logs lie."""
        return self.settings.cache

    @property
    def record_path(self) -> Path:
        """Where this cell's record is or will be."""
        at = self.settings
        return record_file.record_path(
            at.results, self.machine.id, self.commit, at.sweep_suffix, self.variant, self.round
        )

    @property
    def builds(self) -> list[Planned]:
        """The steps of all that measuring this cell needs, parents first, each named once."""
        chains = [self.chain, *self.references.values()]
        return list({planned.fingerprint: planned for chain in chains for planned in chain}.values())

    @property
    def fingerprint(self) -> str:
        """The identity of the artifact that is measured."""
        return self.chain[-1].fingerprint

    def finished(self) -> Record | None:
        """Return this very cell's record if it is there and did not fail."""
        record = record_file.read(self.record_path)
        return record if record and record.cell == self.key and not record.failed else None


def make_cell(settings: Settings) -> Cell:
    """Check composed settings and make their cell.

    Raises UserError for anything in it that cannot run: nothing has been built by then.
    """
    variant, suite = settings.variant, settings.suite
    device = resolve_device(settings.device)
    runtime = _runtime(settings)
    if device == "cuda":
        runtime.check_cuda()
    chain = plan(variant.name, variant.steps, settings.steps, device)
    last = chain[-1]
    if last.step.gives not in runtime.opens:
        raise UserError(
            f"variant {variant.name}: runtime {variant.runtime} opens {', '.join(runtime.opens)}, but its last step "
            f"{last.name!r} gives {last.step.gives}; change its steps or its runtime"
        )
    for name in suite.measures:
        if name not in settings.measures:
            raise UserError(f"suite.measures: unknown measure {name!r}; {nearest(name, settings.measures)}")
    chosen = [name for name in suite.measures if settings.round == 0 or name not in suite.once]
    measures: dict[str, Measure] = {name: configure(settings.measures[name], name) for name in chosen}
    for measure in measures.values():
        if isinstance(measure, Checks):
            measure.check(settings.model_folder)
    compared = {name: measure for name, measure in measures.items() if isinstance(measure, Compares)}
    references = {name: _reference(name, measure, settings, device) for name, measure in compared.items()}
    checkout = msgspec.convert(asdict(commit()), Commit)
    identity = [
        last.fingerprint,
        [planned.fingerprint for steps in references.values() for planned in steps[:-1]],
        {"runtime": settings.runtime[variant.runtime], "versions": versions(runtime.tools), "device": device},
        {name: [versions(measure.tools), _measure_identity(measure)] for name, measure in measures.items()},
        settings.round,
        checkout.tree,
    ]
    key = hashlib.sha256(json.dumps(identity, sort_keys=True, default=str).encode()).hexdigest()
    here = msgspec.convert(asdict(machine()), Machine)
    return Cell(settings, runtime, chain, references, device, measures, checkout, here, key)


def _runtime(settings: Settings) -> Runtime:
    variant = settings.variant
    if variant.runtime not in settings.runtime:
        raise UserError(
            f"variant {variant.name}: unknown runtime {variant.runtime!r}; {nearest(variant.runtime, settings.runtime)}"
        )
    runtime: Runtime = configure(settings.runtime[variant.runtime], f"runtime.{variant.runtime}")
    return runtime


def _reference(name: str, measure: Compares, settings: Settings, device: str) -> list[Planned]:
    """Plan what a measure compares with: a step of the measure's own after those of another variant."""
    runtime = settings.variant.runtime
    asked = measure.reference(runtime, settings.runtime[runtime])
    if asked.variant not in names("variant"):
        hint = nearest(asked.variant, names("variant"))
        raise UserError(f"{asked.key}: got {asked.variant!r}, allowed: a variant; {hint}")
    base = msgspec.convert(yaml.safe_load((CONF / "variant" / f"{asked.variant}.yaml").read_text()), Variant)
    if base.runtime != runtime:
        raise UserError(f"{asked.key}: got {asked.variant!r}, allowed: a variant that runs in {runtime}")
    steps = {**settings.steps, asked.name: asked.step}
    return plan(f"{asked.variant}, the base of {name}", [*base.steps, asked.name], steps, device)


def _measure_identity(measure: Measure) -> dict[str, object]:
    """Return a measure's fields, with the content of the data files behind them in place of their paths."""
    values: dict[str, object] = {}
    for field in fields(measure):  # type: ignore[arg-type]
        value = getattr(measure, field.name)
        values[field.name] = content_sha256(value) if field.metadata.get("content") and value else value
    if tasks := getattr(measure, "tasks", None):
        folder = values.pop("data_dir", None)
        values["tasks"] = [catalogue.label(name) for name in tasks]
        values["content"] = catalogue.content(tasks, resolve(str(folder)) if folder else None)
    return values
