"""Run cells: a child process per stage, one record per cell whatever happens to the child."""

from __future__ import annotations

import json
import shlex
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from bench.files import remove_leftovers, write_at_once
from bench.machine.git import state
from bench.machine.hardware import versions
from bench.measures.measure import Progress
from bench.records import unplaced
from bench.records.types import SCHEMA, CellError, Commit, Config, Device, Made, Measured, Record
from bench.sweep import jobs
from bench.sweep.jobs import BuildJob, ChildError, Job, MeasureJob, Result
from bench.sweep.plan.cell import Cell, memorized
from bench.terminal import say
from variants.artifact import Artifact
from variants.child import start
from variants.errors import UserError
from variants.paths import ROOT


class StageError(Exception):
    """A child process that did not do its job: what the record keeps of it, and what it measured before."""

    def __init__(self, error: CellError, partial: Result) -> None:
        super().__init__(error.message)
        self.error = error
        self.partial = partial


def run_cell(cell: Cell, progress: Progress) -> Record:
    """Build what is missing, measure, write the record and return it. A failure is a record too."""
    started, started_at = time.monotonic(), datetime.now(UTC)
    seconds: dict[str, float] = {}
    lineage: tuple[Made, ...] = ()
    result, error = Result(), None
    damaged, learned = list[str](), list[str]()
    try:
        _prepare(cell)
        _build(cell, progress, damaged)
        built = time.monotonic()
        seconds["build"] = round(built - started, 2)
        lineage = _lineage(cell)
        result = _measure(cell, progress)
        seconds["measure"] = round(time.monotonic() - built, 2)
        learned = memorized(cell, result.measures)
    except StageError as failure:
        result, error = failure.partial, failure.error
    except Exception as unforeseen:  # whatever it is, it costs this cell and not the sweep
        error = _unforeseen(cell, unforeseen)
    seconds["total"] = round(time.monotonic() - started, 2)
    record = Record(
        schema=SCHEMA,
        variant=cell.variant,
        round=cell.round,
        status="failed" if error else "ok",
        cell=cell.key,
        sweep=cell.settings.sweep,
        started_at=started_at.isoformat(timespec="seconds"),
        seconds=seconds,
        commit=cell.commit,
        machine=cell.machine,
        versions=versions(),
        config=_stated(cell),
        lineage=lineage,
        artifact=Measured(lineage[-1].fingerprint, lineage[-1].kind) if lineage else None,
        session=result.session,
        measures=result.measures,
        canary=result.canary,
        warnings=(*damaged, *_warnings(lineage, result), *learned, *moved(cell)),
        error=error,
    )
    try:
        note = unplaced.write(record, cell.record_path, cell.kept_path)
    except ValueError as bad:  # a number that JSON cannot express: the cell failed, and that is a record too
        record = msgspec.structs.replace(record, status="failed", error=_unforeseen(cell, bad), measures={})
        note = unplaced.write(record, cell.record_path, cell.kept_path)
    if note:
        say(note, lead="note ")
    return record


def _prepare(cell: Cell) -> None:
    """Make the cache, and remove what a killed run was writing where this cell writes."""
    cell.cache.create()
    for folder in (cell.record_path.parent, cell.cache.scores(cell.fingerprint), _folder(cell)):
        remove_leftovers(folder)


def _build(cell: Cell, progress: Progress, damaged: list[str]) -> None:
    """Build what is missing; add to `damaged` what is built again because its files were changed."""
    for chain in cell.chains:
        parent: str | None = None
        for planned in chain:
            why = cell.cache.why_to_build(planned.fingerprint)
            if why:
                damaged.append(f"step {planned.name}: damaged in the cache, and built again: {why}")
            if why is not None:
                label = _label(cell, planned.name)
                job = BuildJob(
                    name=planned.name,
                    step=dict(planned.node),
                    fingerprint=planned.fingerprint,
                    parent=parent,
                    device=cell.device,
                    cache=str(cell.cache.root),
                    out=str(_folder(cell) / f"{label}.out.json"),
                )
                _child(cell, label, job, planned.name, progress)
            parent = planned.fingerprint


def _measure(cell: Cell, progress: Progress) -> Result:
    label = _label(cell, "measure")
    job = MeasureJob(
        fingerprint=cell.fingerprint,
        references={
            measure: {name: steps[-1].fingerprint for name, steps in named.items()}
            for measure, named in cell.references.items()
        },
        runtime=cell.settings.runtime[cell.settings.variant.runtime],
        measures={name: cell.settings.measures[name] for name in cell.measures},
        round=cell.round,
        device=cell.device,
        cache=str(cell.cache.root),
        out=str(_folder(cell) / f"{label}.out.json"),
    )
    return _child(cell, label, job, None, progress)


def _folder(cell: Cell) -> Path:
    return cell.cache.jobs(cell.settings.sweep)


def _label(cell: Cell, stage: str) -> str:
    # Two sweeps of one name may run at once, of other states of the tree or checkouts: their keys differ.
    return f"{cell.variant}.r{cell.round}.{stage}.{cell.key[:8]}"


def _child(cell: Cell, label: str, job: Job, step: str | None, progress: Progress) -> Result:
    """Run one job in a process of its own; return what it wrote, or raise StageError with all that is known."""
    folder = _folder(cell)
    folder.mkdir(parents=True, exist_ok=True)
    job_file, out, log = folder / f"{label}.job.json", Path(job.out), folder / f"{label}.log"
    write_at_once(job_file, jobs.encode(job))
    out.unlink(missing_ok=True)
    with log.open("w") as stream:
        command = [sys.executable, "-m", "bench.sweep.worker", str(job_file)]
        child = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=stream,
            encoding="utf-8",
            errors="replace",  # a library may print anything
            cwd=ROOT,
            **start(),
        )
        assert child.stdout is not None
        handed_over: Result | None = None
        try:
            for line in child.stdout:
                handed_over = _forward(line, progress) or handed_over
            code = child.wait()
        except BaseException:
            child.kill()
            child.wait()
            raise
    if handed_over is None:
        handed_over = msgspec.json.decode(out.read_bytes(), type=Result) if out.exists() else Result()
    result = handed_over
    if code == 0 and result.done:
        return result
    failure = result.error or ChildError("ChildDied", cell.cache.no_room() or f"{died(code)}{last_line(log)}")
    error = CellError(
        stage="build" if isinstance(job, BuildJob) else "measure",
        message=failure.message,
        type=failure.type,
        step=step,
        traceback=failure.traceback,
        log=_shown(str(log)),
        reproduce=shlex.join([_shown(sys.executable), "-m", "bench.sweep.worker", _shown(str(job_file))]),
    )
    raise StageError(error, result)


def _unforeseen(cell: Cell, error: Exception) -> CellError:
    message = cell.cache.no_room(error) or (str(error).splitlines() or [""])[0] or type(error).__name__
    return CellError(
        stage="sweep",
        message=message,
        type=type(error).__name__,
        traceback=traceback.format_exc(),
        reproduce="bench run, with the same overrides",
    )


def died(code: int) -> str:
    """Return in words how a process ended."""
    if code >= 0:
        return f"the child exited with {code} and left no result; see its log"
    name = signal.Signals(-code).name
    hint = {
        "SIGKILL": "killed, perhaps out of memory",
        "SIGABRT": "a native abort",
        "SIGSEGV": "a native crash",
    }
    return f"the child died of {name} ({hint.get(name, 'a signal')}); see its log"


def last_line(log: Path) -> str:
    """Return the last line of a log in brackets, where a native abort says why; empty where there is none."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return f" (its last line: {lines[-1][:300]})" if lines else ""


def _forward(line: str, progress: Progress) -> Result | None:
    """Hand a progress report on; return the result where a child had no room to write it."""
    with suppress(ValueError, TypeError):  # a library that prints to standard output is no progress
        if line.startswith(jobs.HANDED_OVER):
            return msgspec.json.decode(line.removeprefix(jobs.HANDED_OVER), type=Result)
        what, done, total = json.loads(line)
        progress(str(what), int(done), int(total))
    return None


def _shown(path: str) -> str:
    """Return a path relative to the project where it lies inside: records are read on other machines."""
    return str(Path(path).relative_to(ROOT)) if Path(path).is_relative_to(ROOT) else path


def _stated(cell: Cell) -> Config:
    """Return the resolved configuration that moved this cell's numbers, and the questions of its suite."""
    at = cell.settings
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


def _lineage(cell: Cell) -> tuple[Made, ...]:
    artifact = cell.cache.open(cell.fingerprint)
    return tuple(_made(planned.name, built) for planned, built in zip(cell.chain, artifact.lineage(), strict=True))


def _made(step: str, artifact: Artifact) -> Made:
    revision = {"revision": artifact.step["revision"]} if "revision" in artifact.step else {}
    return Made(
        step=step,
        kind=artifact.kind,
        fingerprint=artifact.fingerprint,
        size_bytes=artifact.size_bytes,
        build_seconds=artifact.build_seconds,
        build_peak_bytes=artifact.peak_resident_bytes,
        sha256={file.name: file.sha256 for file in artifact.files if file.name.endswith((".gguf", ".safetensors"))},
        tools={**artifact.step["tools"], **revision},
        notes=dict(artifact.notes),
        warnings=tuple(artifact.warnings),
    )


def moved(cell: Cell) -> list[str]:
    """Return a warning where the checkout changed during the sweep: each stage's process loads its code again."""
    try:
        now = state(ROOT)
    except UserError as error:  # what was measured is worth more than whether git can say this
        return [f"whether the checkout changed during this sweep is not known: {error}"]
    if msgspec.convert(asdict(now), Commit) == cell.commit:
        return []
    return ["the checkout changed after this sweep began: what ran may not be the commit and state that are named"]


def _warnings(lineage: tuple[Made, ...], result: Result) -> list[str]:
    """Collect what cannot be seen in the numbers later."""
    warnings = [f"step {made.step}: {text}" for made in lineage for text in made.warnings]
    session: Mapping[str, object] = result.session or {}
    on_gpu, layers = session.get("gpu_layers"), session.get("layers")
    if session.get("device") == "cuda" and isinstance(on_gpu, int) and isinstance(layers, int) and on_gpu < layers:
        warnings.append(f"only {on_gpu} of {layers} layers are on the GPU")
    return warnings
