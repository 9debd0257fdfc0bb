"""A cell of the grid: one variant in one round, with all that identifies it."""

from __future__ import annotations

import glob
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import msgspec

from bench.machine.hardware import commit, machine, resolve_device, versions
from bench.measures.measure import Checks, Compares, Measure, NeedsContext, ReadsData, Reference, needs_training
from bench.records import file as record_file
from bench.records.types import Commit, Machine, Record, Variant
from bench.records.values import UNTRAINED
from bench.runtimes.session import Runtime
from bench.sweep.plan.conf import CONF, content, names
from bench.sweep.plan.settings import Settings
from bench.tasks.texts import digests
from variants.cache import Cache
from variants.configure import configure, nearest
from variants.errors import UserError
from variants.step import Planned, Trains, fields_of, plan
from variants.steps.model_checks import longest_stated
from variants.storage.checksum import recall

Pass = Literal["deterministic", "timed"]
"""The first pass builds, and measures what is the same whatever else runs; the second measures what needs quiet."""
PASSES: tuple[Pass, ...] = ("deterministic", "timed")


@dataclass(frozen=True)
class Cell:
    """What to build and what to measure, and where the record goes; `key` identifies all of it.

    `references` are, by measure and name, the steps that make what the measure compares with. `untrained` names the
    measures of the suite that are left out because the weights are random.
    """

    settings: Settings
    runtime: Runtime
    chain: list[Planned]
    references: Mapping[str, Mapping[str, list[Planned]]]
    device: str
    measures: Mapping[str, Measure]
    commit: Commit
    machine: Machine
    key: str
    untrained: tuple[str, ...] = ()

    @property
    def variant(self) -> str:
        """The name of the variant."""
        return self.settings.variant.name

    @property
    def round(self) -> int:
        """The number of the round, from 0."""
        return self.settings.round

    @property
    def not_measured(self) -> tuple[str, ...]:
        """What the suite asks for and this cell does not measure, with the reason."""
        return tuple(f"{name}: {UNTRAINED}" for name in self.untrained)

    @property
    def cache(self) -> Cache:
        """Where artifacts, locks, job files and logs lie."""
        return self.settings.cache

    def measures_of(self, pass_: Pass) -> list[str]:
        """List the measures of a pass, in the order in which they are taken."""
        return [name for name, measure in self.measures.items() if measure.timed == (pass_ == "timed")]

    @property
    def record_path(self) -> Path:
        """Where this cell's record is or will be."""
        at = self.settings
        return record_file.record_path(
            at.results, self.machine.id, self.commit, at.sweep_suffix, self.variant, self.round
        )

    @property
    def chains(self) -> list[list[Planned]]:
        """The steps of the variant, then those of what its measures compare it with."""
        return [self.chain, *(steps for named in self.references.values() for steps in named.values())]

    @property
    def builds(self) -> list[Planned]:
        """The steps of all artifacts that this cell needs, parents first, each once."""
        return list({planned.fingerprint: planned for chain in self.chains for planned in chain}.values())

    @property
    def fingerprint(self) -> str:
        """The identity of the artifact that is measured."""
        return self.chain[-1].fingerprint

    @property
    def kept_path(self) -> Path:
        """Where this cell's record is kept while the results have no room for it."""
        results = self.settings.results
        return self.cache.unplaced(results) / self.record_path.relative_to(results)

    def stored(self) -> Record | None:
        """Return the record of this cell, or one of another that has its name; None where there is none."""
        records = [record_file.read(path) for path in (self.record_path, self.kept_path, *self._elsewhere())]
        mine = [record for record in records if record and record.cell == self.key]
        return next((record for record in [*mine, *records] if record and not record.failed), next(iter(mine), None))

    def _elsewhere(self) -> list[Path]:
        """List the files of this name of other machines, where the launcher has several."""
        if not self.settings.spans_machines:
            return []
        at = self.record_path
        files = self.settings.results.glob(f"*/{glob.escape(at.parent.name)}/{glob.escape(at.name)}")
        return sorted(path for path in files if path != at)

    def finished(self) -> Record | None:
        """Return the record of this cell, None where there is none yet or it failed."""
        record = self.stored()
        return record if record and record.cell == self.key and not record.failed else None


def to_build(cells: Iterable[Cell]) -> dict[str, Planned]:
    """Return, by fingerprint, the steps that a run of these cells builds; a finished cell needs no artifact."""
    todo = (cell for cell in cells if cell.finished() is None)
    return {planned.fingerprint: planned for cell in todo for planned in cell.cache.missing(cell.builds)}


def check_records(cells: Iterable[Cell]) -> None:
    """Raise UserError where another cell has an `ok` record under the name of one of these: it is never replaced."""
    for cell in cells:
        record = cell.stored()
        if record and not record.failed and record.cell != cell.key:
            raise UserError(
                f"{cell.record_path}: an ok record of {_other(record, cell)} has this name, and is never replaced; "
                "model.name=NAME gives this sweep another name, results_dir=… another place; or move that file away"
            )


def _other(record: Record, cell: Cell) -> str:
    """Return in words what a record measured that a cell does not."""
    if record.source != cell.chain[0].fingerprint:
        return "other weights"
    if record.fingerprint != cell.fingerprint:
        return "another artifact of these steps"
    changed = [name for name, version in versions().items() if record.versions.get(name) != version]
    return f"other versions ({', '.join(changed)})" if changed else "other settings or data"


def make_cell(settings: Settings) -> Cell:
    """Check composed settings and make their cell.

    Raises UserError for anything in them that cannot run, before anything is built.
    """
    variant, suite = settings.variant, settings.suite
    device = resolve_device(settings.device, settings.spread)
    runtime = _runtime(settings)
    if device == "cuda":
        runtime.check_cuda()
    recall(settings.cache.checksums)
    chain = plan(variant.name, variant.steps, settings.steps, device)
    last = chain[-1]
    if last.step.gives not in runtime.opens:
        raise UserError(
            f"variant {variant.name}: runtime {variant.runtime} opens {', '.join(runtime.opens)}, but its last step "
            f"{last.name!r} gives {last.step.gives}; change its steps or its runtime"
        )
    for key, listed in (("measures", suite.measures), ("once", suite.once)):
        for name in listed:
            if name not in settings.measures:
                raise UserError(f"suite.{key}: unknown measure {name!r}; {nearest(name, settings.measures)}")
    chosen = [name for name in suite.measures if settings.round == 0 or name not in suite.once]
    configured: dict[str, Measure] = {name: configure(settings.measures[name], name) for name in chosen}
    left_out = {name for name, one in configured.items() if settings.model.shape and needs_training(one)}
    measures = {name: measure for name, measure in configured.items() if name not in left_out}
    _check_measures(measures.values(), settings, runtime)
    compared = {name: measure for name, measure in measures.items() if isinstance(measure, Compares)}
    references = {name: _references(name, measure, chain, settings, device) for name, measure in compared.items()}
    checkout = msgspec.convert(asdict(commit()), Commit)
    identity = [
        last.fingerprint,
        [planned.fingerprint for named in references.values() for steps in named.values() for planned in steps[:-1]],
        {"runtime": settings.runtime[variant.runtime], "versions": versions(runtime.tools), "device": device},
        {name: [versions(measure.tools), _measure_identity(measure)] for name, measure in measures.items()},
        settings.round,
        checkout.tree,
    ]
    key = hashlib.sha256(json.dumps(identity, sort_keys=True, default=str).encode()).hexdigest()
    here = msgspec.convert(asdict(machine()), Machine)
    return Cell(settings, runtime, chain, references, device, measures, checkout, here, key, tuple(sorted(left_out)))


def _check_measures(measures: Iterable[Measure], settings: Settings, runtime: Runtime) -> None:
    """Raise UserError for a measure that does not work with this model, or not in a context that long."""
    for measure in measures:
        if isinstance(measure, Checks):
            measure.check(settings.model_folder)
        if isinstance(measure, NeedsContext) and (lengths := _context_lengths(settings, runtime)):
            measure.check_context(min(lengths), settings.variant.runtime)


def _context_lengths(settings: Settings, runtime: Runtime) -> list[int]:
    """Return how many tokens the runtime and the model take, as far as they say; a random model may not be made yet."""
    shape = settings.model.shape
    of_model = shape.get("context") if shape else longest_stated(settings.model_folder)
    return [one for one in (getattr(runtime, "n_ctx", None), of_model) if isinstance(one, int)]


class _Asked(msgspec.Struct):
    question: list[str] = []


def memorized(cell: Cell, measures: Mapping[str, msgspec.Raw]) -> list[str]:
    """Warn of scored questions that the variant was trained on, row by row: such a score shows memory."""
    files = [file for planned in cell.chain if isinstance(planned.step, Trains) for file in planned.step.texts()]
    if not files or "accuracy" not in measures:
        return []
    learned = digests(files)
    asked = msgspec.json.decode(measures["accuracy"], type=dict[str, _Asked])
    known = {task: sum(one in learned for one in columns.question) for task, columns in asked.items()}
    text = "questions are rows that it was trained on: their score shows memory"
    return [f"{task}: {n:,} of {len(asked[task].question):,} {text}" for task, n in known.items() if n]


def _runtime(settings: Settings) -> Runtime:
    variant = settings.variant
    if variant.runtime not in settings.runtime:
        raise UserError(
            f"variant {variant.name}: unknown runtime {variant.runtime!r}; {nearest(variant.runtime, settings.runtime)}"
        )
    runtime: Runtime = configure(settings.runtime[variant.runtime], f"runtime.{variant.runtime}")
    return runtime


def _references(
    measure_name: str, measure: Compares, chain: Sequence[Planned], settings: Settings, device: str
) -> dict[str, list[Planned]]:
    """Plan what a measure compares a variant with: a step of the measure's own after those of another model.

    A reference after the same steps as one before it is that one.
    """
    runtime = settings.variant.runtime
    planned: dict[str, list[Planned]] = {}
    for name, asked in measure.references(chain, runtime, settings.runtime[runtime]).items():
        before = list(asked.steps or _steps_of(asked, runtime))
        steps = {**settings.steps, asked.name: asked.step}
        same = [other for other in planned.values() if [one.name for one in other[:-1]] == before]
        what = f"{asked.variant}, the {name} of {measure_name}"
        planned[name] = same[0] if same else plan(what, [*before, asked.name], steps, device)
    return planned


def _steps_of(asked: Reference, runtime: str) -> tuple[str, ...]:
    """Return the steps of the variant that a measure names. Raises UserError unless it runs in this runtime."""
    if asked.variant not in names("variant"):
        hint = nearest(asked.variant, names("variant"))
        raise UserError(f"{asked.key}: got {asked.variant!r}, allowed: a variant; {hint}")
    base = stated_variant(asked.variant)
    if base.runtime != runtime:
        raise UserError(f"{asked.key}: got {asked.variant!r}, allowed: a variant that runs in {runtime}")
    return base.steps


def stated_variant(name: str) -> Variant:
    """Return a variant as its file in `conf/variant` states it. Raises UserError where that is none."""
    file = CONF / "variant" / f"{name}.yaml"
    try:
        return msgspec.convert(content(file), Variant)
    except msgspec.ValidationError as error:
        raise UserError(f"conf/variant/{file.name}: {error}") from None


def _measure_identity(measure: Measure) -> dict[str, object]:
    """Return what moves a measure's values: its fields, and the data that it reads beside the files they name."""
    return {**fields_of(measure), **(measure.data() if isinstance(measure, ReadsData) else {})}
