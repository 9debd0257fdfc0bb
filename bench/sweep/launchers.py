"""What starts the cells of a sweep: Hydra's own launchers, and what each of them must not change."""

from __future__ import annotations

import importlib.util
import multiprocessing
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.machine.gpu import chosen_gpus
from bench.machine.places import jobs_at_once
from bench.machine.shared_disk import Held
from bench.sweep import ray_cluster
from bench.sweep.plan.cell import Pass
from bench.sweep.plan.conf import CONF, content
from bench.sweep.plan.request import RunRequest
from bench.sweep.plan.settings import Settings
from bench.sweep.ray_cluster import Machine
from bench.terminal import shown
from variants.child import start
from variants.errors import UserError
from variants.process import die_with_parent, usable_cores

if TYPE_CHECKING:
    from omegaconf import DictConfig

PLUGINS: Mapping[str, tuple[tuple[str, ...], str]] = {
    "joblib": (("hydra_plugins.hydra_joblib_launcher", "joblib"), ""),
    "ray": (("hydra_plugins.hydra_ray_launcher", "ray"), "ray"),
    "submitit_slurm": (("hydra_plugins.hydra_submitit_launcher", "submitit"), "slurm"),
    "submitit_local": (("hydra_plugins.hydra_submitit_launcher", "submitit"), "slurm"),
}
"""By Hydra's name of a launcher, the packages that it needs and the extra of this project that installs them."""
THREADS = (
    *("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"),
    *("NUMBA_NUM_THREADS", "NUMEXPR_NUM_THREADS"),
)
"""What joblib and Ray set in their processes: fewer threads would be another measurement than the one planned."""
CARDS = "CUDA_VISIBLE_DEVICES"
HERE = ("basic", "joblib", "ray", "submitit_local")
LEAST = {"jobs": 1, "cpus": 1, "gpus": 0, "timeout_min": 1, "memory_gb": 1}
PARTS = ("cpus", "gpus")
"""What Ray also counts in parts of one."""


def engine_of(launcher: str) -> str:
    """Return Hydra's name of the launcher that a file of conf/launcher chooses, empty where it chooses none."""
    defaults = content(CONF / "launcher" / f"{launcher}.yaml").get("defaults")
    entries = [entry for entry in defaults if isinstance(entry, Mapping)] if isinstance(defaults, list) else []
    chosen = [value for entry in entries for key, value in entry.items() if str(key).endswith("hydra/launcher")]
    return str(chosen[-1]) if chosen else ""


def check_launcher(launcher: str) -> None:
    """Raise UserError where what a launcher needs is not on this machine."""
    engine = engine_of(launcher)
    modules, extra = PLUGINS.get(engine, ((), ""))
    if not all(map(_is_installed, modules)):
        python = Path(sys.executable)
        extras = f"'.[{extra}]'" if extra else "."
        raise UserError(
            f"launcher={launcher}: its plugin is not installed; in the project's folder: "
            f"{shown(python)} -m pip install -c constraints.txt -e {extras}"
        )
    if engine == "submitit_slurm" and shutil.which("sbatch") is None:
        raise UserError(f"launcher={launcher}: no sbatch here; start it on a machine that submits jobs to Slurm")


def check_amounts(launcher: str, values: Mapping[str, object]) -> None:
    """Raise UserError for a key of `launcher` that is no amount its engine counts with."""
    for name, least in LEAST.items():
        value = values.get(name)
        in_parts = name in PARTS and engine_of(launcher) == "ray"
        is_part = in_parts and isinstance(value, float) and 0 < value < 1
        is_whole = isinstance(value, int) and not isinstance(value, bool) and value >= least
        if value is not None and not is_part and not is_whole:
            or_part = ", or a part of 1" if in_parts else ""
            raise UserError(f"launcher.{name}: got {value!r}, allowed: a whole number from {least} on{or_part}")


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # the package that it would lie in
        return False


def with_launcher(request: RunRequest, settings: Settings) -> RunRequest:
    """Return a request with the launcher that `auto` stands for: joblib where the device is a GPU, else local."""
    if request.launcher != "auto":
        return request
    name = "joblib" if chosen_gpus(settings.device, settings.spread) else "local"
    check_launcher(name)
    return request.launched_by(name)


def machines_of(launcher: str, values: Mapping[str, object]) -> int:
    """Return on how many machines a sweep may run, by its `launcher` keys as they were composed.

    Raises UserError where no Ray cluster answers at the address that was asked for.
    """
    engine = engine_of(launcher)
    if engine == "submitit_slurm":
        asked = ["sinfo", "--noheader", "--Node", "--format=%N"]
        partition = values.get("partition")
        asked += [f"--partition={partition}"] if partition else []
        as_child = start()
        as_child["env"] |= {name: text for name, text in os.environ.items() if name.startswith("SLURM_")}  # which Slurm
        answer = subprocess.run(asked, capture_output=True, text=True, **as_child)
        if answer.returncode != 0:
            why = (answer.stderr.strip().splitlines() or ["no answer"])[-1]
            raise UserError(f"launcher={launcher}: Slurm does not answer ({why}); start it on a machine of the cluster")
        return max(1, len(set(answer.stdout.split())))
    if engine == "ray" and values.get("address") not in (None, "local"):
        return ray_cluster.join(launcher, str(values["address"]))
    return 1


def filled(settings: Settings, pass_: Pass) -> list[str]:
    """Return the overrides of the keys of `launcher` that are null and that the plan knows."""
    known = _known(settings, pass_)
    empty = [key for key, value in settings.launcher.items() if value is None and known.get(key) is not None]
    return [f"launcher.{key}={known[key]}" for key in empty]


def _known(settings: Settings, pass_: Pass) -> dict[str, float | None]:
    """Return what the plan knows of the keys of a launcher.

    As many cells run at once on this machine as it has places on cards and for builds, and the locks of the places
    divide these. On a cluster a job gets one card and its share of the cores; in the first pass two jobs of Ray get the
    same card, so that it has work while one of them builds on the CPU. A share is that of the machine of the cluster
    which has least, so that each can run a job; where that is not known, of a machine like this one.
    """
    cards, cores = len(chosen_gpus(settings.device)), usable_cores()
    jobs = jobs_at_once(cards, cores, settings.spread) if pass_ == "deterministic" else max(1, cards)
    if not settings.spans_machines:
        return {"jobs": jobs, "gpus": 0 if cards else None, "cpus": 1}
    turns = 2 if pass_ == "deterministic" and _is_ray(settings) and settings.spread == "none" else 1
    needed = cards if settings.spread == "layers" else min(1, cards)
    able = [one for one in _machines(settings) if one.cores and one.cards >= needed] or [Machine(cores, cards)]
    cpus = min(one.cores // ((one.cards if cards else 1) * turns) for one in able)
    return {"jobs": jobs, "gpus": (needed if turns == 1 else needed / turns) if cards else None, "cpus": max(1, cpus)}


def unmet(settings: Settings, pass_: Pass) -> str:
    """Say what a job of a pass asks for and no machine of its Ray cluster has; empty where one has it."""
    asked = _known(settings, pass_) | {key: value for key, value in settings.launcher.items() if value is not None}
    if not _machines(settings):
        return ""
    return ray_cluster.unmet(float(str(asked["cpus"])), float(str(asked["gpus"] or 0)))


def _is_ray(settings: Settings) -> bool:
    return "address" in settings.launcher


def _machines(settings: Settings) -> list[Machine]:
    return ray_cluster.machines() if settings.spans_machines and _is_ray(settings) else []


@dataclass(frozen=True)
class Launched:
    """What a launcher runs for each cell: a task, in the environment that `bench run` was started in.

    `variables` are those that launchers change, `held` the files by which a process on another machine knows that its
    folders are shared, `process` the host and the number of the process of `bench run`.
    """

    task: Callable[[DictConfig], None]
    variables: Mapping[str, str | None]
    held: Sequence[Held]
    process: tuple[str, int]

    def __call__(self, config: DictConfig) -> None:
        """Run the task. Raises UserError where this machine does not share the folders of the sweep."""
        if (socket.gethostname(), os.getpid()) != self.process:
            if multiprocessing.current_process().name.startswith("LokyProcess"):
                die_with_parent()  # joblib would let the cell of a killed sweep go on
            for held in self.held:
                held.check()
            for name, text in self.variables.items():
                os.environ.pop(name, None)
                if text is not None:
                    os.environ[name] = text
        self.task(config)


def launched(task: Callable[[DictConfig], None], settings: Settings, held: Sequence[Held] = ()) -> Launched:
    """Return a task as the processes of a launcher run it.

    On a cluster CUDA_VISIBLE_DEVICES says which card a job was given, and stays. On this machine it stays what it was
    for `bench run`: the locks of the cards say which one a job uses, while submitit without Slurm names GPU 0 to each.
    """
    names = THREADS if settings.spans_machines else (*THREADS, CARDS)
    variables = {name: os.environ.get(name) for name in names}
    return Launched(task, variables, held, (socket.gethostname(), os.getpid()))


def shared_folders(launcher: str, settings: Settings) -> list[tuple[str, Path]]:
    """List, with their keys, the folders that the processes of a launcher share; none where all runs in this one."""
    if engine_of(launcher) == "basic":
        return []
    return [("cache_dir", settings.cache.root), ("results_dir", settings.results)]


def is_here(launcher: str, settings: Settings) -> bool:
    """Say whether all jobs of a launcher run on this machine: what is to run alone then runs one by one, in order."""
    return engine_of(launcher) in HERE and not settings.spans_machines


def is_of_launcher(error: Exception) -> bool:
    """Say whether an error is a launcher's own, such as that a process of it died: no fault of this program."""
    return type(error).__module__.partition(".")[0] in ("joblib", "ray", "submitit")
