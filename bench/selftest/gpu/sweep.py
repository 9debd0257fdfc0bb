"""Time both passes of a sweep of eight variants on a GPU, and what scoring takes on several GPUs beside one.

The weights are random: a model of that shape takes the same time whatever it has learned.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from threading import Event, Thread
from typing import Any

import msgspec

from bench.machine.gpu import Gpu, chosen_gpus, driver, usable_gpus
from bench.machine.gpu_load import busy_share
from bench.records.types import Record
from bench.selftest.scoring import beside
from bench.sweep.passes import launcher_of, new_run, run_pass
from bench.sweep.plan.cell import PASSES, Pass
from bench.sweep.plan.compose import compose
from bench.sweep.plan.grid import Sweep, fetch_data, needed_bytes, plan_sweep
from bench.sweep.plan.random_model import with_random_folder
from bench.sweep.plan.request import parse
from bench.sweep.show.overview import jobs_of, show_plan
from bench.sweep.show.progress import watched
from bench.sweep.stage import kept

MODEL = "random-3b"
SUITE = ("suite=hr-chatbot", "steps.lora.epochs=1")
MMLU = (
    *SUITE,
    "accuracy.tasks=[mmlu]",
    "accuracy.num_fewshot=5",
    "limit_per_subject=25",
    "runtime.llamacpp.n_ctx=4096",
    "runtime.transformers.n_ctx=4096",
)
"""The same variants, each asked 25 questions of each of 57 subjects."""
ROUNDS, REQUESTS, ASKED = 3, 134, 20
"""What a sweep is to have, and how many requests of the one round that is timed: the others take as long."""
SAMPLE_SECONDS = 0.2


@dataclass(frozen=True)
class Took:
    """The seconds of a pass, and the share of them in which the cards ran kernels, None where no driver says."""

    seconds: float
    busy: float | None


def rows(place: Path) -> Iterator[list[str]]:
    """Yield what both passes take on one card, whose cache is empty."""
    shutil.rmtree(place / "swept", ignore_errors=True)
    sweep, (first, second) = _swept(place / "swept", "cuda:0", SUITE, PASSES)
    records = [record for cell in sweep.cells if (record := cell.finished())]
    if len(records) < len(sweep.cells):
        raise RuntimeError("a variant has failed: see the lines above")
    jobs = sum(record.seconds.get(name, 0.0) for record in records for name in ("build", "deterministic"))
    n, launcher = len(records), launcher_of(sweep, "deterministic")
    yield [
        f"pass one, {n} variants of {MODEL}: sum of its jobs / launcher={launcher}",
        "s",
        *beside(jobs, first.seconds),
        "",
    ]
    yield ["… share in which the GPU was busy", "", _percent(first.busy), "", "", "at least 60 %"]
    yield [f"pass two, a round of {ASKED} requests", "s", f"{second.seconds:,.1f}", "", "", ""]
    yield ["… share in which the GPU was busy", "", _percent(second.busy), "", "", ""]
    more = (REQUESTS / ASKED - 1) * sum(map(_request_seconds, records))
    whole = ROUNDS * (second.seconds + more)
    yield [f"… {ROUNDS} rounds of {REQUESTS} requests, extrapolated", "s", f"{whole:,.1f}", "", "", ""]
    yield ["both passes, extrapolated", "s", f"{first.seconds + whole:,.1f}", "", "", "half of before"]


def rows_of_cards(place: Path) -> Iterator[list[str]]:
    """Yield what it takes to score the variants on one card, and on all; what they are made of is built before.

    What is built on the CPU takes as long for any number of cards, and would hide what the cards do. What `rows` has
    built is not built again.
    """
    n, mmlu = len(usable_gpus()), os.environ.get("MMLU_DIR", "")
    name = f"pass one, MMLU of variants of {MODEL}, built before: 1 GPU / {max(n, 2)} GPUs"
    if n < 2 or not (Path(mmlu).expanduser() / "test").is_dir():
        why = "one GPU on this machine" if n < 2 else "set MMLU_DIR to the folder of MMLU's CSVs"
        yield [name, "", "", "", "not measured", why]
        return
    place = place / "swept"
    asked = (*MMLU, f"data_dir={Path(mmlu).expanduser().absolute()}")
    _swept(place, "cuda", (*asked, "suite.measures=[size,divergence]"), PASSES[:1])
    took = []
    for device in ("cuda", "cuda:0"):  # what the first one has to start anew is not what one card lacks
        for kept_of_another in ("scores", "stages"):
            shutil.rmtree(place / "cache" / kept_of_another, ignore_errors=True)
        sweep, (first,) = _swept(place, device, asked, PASSES[:1])
        if failed := [cell.variant for cell in sweep.cells if kept(cell) is None]:
            raise RuntimeError(f"{', '.join(failed)}: failed, see the lines above")
        took.append(first)
        busy = f"{len(sweep.cells)} variants, {device}: share in which its cards were busy"
        yield [busy, "", _percent(first.busy), "", "", ""]
    yield [name, "s", *beside(*(one.seconds for one in reversed(took))), "at least 1.7 with 2"]


def _swept(place: Path, device: str, suite: Sequence[str], passes: Sequence[Pass]) -> tuple[Sweep, list[Took]]:
    """Run some passes of a sweep as `bench run` does; return it, and what each pass took."""
    sweep = plan_sweep(parse(_typed(place, device, suite)))
    jobs, run = jobs_of(sweep.cells), new_run()
    show_plan(sweep.cells, jobs, needed_bytes(sweep.cells), {pass_: launcher_of(sweep, pass_) for pass_ in PASSES})
    fetch_data(sweep.cells)
    took = []
    with watched(jobs, run):
        for pass_ in passes:
            began = time.perf_counter()
            with _sampled(chosen_gpus(device)) as samples:
                run_pass(sweep, jobs.cells[pass_], pass_, run)
            took.append(Took(time.perf_counter() - began, mean(samples) if samples else None))
    return sweep, took


def _typed(place: Path, device: str, suite: Sequence[str]) -> list[str]:
    """Make the random model, and return a sweep of its folder: as of any model folder, its answers are scored."""
    places = [f"cache_dir={place / 'cache'}", f"results_dir={place / 'results'}", f"device={device}"]
    request = parse([f"model={MODEL}", *places])
    made = with_random_folder(request, compose(request, "base", 0))
    folder = compose(made, "base", 0).model_folder
    few = ["suite.rounds=1", f"latency.requests={ASKED}"]
    return [f"model={folder}", *suite, "suite.requirements=null", "latency.seconds=null", *few, *places]


@contextmanager
def _sampled(cards: Sequence[Gpu]) -> Iterator[list[float]]:
    """Sample meanwhile, in a thread of its own, the share in which the cards are busy, on average of all."""
    samples: list[float] = []
    ended = Event()

    def sample() -> None:
        with driver():
            while not ended.wait(SAMPLE_SECONDS):
                shares = [share for card in cards if (share := busy_share(card)) is not None]
                samples.extend([mean(shares)] if shares else [])

    thread = Thread(target=sample, daemon=True)
    thread.start()
    try:
        yield samples
    finally:
        ended.set()
        thread.join()


def _request_seconds(record: Record) -> float:
    latency = msgspec.json.decode(record.measures["latency"], type=dict[str, Any])
    return sum(map(float, latency["e2e_ms"])) / 1e3


def _percent(share: float | None) -> str:
    return "not measured" if share is None else f"{share:.0%}"
