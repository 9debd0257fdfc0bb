"""The child process of a cell: `python -m bench.sweep.worker job.json` builds one artifact or measures one.

It gets one JSON file and writes one JSON file (`out` in the job); progress goes to standard output, everything else
to standard error. A failed cell is reproduced by running it again on the same job file.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock

from variants.build import build
from variants.cache import Cache
from variants.configure import configure
from variants.errors import UserError
from variants.process import die_with_parent, reset_peak_resident
from variants.step import Planned


def main(job_file: str) -> int:
    """Do the job; return 0, or 1 with the error in the result file."""
    die_with_parent()
    job = json.loads(Path(job_file).read_text())
    result: dict[str, Any] = {}
    try:
        lock = Path(tempfile.gettempdir()) / f"variantbench-{os.getuid()}.lock"
        progress("waiting for the machine", 0, 1)
        with FileLock(
            lock
        ):  # whichever sweep of this user has the machine: a fine-tune beside a clock would show in it
            {"build": _build, "measure": _measure}[job["stage"]](job, result)
        result["done"] = True
    except Exception as error:
        traceback.print_exc()
        result["error"] = {
            "type": type(error).__name__,
            "message": (str(error).splitlines() or [""])[0] or type(error).__name__,
            "traceback": "" if isinstance(error, UserError) else traceback.format_exc(),
        }
    _save(job, result)
    return 1 if "error" in result else 0


def _build(job: Mapping[str, Any], result: dict[str, Any]) -> None:
    cache = Cache(Path(job["cache"]))
    step = configure(job["step"], f"steps.{job['name']}")
    parent = cache.find(job["parent"]) if job["parent"] else None
    progress(f"building {job['name']}", 0, 1)
    build(cache, Planned(job["name"], step, job["fingerprint"], job["step"]), parent, job["device"])


def _measure(job: Mapping[str, Any], result: dict[str, Any]) -> None:
    from bench.machine.canary import canary
    from bench.measures.measure import Subject

    cache = Cache(Path(job["cache"]))
    artifact = cache.find(job["fingerprint"])
    reference = cache.find(job["reference"]) if job["reference"] else None
    assert artifact is not None
    measures = [configure(node, name) for name, node in job["measures"].items()]
    runtime = configure(job["runtime"], "runtime")
    result["measures"] = {}
    before = canary()
    reset_peak_resident()  # the canary's arrays are not the model's memory
    started = time.monotonic()
    progress("opening", 0, 1)
    session = runtime.open(artifact, job["device"])
    subject = Subject(artifact, session, reference)
    result["session"] = {**session.facts, "open_seconds": round(time.monotonic() - started, 3)}
    for measure in measures:
        result["measures"][measure.name] = measure.measure(subject, job["round"], progress)
        _save(job, result)
    result["canary"] = {"before": before, "after": canary()}


def _save(job: Mapping[str, Any], result: Mapping[str, Any]) -> None:
    out = Path(job["out"])
    temporary = out.with_suffix(".tmp")
    temporary.write_text(json.dumps(result))
    temporary.replace(out)


def progress(what: str, done: int, total: int) -> None:
    """Tell the parent how far this is: one JSON line on standard output."""
    print(json.dumps([what, done, total]), flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
