"""A model of random weights: made in the cache before anything is planned, as a hub model is fetched before."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import time
from dataclasses import asdict
from importlib.metadata import version

import msgspec
from filelock import FileLock

from bench.machine.hardware import resolve_device
from bench.sweep.plan.request import RunRequest
from bench.sweep.plan.settings import Settings, complaint
from bench.terminal import console, say
from variants.build import check_disk
from variants.cache import Cache, remove
from variants.child import start
from variants.errors import UserError
from variants.paths import ROOT
from variants.random_model.shape import Shape

REVISION = 1
"""Raised whenever the code that draws the weights comes to draw others."""


def with_random_folder(request: RunRequest, settings: Settings) -> RunRequest:
    """Make the random model that the settings describe, unless it is there; return the request with its folder.

    From then on it is a model folder like any other: the same checks, steps and fingerprints, by its content. Raises
    UserError for a shape that cannot be, and where the disk has no room for it.
    """
    model = settings.model
    if model.shape is None:
        return request
    if model.path or model.id:
        raise UserError(f"model.path: got {model.path or model.id}, allowed: null, because {model.name} has a shape")
    shape = shape_of(model.shape)
    device = resolve_device(settings.device)
    cache = settings.cache
    digest = hashlib.sha256(json.dumps([asdict(shape), device, version("torch"), REVISION]).encode()).hexdigest()
    folder = cache.model(digest)
    cache.create()
    cache.artifacts.mkdir(parents=True, exist_ok=True)
    folder.parent.mkdir(exist_ok=True)
    with FileLock(cache.artifact_lock(digest)):
        if not folder.is_dir():
            _make(str(model.name), shape, digest, device, cache)
    return request.made(path=str(folder))


def shape_of(fields: object) -> Shape:
    """Type a model's shape. Raises UserError, naming the key, for a value that it cannot have."""
    try:
        return msgspec.convert(fields, Shape)
    except msgspec.ValidationError as error:
        raise UserError(f"model.shape.{complaint(str(error), fields)}") from None


def _make(name: str, shape: Shape, digest: str, device: str, cache: Cache) -> None:
    """Make the model under a temporary name, in a process of its own, and say how long it took."""
    check_disk(shape.n_bytes, shutil.disk_usage(cache.root).free, cache.root)
    out = cache.model(f".{digest}.gc")  # the name that `bench gc` knows for what is not finished
    remove(out)
    out.mkdir()
    started = time.monotonic()
    description = out / "shape.json"
    description.write_text(json.dumps(asdict(shape)), encoding="utf-8")
    command = [sys.executable, "-m", "variants.random_model.make", str(description), str(out), device]
    size = f"{shape.n_parameters / 1e9:,.2f} B parameters, {shape.n_bytes / 1e9:,.2f} GB"
    with console().status(f"making {name}: {size}, on {device}"):
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", cwd=ROOT, **start(offline=True)
        )
    if done.returncode != 0:
        last_line = next(reversed(done.stderr.strip().splitlines()), "it printed nothing")
        full = cache.no_room(RuntimeError(done.stderr))
        remove(out)
        raise UserError(full or f"model={name}: its random weights could not be made on {device}: {last_line.strip()}")
    description.unlink()
    out.rename(cache.model(digest))
    say(f"{name}: random weights, {size}, made on {device} in {time.monotonic() - started:.1f} s", lead="note ")
