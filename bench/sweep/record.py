"""The record of a cell: what its passes measured, put together with all that identifies it."""

from __future__ import annotations

import statistics
import traceback
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime

import msgspec

from bench.machine.canary import ON_CARD
from bench.machine.git import state
from bench.machine.gpu import driver_version, gpus
from bench.machine.hardware import versions
from bench.records import file as record_file
from bench.records import unplaced
from bench.records.types import SCHEMA, Card, CellError, Commit, Config, Device, Made, Measured, Record
from bench.runtimes.session import FROM_PYTHON
from bench.sweep import stage as stages
from bench.sweep.plan.cell import PASSES, Cell, Pass
from bench.sweep.plan.random_model import recorded
from bench.sweep.stage import Stage
from bench.terminal import say
from variants.cache import Cache
from variants.errors import UserError
from variants.paths import ROOT

OPENED_ALIKE = ("device", "dtype", "gpu_layers", "layers", "attention", "flash_attention", "system")
"""Facts of a session that both passes share: else they measured two things."""
AGAIN = "bench run, with the same overrides"
"""How what failed outside of the children is tried again."""


def record_of(cell: Cell, passes: Sequence[Stage]) -> Record:
    """Return the record of a cell from what its passes measured, in order; an error of any of them makes it failed."""
    last = passes[-1]
    made = next((stage.lineage for stage in reversed(passes) if stage.lineage), ())
    measured = {name: raw for stage in passes for name, raw in stage.result.measures.items()}
    measures = {name: measured[name] for name in cell.measures if name in measured}
    errors = [stage.error for stage in passes if stage.error]
    return Record(
        schema=SCHEMA,
        variant=cell.variant,
        round=cell.round,
        status="failed" if errors else "ok",
        cell=cell.key,
        sweep=cell.settings.sweep,
        started_at=last.started_at,
        seconds=_seconds(passes),
        commit=cell.commit,
        machine=cell.machine,
        cards=cards_of(last.result.cards),
        versions=versions(),
        config=_stated(cell),
        lineage=made,
        artifact=Measured(made[-1].fingerprint, made[-1].kind) if made else None,
        session=next((stage.result.session for stage in reversed(passes) if stage.result.session), None),
        measures=measures,
        canary=last.result.canary,
        company={stage.name: stage.company for stage in passes if stage.company},
        anchor=last.anchor,
        warnings=(
            *cell.not_measured,
            *(text for stage in passes for text in stage.warnings),
            *_warnings(made, passes),
            *_company(last),
            *(f"it failed again: {error.message}" for error in errors[1:]),
            *moved(cell),
        ),
        error=errors[0] if errors else None,
    )


def has_anchor(cell: Cell, anchor: str, cards: Collection[str]) -> bool:
    """Say whether a record of this cell's round has times of the anchor on these cards."""
    for file in cell.record_path.parent.glob(f"*.r{cell.round}.json"):
        record = record_file.read(file)
        if record and record.sweep == cell.settings.sweep and {card.uuid for card in record.cards} == set(cards):
            is_anchor = record.variant == anchor and not record.failed
            if is_anchor or (record.anchor and record.anchor.variant == anchor):
                return True
    return False


def cards_of(uuids: Collection[str]) -> tuple[Card, ...]:
    """Return the cards of this machine that have these UUIDs; none for a job of the CPU."""
    return tuple(Card(gpu.uuid, gpu.name, driver_version()) for gpu in gpus() if gpu.uuid in uuids) if uuids else ()


def write(cell: Cell, record: Record) -> Record:
    """Write the record of a cell and return it; what was kept for it is needed no more once it is `ok`."""
    try:
        note = unplaced.write(record, cell.record_path, cell.kept_path)
    except ValueError as bad:  # a number that JSON cannot express: the cell failed, and that is a record too
        record = msgspec.structs.replace(record, status="failed", error=unforeseen(cell.cache, bad), measures={})
        note = unplaced.write(record, cell.record_path, cell.kept_path)
    if note:
        say(note, lead="note ")
    if not record.failed:
        stages.drop(cell)
    return record


def failed_record(cell: Cell, pass_: Pass, error: CellError) -> Record:
    """Return the record of a cell whose job ended beside its stages, as by a death, with all that was kept."""
    first = stages.kept(cell) if pass_ == "timed" else None
    now = datetime.now(UTC).isoformat(timespec="seconds")
    last = Stage(pass_, cell.settings.sweep_run, now, lineage=stages.lineage(cell), error=error)
    return record_of(cell, [first, last] if first else [last])


def death(what: str) -> CellError:
    """Return what a record keeps of a job whose process died while it was at something."""
    message = f"the process that ran this job died while it was {what}; perhaps out of memory"
    return CellError(stage="sweep", message=message, type="WorkerDied", reproduce=AGAIN)


def unforeseen(cache: Cache, error: Exception) -> CellError:
    """Return what a record keeps of an error outside of the children; a mistake of the user's has no traceback."""
    message = cache.no_room(error) or (str(error).splitlines() or [""])[0] or type(error).__name__
    trace = "" if isinstance(error, UserError) else traceback.format_exc()
    return CellError(stage="sweep", message=message, type=type(error).__name__, traceback=trace, reproduce=AGAIN)


def moved(cell: Cell) -> list[str]:
    """Return a warning where the checkout changed during the sweep: each stage's process loads its code again."""
    try:
        now = state(ROOT)
    except UserError as error:  # what was measured is worth more than whether git can say this
        return [f"whether the checkout changed during this sweep is not known: {error}"]
    if msgspec.convert(asdict(now), Commit) == cell.commit:
        return []
    return ["the checkout changed after this sweep began: what ran may not be the commit and state that are named"]


def _seconds(passes: Sequence[Stage]) -> dict[str, float]:
    """Sum up the seconds of the passes; `measure` is what both measured, as in older records."""
    summed = {
        name: round(sum(stage.seconds.get(name, 0.0) for stage in passes), 2)
        for name in ("build", *PASSES)
        if any(name in stage.seconds for stage in passes)
    }
    if measured := [summed[name] for name in PASSES if name in summed]:
        summed["measure"] = round(sum(measured), 2)
    return {**summed, "total": round(sum(stage.seconds.get("total", 0.0) for stage in passes), 2)}


def _stated(cell: Cell) -> Config:
    """Return the resolved configuration that moved this cell's numbers, and the questions of its suite."""
    at = recorded(cell.settings)
    return Config(
        variant=msgspec.structs.replace(at.variant, roles=tuple(planned.step.role for planned in cell.chain)),
        suite=at.suite.name,
        model=at.model,
        steps={planned.name: at.steps[planned.name] for planned in cell.chain},
        runtime=at.runtime[at.variant.runtime],
        measures={name: at.measures[name] for name in cell.measures},
        device=Device(asked=at.device, used=cell.device),
        overrides=at.overrides,
        questions=at.suite.questions,
    )


def _company(last: Stage) -> list[str]:
    """Warn that what is timed was not alone on the machine, and say what that does where it was measured."""
    company = last.company
    if last.name != "timed" or company is None or company.machine == "alone":
        return []
    measured = ""
    if company.alone_e2e_ms and "latency" in last.result.measures:
        shared = msgspec.json.decode(last.result.measures["latency"])["e2e_ms"]
        ratio = statistics.median(shared) / statistics.median(company.alone_e2e_ms)
        measured = f"; its requests took {ratio:.3f} times as long as alone (medians)"
    return [f"timed one job a GPU at a time, on {company.cores} cores, and not alone on the machine{measured}"]


def _warnings(lineage: tuple[Made, ...], passes: Sequence[Stage]) -> list[str]:
    """Collect what cannot be seen in the numbers later."""
    warnings = [f"step {made.step}: {text}" for made in lineage for text in made.warnings]
    sessions: list[Mapping[str, object]] = [stage.result.session for stage in passes if stage.result.session]
    session = sessions[-1] if sessions else {}
    on_gpu, layers = session.get("gpu_layers"), session.get("layers")
    if session.get("device") == "cuda" and isinstance(on_gpu, int) and isinstance(layers, int) and on_gpu < layers:
        warnings.append(f"only {on_gpu} of {layers} layers are on the GPU")
    if (decoding := str(session.get("decoding", ""))).startswith(FROM_PYTHON):
        warnings.append(f"tokens are decoded {decoding}; on a GPU launching the kernels takes part of their time")
    for when, reading in (passes[-1].result.canary or {}).items():
        if session.get("device") == "cuda" and ON_CARD not in (reading or {}):
            warnings.append(f"machine check {when}: {ON_CARD} was not measured; the log of the cell says why")
    for key in OPENED_ALIKE if len(sessions) > 1 else ():
        values = [one.get(key) for one in sessions]
        if values[0] != values[1]:
            warnings.append(f"the two passes opened it differently: {key} was {values[0]} and then {values[1]}")
    return warnings
