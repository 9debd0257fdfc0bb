"""Hydra's own launchers, each with its plugin: the same records, and nothing that they change for their jobs."""

from __future__ import annotations

import importlib.util
import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import hydra
import msgspec
import pytest
from joblib import Parallel
from omegaconf import DictConfig

from bench.cli import main
from bench.machine.lock import held, named
from bench.sweep import launcher_keys, passes
from bench.sweep.launcher_keys import filled
from bench.sweep.launchers import CARDS, OF_A_MACHINE, launched
from bench.sweep.passes import launcher_of
from bench.sweep.plan.compose import PRIMARY, compose
from bench.sweep.plan.conf import CONF
from bench.sweep.plan.grid import plan_sweep
from bench.sweep.plan.request import parse
from tests.sweep.conftest import arguments
from variants.child import RUN, environment
from variants.paths import ROOT


def needs(plugin: str) -> pytest.MarkDecorator:
    there = importlib.util.find_spec("hydra_plugins") and importlib.util.find_spec(f"hydra_plugins.{plugin}")
    return pytest.mark.skipif(
        not there, reason=f"{plugin} is not installed: pip install -c constraints.txt -e '.[dev]'"
    )


joblib, ray = needs("hydra_joblib_launcher"), needs("hydra_ray_launcher")
submitit = needs("hydra_submitit_launcher")
slurm = pytest.mark.skipif(
    "SLURM_CONF" not in os.environ, reason="no Slurm: as root, bench/examples/slurm_single_node.sh COMMAND starts one"
)
Table = dict[str, tuple[str, str, int | None]]
run_job = passes.job


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """A Ray cluster of this machine alone, which the launcher finds and joins."""
    import ray

    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    yield
    ray.shutdown()


def launch(task: Callable[[DictConfig], None], cache: Path, launcher: str, *more: str) -> None:
    """Run a task once for each of two variants, as `bench run` does. Raises SystemExit where a job was lost."""
    keys = [one for one in more if one.startswith("launcher.")]
    settings = compose(parse([f"launcher={launcher}", "device=cpu", *keys]), "base", 0)
    before = sys.argv
    chosen = [
        "variant=base,q4",
        f"cache_dir={cache}",
        f"launcher={launcher}",
        *filled(settings, "deterministic"),
        *more,
    ]
    sys.argv = ["bench", "--multirun", *chosen]
    try:
        run = launched(task, settings)
        hydra.main(version_base="1.3", config_path=str(CONF), config_name=PRIMARY)(run)()
    finally:
        sys.argv = before


def note_environment(config: DictConfig) -> None:
    """Write which variables the children of a job would have, into the cache."""
    with held(lock := Path(config.cache_dir, f"{config.variant.name}.lock"), print):
        holder = lock.read_text().partition(", since")[0]
    seen = {**environment(os.environ), "pid": os.getpid(), "holder": holder}
    Path(config.cache_dir, f"{config.variant.name}.seen").write_text(json.dumps(seen))


def seen(cache: Path) -> list[dict[str, object]]:
    return [json.loads(path.read_text()) for path in sorted(cache.glob("*.seen"))]


def count_and_die(config: DictConfig) -> None:
    """Leave a line for each start, and die as a job does that is out of memory."""
    with Path(config.cache_dir, f"{config.variant.name}.started").open("a") as file:
        file.write("started\n")
    os.kill(os.getpid(), signal.SIGKILL)


def killed_in_pass_one(config: DictConfig) -> None:
    """Run a job; that of q4 is killed whenever it has begun."""
    if config.variant.name == "q4":
        vars(passes)["run_first"] = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
    run_job(config)


def killed_in_pass_two(config: DictConfig) -> None:
    """Run a job; that of q4 is killed in the second pass."""
    if config.variant.name == "q4":
        vars(passes)["run_second"] = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
    run_job(config)


def table(results: Path) -> Table:
    """Return what the records of a sweep say: how it went, which cell it is, and its size."""
    records = [json.loads(path.read_text()) for path in results.glob("*/*/*.r*.json")]
    return {r["variant"]: (r["status"], r["cell"], r["measures"].get("size", {}).get("size_bytes")) for r in records}


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path, cache: Path) -> Table:
    """What `launcher=local` records."""
    results = tmp_path_factory.mktemp("results")
    assert main(sweep(tiny_model, results, cache, "local")) == 0
    return table(results)


def sweep(tiny_model: Path, results: Path, cache: Path, launcher: str) -> list[str]:
    few = ("variant=base,q4", "suite.measures=[size]", "suite.once=[]", "device=cpu")
    return arguments(tiny_model, results, cache, *few, f"launcher={launcher}")


def check_struck(struck: Callable[[DictConfig], None], typed: list[str], monkeypatch: pytest.MonkeyPatch) -> Table:
    """Run a sweep whose q4 is killed, check that this is one failed record, and return what the records say."""
    with monkeypatch.context() as patched:
        patched.setattr(passes, "job", struck)
        assert main(typed) == 1
    (results,) = (Path(one.partition("=")[2]) for one in typed if one.startswith("results_dir="))
    (record,) = results.glob("*/*/q4*.json")
    assert json.loads(record.read_text())["error"]["type"] == "WorkerDied"
    return table(results)


@joblib
def test_a_process_of_joblib_that_is_killed_is_one_failed_record_and_the_same_command_ends_with_the_table_of_local(
    tiny_model: Path, tmp_path: Path, cache: Path, local: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[int] = []

    def parallel(**how: Any) -> Parallel:
        started.append(how["n_jobs"])
        return Parallel(**how)

    monkeypatch.setattr(importlib.import_module("hydra_plugins.hydra_joblib_launcher._core"), "Parallel", parallel)
    typed = [*sweep(tiny_model, tmp_path, cache, "joblib"), "launcher.jobs=64"]
    assert check_struck(killed_in_pass_one, typed, monkeypatch)["base"] == local["base"]
    assert main(typed) == 0
    assert table(tmp_path) == local
    assert set(started) == {2}  # processes, however few cells: one alone would run in that of the sweep


@pytest.mark.parametrize(
    "more",
    [
        pytest.param(("launcher=ray", "launcher.address=auto"), marks=ray, id="ray"),
        pytest.param(("launcher=slurm", "launcher.cpus=1"), marks=(submitit, slurm), id="slurm"),
    ],
)
def test_a_kill_in_either_pass_of_a_cluster_is_one_failed_record_and_the_same_command_ends_with_the_whole_table(
    more: tuple[str, ...], tiny_model: Path, cache: Path, local: Table, request: pytest.FixtureRequest
) -> None:
    """Ray on this machine alone leaves the second pass to local, as joblib does."""
    tmp_path, monkeypatch = request.getfixturevalue("tmp_path"), request.getfixturevalue("monkeypatch")
    if more[0] == "launcher=ray":
        request.getfixturevalue("cluster")
        monkeypatch.setattr(launcher_keys, "usable_cores", lambda: 64)  # more than the cluster has
    typed = [*sweep(tiny_model, tmp_path, cache, "local")[:-1], "suite.measures=[size,memory]", *more]
    planned = plan_sweep(parse(typed[1:]))
    assert f"launcher={launcher_of(planned, 'timed')}" == more[0]
    whole = {cell.variant: ("ok", cell.key, local[cell.variant][2]) for cell in planned.cells}
    if more[0] == "launcher=ray":
        assert "launcher.cpus=2" in filled(planned.cells[0].settings, "deterministic")  # else it would wait for ever
    for struck in (killed_in_pass_one, killed_in_pass_two):
        assert check_struck(struck, typed, monkeypatch)["base"] == whole["base"]
    assert main(typed) == 0
    assert table(tmp_path) == whole


@ray
@pytest.mark.usefixtures("cluster")
def test_a_cluster_that_asks_for_the_token_of_this_account_is_joined_by_its_address() -> None:
    import ray

    join = "import sys; from bench.sweep.ray_cluster import join; print(join(sys.argv[1]))"
    variables = {name: text for name, text in os.environ.items() if name != "RAY_AUTH_MODE"}  # this process has set it
    command = [sys.executable, "-c", join, ray.get_runtime_context().gcs_address]
    assert subprocess.run(command, capture_output=True, text=True, env=variables, cwd=ROOT).stdout == "1\n"


@ray
@pytest.mark.usefixtures("cluster")
def test_a_job_of_ray_has_the_variables_of_the_run_except_for_those_of_its_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HF_HOME", "GGML_CUDA_DISABLE_GRAPHS", "PYTORCH_CUDA_ALLOC_CONF", "LD_LIBRARY_PATH", "HF_ENDPOINT"):
        monkeypatch.setenv(name, "/of/the/run")
    for name in ("TEMP", "HF_TOKEN", "http_proxy", CARDS):
        monkeypatch.setenv(name, "/of/its/machine")
    launch(note_environment, tmp_path, "ray", "launcher.address=auto")
    own = {name: text for name, text in environment(os.environ).items() if name not in OF_A_MACHINE}
    for job in seen(tmp_path):
        assert "/of/its/machine" not in job.values()
        assert job.pop("holder") == job.pop(RUN) == named(os.getpid())
        assert {name: text for name, text in job.items() if name not in {*OF_A_MACHINE, "pid"}} == own


@ray
@pytest.mark.usefixtures("cluster")
def test_ray_does_not_start_a_killed_job_again(tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        launch(count_and_die, tmp_path, "ray", "launcher.jobs=1")
    assert (tmp_path / "base.started").read_text() == "started\n"


@joblib
def test_joblib_changes_neither_threads_nor_cards(tmp_path: Path) -> None:
    launch(note_environment, tmp_path, "joblib", "launcher.jobs=2")
    both = seen(tmp_path)
    assert os.getpid() not in {one.pop("pid") for one in both}
    run = named(os.getpid())
    assert both == [{**environment(os.environ), RUN: run, "holder": run}] * 2


@submitit
def test_jobs_of_submitit_without_slurm_may_use_every_card_that_bench_may_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its local executor names GPU 0 to every job; the lock of a card then gives each job its own."""
    monkeypatch.setenv(CARDS, "2,3")
    launch(
        note_environment, tmp_path, "local",
        *("hydra/launcher=submitit_local", "hydra.launcher.gpus_per_node=1", "hydra.launcher.timeout_min=1"),
    )  # fmt: skip
    assert [one[CARDS] for one in seen(tmp_path)] == ["2,3", "2,3"]


def test_a_cell_is_finished_on_any_machine_of_a_cluster_and_on_no_other_machine(
    tiny_model: Path, tmp_path: Path, cache: Path, local: Table
) -> None:
    assert main(sweep(tiny_model, tmp_path, cache, "local")) == 0
    (here,) = (path for path in tmp_path.iterdir() if path.name != "report")
    here.rename(tmp_path / "another-machine")
    [*_, q4] = plan_sweep(parse(sweep(tiny_model, tmp_path, cache, "local")[1:])).cells
    assert q4.finished() is None
    on_cluster = replace(q4, settings=msgspec.structs.replace(q4.settings, launcher={"several_machines": True}))
    finished = on_cluster.finished()
    assert finished
    assert (finished.cell, finished.status) == (q4.key, local["q4"][0])
