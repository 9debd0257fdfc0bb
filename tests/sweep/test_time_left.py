"""The time left of a sweep, on the real times of the sweeps in `results/`, with a clock that the test sets."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import pytest
import yaml

from bench.records.store import read
from bench.records.types import Record
from bench.sweep.plan.cell import make_cell
from bench.sweep.plan.compose import compose
from bench.sweep.plan.request import parse
from bench.sweep.show.time_left import (
    Costs,
    Paces,
    Part,
    SweepTime,
    learned,
    measure_part,
    measured_parts,
    measures_alike,
    step_part,
)
from variants.paths import ROOT

FIFTH, LAST, FACTOR = 0.2, 0.95, 1.5
"""From a fifth of a run on, and until so little is left that seconds decide, the time left is right within a factor."""


class Clock:
    """Shows the time that a test sets."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def expected_costs() -> Costs:
    """Return the expected costs of all steps, measures and runtimes of the configuration, by their names."""
    steps = yaml.safe_load((ROOT / "conf" / "steps" / "default.yaml").read_text())
    files = [*(ROOT / "conf" / "measure").glob("*.yaml"), *(ROOT / "conf" / "runtime").glob("*.yaml")]
    nodes = {**steps, **{file.stem: yaml.safe_load(file.read_text()) for file in files}}
    return {name: cost for name, node in nodes.items() if (cost := cost_of_class(node)) is not None}


def cost_of_class(node: Mapping[str, object]) -> float | None:
    module, _, name = str(node.get("_target_", "")).rpartition(".")
    return getattr(getattr(importlib.import_module(module), name), "expected_cost", None) if module else None


def sweeps() -> list[list[Record]]:
    """Return the shipped sweeps of the embedded model, each in the order in which its cells ran.

    Those of a GPU had several jobs at once, whose seconds do not add up to those of a sweep.
    """
    by_label: dict[tuple[str, str], list[Record]] = {}
    for record in sorted(read(ROOT / "results")[0], key=lambda record: (record.started_at, record.round)):
        if record.sweep != "embedded-reference":
            continue
        by_label.setdefault((record.label, record.sweep), []).append(record)
    return list(by_label.values())


def replay(run: Sequence[Record], paces: Paces, costs: Costs) -> Iterator[tuple[float, float]]:
    """Run a sweep again on the clock; yield, ten times a cell, the share that is done and estimate over truth."""
    seen: set[str] = set()
    new: dict[str, set[str]] = {}
    work: dict[str, list[Part]] = {}
    for record in run:
        label = f"{record.variant} {record.round}"
        new[label] = {made.fingerprint for made in record.lineage} - seen
        seen |= new[label]
        steps = [step_part(made.step, costs) for made in record.lineage if made.fingerprint in new[label]]
        work[label] = [*steps, measure_part(record.variant, record.runtime, record.measures, costs)]
    clock, total = Clock(), sum(record.seconds["total"] for record in run)
    left = SweepTime(work, paces, clock)
    for label, record in zip(work, run, strict=True):
        began = clock.now
        left.begin(label)
        for tenth in range(10):
            clock.now = began + record.seconds["total"] * tenth / 10
            seconds = left.left()
            yield clock.now / total, float("nan") if seconds is None else seconds / (total - clock.now)
        clock.now = began + record.seconds["total"]
        left.finish(label, measured_parts(record, costs, new[label]))


@pytest.mark.parametrize("place", range(len(sweeps())))
def test_after_a_fifth_of_a_run_the_time_left_is_right_within_a_factor_of_1_5(place: int) -> None:
    costs, runs = expected_costs(), sweeps()
    sweep = runs[place][0].sweep
    settings = runs[place][0].config.measures
    others = [record for other, run in enumerate(runs) if other != place for record in run if record.sweep == sweep]
    others = [record for record in others if measures_alike(record, settings)]
    if not others:
        pytest.skip("no other shipped sweep was measured with these settings: there is none to learn from")
    checked = [ratio for done, ratio in replay(runs[place], learned(others, costs), costs) if FIFTH <= done <= LAST]
    assert checked
    assert all(1 / FACTOR <= ratio <= FACTOR for ratio in checked), (min(checked), max(checked))


@pytest.mark.parametrize("place", range(len(sweeps())))
def test_without_records_the_weights_are_those_of_what_has_finished(place: int) -> None:
    costs = expected_costs()
    checked = [(done, ratio) for done, ratio in replay(sweeps()[place], Paces(), costs) if done >= FIFTH]
    assert 1 / FACTOR <= checked[0][1] <= FACTOR, checked[0]
    assert all(1 / 2 <= ratio <= 2 for done, ratio in checked if done <= LAST)


def part(name: str, weight: float = 1.0) -> Part:
    return Part(weight, ((name,), ()))


def test_a_machine_that_is_slower_than_its_records_is_given_more_time() -> None:
    clock, paces = Clock(), Paces()
    for name in ("a", "b"):
        paces.add(part(name), 10.0)
    left = SweepTime({"1": [part("a")], "2": [part("b")]}, paces, clock)
    assert left.left() == 20.0
    left.begin("1")
    clock.now = 20.0
    left.finish("1", [(part("a"), 20.0)])
    assert left.left() == 20.0  # 10 s by the records, at half the speed
    assert left.share() == 0.5


def test_the_time_left_is_not_known_before_anything_was_measured() -> None:
    clock = Clock()
    left = SweepTime({"1": [part("a")], "2": [part("b", 3.0)]}, Paces(), clock)
    left.begin("1")
    clock.now = 5.0
    assert (left.left(), left.share()) == (None, None)
    left.finish("1", [(part("a"), 5.0)])
    assert left.left() == 15.0


def test_waiting_for_another_sweep_sets_no_pace() -> None:
    clock, paces = Clock(), Paces()
    paces.add(part("a"), 10.0)
    left = SweepTime({"1": [part("a")], "2": [part("a")]}, paces, clock)
    left.begin("1")
    left.wait("1")
    clock.now = 600.0  # another sweep held the machine
    left.begin("1")
    clock.now = 610.0
    left.finish("1", ())
    assert left.left() == 10.0


def test_what_a_job_did_before_it_waited_counts_as_its_work() -> None:
    clock, paces = Clock(), Paces()
    paces.add(part("a"), 20.0)
    left = SweepTime({"1": [part("a")], "2": [part("a")]}, paces, clock)
    left.begin("1")
    clock.now = 10.0
    left.wait("1")
    clock.now = 600.0  # another job had the card
    left.begin("1")
    assert left.left() == 30.0
    clock.now = 610.0
    left.finish("1", ())
    assert left.left() == 20.0


def test_jobs_that_wait_for_one_card_do_not_count_as_work_that_is_done_at_once() -> None:
    clock, paces = Clock(), Paces()
    paces.add(part("card"), 10.0)
    paces.add(part("build"), 10.0)
    on_card, build = replace(part("card"), on_card=True), part("build")
    jobs = {name: [build, on_card] for name in "123"}
    for cards, seconds in ((1, 30.0), (2, 20.0)):  # three of them need a card for 10 s each; three work, 60 s in all
        left = SweepTime(jobs, paces, clock, cards=cards)
        for name in jobs:
            left.begin(name)
        assert left.left() == seconds
    left.wait("2")
    left.wait("3")
    assert left.left() == 60.0  # one works; no clock says when the others will
    left.begin("2")
    assert left.left() == 30.0


def test_records_of_other_settings_teach_no_pace() -> None:
    """Half of the requests take half of the time."""
    record = sweeps()[-1][0]
    settings = record.config.measures
    assert measures_alike(record, settings)
    assert measures_alike(record, {**settings, "another": {}})
    assert not measures_alike(record, {**settings, "latency": {**settings["latency"], "requests": 7}})
    assert not measures_alike(record, {name: fields for name, fields in settings.items() if name != "latency"})


def test_the_newest_shipped_sweep_is_what_a_run_of_today_learns_from() -> None:
    newest = max(sweeps(), key=lambda run: run[-1].started_at)
    cell = make_cell(compose(parse(["device=cpu"]), "base", 0))
    learned_from = {record.label for record in newest if measures_alike(record, cell.settings.measures)}
    assert learned_from == {newest[0].label}
