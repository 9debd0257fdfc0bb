"""The evidence for an answer in two lines: how well the choice answers, and what stands next to it."""

from __future__ import annotations

import math

from bench.advise.advice import Advice, Judged, accuracy_of, change_of
from bench.metrics.accuracy import answers_of
from bench.metrics.chance import chance_level
from bench.report.advice.answer import called, qualification
from bench.report.advice.next_steps import NOTHING, next_steps
from bench.report.advice.reasons import nearest_miss
from bench.report.advice.words import printable
from bench.report.numbers import percent_span, points, points_span, sized
from bench.summary.rows import Row


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
    """Say what share the choice gets right, what the base gets, and the change against the best."""
    if advice.task is None:
        return "No task with right and wrong answers was asked, so that size and speed alone decide."
    parts = [f"{ship.name} gets {_share(ship.row, advice.task)} of {advice.task} right"]
    base = advice.summary.by_name.get(ship.row.reference or "")
    base = base if base and base.value(f"accuracy {advice.task}") is not None else None
    if base and base is not ship.row:
        guess = ", which is guessing" if _guesses(base, advice.task) else ""
        parts.append(f"{base.variant} {_share(base, advice.task)}{guess}")
    text = f"{'; '.join(parts)}."
    best = advice.best
    if best and best is not ship:
        text += f" Against {_named(advice, best)}: {_changes(advice, best, ship)}."
    elif base and base is not ship.row and (judged := advice.of(base)):
        text += f" Against {base.variant}: {_changes(advice, judged, ship)}."
    return text


def _named(advice: Advice, one: Judged) -> str:
    words = called(advice, one)
    return words if words == one.name else f"{words} ({one.name})"


def _share(row: Row, task: str) -> str:
    estimate = row.values.get(f"accuracy {task}")
    if estimate is None:
        return "not measured"
    return f"{100 * estimate.value:.1f} % ({percent_span(estimate)}, {estimate.n:,} questions)"


def _guesses(row: Row, task: str) -> bool:
    answers = answers_of(row.records, task)
    return answers is not None and answers.gold is not None and bool(chance_level(answers))


def _changes(advice: Advice, before: Judged, after: Judged) -> str:
    tasks = sorted(advice.summary.right_or_wrong, key=lambda task: task != advice.task)
    changes = [
        (task, change_of(task, before, after, advice.summary)) for task in tasks if accuracy_of(task, advice.summary)
    ]
    texts = [f"{task} {points(one.difference)} points ({points_span(one)})" for task, one in changes if one]
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
