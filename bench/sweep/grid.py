"""A sweep: the grid of (round, variant) as a Hydra multirun, planned in full before anything is built."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Sequence
from typing import Any

from filelock import FileLock

from bench import terminal
from bench.sweep import progress
from bench.sweep.cell import Cell, make_cell
from bench.sweep.conf import CONF, check_keys
from bench.sweep.request import Request
from bench.sweep.run import run_cell
from variants.build import check_disk
from variants.errors import UserError
from variants.paths import resolve


def compose(request: Request, variant: str, round_: int, *, check: bool = False) -> dict[str, Any]:
    """Compose the configuration of one cell, as plain data. Raises UserError in one line for what Hydra refuses."""
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    choices = [o for o in request.overrides if o.partition("=")[0] in ("model", "steps", "suite", "launcher")]
    try:
        with initialize_config_dir(str(CONF), version_base="1.3"):
            if check:
                plain = hydra_compose("config", choices)
                check_keys(request.overrides, OmegaConf.to_container(plain))  # type: ignore[arg-type]
            config = hydra_compose("config", cell_overrides(request, variant, round_))
        return OmegaConf.to_container(config, resolve=True, throw_on_missing=True)  # type: ignore[return-value]
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(f"configuration: {str(error).splitlines()[0]}") from None


def cell_overrides(request: Request, variant: str, round_: int) -> list[str]:
    """Return the Hydra overrides that make one cell."""
    return [f"round={round_}", f"variant={variant}", *sweep_overrides(request)]


def sweep_overrides(request: Request) -> list[str]:
    """Return the Hydra overrides that all cells share."""
    escaped = (override.replace("\\", "\\\\").replace("'", "\\'") for override in request.overrides)
    told = "[" + ",".join(f"'{override}'" for override in escaped) + "]"
    return [
        *request.overrides,
        f"sweep={request.sweep}",
        f"sweep_suffix='{request.suffix}'",
        f"overrides={told}",
    ]


def job(config: Any) -> None:
    """Run one cell of the multirun, unless it is finished."""
    from omegaconf import OmegaConf

    cell = make_cell(OmegaConf.to_container(config, resolve=True))  # type: ignore[arg-type]
    cell.cache.cell_lock(cell.key).parent.mkdir(parents=True, exist_ok=True)
    with (
        progress.cell_progress(cell) as tell,
        FileLock(cell.cache.cell_lock(cell.key)),
    ):  # another sweep of the same cell: wait, then find it finished
        with FileLock(cell.cache.removal_lock):  # what is being removed is gone before this cell looks for it
            pass
        if cell.finished() is None:
            run_cell(cell, tell)


def multirun(request: Request, variants: Sequence[str], rounds: int) -> None:
    """Hand the grid to Hydra; the first list varies slowest, so the variants of a round run side by side."""
    import hydra

    main = hydra.main(version_base="1.3", config_path=str(CONF), config_name="config")(job)
    grid = ["round=" + ",".join(map(str, range(rounds))), "variant=" + ",".join(variants)]
    before = sys.argv
    sys.argv = ["bench", "--multirun", *grid, *sweep_overrides(request)]
    try:
        main()
    except SystemExit as stop:  # how Hydra ends where a job raised: what was recorded is still told
        terminal.console().print(f"the sweep stopped early (exit {stop.code}); the same command goes on", style="red")
    finally:
        sys.argv = before


def with_hub_folder(request: Request, config: dict[str, Any]) -> Request:
    """Fetch a hub model now, so that a sweep never waits for the network in its middle."""
    from variants.model_folder import hub_folder

    model = config["model"]
    if not model["id"]:
        return request
    folder = hub_folder(model["id"], str(model["revision"]))
    more = (f"model.path={folder}", f"model.revision='{folder.name}'")
    return Request(request.variants, (*request.overrides, *more), request.sweep, request.suffix)


def fetch_questions(cells: Sequence[Cell]) -> None:
    """Fetch what the tasks take from the hub now, as with a hub model: nothing is built for questions not to be had."""
    from bench.tasks.fetch import fetch, from_hub

    asking = [cell.config["accuracy"] for cell in cells if "accuracy" in cell.measures and cell.finished() is None]
    names = from_hub(asking[0]["tasks"], asking[0]["data_dir"]) if asking else []
    if names:
        with terminal.console().status(f"fetching the questions of {', '.join(names)}"):
            fetch(names, asking[0]["data_dir"])


def check_places(cells: Sequence[Cell]) -> None:
    """Raise UserError where results cannot be written or the cache's disk is too small for the plan."""
    results, cache = resolve(cells[0].config["results_dir"]), cells[0].cache.root
    for key, folder in (("results_dir", results), ("cache_dir", cache)):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as error:
            raise UserError(f"{key}={folder}: cannot be written ({error.strerror}); choose another {key}=…") from None
    check_disk(needed_bytes(cells), shutil.disk_usage(cache).free, cache)


def needed_bytes(cells: Sequence[Cell]) -> int:
    """Estimate the disk that the artifacts still to be built will take."""
    from variants.weights import tensors

    n_parameters = sum(t.n_elements for t in tensors(resolve(cells[0].config["model"]["path"])))
    todo = {p.fingerprint: p for cell in cells for p in cell.cache.missing(cell.builds)}
    return sum(planned.step.expected_bytes(n_parameters) for planned in todo.values())
