"""Run cells: a child process per stage, one record per cell whatever happens to the child."""

from __future__ import annotations

import json
import shlex
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.machine.git import state
from bench.machine.hardware import versions
from bench.metrics import answers, divergence
from bench.records import file as record_file
from bench.summary import parity
from bench.sweep.cell import Cell
from variants.paths import ROOT

Tell = Callable[[str, int, int], None]


class StageError(Exception):
    """A child process that did not do its job; `error` is what the record keeps of it."""

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(error["message"])
        self.error = error


def run_cell(cell: Cell, tell: Tell) -> dict[str, Any]:
    """Build what is missing, measure, write the record and return it. A failure is a record too."""
    started = time.monotonic()
    result: dict[str, Any] = {
        "schema": record_file.SCHEMA,
        "variant": cell.variant,
        "round": cell.round,
        "status": "ok",
        "cell": cell.key,
        "sweep": cell.config["sweep"],
        "started_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": {},
        "commit": cell.commit,
        "machine": cell.machine,
        "versions": versions(),
        "config": _stated(cell),
        "lineage": [],
        "artifact": None,
        "session": None,
        "measures": {},
        "canary": None,
        "parity": None,
        "warnings": [],
        "error": None,
    }
    try:
        _build(cell, tell)
        built = time.monotonic()
        result["seconds"]["build"] = round(built - started, 2)
        result.update(_lineage(cell))
        result.update(_measure(cell, tell))
        result["seconds"]["measure"] = round(time.monotonic() - built, 2)
        result["parity"] = parity.against(result, _beside(cell))
    except StageError as failure:
        result.update(failure.error.pop("partial", {}))
        result.update(status="failed", error=failure.error)
    except Exception as error:  # whatever it is, it costs this cell and not the sweep
        result.update(status="failed", error=_unforeseen(error))
    result["seconds"]["total"] = round(time.monotonic() - started, 2)
    result["warnings"] = _warnings(result) + moved(cell)
    try:
        record_file.write(result, cell.record_path)
    except ValueError as error:  # a number that JSON has no word for: the cell failed, and that is a record too
        result.update(status="failed", error=_unforeseen(error), measures={})
        record_file.write(result, cell.record_path)
    return result


def _beside(cell: Cell) -> list[dict[str, Any]]:
    """Read the records that lie where this cell's will, those of the same round first."""
    paths = sorted(cell.record_path.parent.glob("*.json"))
    found = [known for path in paths if path != cell.record_path and (known := record_file.read(path))]
    return sorted(found, key=lambda known: known["round"] != cell.round)


def _build(cell: Cell, tell: Tell) -> None:
    for chain in (cell.chain, cell.reference):
        parent: str | None = None
        for planned in chain:
            if cell.cache.find(planned.fingerprint) is None:
                job = {"name": planned.name, "step": planned.node, "fingerprint": planned.fingerprint, "parent": parent}
                _child(cell, "build", planned.name, job, tell)
            parent = planned.fingerprint


def _measure(cell: Cell, tell: Tell) -> dict[str, Any]:
    job = {
        "fingerprint": cell.fingerprint,
        "reference": cell.reference[-1].fingerprint if cell.reference else None,
        "runtime": cell.config["runtime"][cell.config["variant"]["runtime"]],
        "measures": {name: cell.config[name] for name in cell.measures},
        "round": cell.round,
    }
    return _child(cell, "measure", None, job, tell)


def _child(cell: Cell, stage: str, step: str | None, job: Mapping[str, Any], tell: Tell) -> dict[str, Any]:
    """Run one stage in a process of its own; return what it wrote, or raise StageError with all that is known."""
    # The key tells apart what two sweeps of one name may run at once: other states of the tree, other checkouts.
    label = f"{cell.variant}.r{cell.round}.{step or stage}.{cell.key[:8]}"
    folder = cell.cache.jobs(cell.config["sweep"])
    folder.mkdir(parents=True, exist_ok=True)
    job_file, out, log = (folder / f"{label}.{suffix}" for suffix in ("job.json", "out.json", "log"))
    everything = {"stage": stage, "cache": str(cell.cache.root), "device": cell.device, "out": str(out), **job}
    job_file.write_text(json.dumps(everything, indent=1))
    out.unlink(missing_ok=True)
    with log.open("w") as stream:
        command = [sys.executable, "-m", "bench.sweep.worker", str(job_file)]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stream, text=True, cwd=ROOT)
        assert child.stdout is not None
        try:
            for line in child.stdout:
                _forward(line, tell)
            code = child.wait()
        except BaseException:
            child.kill()
            child.wait()
            raise
    result: dict[str, Any] = json.loads(out.read_text()) if out.exists() else {}
    if code == 0 and result.pop("done", False):
        return result
    error = result.pop("error", None) or {"type": "ChildDied", "message": died(code), "traceback": ""}
    reproduce = shlex.join([_shown(sys.executable), "-m", "bench.sweep.worker", _shown(str(job_file))])
    where = {"stage": stage, "step": step, "log": _shown(str(log)), "reproduce": reproduce}
    raise StageError({**where, **error, "partial": result})


def _unforeseen(error: Exception) -> dict[str, Any]:
    message = (str(error).splitlines() or [""])[0] or type(error).__name__
    where = {"stage": "sweep", "step": None, "log": "", "reproduce": "bench run, with the same overrides"}
    return {**where, "type": type(error).__name__, "message": message, "traceback": traceback.format_exc()}


def died(code: int) -> str:
    """Say in words how a process ended."""
    if code >= 0:
        return f"the child exited with {code} and left no result; see its log"
    name = signal.Signals(-code).name
    hint = {
        "SIGKILL": "killed, perhaps out of memory",
        "SIGABRT": "a native abort",
        "SIGSEGV": "a native crash",
    }
    return f"the child died of {name} ({hint.get(name, 'a signal')}); see its log"


def _forward(line: str, tell: Tell) -> None:
    try:
        what, done, total = json.loads(line)
    except (ValueError, TypeError):  # a library that prints to standard output is no progress
        return
    tell(str(what), int(done), int(total))


def _shown(path: str) -> str:
    """Return a path relative to the project where it lies inside: records are read on other machines."""
    return str(Path(path).relative_to(ROOT)) if Path(path).is_relative_to(ROOT) else path


def _stated(cell: Cell) -> dict[str, Any]:
    """Return the resolved configuration that moved this cell's numbers."""
    variant = cell.config["variant"]
    return {
        "suite": cell.config["suite"]["name"],
        "model": cell.config["model"],
        "variant": variant,
        "steps": {planned.name: cell.config["steps"][planned.name] for planned in cell.chain},
        "runtime": cell.config["runtime"][variant["runtime"]],
        "measures": {name: cell.config[name] for name in cell.measures},
        "device": {"asked": cell.config["device"], "used": cell.device},
        "overrides": cell.config["overrides"],
    }


def _lineage(cell: Cell) -> dict[str, Any]:
    artifact = cell.cache.find(cell.fingerprint)
    assert artifact is not None
    lineage = [
        {
            "step": planned.name,
            "kind": made.kind,
            "fingerprint": made.fingerprint,
            "size_bytes": made.size_bytes,
            "build_seconds": made.build_seconds,
            "build_peak_bytes": made.peak_resident_bytes,
            "sha256": {f.name: f.sha256 for f in made.files if f.name.endswith((".gguf", ".safetensors"))},
            "tools": made.step["tools"] | ({"revision": made.step["revision"]} if "revision" in made.step else {}),
            "notes": dict(made.notes),
            "warnings": list(made.warnings),
        }
        for planned, made in zip(cell.chain, artifact.lineage(), strict=True)
    ]
    return {"lineage": lineage, "artifact": {"fingerprint": artifact.fingerprint, "kind": artifact.kind}}


def moved(cell: Cell) -> list[str]:
    """Say where the checkout is no longer what the record names: each stage is a process that reads it anew."""
    if state(ROOT) == cell.commit:
        return []
    return ["the checkout changed after this sweep began: what ran may not be the commit and state that are named"]


def _warnings(result: Mapping[str, Any]) -> list[str]:
    """Collect what a reader must know beside the numbers."""
    warnings = [f"step {made['step']}: {text}" for made in result["lineage"] for text in made["warnings"]]
    for task, columns in result["measures"].get("accuracy", {}).items():
        warnings += answers.warnings(task, columns)
    if diverged := result["measures"].get("divergence"):
        warnings += divergence.warnings(diverged)
    warnings += parity.warnings(result)
    session = result["session"]
    if session and session["device"] == "cuda" and session["gpu_layers"] < session["layers"]:
        warnings.append(f"only {session['gpu_layers']} of {session['layers']} layers are on the GPU")
    return warnings
