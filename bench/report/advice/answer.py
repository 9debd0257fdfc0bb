"""The answer in one sentence: what to ship and why, that nothing qualifies, or what is missing to say so."""

from __future__ import annotations

import math

from bench.advise.advice import Advice, Judged, change_of, margin_of
from bench.advise.judgement import Judgement, is_plain_finetune, shown_no_worse
from bench.advise.limits import Limit
from bench.report.advice.words import (
    effort,
    in_fractions,
    limit_text,
    listed,
    share_of_size,
    units_of,
    would_decide,
)
from bench.summary.family import BASE
from bench.terminal import printable


def sentence(advice: Advice) -> str:
    """Return the answer in one sentence, for a terminal."""
    return heading(advice) + "."


def heading(advice: Advice) -> str:
    """Return the answer as a heading, about 90 characters where names allow it; `qualification` says the rest."""
    return printable(_trial(advice.trial) if advice.trial else (_ship, _nothing, _open)[advice.exit_code](advice))


def qualification(advice: Advice) -> str:
    """Return what must be known beside the answer, in a sentence; empty where the answer says it all."""
    if advice.trial:
        return "The first questions of a task are no sample of it: run the whole suite before you choose."
    return printable((_shipped, _tried, _near)[advice.exit_code](advice))


def _trial(questions: int) -> str:
    return f"A trial run decides nothing: it asked at most {questions:,} questions of each task"


def _ship(advice: Advice) -> str:
    ship = advice.ship
    assert ship is not None  # exit_code is 0
    qualified = [one for one in advice.variants if one.status == "pass"]
    if len(advice.variants) == 1:
        return f"Ship {ship.name}: it meets every limit; no other variant was measured"
    if plain := like_unquantized(advice):
        tasks = [f"{task} " for task in (advice.task,) if not _alike(advice, plain, ship)]
        size = in_fractions(ship.size, plain.size)
        return f"Ship {ship.name}: it answers {''.join(tasks)}like {called(advice, plain)} at {size} of its size"
    if other := in_doubt(advice):
        return f"Too few questions to choose between {ship.name} and {other.name}: {ship.name} is the safe choice"
    if len(qualified) == 1:
        return f"Ship {ship.name}: it alone is shown to meet every limit"
    if advice.task is None:
        return f"Ship {ship.name}: it is the smallest of the {len(qualified)} that meet every limit"
    if ship is advice.best:
        return f"Ship {ship.name}: it answers most of {advice.task}, and no smaller one is shown to do as well"
    best = called(advice, advice.best) if advice.best else ""
    return f"Ship {ship.name}: it is the smallest that is shown to answer {advice.task} like {best}"


def like_unquantized(advice: Advice) -> Judged | None:
    """Return the same model as the choice, unquantized, where the choice is shown to answer as well as that."""
    quantizing, ship = advice.quantizing, advice.ship
    if quantizing is None or ship is None or ship is not quantizing.quantized:
        return None
    plain = quantizing.plain
    change = change_of(advice.task, plain, ship, advice.summary)
    alike = change is not None and shown_no_worse(change, advice.margin) and math.inf not in (ship.size, plain.size)
    return plain if alike else None


def in_doubt(advice: Advice) -> Judged | None:
    """Return the smallest variant that meets every limit too, and is not shown to answer worse than the choice."""
    return next((one for one in advice.cheaper if one.status == "pass"), None)


def _alike(advice: Advice, plain: Judged, ship: Judged) -> bool:
    """Say whether the choice is shown to answer every task like another variant, and not only the deciding one."""
    for task in advice.summary.right_or_wrong:
        change = change_of(task, plain, ship, advice.summary)
        margin = margin_of(task, advice.best or plain, advice.limits, advice.summary)
        if change is None or not shown_no_worse(change, margin):
            return False
    return True


def called(advice: Advice, one: Judged) -> str:
    """Name a variant by what it is, where it is the only one of its kind."""
    kinds = {
        "the full fine-tune": [other for other in advice.variants if is_plain_finetune(other.row)],
        "the full model": [other for other in advice.variants if other.row.family == BASE],
    }
    return next((words for words, alike in kinds.items() if alike == [one]), one.name)


def _shipped(advice: Advice) -> str:
    ship = advice.ship
    assert ship is not None  # exit_code is 0
    n = sum(one.status == "pass" for one in advice.variants)
    if other := None if like_unquantized(advice) else in_doubt(advice):
        change = change_of(advice.task, ship, other, advice.summary)
        asked = f"{change.n:,} questions of {advice.task}" if change else "the questions"
        size = share_of_size(other.size, ship.size)
        return f"{other.name} is {size} of its size, and {asked} do not show whether it answers as well."
    return f"{n} of {len(advice.variants)} variants meet every limit." if n > 2 else ""


def _nothing(advice: Advice) -> str:
    n = len(advice.variants)
    if n == 1:
        failed = listed([limit_text(one.limit) for one in advice.variants[0].those("fail")], "limits")
        return f"Nothing meets your limits: {advice.variants[0].name}, the only variant measured, misses {failed}"
    missed = [limit_text(limit) for limit in advice.limits if _misses(advice, limit) == n]
    if missed:
        return f"Nothing meets your limits: all {n} variants miss {listed(missed, 'limits')}"
    return f"Nothing meets your limits: each of the {n} variants misses one"


def _misses(advice: Advice, limit: Limit) -> int:
    return sum(any(j.limit == limit for j in one.those("fail")) for one in advice.variants)


def _tried(advice: Advice) -> str:
    """Say what the matrix would do, and whether that was tried."""
    row = advice.situation.row
    if not row.families:
        return ""
    tried = any(one.row.family in row.families for one in advice.variants)
    return f"What the matrix says ({row.solution}) was {'tried, and misses too' if tried else 'not tried'}."


def _open(advice: Advice) -> str:
    if not advice.variants:
        return "Not decided: no variant was measured"
    if one := nearest(advice):
        first = _hardest(one)
        number = would_decide(first)
        would = f"; {number} would decide" if number else ": it is too near the limit to decide"
        return f"Not decided: {limit_text(first.limit)} is open for {one.name}{would}"
    alive = [one for one in advice.variants if one.status != "fail"]
    missing = list(dict.fromkeys(limit_text(j.limit) for one in alive for j in one.those("not measured")))
    return f"Not decided: {listed(missing, 'limits')} was not measured of {listed([one.name for one in alive])}"


def nearest(advice: Advice) -> Judged | None:
    """Return the undecided variant that is nearest to qualifying: what looks outside a limit is further off."""

    def distance(one: Judged) -> tuple[int, int, float, float]:
        undecided = one.those("undecided")
        outside = sum((j.value or 0.0) > j.bound if j.limit.at_most else (j.value or 0.0) < j.bound for j in undecided)
        return outside, len(undecided), max(map(effort, undecided)), one.size

    return min((one for one in advice.variants if one.status == "undecided"), key=distance, default=None)


def _hardest(one: Judged) -> Judgement:
    """Return the open limit that takes most to decide."""
    return max(one.those("undecided"), key=effort)


def _near(advice: Advice) -> str:
    one = nearest(advice)
    if one is None:
        return ""
    first, n = _hardest(one), len(one.those("undecided"))
    more = f"; {n - 1} more of its limits {'is' if n == 2 else 'are'} open" if n > 1 else ""
    why = first.why if first.needed_rounds else f"{first.n:,} {units_of(first.limit)} were asked"
    return f"{one.name} misses no limit{more}. {why[:1].upper()}{why[1:]}."
