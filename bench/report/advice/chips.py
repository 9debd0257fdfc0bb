"""What of a sweep can be trusted, what cannot, and what to do about it: at most four short lines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bench.advise.advice import Advice, Judged, change_of, margin_of
from bench.metrics.accuracy import answers_of
from bench.metrics.chance import chance_level
from bench.records.values import UNTRAINED
from bench.report.advice.words import listed
from bench.report.findings import controls
from bench.report.numbers import plural
from bench.report.speed.random_weights import is_random
from bench.stats.proportions import Paired
from bench.summary.rows import UNSTEADY, Row, rounds_apart
from bench.terminal import printable

Level = Literal["good", "warn", "bad"]
SPEED = "e2e_p50_ms"
MORE_ROUNDS = 2


@dataclass(frozen=True)
class Chip:
    """One thing that can be trusted (`good`), or cannot: with care (`warn`) or not at all (`bad`)."""

    level: Level
    text: str


def chips(advice: Advice) -> tuple[Chip, ...]:
    """Return accuracy, speed, engines and what failed, each with what to do where it is not good."""
    made = (_accuracy(advice), _speed(advice), _engines(advice), _failures(advice))
    return tuple(Chip(chip.level, printable(chip.text)) for chip in made)


def _accuracy(advice: Advice) -> Chip:
    if advice.trial:
        text = (
            f"Trial run: at most {plural(advice.trial, 'question')} a task, which decides nothing; run all: make bench"
        )
        return Chip("bad", text)
    tasks = sorted(advice.summary.right_or_wrong, key=lambda task: task != advice.task)
    counts = {task: max(_asked(one.row, task) for one in advice.variants) for task in tasks if advice.variants}
    if not counts and is_random([record for one in advice.judged for record in one.row.records]):
        return Chip("bad", f"Accuracy: {UNTRAINED}")
    if not counts:
        return Chip("bad", "Accuracy: not measured; add accuracy to suite.measures")
    asked = "Accuracy: " + ", ".join(f"{n:,} questions of {task}" for task, n in counts.items())
    seen = _nearest(advice)
    if not seen:
        return Chip("warn", f"{asked}; one variant, so nothing to compare it with")
    smallest = max(change.detectable for change, _ in seen.values())
    text = f"{asked}; differences under {100 * smallest:.1f} points cannot be seen"
    coarse = [task for task, (one, margin) in seen.items() if one.low <= 0 <= one.high and one.detectable > margin]
    if not coarse:
        return Chip("good", text)
    return Chip("warn", f"{text}: to decide by less, ask more questions of {listed(coarse, 'tasks')}")


def _asked(row: Row, task: str) -> int:
    estimate = row.values.get(f"accuracy {task}")
    return estimate.n if estimate else 0


def _nearest(advice: Advice) -> dict[str, tuple[Paired, float]]:
    """Return for each task the change from the choice to the variant most like it, and the margin there."""
    anchor = advice.ship or next(iter(advice.variants), None)
    seen: dict[str, tuple[Paired, float]] = {}
    if anchor is None:
        return seen
    others = [one for one in advice.variants if one is not anchor]
    for task in advice.summary.right_or_wrong:
        changes = [change for one in others if (change := change_of(task, anchor, one, advice.summary))]
        if changes:
            nearest = min(changes, key=lambda change: (abs(change.difference), change.detectable))
            seen[task] = nearest, margin_of(task, anchor, advice.limits, advice.summary)
    return seen


def _speed(advice: Advice) -> Chip:
    timed = [one for one in advice.variants if SPEED in one.row.values]
    if not timed:
        return Chip("bad", "Speed: not measured; add latency to suite.measures")
    n_rounds = max(sum(record.latency is not None for record in one.row.records) for one in timed)
    again = f"repeat on a quiet machine: make bench ARGS='suite.rounds={n_rounds + MORE_ROUNDS}'"
    spreads = [rounds_apart(rounds) for one in timed if len(rounds := one.row.rounds(SPEED)) > 1]
    if not spreads:
        return Chip("warn", f"Speed: one round shows no difference; {again}")
    noisy = sum(value > UNSTEADY for value in spreads)
    if not noisy:
        return Chip("good", f"Speed: the {n_rounds} rounds of every variant agree to within {100 * UNSTEADY:.0f} %")
    text = f"Speed: rounds of {noisy} of {len(spreads)} variants differ by more than {100 * UNSTEADY:.0f} %"
    return Chip("warn", f"{text}; do not rank by it, {again}")


def _engines(advice: Advice) -> Chip:
    compared = controls(advice.summary.rows)
    if not compared:
        return Chip("warn", "Engines: no model was scored in two of them, so that an error of one would not show")
    wrong = [control for control in compared if not control.agreement.holds]
    if wrong:
        pairs = listed(list(dict.fromkeys(f"{one.a} and {one.b}" for one in wrong)), "pairs")
        return Chip(
            "bad", f"Engines: {pairs} are one model and answer differently; trust no accuracy before that is solved"
        )
    same = all(control.agreement.same in (None, control.agreement.n) for control in compared)
    return Chip(
        "good", "Both engines agree on every answer" if same else "Both engines agree on 99 % of answers and more"
    )


def _failures(advice: Advice) -> Chip:
    rows = [one.row for one in advice.judged]
    failed = [row.variant for row in rows if row.failures]
    if failed:
        return Chip("bad", f"Failed: {listed(failed)}; the same command again retries only what failed")
    if advice.ship and (tasks := _at_chance(advice, advice.ship)):
        return Chip(
            "bad", f"{advice.ship.name} only guesses on {listed(tasks, 'tasks')}: its answers there mean nothing"
        )
    bases = [one for one in advice.variants if one.row.is_reference]
    guessed = list(dict.fromkeys(task for one in bases for task in _at_chance(advice, one)))
    questions = advice.summary.questions
    lost = [task for task in guessed if questions is None or task != questions.domain_task]
    if lost:
        text = f"Nothing failed, but the base only guesses on {listed(lost, 'tasks')}"
        return Chip("warn", f"{text}: what quantizing costs there cannot be seen; ask an easier task")
    if guessed:
        return Chip(
            "good", f"Nothing failed; the base only guesses on {listed(guessed, 'tasks')}, which fine-tuning teaches"
        )
    return Chip("good", "Nothing failed")


def _at_chance(advice: Advice, one: Judged) -> list[str]:
    """Return the tasks on which a variant is no better than guessing."""
    asked = {task: answers_of(one.row.records, task) for task in advice.summary.right_or_wrong}
    return [task for task, answers in asked.items() if answers and answers.gold is not None and chance_level(answers)]
