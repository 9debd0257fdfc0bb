"""The answer in one sentence: what to ship and why, that nothing qualifies, or what is missing to say so."""

from __future__ import annotations

import math

from bench.advise.advice import Advice, Judged, change_of
from bench.advise.judgement import shown_no_worse
from bench.advise.limits import Limit
from bench.report.advice.words import limit_text, listed, printable, share_of_size, units_of


def sentence(advice: Advice) -> str:
    """Return the answer in one sentence, fit for a terminal and a page's heading."""
    text = {0: _ship, 1: _nothing, 2: _open}[advice.exit_code](advice)
    return printable(text)


def _ship(advice: Advice) -> str:
    ship = advice.ship
    assert ship is not None  # exit_code is 0
    qualified = [one for one in advice.variants if one.status == "pass"]
    if len(advice.variants) == 1:
        return f"Ship {ship.name}: it meets every limit; no other variant was measured."
    if compared := _beside_plain(advice, ship):
        return f"Ship {ship.name}: it meets every limit, {compared}."
    if unsure := [one for one in advice.cheaper if one.status == "pass"]:
        other = unsure[0]
        change = change_of(advice.task, ship, other, advice.summary)
        n = change.n if change else 0
        size = share_of_size(other.size, ship.size)
        return (
            f"Ship {ship.name}, or {other.name} at {size} of its size: {n:,} questions of {advice.task} are too few to "
            "choose between them."
        )
    if len(qualified) == 1:
        return f"Ship {ship.name}: it alone is shown to meet every limit."
    many = f"of the {len(qualified)} variants that meet every limit"
    if advice.task is None:
        return f"Ship {ship.name}: {many} it is the smallest."
    if ship is advice.best:
        return f"Ship {ship.name}: {many} it answers most of {advice.task}, and no smaller one is shown to do as well."
    best = advice.best.name if advice.best else ""
    return f"Ship {ship.name}: {many} it is the smallest that is shown to answer {advice.task} like {best}."


def _beside_plain(advice: Advice, ship: Judged) -> str:
    """Compare the choice with the same model unquantized, where it is shown to answer as well."""
    quantizing = advice.quantizing
    if quantizing is None or ship is not quantizing.quantized:
        return ""
    plain = quantizing.plain
    change = change_of(advice.task, plain, ship, advice.summary)
    if change is None or not shown_no_worse(change, advice.margin) or math.inf in (ship.size, plain.size):
        return ""
    size = share_of_size(ship.size, plain.size)
    return f"and is shown to answer {advice.task} like {plain.name} at {size} of its size"


def _nothing(advice: Advice) -> str:
    n = len(advice.variants)
    missed = [limit for limit in advice.limits if _misses(advice, limit) == n]
    what = " and ".join(limit_text(limit) for limit in missed)
    if n == 1:
        failed = listed([limit_text(one.limit) for one in advice.variants[0].those("fail")], "limits")
        why = f"{advice.variants[0].name}, the only variant measured, misses {failed}"
    elif missed:
        why = f"all {n} variants miss {what}"
    else:
        why = f"each of the {n} variants misses a limit"
    return f"Nothing meets the limits of {advice.name}: {why}{_solution(advice)}."


def _misses(advice: Advice, limit: Limit) -> int:
    return sum(any(j.limit == limit for j in one.those("fail")) for one in advice.variants)


def _solution(advice: Advice) -> str:
    """Say what the matrix would do, and whether that was tried."""
    row = advice.situation.row
    if not row.families:
        return ""
    tried = any(one.row.family in row.families for one in advice.variants)
    return f"; what the matrix says ({row.solution}) was {'tried, and misses too' if tried else 'not tried'}"


def _open(advice: Advice) -> str:
    if not advice.variants:
        return "Not decided: no variant was measured."
    alive = [one for one in advice.variants if one.status != "fail"]
    undecided = [one for one in alive if one.status == "undecided"]
    if undecided:
        return _undecided(min(undecided, key=_distance))
    missing = list(dict.fromkeys(limit_text(j.limit) for one in alive for j in one.those("not measured")))
    names = listed([one.name for one in alive])
    verb = "misses" if len(alive) == 1 else "miss"
    return f"Not decided: {names} {verb} no limit, but {listed(missing, 'limits')} cannot be judged: not measured."


def _distance(one: Judged) -> tuple[int, int, float, float]:
    """Order what is undecided by how near it is to qualifying: what looks outside a limit is further off."""
    undecided = one.those("undecided")
    outside = sum((j.value or 0.0) > j.bound if j.limit.at_most else (j.value or 0.0) < j.bound for j in undecided)
    return outside, len(undecided), max(judgement.needed or math.inf for judgement in undecided), one.size


def _undecided(one: Judged) -> str:
    """Name the variant that is nearest to an answer, and what would give it."""
    open_limits = one.those("undecided")
    first = max(open_limits, key=lambda judgement: judgement.needed or math.inf)
    limit = first.limit
    more = f", and {len(open_limits) - 1} more" if len(open_limits) > 1 else ""
    would = first.why if "rounds" in first.why else "it is too near the limit for any number of them to decide"
    if first.needed:
        would = f"about {first.needed:,} {units_of(limit)} would decide it ({first.n:,} now)"
    return f"Not decided: {one.name} misses no limit, but {limit_text(limit)} is open{more}: {would}."
