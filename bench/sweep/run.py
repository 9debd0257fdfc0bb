"""Run one pass of a cell: a child process per stage, and one record per cell whatever happens to the children."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import msgspec

from bench.files import remove_leftovers
from bench.machine.lock import held
from bench.machine.places import Room
from bench.measures.measure import Progress
from bench.records.types import Company, Record
from bench.records.values import AnchorTimes
from bench.runtimes.session import SIDE_BY_SIDE
from bench.sweep import stage as stages
from bench.sweep.child import KILLED, StageError, folder_of, out_of, run_child
from bench.sweep.jobs import BuildJob, MeasureJob
from bench.sweep.plan.card_room import Dimensions, scoring_bytes, weight_bytes
from bench.sweep.plan.cell import Cell, Pass, memorized, stated_variant
from bench.sweep.record import has_anchor, record_of, unforeseen, write
from bench.sweep.stage import Stage
from variants.errors import UserError
from variants.step import Planned, plan

ANCHORED = ("latency", "prefill")
"""The measures that a card moves."""
WIDEST_WEIGHT_BYTES = 4


def run_first(cell: Cell, progress: Progress) -> tuple[Stage, Record | None]:
    """Build what is missing and measure what is deterministic, unless that is kept; return what came of it.

    The record is written where nothing is left to do: the cell has no timed measures, or no artifact to take them of.
    """
    stage = stages.kept(cell)
    if stage is None:
        stage = _run(cell, "deterministic", progress)
        stages.keep(cell, stage)
    return stage, None if stage.is_built and cell.measures_of("timed") else write(cell, record_of(cell, [stage]))


def run_second(cell: Cell, progress: Progress) -> tuple[Stage, Record]:
    """Measure what is timed, and write the record of both passes.

    Nothing is timed where the first pass was killed from outside: the next run does that pass again, and would time
    again too. One that ended of itself is timed, since it may end so in every run.
    """
    first, record = run_first(cell, progress)
    if record is not None:  # what the first pass had built is gone, and cannot be built again
        return first, record
    if first.error is not None and first.error.type == KILLED:
        return first, write(cell, record_of(cell, [first]))
    second = _run(cell, "timed", progress)
    if cell.settings.is_timed_alone_too and second.company and second.error is None:
        again = _run(cell, "timed", progress, alone=True)
        second.company = msgspec.structs.replace(second.company, alone_e2e_ms=_e2e_ms(again))
        if again.error is not None:
            second.warnings += [f"how much the jobs of other GPUs disturb was not measured: {again.error.message}"]
    if cell.settings.needs_anchor and cell.device == "cuda":
        time_anchor(cell, second, progress)
    return second, write(cell, record_of(cell, [first, second]))


def time_anchor(cell: Cell, stage: Stage, progress: Progress) -> None:
    """Time the anchor of the sweep on the cards that a cell was timed on, unless that was done in this round.

    Variants on different cards of a cluster are compared by the anchor's times on each (`bench/stats/anchored.py`). A
    failure is a warning: what the cell itself measured stays.
    """
    name, names = cell.settings.sweep_anchor, [one for one in cell.measures_of("timed") if one in ANCHORED]
    if stage.error or not names or has_anchor(cell, name, stage.result.cards):
        return
    try:
        variant = stated_variant(name)
        chain = plan(name, variant.steps, cell.settings.steps, cell.device)
        _build_chain(cell, chain, progress, stage)
        job = _measure_job(cell, "timed", names, _room(cell, "timed", alone=False), "anchor")
        runtime = cell.settings.runtime[variant.runtime]
        job = msgspec.structs.replace(job, fingerprint=chain[-1].fingerprint, runtime=runtime, canary=False)
        result = run_child(cell, "anchor", job, None, progress)
        if result.cards != stage.result.cards:
            raise UserError(f"it got {', '.join(result.cards)}")
        content = {measure: msgspec.json.decode(raw) for measure, raw in result.measures.items()}
        stage.anchor = msgspec.convert({"variant": name, **content}, AnchorTimes)
    except Exception as error:
        stage.warnings.append(f"the anchor {name} was not timed on the same cards: {error}")


def _e2e_ms(stage: Stage) -> tuple[float, ...]:
    raw = stage.result.measures.get("latency")
    return tuple(msgspec.json.decode(raw)["e2e_ms"]) if raw is not None else ()


def _run(cell: Cell, pass_: Pass, progress: Progress, *, alone: bool = False) -> Stage:
    """Run one pass, `alone` on the machine whatever it is timed in. A failure is a stage too.

    Whatever it is, it costs this cell and not the sweep.
    """
    started = time.monotonic()
    stage = Stage(pass_, cell.settings.sweep_run, datetime.now(UTC).isoformat(timespec="seconds"))
    names, room = cell.measures_of(pass_), _room(cell, pass_, alone=alone)
    try:
        _prepare(cell)
        _build(cell, progress, stage)
        stage.lineage = stages.lineage(cell)
        if names:
            if pass_ == "deterministic" and cell.device == "cuda":
                room = msgspec.structs.replace(room, card_bytes=_card_bytes(cell))
            began = time.monotonic()
            label = "alone" if alone else pass_
            stage.result = run_child(cell, label, _measure_job(cell, pass_, names, room, label), None, progress)
            stage.seconds[pass_] = round(time.monotonic() - began - stage.result.waited_seconds, 2)
            stage.warnings += memorized(cell, stage.result.measures)
    except StageError as failure:
        stage.result, stage.error = failure.partial, failure.error
    except Exception as error:
        stage.error = unforeseen(cell.cache, error)
    stage.seconds["total"] = round(time.monotonic() - started, 2)
    if names and stage.is_built:
        stage.company = Company(
            measures=tuple(names),
            machine="alone" if room.alone else "shared",
            launcher=cell.settings.sweep_launcher,
            cores=stage.result.cores,
            cards=stage.result.cards,
            started_at=stage.started_at,
        )
    return stage


def _prepare(cell: Cell) -> None:
    """Make the cache, and remove what a killed run was writing where this cell writes."""
    cell.cache.create()
    written = (cell.record_path, cell.cache.stage(cell.key), cell.cache.scores(cell.fingerprint) / "any")
    for folder in (*(path.parent for path in written), folder_of(cell)):
        remove_leftovers(folder)


def _build(cell: Cell, progress: Progress, stage: Stage) -> None:
    """Build what is missing; the stage warns of what is built again because its files were changed."""
    began, waited = time.monotonic(), 0.0
    for chain in cell.chains:
        waited += _build_chain(cell, chain, progress, stage)
    stage.seconds["build"] = round(time.monotonic() - began - waited, 2)


def _build_chain(cell: Cell, chain: Sequence[Planned], progress: Progress, stage: Stage) -> float:
    """Build what is missing of an artifact and its parents; return the seconds that were spent waiting."""
    parent, waited = None, 0.0
    for planned in chain:
        if cell.cache.why_to_build(planned.fingerprint) is not None:
            waited += _build_one(cell, planned, parent, progress, stage)
        parent = planned.fingerprint
    return waited


def _build_one(cell: Cell, planned: Planned, parent: str | None, progress: Progress, stage: Stage) -> float:
    """Build one artifact unless another job has built it meanwhile; return the seconds that were spent waiting.

    Who waits for another's build holds no place on the machine, which that build may need.
    """
    began = time.monotonic()
    lock = cell.cache.cell_lock(planned.fingerprint)
    with held(lock, lambda holder: progress(f"waiting for {planned.name}: {holder}", 0, 1)):
        waited = time.monotonic() - began
        why = cell.cache.why_to_build(planned.fingerprint)
        if why is None:
            return waited
        if why:
            stage.warnings.append(f"step {planned.name}: damaged in the cache, and built again: {why}")
        job = BuildJob(
            name=planned.name,
            step=dict(planned.node),
            fingerprint=planned.fingerprint,
            parent=parent,
            device=cell.device,
            cache=str(cell.cache.root),
            out=str(out_of(cell, planned.name)),
            room=_room_of_build(cell, planned),
        )
        return waited + run_child(cell, planned.name, job, planned.name, progress).waited_seconds


def _measure_job(cell: Cell, pass_: Pass, names: list[str], room: Room, label: str) -> MeasureJob:
    return MeasureJob(
        fingerprint=cell.fingerprint,
        references={
            measure: {name: steps[-1].fingerprint for name, steps in named.items()}
            for measure, named in cell.references.items()
            if measure in names
        },
        runtime=cell.settings.runtime[cell.settings.variant.runtime],
        measures={name: cell.settings.measures[name] for name in names},
        round=cell.round,
        device=cell.device,
        cache=str(cell.cache.root),
        out=str(out_of(cell, label)),
        room=room,
        canary=pass_ == "timed",
    )


def _room(cell: Cell, pass_: Pass, *, alone: bool) -> Room:
    """Return what measuring takes of the machine. With one job a GPU, all variants of a round get the same card."""
    settings = cell.settings
    per_gpu = pass_ == "timed" and settings.timing == "per_gpu" and not alone
    return Room(
        place="card" if cell.device == "cuda" else "cpu",
        alone=pass_ == "timed" and not per_gpu,
        device=settings.device,
        split=settings.spread,
        turn=cell.round if per_gpu else None,
    )


def _room_of_build(cell: Cell, planned: Planned) -> Room:
    """Return what a build takes of the machine: a card where it computes on one, else a place on the CPU.

    What scores may share the card; a training or a step that packs has it for itself.
    """
    if cell.device == "cuda" and planned.step.on_device:
        runtime = planned.node.get("runtime")
        if not isinstance(runtime, dict):
            return Room(place="card", device=cell.settings.device)
        # It may score a model in any format: which one is known only when that is built.
        weights = WIDEST_WEIGHT_BYTES * _dimensions(cell.settings.model_folder).n_parameters
        card_bytes = _card_bytes(cell, weights, contexts=1)
        split = str(runtime.get("split", "none"))
        return Room(place="card", device=cell.settings.device, split=split, card_bytes=card_bytes)
    expected = getattr(planned.step, "expected_memory_bytes", None)
    needed = expected(_dimensions(cell.settings.model_folder).n_parameters) if expected else 0
    return Room(place="builder" if cell.device == "cuda" else "cpu", memory_bytes=needed)


def _card_bytes(cell: Cell, weights: int | None = None, contexts: int = SIDE_BY_SIDE) -> int:
    """Return what scoring a cell's model, or other `weights`, takes of a card at most; 0 where that is not known."""
    if not cell.runtime.shares_card or cell.settings.spread != "none":
        return 0
    model, node = _dimensions(cell.settings.model_folder), cell.settings.runtime[cell.settings.variant.runtime]
    return scoring_bytes(node, weights or weight_bytes(cell.chain, model.tensors, "f16"), model, contexts)


@cache
def _dimensions(folder: Path) -> Dimensions:
    return Dimensions.of(folder)
