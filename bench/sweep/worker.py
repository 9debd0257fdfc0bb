"""The child process of a cell: `python -m bench.sweep.worker job.json` builds one artifact or measures one.

It gets one JSON file and writes one JSON file (`out` in the job); progress goes to standard output, everything else
to standard error. A failed cell is reproduced by running it again on the same job file.
"""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import msgspec

from bench.files import write_at_once
from bench.machine.places import taken
from bench.sweep.jobs import HANDED_OVER, BuildJob, ChildError, Job, MeasureJob, Result, decode
from variants.build import build
from variants.cache import Cache
from variants.configure import configure
from variants.errors import UserError
from variants.process import die_with_parent, reset_peak_resident
from variants.step import Planned


def main(job_file: str) -> int:
    """Do the job; return 0, or 1 with the error in the result file."""
    die_with_parent()
    job = decode(Path(job_file).read_bytes())
    result, started = Result(), time.monotonic()
    try:
        with taken(job.room, lambda what: progress(what, 0, 1), os.getppid()) as got:
            result.waited_seconds = round(time.monotonic() - started, 2)
            result.cards, result.cores = tuple(card.uuid for card in got.cards), got.cores
            if isinstance(job, BuildJob):
                _build(job)
            else:
                _measure(job, result)
        result.done = True
    except Exception as error:
        with suppress(OSError):  # the log may lie on a full disk
            traceback.print_exc()
        result.error = _described(error, Cache(Path(job.cache)))
    _hand_over(job, result)
    return 1 if result.error else 0


def _described(error: Exception, cache: Cache) -> ChildError:
    if full := cache.no_room(error):
        return ChildError(UserError.__name__, full)
    message = (str(error).splitlines() or [""])[0] or type(error).__name__
    return ChildError(type(error).__name__, message, "" if isinstance(error, UserError) else traceback.format_exc())


def _build(job: BuildJob) -> None:
    cache = Cache(Path(job.cache))
    step = configure(job.step, f"steps.{job.name}")
    parent = cache.open(job.parent) if job.parent else None
    progress(f"building {job.name}", 0, 1)
    build(cache, Planned(job.name, step, job.fingerprint, job.step), parent, job.device)


def _measure(job: MeasureJob, result: Result) -> None:
    from bench.machine.canary import canary
    from bench.measures.measure import Measure, Subject
    from bench.runtimes.session import Runtime

    cache = Cache(Path(job.cache))
    artifact = cache.open(job.fingerprint)
    measures: dict[str, Measure] = {name: configure(node, name) for name, node in job.measures.items()}
    runtime: Runtime = configure(job.runtime, "runtime")
    before = canary(job.device) if job.canary else None
    reset_peak_resident()  # the canary's arrays are not the model's memory
    started = time.monotonic()
    progress("opening", 0, 1)
    session = runtime.open(artifact, job.device)
    open_seconds = round(time.monotonic() - started, 3)
    result.session = {**session.facts, "open_seconds": open_seconds}
    for name, measure in measures.items():
        references = {label: cache.open(fingerprint) for label, fingerprint in job.references.get(name, {}).items()}
        subject = Subject(artifact, session, references)
        result.measures[name] = _finite(name, measure.measure(subject, job.round, progress))
        result.session = {**session.facts, "open_seconds": open_seconds}  # how tokens are decoded is known by now
        with suppress(OSError):  # it is for a kill in the next measure; a full disk need not end this one
            _save(job, result)
    if job.canary:
        result.canary = {"before": before, "after": canary(job.device)}


def _finite(name: str, values: Mapping[str, object]) -> msgspec.Raw:
    """Return the JSON of what was measured. Raises RuntimeError for a number that is not finite."""
    try:
        return msgspec.Raw(json.dumps(values, ensure_ascii=False, allow_nan=False).encode())
    except ValueError as error:
        raise RuntimeError(f"{name}: a value is no finite number ({error})") from None


def _hand_over(job: Job, result: Result) -> None:
    """Write the result, or print it for the parent where the disk has no room for it."""
    try:
        _save(job, result)
    except OSError:
        sys.stdout.flush()
        sys.stdout.buffer.write(HANDED_OVER.encode() + msgspec.json.encode(result) + b"\n")  # UTF-8 in any locale
        sys.stdout.buffer.flush()


def _save(job: Job, result: Result) -> None:
    write_at_once(Path(job.out), msgspec.json.encode(result))


def progress(what: str, done: int, total: int) -> None:
    """Report to the parent how far this is: one JSON line on standard output."""
    print(json.dumps([what, done, total]), flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
