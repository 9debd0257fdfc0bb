"""A sweep: the grid of (round, variant), planned in full before anything is built."""

from __future__ import annotations

import re
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from bench import terminal
from bench.machine.gpu import chosen_gpus
from bench.machine.shared_disk import check_shared
from bench.measures.measure import Fetches
from bench.sweep.launcher_keys import check_amounts
from bench.sweep.launchers import check_launcher, machines_of, with_launcher
from bench.sweep.plan.card_room import Dimensions, check_memory, too_large
from bench.sweep.plan.cell import Cell, check_records, make_cell, to_build
from bench.sweep.plan.compose import compose
from bench.sweep.plan.conf import check_name
from bench.sweep.plan.random_model import with_random_folder
from bench.sweep.plan.request import RunRequest
from bench.sweep.plan.settings import Settings
from variants.build import check_disk
from variants.errors import UserError
from variants.paths import hub_cache, why_not_writable
from variants.step import Planned, SharesFiles
from variants.steps.check_process import check_steps


@dataclass(frozen=True)
class Sweep:
    """Every cell of a sweep, in the order in which they run: all variants of a round, then the next round."""

    request: RunRequest
    variants: tuple[str, ...]
    rounds: int
    cells: list[Cell]


def plan_sweep(request: RunRequest) -> Sweep:
    """Check a request and plan all of its cells; a hub model is fetched, nothing is built.

    Raises UserError for whatever cannot run.
    """
    check_launcher(request.launcher)
    named = request.variants[0] if request.variants else "base"
    first = compose(request, named, 0, check=True)
    asked, request = request.launcher, with_launcher(request, first)
    if request.launcher not in (asked, "local"):
        first = compose(request, named, 0)  # with the keys of that launcher
    check_amounts(first)
    check_devices([first], request.launcher)  # before a model is fetched or made
    check_places(first, machines_of(request.launcher, first.launcher))
    variants = request.variants or first.suite.variants
    key = "variant" if request.variants else "suite.variants"
    for name, times in Counter(variants).items():
        check_name("variant", name, key)
        if times > 1:
            raise UserError(f"{key}: {name!r} is named twice")
    request = with_random_folder(with_hub_folder(request, first), first)
    rounds = range(first.suite.rounds)
    settings = [_same(first, name) or compose(request, name, 0, check=True) for name in variants]
    check_devices(settings, request.launcher)
    # A round repeats the one before it: no value may refer to its number (conf.check_references).
    cells = [make_cell(msgspec.structs.replace(one, round=round_)) for round_ in rounds for one in settings]
    model = Dimensions.of(cells[0].settings.model_folder)
    cells = cells if request.variants else _that_fit(cells, model)
    variants = tuple(dict.fromkeys(cell.variant for cell in cells))
    if any(isinstance(measure, Fetches) for measure in cells[0].measures.values()):
        check_hub_cache("the questions of a task are prepared")
    check_room(cells)
    new = to_build(cells)
    check_memory(cells, model, new)
    check_records(cells)
    check_model(cells, new)
    return Sweep(request, variants, len(rounds), cells)


def check_devices(variants: Sequence[Settings], launcher: str) -> None:
    """Raise UserError for a device or a timing that the launcher, or the cards that there are, cannot give."""
    settings = variants[0]
    if settings.spans_machines and re.fullmatch(r"cuda:0*[1-9]\d*", settings.device):
        raise UserError(f"device={settings.device}: a cluster gives a job its cards; allowed: auto, cpu, cuda")
    if settings.timing != "per_gpu":
        return
    n_cards = len(chosen_gpus(settings.device))
    here = "on a CPU" if not n_cards else "with one GPU" if n_cards == 1 else ""
    split = "with split=layers" if any(one.spread == "layers" for one in variants) else ""
    if where := "on a cluster" if settings.spans_machines else here or split:
        raise UserError(f"timing: got 'per_gpu', allowed {where}: alone")
    if launcher == "local":
        raise UserError("timing=per_gpu: launcher=local runs one job at a time; add launcher=joblib")


def _that_fit(cells: list[Cell], model: Dimensions) -> list[Cell]:
    """Leave out the variants that the suite measures only where they fit and that do not, and say so."""
    left_out = too_large(cells, model, cells[0].settings.suite.if_it_fits)
    for name, why in left_out.items():
        terminal.say(f"{name} is left out: {why}", lead="note ")
    return [cell for cell in cells if cell.variant not in left_out]


def _same(composed: Settings, variant: str) -> Settings | None:
    """Return composed settings, None where they are of another variant or the model was fetched or made since."""
    return composed if composed.variant.name == variant and not (composed.model.id or composed.model.shape) else None


def with_hub_folder(request: RunRequest, settings: Settings) -> RunRequest:
    """Fetch a hub model before anything is built, and return the request with the folder it lies in."""
    from variants.model_folder import hub_folder

    model = settings.model
    if not model.id:
        return request
    try:
        folder = hub_folder(model.id, str(model.revision))
    except UserError:
        check_hub_cache("the model is kept")  # a cache for reading alone may have it
        raise
    return request.having(path=str(folder), revision=folder.name)


def fetch_data(cells: Sequence[Cell]) -> None:
    """Fetch the data of the measures before anything is built, so that a sweep cannot fail on it halfway."""
    todo = {name: measure for cell in cells if cell.finished() is None for name, measure in cell.measures.items()}
    for name, measure in todo.items():
        if isinstance(measure, Fetches):
            with terminal.console().status(f"fetching the data of {name}, unless it is here"):
                measure.fetch()


def check_places(settings: Settings, machines: int = 1) -> None:
    """Raise UserError where results or the cache cannot be written or shared, or where results would lie in the cache.

    `machines` is on how many the sweep may run.
    """
    results, cache = settings.results, settings.cache.root
    for key, folder in (("results_dir", results), ("cache_dir", cache)):
        if folder == Path(folder.anchor):
            raise UserError(f"{key}={folder}: the whole disk; choose a folder in it")
        if why := why_not_writable(folder):
            raise UserError(f"{key}={folder}: cannot be written ({why}); choose another {key}=…")
        check_shared(key, folder, machines)
    if results.is_relative_to(cache):
        raise UserError(
            f"results_dir={results}: lies in cache_dir={cache}, which is safe to delete, and records are not; choose "
            "another results_dir=…"
        )


def check_hub_cache(what: str) -> None:
    """Raise UserError where Hugging Face's libraries cannot keep what they need, such as in a missing home."""
    folder = hub_cache()
    if why := why_not_writable(folder):
        raise UserError(
            f"HF_HOME={folder}: cannot be written ({why}), but {what} there; set HF_HOME to a folder that can"
        )


def check_room(cells: Sequence[Cell]) -> None:
    """Raise UserError where the cache's disk is too small for the plan."""
    cache = cells[0].cache.root
    there = next(path for path in (cache, *cache.parents) if path.exists())
    check_disk(needed_bytes(cells), shutil.disk_usage(there).free, cache)


def check_model(cells: Sequence[Cell], new: Mapping[str, Planned]) -> None:
    """Raise UserError where a step that is still to run cannot use the model."""
    first = cells[0]
    source, folder = first.chain[0].fingerprint, first.settings.model_folder
    check_steps(new.values(), source, folder, first.device, first.cache)


def needed_bytes(cells: Sequence[Cell]) -> Counter[str]:
    """Estimate the disk that the artifacts to build will take, by step."""
    n_parameters = Dimensions.of(cells[0].settings.model_folder).n_parameters
    cache, needed = cells[0].cache.root, Counter[str]()
    for planned in to_build(cells).values():
        step = planned.step
        written = step.written_bytes(cache) if isinstance(step, SharesFiles) else step.expected_bytes(n_parameters)
        needed[planned.name] += written
    return needed
