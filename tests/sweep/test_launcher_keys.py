"""The keys of launchers: what is refused, and what a key that is null is filled in with."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from bench.sweep import launcher_keys, launchers, passes, ray_cluster
from bench.sweep.launcher_keys import capped, check_amounts, filled, note_of_too_much
from bench.sweep.launchers import check_launcher, engine_of, with_launcher
from bench.sweep.passes import launcher_of, run_pass
from bench.sweep.plan.cell import PASSES, Pass
from bench.sweep.plan.compose import compose
from bench.sweep.plan.conf import names
from bench.sweep.plan.grid import plan_sweep
from bench.sweep.plan.request import parse
from bench.sweep.show import overview
from bench.sweep.show.overview import jobs_of, show_plan
from tests.made_up_cards import MadeUpCard, install
from tests.sweep.conftest import Run, arguments
from tests.sweep.test_launchers import joblib, ray, submitit
from variants.errors import UserError


@pytest.mark.parametrize(("launcher", "extra"), [("joblib", "."), ("ray", "'.[ray]'"), ("slurm", "'.[slurm]'")])
def test_a_launcher_without_its_plugin_is_one_line_with_the_command_that_installs_it(
    launcher: str, extra: str, refused: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launchers, "_is_installed", lambda _: False)
    line = refused(f"launcher={launcher}")
    assert line.startswith(f"bench: launcher={launcher}: its plugin is not installed; in the project's folder: ")
    assert line.endswith(f"-m pip install -c constraints.txt -e {extra}\n")
    assert not (tmp_path / "cache").exists()


@joblib
@ray
@pytest.mark.parametrize(
    ("launcher", "amount", "complaint"),
    [
        ("joblib", "jobs=0", "got 0, allowed: a whole number from 1 on\n"),
        ("joblib", "jobs=many", "got 'many', allowed: "),
        ("ray", f"jobs={2**63}", f"got {2**63}, allowed: "),
        ("ray", "cpus=1.5", "got 1.5, allowed: a whole number from 1 on, or a part of 1 from 0.0001 on\n"),
        ("ray", "cpus=0.00001", "got 1e-05, allowed: a whole number from 1 on, or a part of 1 from 0.0001 on\n"),
        ("ray", "gpus=0.00009", "got 9e-05, allowed: a whole number from 0 on, or a part of 1 from 0.0001 on\n"),
        ("ray", "gpus=-1", "got -1, allowed: a whole number from 0 on, or a part of 1 from 0.0001 on\n"),
        ("ray", "gpus=true", "got True, allowed: "),
    ],
)
def test_an_amount_that_a_launcher_cannot_count_with_is_one_line_before_anything_is_planned(
    launcher: str, amount: str, complaint: str, refused: Run
) -> None:
    line = refused(f"launcher={launcher}", f"launcher.{amount}")
    assert line.startswith(f"bench: launcher.{amount.partition('=')[0]}: {complaint}")


@ray
def test_the_number_of_jobs_is_refused_where_the_cluster_has_its_own(refused: Run) -> None:
    line = refused("launcher=ray", "launcher.address=auto", "launcher.jobs=4")
    assert line.startswith("bench: launcher.jobs: got 4, allowed here: null; ")


@ray
@pytest.mark.parametrize("amount", ["gpus=0.25", "gpus=0", "gpus=2", "cpus=0.5", "cpus=0.0001"])
def test_ray_counts_parts_of_a_core_and_of_a_card(amount: str) -> None:
    check_amounts(compose(parse(["launcher=ray", "launcher.address=auto", f"launcher.{amount}"]), "base", 0))
    with pytest.raises(UserError, match=r"launcher.gpus: got 0.5, allowed: a whole number from 0 on$"):
        check_amounts(compose(parse(["launcher=slurm", "launcher.gpus=0.5"]), "base", 0))


@ray
def test_more_than_ray_counts_on_this_machine_is_refused_since_ray_would_wait_for_it_in_silence(refused: Run) -> None:
    few = ("launcher=ray", "device=cpu", "launcher.jobs=2")
    assert "launcher.cpus: got 3, allowed: at most launcher.jobs, which is 2: " in refused(*few, "launcher.cpus=3")
    assert "launcher.gpus: got 1, allowed: at most 0, the GPUs of this run" in refused(*few, "launcher.gpus=1")


@ray
def test_what_a_job_asks_of_a_cluster_a_machine_of_it_has_or_a_note_says_that_ray_waits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def asked(*typed: str, pass_: Pass = "deterministic") -> list[str]:
        settings = compose(parse(["launcher=ray", "launcher.address=auto", *typed]), "base", 0)
        return [*filled(settings, pass_)[1:], *filter(None, [note_of_too_much(settings, pass_)])]

    def cluster(*of: tuple[int, int]) -> None:
        monkeypatch.setattr(ray_cluster, "machines", lambda: [ray_cluster.Machine(*one) for one in of])

    monkeypatch.setattr(launcher_keys, "usable_cores", lambda: 64)
    monkeypatch.setattr(launcher_keys, "chosen_gpus", lambda _: ())
    cluster((0, 0), (2, 0), (16, 0))
    assert asked() == asked(pass_="timed") == ["launcher.cpus=16"]
    cluster((1, 0))
    assert asked() == ["launcher.cpus=1"]
    cluster((64, 0), (4, 1))
    (note,) = asked("launcher.cpus=128", "launcher.gpus=0")
    assert (
        "asks Ray for launcher.cpus=128 and launcher.gpus=0, the largest machine of the cluster has 64 cores " in note
    )
    monkeypatch.setattr(launcher_keys, "chosen_gpus", lambda _: ("card", "card"))
    cluster((64, 8), (6, 1), (2, 0), (0, 0))
    assert asked() == ["launcher.cpus=3", "launcher.gpus=0.5"]
    assert asked(pass_="timed") == ["launcher.cpus=6", "launcher.gpus=1"]
    assert asked("split=layers") == ["launcher.cpus=16", "launcher.gpus=2"]  # four such jobs have its 64 cores
    cluster((64, 0))
    *_, note = asked()
    assert (
        "asks Ray for launcher.cpus=16 and launcher.gpus=0.5, the largest machine of the cluster has 64 cores " in note
    )


@ray
def test_a_pass_says_once_that_ray_waits(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, tiny_model: Path
) -> None:
    typed = arguments(tiny_model, tmp_path / "results", tmp_path / "cache", "device=cpu", "launcher=ray")
    planned = plan_sweep(parse(typed[1:]))
    monkeypatch.setattr(passes, "note_of_too_much", lambda *_: "they wait")
    monkeypatch.setattr(passes, "is_wanted", lambda *_: False)
    run_pass(planned, planned.cells, "deterministic", "run")
    assert capsys.readouterr().out == "note they wait\n"
    run_pass(planned, planned.cells, "timed", "run")  # `local` starts it
    run_pass(planned, [], "deterministic", "run")
    assert capsys.readouterr().out == ""


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
    (tmp_path / "nvidia0").unlink()
    assert chosen() == "local"
    install(monkeypatch, tmp_path, MadeUpCard("GPU-0"))
    assert chosen("launcher=auto", "device=cuda:0") == "joblib"
    assert chosen("launcher=local") == chosen("device=cpu") == "local"
    monkeypatch.setattr("bench.runtimes.llamacpp.LlamaCpp.check_cuda", lambda _: None)
    monkeypatch.setattr("bench.sweep.plan.grid.check_model", lambda *_: None)
    monkeypatch.setattr(launcher_keys, "usable_cores", lambda: 16)
    places = [f"cache_dir={tmp_path / 'cache'}", f"results_dir={tmp_path / 'results'}"]
    planned = plan_sweep(parse(["suite=smoke", "variant=base", *places]))
    launchers, large = {pass_: launcher_of(planned, pass_) for pass_ in PASSES}, Counter(source=16_060_000_000)
    show_plan(planned.cells, jobs_of(planned.cells), large, launchers)
    shown = " ".join(capsys.readouterr().out.split())
    assert "launcher=joblib; " in shown
    assert "source copied, 16.1 GB: files of yours on" in shown
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

    monkeypatch.setattr(launcher_keys, "usable_cores", lambda: 16)
    monkeypatch.setattr(launcher_keys, "chosen_gpus", lambda _: ("card", "card"))
    assert overrides() == ["launcher.jobs=6", "launcher.cpus=1", "launcher.gpus=0"]
    assert overrides("launcher.gpus=0.5", "launcher.jobs=8") == ["launcher.cpus=1"]
    assert overrides("launcher.address=null") == ["launcher.address=local", *overrides()]
    assert overrides("launcher.address=auto")[1:] == ["launcher.cpus=4", "launcher.gpus=0.5"]
    assert overrides("launcher.address=auto", pass_="timed")[1:] == ["launcher.cpus=8", "launcher.gpus=1"]
    assert overrides("split=layers")[0] == "launcher.jobs=3"  # one on both cards, two that build
    assert overrides("launcher.address=auto", "split=layers")[1:] == ["launcher.cpus=16", "launcher.gpus=2"]
    monkeypatch.setattr(launcher_keys, "chosen_gpus", lambda _: ())
    assert overrides() == ["launcher.jobs=2", "launcher.cpus=1"]


@submitit
def test_a_job_of_slurm_has_the_share_of_the_cores_that_goes_with_its_cards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launcher_keys, "usable_cores", lambda: 16)
    monkeypatch.setattr(launcher_keys, "chosen_gpus", lambda _: ("card",) * 4)
    for split, share in (
        ("none", ["launcher.cpus=4", "launcher.gpus=1"]),
        ("layers", ["launcher.cpus=16", "launcher.gpus=4"]),
    ):
        assert filled(compose(parse(["launcher=slurm", f"split={split}"]), "base", 0), "timed") == share


@joblib
@pytest.mark.parametrize(
    ("typed", "n_cells", "jobs"), [("jobs=64", 3, 3), ("jobs=64", 1, 2), ("jobs=1", 3, 1), ("jobs=null", 99, 6)]
)
def test_joblib_starts_no_more_processes_than_there_are_cells_and_a_single_one_only_where_that_was_typed(
    typed: str, n_cells: int, jobs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launcher_keys, "jobs_at_once", lambda *_: 6)
    settings = compose(parse(["launcher=joblib", f"launcher.{typed}"]), "base", 0)
    assert capped(settings, "deterministic", n_cells) == [f"launcher.jobs={jobs}"]


def test_keys_of_a_launcher_move_no_number_and_leave_a_sweep_its_name() -> None:
    assert parse(["launcher=ray", "launcher.address=auto"]).sweep == parse([]).sweep
