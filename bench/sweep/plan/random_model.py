"""A model of random weights: made in the cache before anything is planned, as a hub model is fetched before."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from importlib.metadata import version
from math import prod
from pathlib import Path

import msgspec
from filelock import FileLock

from bench.machine.hardware import resolve_device
from bench.sweep.plan.card_room import Dimensions, check_memory, too_large
from bench.sweep.plan.cell import Cell, make_cell
from bench.sweep.plan.compose import compose
from bench.sweep.plan.request import RunRequest
from bench.sweep.plan.settings import Settings, complaint
from bench.terminal import console, say
from variants.build import check_disk
from variants.cache import Cache, remove
from variants.child import start
from variants.errors import UserError
from variants.model_folder import tokenizer_files
from variants.paths import ROOT
from variants.random_model.make import REFERENCE
from variants.random_model.shape import Shape
from variants.step import Planned, SharesFiles
from variants.storage.checksum import read_sha256
from variants.weights import Tensor

REVISION = 1
"""Raised whenever the code that draws the weights comes to draw others."""


@dataclass(frozen=True)
class RandomModel:
    """A model of random weights as it is asked for: made or not, its dimensions are known."""

    name: str
    shape: Shape
    device: str
    cache: Cache

    @cached_property
    def digest(self) -> str:
        """Return the sha256 (hex) of all that its files depend on: shape, device, torch, and the tokenizer's files."""
        tokenizer = sorted((file.name, read_sha256(file)) for file in tokenizer_files(REFERENCE))
        made_of = [asdict(self.shape), self.device, version("torch"), REVISION, tokenizer]
        return hashlib.sha256(json.dumps(made_of).encode()).hexdigest()

    @property
    def folder(self) -> Path:
        """Return where it is or will be."""
        return self.cache.model(self.digest)

    @property
    def is_made(self) -> bool:
        """Say whether it is there."""
        return self.folder.is_dir()

    @property
    def size(self) -> str:
        """Return its size in words."""
        return f"{self.shape.n_parameters / 1e9:,.2f} B parameters, {self.shape.n_bytes / 1e9:,.2f} GB"

    @property
    def dimensions(self) -> Dimensions:
        """Return what its memory depends on."""
        tensors = [Tensor(name, "BF16", prod(dimensions)) for name, dimensions in self.shape.tensors]
        return Dimensions(tensors, self.shape.config())

    def needed_bytes(self, new: Mapping[str, Planned]) -> Counter[str]:
        """Return the disk that it and the artifacts of some steps take, by name; a source shares its files."""
        needed = Counter({self.name: self.shape.n_bytes})
        for planned in new.values():
            if not isinstance(planned.step, SharesFiles):
                needed[planned.name] += planned.step.expected_bytes(self.shape.n_parameters)
        return needed


def random_model(settings: Settings) -> RandomModel | None:
    """Return the random model that the settings describe, None where they name another one.

    Raises UserError for a shape that cannot be, and for a model that is neither a shape nor anywhere.
    """
    model = settings.model
    if model.shape is None and not (model.path or model.id):
        raise UserError(f"model.shape, model.path, model.id: got null, allowed: one that says what {model.name} is")
    if model.shape is None:
        return None
    if model.path or model.id:
        raise UserError(f"model.path: got {model.path or model.id}, allowed: null, because {model.name} has a shape")
    return RandomModel(str(model.name), shape_of(model.shape), resolve_device(settings.device), settings.cache)


def with_random_folder(request: RunRequest, settings: Settings) -> RunRequest:
    """Make the random model that the settings describe, unless it is there; return the request with its folder.

    From then on it is a model folder like any other: the same checks, steps and fingerprints, by its content. Raises
    UserError, before a byte is written, where the plan cannot run with it.
    """
    model = random_model(settings)
    if model is None:
        return request
    if not model.is_made:
        cells = stand_ins(request, settings)
        left_out = {} if request.variants else too_large(cells, model.dimensions, settings.suite.if_it_fits)
        check_unmade(model, [cell for cell in cells if cell.variant not in left_out])
        _make(model)
    return request.made(path=str(model.folder))


def recorded(settings: Settings) -> Settings:
    """Return settings as a record states them: a random model by its name and its digest, wherever its folder lies."""
    model = settings.model
    if model.shape is None or model.path is None:
        return settings
    steps = {
        step: {key: model.name if value == model.path else value for key, value in fields.items()}
        for step, fields in settings.steps.items()
    }
    named = msgspec.structs.replace(model, path=None, revision=Path(model.path).name)
    return msgspec.structs.replace(settings, model=named, steps=steps)


def stand_ins(request: RunRequest, settings: Settings) -> list[Cell]:
    """Plan each variant once, on the embedded model: it stands in for a random one that is not made.

    Both have the same tokenizer and one architecture. What depends on the weights is not to be taken from these cells,
    but from `RandomModel.dimensions`. Raises UserError for whatever else cannot run.
    """
    placed = request.made(path=str(REFERENCE))
    return [make_cell(compose(placed, name, 0, check=True)) for name in request.variants or settings.suite.variants]


def check_unmade(model: RandomModel, cells: Sequence[Cell]) -> None:
    """Raise UserError where the memory or the disk is too small for a model that is not made, and for its variants.

    `cells` are its stand-ins; of a model that is not there nothing is built.
    """
    new = {planned.fingerprint: planned for cell in cells for planned in cell.builds}
    check_memory(cells, model.dimensions, new)
    root = model.cache.root
    there = next(path for path in (root, *root.parents) if path.exists())
    check_disk(model.needed_bytes(new), shutil.disk_usage(there).free, root)


def shape_of(fields: object) -> Shape:
    """Type a model's shape. Raises UserError, naming the key, for a value that it cannot have."""
    try:
        return msgspec.convert(fields, Shape)
    except msgspec.ValidationError as error:
        raise UserError(f"model.shape.{complaint(str(error), fields)}") from None


def _make(model: RandomModel) -> None:
    """Make the model, once if several processes ask for it."""
    cache = model.cache
    cache.create()
    cache.artifacts.mkdir(parents=True, exist_ok=True)
    model.folder.parent.mkdir(exist_ok=True)
    with FileLock(cache.artifact_lock(model.digest)):
        if not model.is_made:
            _draw(model)


def _draw(model: RandomModel) -> None:
    """Make it under a temporary name, in a process of its own, and say how long it took."""
    out = model.cache.model(f".{model.digest}.gc")  # the name that `bench gc` knows for what is not finished
    remove(out)
    out.mkdir()
    started = time.monotonic()
    description = out / "shape.json"
    description.write_text(json.dumps(asdict(model.shape)), encoding="utf-8")
    command = [sys.executable, "-m", "variants.random_model.make", str(description), str(out), model.device]
    with console().status(f"making {model.name}: {model.size}, on {model.device}"):
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", cwd=ROOT, **start(offline=True)
        )
    if done.returncode != 0:
        last_line = next(reversed(done.stderr.strip().splitlines()), "it printed nothing").strip()
        full = model.cache.no_room(RuntimeError(done.stderr))
        remove(out)
        why = f"its random weights could not be made on {model.device}: {last_line}"
        raise UserError(full or f"model={model.name}: {why}")
    description.unlink()
    out.rename(model.folder)
    seconds = time.monotonic() - started
    say(f"{model.name}: random weights, {model.size}, made on {model.device} in {seconds:.1f} s", lead="note ")
