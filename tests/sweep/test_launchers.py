"""Hydra's own launchers, each with its plugin: the same records, and nothing that they change for their jobs."""

from __future__ import annotations

import importlib.util
import json
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import hydra
import msgspec
import pytest
from omegaconf import DictConfig

from bench.cli import main
from bench.sweep import launchers, passes
from bench.sweep.launchers import CARDS, THREADS, check_launcher, engine_of, filled, launched, unmet, with_launcher
from bench.sweep.passes import launcher_of
from bench.sweep.plan.cell import PASSES, Pass
from bench.sweep.plan.compose import PRIMARY, compose
from bench.sweep.plan.conf import CONF, names
from bench.sweep.plan.grid import plan_sweep
from bench.sweep.plan.request import parse
from bench.sweep.show import overview
from bench.sweep.show.overview import jobs_of, show_plan
from tests.made_up_cards import MadeUpCard, install
from tests.sweep.conftest import Run, arguments


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
    settings = compose(parse([f"launcher={launcher}", "device=cpu"]), "base", 0)
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
    """Write what a job sees of the variables that launchers change, into the cache."""
    seen = {name: os.environ.get(name) for name in (*THREADS, CARDS)}
    Path(config.cache_dir, f"{config.variant.name}.seen").write_text(json.dumps({**seen, "pid": os.getpid()}))


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
    typed = sweep(tiny_model, tmp_path, cache, "joblib")
    assert check_struck(killed_in_pass_one, typed, monkeypatch)["base"] == local["base"]
    assert main(typed) == 0
    assert table(tmp_path) == local


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
        monkeypatch.setattr(launchers, "usable_cores", lambda: 64)  # more than the cluster has
    typed = [*sweep(tiny_model, tmp_path, cache, "local")[:-1], "suite.measures=[size,memory]", *more]
    planned = plan_sweep(parse(typed[1:]))
    assert f"launcher={launcher_of(planned, 'timed')}" == more[0]
    whole = {cell.variant: ("ok", cell.key, local[cell.variant][2]) for cell in planned.cells}
    for struck in (killed_in_pass_one, killed_in_pass_two):
        assert check_struck(struck, typed, monkeypatch)["base"] == whole["base"]
    assert main(typed) == 0
    assert table(tmp_path) == whole


@ray
@pytest.mark.usefixtures("cluster")
def test_what_no_machine_of_a_cluster_has_is_said_since_ray_waits_for_it_in_silence(tmp_path: Path) -> None:
    def waits(*typed: str) -> str:
        return unmet(compose(parse(["launcher=ray", "device=cpu", *typed]), "base", 0), "deterministic")

    assert waits("launcher.address=auto") == waits("launcher.cpus=64") == ""
    assert waits("launcher.address=auto", "launcher.cpus=3") == (
        "launcher.cpus=3 and launcher.gpus=0: no machine of the Ray cluster has that, the largest has 2 and 0; "
        "the jobs wait until one joins"
    )


@ray
@pytest.mark.usefixtures("cluster")
def test_ray_changes_no_threads(tmp_path: Path) -> None:
    launch(note_environment, tmp_path, "ray")
    assert [{name: one[name] for name in THREADS} for one in seen(tmp_path)] == [
        {name: os.environ.get(name) for name in THREADS}
    ] * 2


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
    assert both == [{name: os.environ.get(name) for name in (*THREADS, CARDS)}] * 2


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


@pytest.mark.parametrize(("launcher", "extra"), [("joblib", "."), ("ray", "'.[ray]'"), ("slurm", "'.[slurm]'")])
def test_a_launcher_without_its_plugin_is_one_line_with_the_command_that_installs_it(
    launcher: str, extra: str, refused: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launchers, "_is_installed", lambda _: False)
    line = refused(f"launcher={launcher}")
    assert line.startswith(f"bench: launcher={launcher}: its plugin is not installed; in the project's folder: ")
    assert line.endswith(f"-m pip install -c constraints.txt -e {extra}\n")
    assert not (tmp_path / "cache").exists()


@submitit
def test_slurm_without_sbatch_is_one_line(monkeypatch: pytest.MonkeyPatch, refused: Run) -> None:
    monkeypatch.setenv("PATH", "")
    assert refused("launcher=slurm").startswith("bench: launcher=slurm: no sbatch here; start it on a machine ")


@ray
def test_a_ray_cluster_that_does_not_answer_is_one_line(refused: Run) -> None:
    line = refused("launcher=ray", "launcher.address=127.0.0.1:1")
    assert line.startswith("bench: launcher.address=127.0.0.1:1: no Ray cluster answers (")


def test_every_launcher_is_one_of_hydras_own_or_a_known_plugin() -> None:
    engines = {name: engine_of(name) for name in names("launcher")}
    assert engines == {"auto": "basic", "local": "basic", "joblib": "joblib", "ray": "ray", "slurm": "submitit_slurm"}
    check_launcher("local")


@joblib
def test_where_the_device_is_a_gpu_the_first_pass_runs_by_joblib_unless_a_launcher_is_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def chosen(*typed: str) -> str:
        request = parse(typed)
        return with_launcher(request, compose(request, "base", 0)).launcher

    install(monkeypatch, tmp_path)
    assert chosen() == "local"
    install(monkeypatch, tmp_path, MadeUpCard("GPU-0"))
    assert chosen("launcher=auto", "device=cuda:0") == "joblib"
    assert chosen("launcher=local") == chosen("device=cpu") == "local"
    monkeypatch.setattr("bench.runtimes.llamacpp.LlamaCpp.check_cuda", lambda _: None)
    monkeypatch.setattr("bench.sweep.plan.grid.check_model", lambda *_: None)
    monkeypatch.setattr(launchers, "usable_cores", lambda: 16)
    places = [f"cache_dir={tmp_path / 'cache'}", f"results_dir={tmp_path / 'results'}"]
    planned = plan_sweep(parse(["suite=smoke", "variant=base", "timing=per_gpu", *places]))
    show_plan(planned.cells, jobs_of(planned.cells), 0, {pass_: launcher_of(planned, pass_) for pass_ in PASSES})
    assert "launcher=joblib; " in " ".join(capsys.readouterr().out.split())
    assert filled(planned.cells[0].settings, "deterministic") == [
        "launcher.jobs=6"
    ]  # four that share a card, and two places for builds on 16 cores
    monkeypatch.setattr(overview, "usable_cores", lambda: 16)
    assert [overview._jobs_on_cards(planned.cells[0], pass_) for pass_ in PASSES] == [4, 1]


@ray
def test_the_cards_of_this_machine_are_divided_by_their_locks_and_a_cluster_builds_beside_the_work_of_its_cards(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def overrides(*typed: str, pass_: Pass = "deterministic") -> list[str]:
        return filled(compose(parse(["launcher=ray", *typed]), "base", 0), pass_)

    monkeypatch.setattr(launchers, "usable_cores", lambda: 16)
    monkeypatch.setattr(launchers, "chosen_gpus", lambda _: ("card", "card"))
    assert overrides() == ["launcher.jobs=6", "launcher.cpus=1", "launcher.gpus=0"]
    assert overrides("launcher.gpus=0.5", "launcher.jobs=8") == ["launcher.cpus=1"]
    assert overrides("launcher.address=auto")[1:] == ["launcher.cpus=4", "launcher.gpus=0.5"]
    assert overrides("launcher.address=auto", pass_="timed")[1:] == ["launcher.cpus=8", "launcher.gpus=1"]
    assert overrides("split=layers")[0] == "launcher.jobs=3"  # one on both cards, two that build
    assert overrides("launcher.address=auto", "split=layers")[1:] == ["launcher.cpus=8", "launcher.gpus=2"]
    monkeypatch.setattr(launchers, "chosen_gpus", lambda _: ())
    assert overrides() == ["launcher.jobs=2", "launcher.cpus=1"]


def test_keys_of_a_launcher_move_no_number_and_leave_a_sweep_its_name() -> None:
    assert parse(["launcher=ray", "launcher.address=auto"]).sweep == parse([]).sweep


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
