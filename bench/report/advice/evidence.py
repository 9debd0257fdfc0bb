"""The evidence for an answer in two lines: how well the choice answers, and what stands next to it."""

from __future__ import annotations

import math

from bench.advise.advice import Advice, Judged, change_of
from bench.metrics.accuracy import answers_of
from bench.metrics.chance import chance_level
from bench.report.advice.answer import called, qualification
from bench.report.advice.next_steps import NOTHING, next_steps
from bench.report.advice.reasons import nearest_miss
from bench.report.numbers import percent, points, points_span, sized
from bench.summary.rows import Row
from bench.terminal import printable


def evidence(advice: Advice) -> tuple[str, ...]:
    """Return at most two lines; shares come with their 95 % interval and the number of questions."""
    if advice.ship:
        lines = [_quality(advice, advice.ship), _next_to(advice, advice.ship)]
    else:
        missed = [f"Nearest: {text}" for _, text in nearest_miss(advice)]
        steps = [step for step in next_steps(advice) if step != NOTHING]
        lines = [" ".join([*missed[:1], qualification(advice)]), " ".join(steps[:1])]
    return tuple(printable(line.strip()) for line in lines if line.strip())


def _quality(advice: Advice, ship: Judged) -> str:
    """Say what share the choice and its base get right, and the change against the best, else against the base."""
    if advice.task is None:
        return "No task with right and wrong answers was asked, so that size and speed alone decide."
    name = f"accuracy {advice.task}"
    right = ship.row.values.get(name)
    if right is None:
        return f"{ship.name} was not asked {advice.task}."
    text = f"{ship.name} gets {percent(right)} of {right.n:,} {advice.task} questions right"
    base = advice.of(advice.summary.by_name.get(ship.row.reference or ""))
    of_base = base.row.values.get(name) if base and base is not ship else None
    if base and of_base:
        n = "" if of_base.n == right.n else f" of {of_base.n:,}"
        guess = " by guessing" if _guesses(base.row, advice.task) else ""
        text += f", {base.name} {percent(of_base)}{n}{guess}"
    other = advice.best if advice.best is not ship else base if of_base else None
    if other:
        text += f". Points against {called(advice, other)}: {_changes(advice, other, ship)}"
    return f"{text}."


def _guesses(row: Row, task: str) -> bool:
    answers = answers_of(row.records, task)
    return answers is not None and answers.gold is not None and bool(chance_level(answers))


def _changes(advice: Advice, before: Judged, after: Judged) -> str:
    tasks = sorted(advice.summary.right_or_wrong, key=lambda task: task != advice.task)
    changes = [(task, change_of(task, before, after, advice.summary)) for task in tasks]
    texts = [f"{task} {points(one.difference)} ({points_span(one)})" for task, one in changes if one]
    return ", ".join(texts) or "not the same questions"


def _next_to(advice: Advice, ship: Judged) -> str:
    """Name the runner-up and what it costs, else why there is none."""
    other = advice.runner_up
    if other is None:
        return f"No runner-up: no other variant is shown to meet every limit. {qualification(advice)}"
    costs = []
    if math.inf not in (other.size, ship.size):
        costs.append(f"{sized(other.size)} against {sized(ship.size)}")
    change = change_of(advice.task, ship, other, advice.summary)
    if change:
        costs.append(f"{advice.task} {points(change.difference)} points ({points_span(change)})")
    return f"Runner-up: {other.name}{', ' if costs else ''}{', '.join(costs)}. {qualification(advice)}"
