"""What starts the cells of a sweep: Hydra's own launchers, and what each of them must not change."""

from __future__ import annotations

import importlib.util
import multiprocessing
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.machine.gpu import chosen_gpus
from bench.machine.lock import named
from bench.machine.shared_disk import Held
from bench.sweep import ray_cluster
from bench.sweep.plan.conf import CONF, content
from bench.sweep.plan.request import RunRequest
from bench.sweep.plan.settings import Settings
from bench.terminal import shown
from variants.child import NETWORK, RUN, environment, start
from variants.errors import UserError
from variants.process import die_with_parent

if TYPE_CHECKING:
    from omegaconf import DictConfig

PLUGINS: Mapping[str, tuple[tuple[str, ...], str]] = {
    "joblib": (("hydra_plugins.hydra_joblib_launcher", "joblib"), ""),
    "ray": (("hydra_plugins.hydra_ray_launcher", "ray"), "ray"),
    "submitit_slurm": (("hydra_plugins.hydra_submitit_launcher", "submitit"), "slurm"),
    "submitit_local": (("hydra_plugins.hydra_submitit_launcher", "submitit"), "slurm"),
}
"""By Hydra's name of a launcher, the packages that it needs and the extra of this project that installs them."""
CARDS = "CUDA_VISIBLE_DEVICES"
OF_A_MACHINE = frozenset(
    {
        *("PATH", "HOME", "USER", "LOGNAME", "TMPDIR", "TEMP", "TMP", "NVIDIA_VISIBLE_DEVICES", CARDS),
        *("CUDA_DEVICE_ORDER", "CUDA_CACHE_PATH", "CUDA_MPS_PIPE_DIRECTORY", "CUDA_MPS_LOG_DIRECTORY"),
        *(NETWORK - {"HF_ENDPOINT"}),
    }
)
"""What a job on a cluster has from its own machine: its cards, its programs, its disk for temporary files, its proxy.

Tokens stay out too: submitit writes what it sends to a disk, and what a sweep needs of the hub is fetched by its plan.
"""
HERE = ("basic", "joblib", "ray", "submitit_local")


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
        return ray_cluster.join(str(values["address"]))
    return 1


@dataclass(frozen=True)
class Launched:
    """What a launcher runs for each cell: a task, in the environment that `bench run` was started in.

    `variables` are those that a child of `bench run` has, except for those that `stay` as they are where the job runs.
    `held` are the files by which a process on another machine knows that its folders are shared, `process` is the host
    and the number of the process of `bench run`, `run` that process as locks name it.
    """

    task: Callable[[DictConfig], None]
    variables: Mapping[str, str]
    stay: Collection[str]
    held: Sequence[Held]
    process: tuple[str, int]
    run: str

    def __call__(self, config: DictConfig) -> None:
        """Run the task. Raises UserError where this machine does not share the folders of the sweep."""
        if (socket.gethostname(), os.getpid()) != self.process:
            if multiprocessing.current_process().name.startswith("LokyProcess"):
                die_with_parent()  # joblib would let the cell of a killed sweep go on
            for held in self.held:
                held.check()
            for name in environment(os.environ).keys() - self.stay:  # such as the fewer threads of joblib and Ray
                os.environ.pop(name)
            os.environ.update(self.variables)
            host = self.process[0]
            os.environ[RUN] = self.run if socket.gethostname() == host else f"{self.run} on {host}"
        self.task(config)


def launched(task: Callable[[DictConfig], None], settings: Settings, held: Sequence[Held] = ()) -> Launched:
    """Return a task as the processes of a launcher run it.

    On a cluster CUDA_VISIBLE_DEVICES says which card a job was given, and stays. On this machine it stays what it was
    for `bench run`: the locks of the cards say which one a job uses, while submitit without Slurm names GPU 0 to each.
    """
    stay = OF_A_MACHINE if settings.spans_machines else frozenset[str]()
    variables = {name: text for name, text in environment(os.environ).items() if name not in stay}
    return Launched(task, variables, stay, held, (socket.gethostname(), os.getpid()), named(os.getpid()))


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
