"""Two passes: what each of them runs and keeps, in which order, and what a death in either of them costs."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from omegaconf import DictConfig

from bench.cli import main
from bench.machine.gpu import gpus
from bench.machine.lock import held
from bench.records.store import read
from bench.records.types import CellError, Company, Record
from bench.sweep import passes
from bench.sweep.child import KILLED
from bench.sweep.job_state import Reporter, end_state, state_of
from bench.sweep.passes import axes, batches, is_wanted, launcher_of, run_pass, settle
from bench.sweep.plan.cell import Cell, Pass, make_cell
from bench.sweep.plan.grid import Sweep, plan_sweep
from bench.sweep.plan.request import parse
from bench.sweep.plan.settings import Settings
from bench.sweep.record import _company as of_company
from bench.sweep.record import has_anchor, record_of, write
from bench.sweep.run import run_second, time_anchor
from bench.sweep.show.overview import jobs_of
from bench.sweep.stage import Stage, keep, kept, lineage
from tests.made_up_cards import MadeUpCard, install
from tests.sweep.conftest import Run, arguments
from tests.sweep.test_launchers import joblib, run_job
from variants.errors import UserError

Capture = pytest.CaptureFixture[str]
BOTH = ("suite.measures=[size,memory]", "suite.once=[size]", "suite.rounds=2", "variant=base,q4", "device=cpu")
TIMED = ("suite.measures=[latency]", "suite.rounds=1", "variant=base,q4", "latency.least_requests=4")


@pytest.fixture
def sweep(tiny_model: Path, tmp_path: Path, cache: Path) -> Sweep:
    """Two variants in two rounds: size is measured once, memory in every round."""
    return plan_sweep(parse(arguments(tiny_model, tmp_path / "results", cache, *BOTH)[1:]))


@pytest.fixture
def run(tmp_path: Path) -> str:
    """The name of a run that no other test has: all share a cache."""
    return f"run-{tmp_path.name}"


def of_run(sweep: Sweep, pass_: Pass, run: str) -> list[Cell]:
    """Return the cells of a sweep as the jobs of a pass of a run see them."""
    named = {"sweep_run": run, "sweep_pass": pass_}
    settings = [msgspec.structs.replace(cell.settings, **named) for cell in sweep.cells]
    return [replace(cell, settings=mine) for cell, mine in zip(sweep.cells, settings, strict=True)]


def records(results: Path) -> list[Record]:
    sound, left_out = read(results)
    assert left_out == []
    return sorted(sound, key=lambda record: (record.round, record.variant))


def test_a_sweep_that_ends_between_its_passes_goes_on_with_the_second_one(
    tiny_model: Path, tmp_path: Path, cache: Path, sweep: Sweep, run: str, capsys: Capture
) -> None:
    first = jobs_of(sweep.cells).cells["deterministic"]
    assert [(cell.variant, cell.round) for cell in first] == [("base", 0), ("q4", 0)]
    run_pass(sweep, first, "deterministic", run)
    assert not (tmp_path / "results").exists()
    measured = [kept(cell) for cell in first]
    assert all(stage and not stage.error and set(stage.result.measures) == {"size"} for stage in measured)
    check_a_failed_first_pass(first[0], of_run(sweep, "timed", run)[0])
    assert main(arguments(tiny_model, tmp_path / "results", cache, *BOTH)) == 0
    printed = capsys.readouterr().out
    assert "pass 1     nothing to do" in printed
    assert "pass 2     4 jobs: memory; each alone on the machine" in printed
    base, q4, *later = records(tmp_path / "results")
    for record, stage in zip((base, q4), measured, strict=True):
        assert stage
        assert msgspec.json.decode(record.measures["size"]) == msgspec.json.decode(stage.result.measures["size"])
        assert record.company["deterministic"] == stage.company
        assert record.canary
    assert [set(record.measures) for record in later] == [{"memory"}, {"memory"}]
    assert [kept(cell) for cell in first] == [None, None]  # a cell that has its record needs it no more
    states = [path.name for path in (cache / "jobs").rglob("*.state.json")]
    assert [name for name in states if run not in name] == []  # a run removes its own when it ends


def check_a_failed_first_pass(cell: Cell, in_this_run: Cell) -> None:
    """Check that another run measures it again, and that this one still times what no kill ended."""
    stage = kept(cell)
    assert stage
    keep(cell, replace_error(stage, CellError(stage="measure", message="accuracy failed")))
    assert kept(cell) is None
    assert kept(in_this_run)
    keep(cell, replace_error(stage, CellError(stage="measure", message="killed", type=KILLED)))
    record = run_second(in_this_run, lambda *_: None)[1]
    assert (record.failed, set(record.measures)) == (True, {"size"})
    keep(cell, replace_error(stage, None))


def replace_error(stage: Stage, error: CellError | None) -> Stage:
    stage.error = error
    return stage


def test_the_rounds_of_the_second_pass_alternate_between_the_variants(sweep: Sweep) -> None:
    assert axes(sweep.cells, "timed") == ["round=0,1", "variant=base,q4"]
    assert launcher_of(sweep, "timed") == "local"
    assert batches(sweep.cells, "timed") == [sweep.cells]


@pytest.mark.parametrize("launcher", ["joblib", "ray"])
def test_what_is_to_run_alone_on_this_machine_runs_one_by_one_whatever_starts_the_first_pass(
    sweep: Sweep, launcher: str
) -> None:
    """A kill in the second pass is then one of `local`, see tests/selftest/test_kills.py."""
    own = replace(sweep, request=replace(sweep.request, places=()).launched_by(launcher))
    assert (launcher_of(own, "deterministic"), launcher_of(own, "timed")) == (launcher, "local")


def test_with_one_job_a_gpu_the_rounds_that_run_at_once_have_a_card_each(
    sweep: Sweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = msgspec.structs.replace(sweep.cells[0].settings, timing="per_gpu")
    cells = [replace(cell, settings=msgspec.structs.replace(settings, round=cell.round)) for cell in sweep.cells]
    monkeypatch.setattr(passes, "chosen_gpus", lambda _: ("one", "two"))
    assert [len(batch) for batch in batches(cells, "timed")] == [4]
    assert axes(cells, "timed")[1] == "round=0,1"
    monkeypatch.setattr(passes, "chosen_gpus", lambda _: ("one",))
    assert [[cell.round for cell in batch] for batch in batches(cells, "timed")] == [[0, 0], [1, 1]]


def test_a_job_that_died_is_a_failed_record_and_the_others_are_started_again(
    sweep: Sweep, run: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cells, runs = of_run(sweep, "timed", run), list[list[str]]()

    def dying(_: Sweep, pass_: Pass, run: str, todo: Sequence[Cell]) -> bool:
        """Run as an engine whose first worker is killed, which then starts no other job."""
        runs.append([cell.variant for cell in todo])
        reporters = [Reporter(cell, pass_) for cell in todo]
        reporters[0].report("latency", 10, 20)
        if len(runs) == 1:
            return False
        for cell, reporter in zip(todo, reporters, strict=True):
            end_state(cell, pass_, run, reporter.state)
        return True

    monkeypatch.setattr(passes, "_multirun", dying)
    run_pass(sweep, cells[:2], "timed", run)
    assert runs == [["base", "q4"], ["q4"]]
    (record,) = records(tmp_path / "results")
    assert (record.variant, record.status) == ("base", "failed")
    assert record.error
    assert record.error.type == "WorkerDied"
    assert "died while it was latency" in record.error.message
    assert not is_wanted(cells[0], "timed", run)
    assert is_wanted(cells[0], "timed", "another")


def test_a_job_that_takes_others_with_it_runs_twice_and_they_each_once_more(
    sweep: Sweep, run: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cells, runs = of_run(sweep, "timed", run), list[list[str]]()

    def killing(_: Sweep, pass_: Pass, run: str, todo: Sequence[Cell]) -> bool:
        """Run as joblib does where q4 of the first round is out of memory: all of its workers are killed."""
        runs.append([f"{cell.variant} {cell.round}" for cell in todo])
        reporters = [Reporter(cell, pass_) for cell in todo]
        for cell, reporter in zip(todo, reporters, strict=True):
            reporter.write()
            if "q4 0" not in runs[-1]:
                end_state(cell, pass_, run, reporter.state)
        return "q4 0" not in runs[-1]

    monkeypatch.setattr(passes, "_multirun", killing)
    run_pass(sweep, cells, "timed", run)
    assert runs == [["base 0", "q4 0", "base 1", "q4 1"], ["base 0"], ["q4 0"], ["base 1"], ["q4 1"]]
    assert [(record.variant, record.round) for record in records(tmp_path / "results")] == [("q4", 0)]


def without_its_data(config: DictConfig) -> None:
    """Run a job where something is gone that the plan had found."""

    def refuse(settings: Settings) -> Cell:
        raise UserError(f"latency.prompts: no such file, says {settings.variant.name}")

    vars(passes)["make_cell"] = refuse
    try:
        run_job(config)
    finally:
        vars(passes)["make_cell"] = make_cell  # joblib keeps its processes for the next test


@pytest.mark.parametrize("launcher", ["local", pytest.param("joblib", marks=joblib)])
def test_a_mistake_that_shows_in_a_job_is_the_one_line_of_its_failed_record(
    launcher: str, sweep: Sweep, run: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setattr(passes, "job", without_its_data)
    request = replace(sweep.request, places=()).launched_by(launcher)
    launched = plan_sweep(request)
    run_pass(launched, launched.cells[:2], "deterministic", run)
    errors = [record.error for record in records(tmp_path / "results")]
    assert [(error.type, error.message, error.traceback) for error in errors if error] == [
        ("UserError", f"latency.prompts: no such file, says {name}", "") for name in ("base", "q4")
    ]
    assert "problem" not in capsys.readouterr().out


def test_an_engine_that_starts_nothing_is_not_asked_for_ever(
    sweep: Sweep, run: str, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    asked: list[int] = []

    def starts_nothing(_: Sweep, pass_: Pass, run: str, todo: Sequence[Cell]) -> bool:
        asked.append(len(todo))
        return False

    monkeypatch.setattr(passes, "_multirun", starts_nothing)
    run_pass(sweep, of_run(sweep, "timed", run), "timed", run)
    assert asked == [4]
    assert "the same command goes on" in capsys.readouterr().out


def test_a_job_that_still_runs_when_its_engine_has_given_up_is_waited_for(
    sweep: Sweep, run: str, tmp_path: Path
) -> None:
    cell = of_run(sweep, "timed", run)[0]
    lock = cell.cache.cell_lock(cell.key)
    with held(lock, lambda _: None):
        reporter = Reporter(cell, "timed")
        reporter.write()
        settling = threading.Thread(target=settle, args=([cell], "timed", run))
        settling.start()
        assert state_of(cell, "timed", run)
        end_state(cell, "timed", run, reporter.state)
    settling.join()
    assert not (tmp_path / "results").exists()


def test_a_record_says_in_which_company_it_was_measured_and_older_ones_load() -> None:
    assert msgspec.json.decode(b"{}", type=Company) == Company(machine="alone")


def test_what_one_job_a_gpu_does_to_latency_is_measured_once_and_said(sweep: Sweep) -> None:
    stage = Stage("timed", "run", "now", company=Company(machine="shared", cores=8, alone_e2e_ms=(10.0, 10.0, 20.0)))
    stage.result.measures["latency"] = msgspec.Raw(b'{"e2e_ms":[11.0,11.0,12.0]}')
    (warning,) = of_company(stage)
    assert warning.startswith("timed one job a GPU at a time, on 8 cores, and not alone on the machine; ")
    assert "1.100 times as long as alone" in warning
    stage.company = Company(machine="alone", cores=16)
    assert of_company(stage) == []
    named = {"timing": "per_gpu", "sweep_anchor": "base"}
    assert [
        (cell.variant, cell.round)
        for cell in sweep.cells
        if msgspec.structs.replace(cell.settings, **named).is_timed_alone_too
    ] == [("base", 0)]


def test_one_job_a_gpu_is_refused_on_a_cpu(refused: Run) -> None:
    assert "timing: got 'per_gpu', allowed on a CPU: alone" in refused("timing=per_gpu", "device=cpu")
    assert "timing: got 'both', allowed: alone, per_gpu" in refused("timing=both")


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (["timing=per_gpu", "split=layers"], "timing: got 'per_gpu', allowed with split=layers: alone"),
        (
            ["timing=per_gpu", "variant=base,base-torch", "runtime.transformers.split=layers"],
            "timing: got 'per_gpu', allowed with split=layers: alone",
        ),
        (["timing=per_gpu", "device=cuda:1"], "timing: got 'per_gpu', allowed with one GPU: alone"),
        (["timing=per_gpu", "launcher=slurm"], "timing: got 'per_gpu', allowed on a cluster: alone"),
        (["timing=per_gpu", "launcher=local"], "timing=per_gpu: launcher=local runs one job at a time"),
        (["device=cuda:1", "launcher=slurm"], "device=cuda:1: a cluster gives a job its cards; allowed: auto, "),
    ],
)
def test_a_timing_or_a_device_that_the_cards_or_the_launcher_cannot_give_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: Run, typed: list[str], said: str
) -> None:
    install(monkeypatch, tmp_path, MadeUpCard("GPU-0", bus=1), MadeUpCard("GPU-1", bus=2))
    monkeypatch.setattr("bench.runtimes.llamacpp.LlamaCpp.check_cuda", lambda _: None)
    (tmp_path / "sbatch").touch(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert said in refused(*typed)


def test_on_a_cluster_a_cell_times_the_anchor_after_itself_unless_a_record_has_it_on_its_card(
    tiny_model: Path, tmp_path: Path, cache: Path, run: str
) -> None:
    sweep = plan_sweep(parse(arguments(tiny_model, tmp_path / "results", cache, *TIMED, "device=cpu")[1:]))
    base, q4 = (on_a_cluster(cell) for cell in of_run(sweep, "deterministic", run))
    assert (base.settings.needs_anchor, q4.settings.needs_anchor) == (False, True)
    run_pass(sweep, of_run(sweep, "deterministic", run)[1:], "deterministic", run)
    stage = Stage("timed", run, "now", lineage=lineage(q4))
    time_anchor(q4, stage, lambda *_: None)
    assert stage.warnings == []
    assert stage.anchor
    assert stage.anchor.latency
    assert (stage.anchor.variant, len(stage.anchor.latency.e2e_ms)) == ("base", 4)
    write(q4, record_of(q4, [stage]))
    (record,) = records(tmp_path / "results")
    assert record.anchor == stage.anchor
    again = Stage("timed", run, "now")
    time_anchor(q4, again, lambda *_: None)
    assert again.anchor is None
    assert not has_anchor(q4, "base", ("GPU-of-another-job",))


@pytest.mark.skipif(not gpus(), reason="needs an NVIDIA GPU and its driver")
def test_the_anchor_of_a_cell_on_a_cluster_is_timed_on_the_card_of_the_cell(
    tiny_model: Path, tmp_path: Path, cache: Path, run: str
) -> None:
    sweep = plan_sweep(parse(arguments(tiny_model, tmp_path / "results", cache, *TIMED, "device=cuda")[1:]))
    _, record = run_second(on_a_cluster(of_run(sweep, "timed", run)[1]), lambda *_: None)
    assert [warning for warning in record.warnings if "anchor" in warning] == []
    assert record.anchor
    assert record.anchor.variant == "base"
    assert len(record.cards) == 1


def on_a_cluster(cell: Cell) -> Cell:
    """Return a cell as a launcher of several machines runs it."""
    settings = msgspec.structs.replace(cell.settings, sweep_anchor="base", launcher={"several_machines": True})
    return replace(cell, settings=settings)
