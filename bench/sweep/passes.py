"""The two passes of a sweep, each a Hydra multirun: first what is the same whatever else runs, then what needs quiet.

Jobs run where the launcher puts them: in this process, in others, on other machines. A job that dies costs its cell,
and never the sweep: its record says so, and what has not run is started again.
"""

from __future__ import annotations

import os
import sys
import time
import traceback
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from filelock import FileLock

from bench import terminal
from bench.machine.gpu import chosen_gpus
from bench.machine.lock import held
from bench.machine.shared_disk import NotSharedError, held_here
from bench.measures.measure import Progress
from bench.sweep import stage as stages
from bench.sweep.job_state import JobState, end_state, reported, state_error, state_of, write_state
from bench.sweep.launcher_keys import capped, filled, note_of_too_much
from bench.sweep.launchers import is_here, is_of_launcher, launched, shared_folders
from bench.sweep.plan.cell import Cell, Pass, make_cell
from bench.sweep.plan.compose import PRIMARY, plain, register, sweep_overrides
from bench.sweep.plan.conf import CONF
from bench.sweep.plan.grid import Sweep
from bench.sweep.plan.request import setting
from bench.sweep.plan.settings import Settings, settings_of
from bench.sweep.record import death, failed_record, unforeseen, write
from bench.sweep.run import run_first, run_second
from variants.errors import UserError

if TYPE_CHECKING:
    from omegaconf import DictConfig


FULL_ERROR = "HYDRA_FULL_ERROR"


def new_run() -> str:
    """Return a name for a run, which no other run has."""
    return f"run{time.time_ns():x}"


def run_pass(sweep: Sweep, cells: Sequence[Cell], pass_: Pass, run: str) -> None:
    """Run a pass of these cells; where that ends early, settle what died and start again what has not run."""
    is_asked_for = bool(cells) and launcher_of(sweep, pass_) == sweep.request.launcher
    if is_asked_for and (note := note_of_too_much(cells[0].settings, pass_)):
        terminal.say(note, lead="note ")
    while todo := [cell for cell in cells if is_wanted(cell, pass_, run)]:
        again = [cell for cell in todo if (state := state_of(cell, pass_, run)) and state.deaths]
        rest = [cell for cell in todo if not any(cell is one for one in again)]
        alone_first = [*([cell] for cell in again), *(batches(rest, pass_) if rest else [])]
        ends = [_multirun(sweep, pass_, run, batch) for batch in alone_first]
        record_errors(todo, pass_, run)
        if all(ends):
            return
        if not settle(todo, pass_, run) and all(is_wanted(cell, pass_, run) for cell in todo):
            terminal.console().print("the sweep stopped early; the same command goes on", style="red")
            return


def is_wanted(cell: Cell, pass_: Pass, run: str) -> bool:
    """Say whether a pass of a run still has something to do for a cell."""
    own, first = state_of(cell, pass_, run), state_of(cell, "deterministic", run)
    if (own and own.ended) or (first and first.recorded) or cell.finished() is not None:
        return False
    if pass_ == "timed":
        return bool(cell.measures_of("timed"))
    if cell.cache.missing(cell.builds) or not cell.measures_of("timed"):
        return True
    return bool(cell.measures_of("deterministic")) and stages.kept(cell) is None


def job(config: DictConfig) -> None:
    """Run one pass of one cell, unless that has nothing to do. Whatever fails costs this cell, and is stated."""
    settings = settings_of(plain(config, resolve=True))
    assert settings.sweep_pass != ""
    try:
        _run_job(settings, settings.sweep_pass)
    except Exception as error:  # Hydra would raise the first one of a pass, and not say whose it is
        state_error(settings, settings.sweep_pass, unforeseen(settings.cache, error))


def _run_job(settings: Settings, pass_: Pass) -> None:
    cell = make_cell(settings)
    if not is_wanted(cell, pass_, settings.sweep_run):
        return
    cell.cache.cell_lock(cell.key).parent.mkdir(parents=True, exist_ok=True)
    with reported(cell, pass_) as reporter, _alone(cell, reporter.report):
        with FileLock(cell.cache.removal_lock):  # `bench gc` ends before this cell looks for its artifacts
            pass
        if cell.finished() is None:
            missing = {planned.fingerprint for planned in cell.cache.missing(cell.builds)}
            run_one = run_first if pass_ == "deterministic" else run_second
            stage, record = run_one(cell, reporter.report)
            reporter.take(stage, record, missing)


def _alone(cell: Cell, report: Progress) -> AbstractContextManager[None]:
    """Hold a cell's lock: where another sweep runs the same cell, this one waits and then sees it finished."""
    return held(cell.cache.cell_lock(cell.key), lambda holder: report(f"waiting for the same cell: {holder}", 0, 1))


def settle(cells: Sequence[Cell], pass_: Pass, run: str) -> int:
    """Settle the jobs that had begun and died, and return how many; one that still runs is waited for.

    The cell of one that died has a failed record. Where several died at once, one of them may have taken the others
    with it, as joblib kills all of its workers then: each gets one more try, by itself. So no job runs more than twice
    in a pass of a run.
    """
    began = [cell for cell in cells if (state := state_of(cell, pass_, run)) and state.ended is None]
    dead: list[tuple[Cell, JobState]] = []
    for cell in began:
        with _alone(cell, lambda *_: None):
            state = state_of(cell, pass_, run)
            if state and state.ended is None and cell.finished() is None:
                dead.append((cell, state))
    for cell, state in dead:
        if len(dead) > 1 and not state.deaths:
            state.deaths = 1
            write_state(cell, pass_, run, state)
            continue
        with _alone(cell, lambda *_: None):
            write(cell, failed_record(cell, pass_, death(state.what)))
            state.failed = state.recorded = True
            end_state(cell, pass_, run, state)
    return len(dead)


def record_errors(cells: Sequence[Cell], pass_: Pass, run: str) -> None:
    """Write the failed records of the jobs that ended in an error beside their stages."""
    for cell in cells:
        state = state_of(cell, pass_, run)
        if state and state.error and not state.recorded and cell.finished() is None:
            write(cell, failed_record(cell, pass_, state.error))
            state.recorded = True
            write_state(cell, pass_, run, state)


def batches(cells: Sequence[Cell], pass_: Pass) -> list[list[Cell]]:
    """Divide the jobs of a pass into multiruns: one, but with one job a GPU one for as many rounds as there are GPUs.

    Each of these rounds has a card of its own, so that a round compares its variants on one card.
    """
    settings = cells[0].settings
    if pass_ != "timed" or settings.timing != "per_gpu":
        return [list(cells)]
    n = max(1, len(chosen_gpus(settings.device)))
    groups = sorted({cell.round // n for cell in cells})
    return [[cell for cell in cells if cell.round // n == group] for group in groups]


def axes(cells: Sequence[Cell], pass_: Pass) -> list[str]:
    """Return the axes of a multirun. The first one varies slowest: a round ends before the next one begins.

    With one job a GPU the rounds of a batch run at the same time, and so the variants vary slowest.
    """
    rounds = "round=" + ",".join(map(str, dict.fromkeys(cell.round for cell in cells)))
    variants = "variant=" + ",".join(dict.fromkeys(cell.variant for cell in cells))
    per_gpu = pass_ == "timed" and cells[0].settings.timing == "per_gpu"
    return [variants, rounds] if per_gpu else [rounds, variants]


def launcher_of(sweep: Sweep, pass_: Pass) -> str:
    """Return what starts the jobs of a pass: what was asked for, but here one by one what is to run alone."""
    asked = sweep.request.launcher
    alone = pass_ == "timed" and sweep.cells[0].settings.timing == "alone"
    return "local" if alone and is_here(asked, sweep.cells[0].settings) else asked


def _multirun(sweep: Sweep, pass_: Pass, run: str, cells: Sequence[Cell]) -> bool:
    """Let Hydra run these cells; return whether all of them were run."""
    import hydra

    register()
    first = cells[0].settings
    launcher = launcher_of(sweep, pass_)
    typed = sweep_overrides(sweep.request)
    if launcher == sweep.request.launcher:
        typed += [*filled(first, pass_), *capped(first, pass_, len(cells))]
    else:
        typed = [line for line in typed if not line.startswith(("launcher=", "launcher."))]
    own = {"sweep_run": run, "sweep_pass": pass_, "sweep_launcher": launcher}
    # Hydra's own folder lies in the cache, and Hydra takes a relative one to start at the current folder.
    own["cache_dir"] = str(cells[0].cache.root)
    own["sweep_anchor"] = sweep.variants[0]
    before, full_error = sys.argv, os.environ.get(FULL_ERROR)
    os.environ[FULL_ERROR] = "1"  # Hydra then raises what it else prints
    sys.argv = ["bench", "--multirun", *axes(cells, pass_), *typed, *(setting(*one).line for one in own.items())]
    try:
        with held_here(shared_folders(launcher, first)) as held_files:
            task = launched(job, first, held_files)
            hydra.main(version_base="1.3", config_path=str(CONF), config_name=PRIMARY)(task)()
    except SystemExit as stop:
        return stop.code in (None, 0)
    except NotSharedError:
        raise
    except Exception as error:
        if is_of_launcher(error) or isinstance(error, UserError):
            terminal.say((str(error).splitlines() or [type(error).__name__])[0], lead="problem ")
        else:
            traceback.print_exception(error)
        return False
    finally:
        sys.argv = before
        os.environ.pop(FULL_ERROR)
        os.environ.update({FULL_ERROR: full_error} if full_error is not None else {})
    return True
