"""What to measure next: what would decide each limit that is open, and whether a smaller variant will do."""

from __future__ import annotations

from collections.abc import Iterator

from bench.advise.advice import Advice, Judged, change_of
from bench.advise.judgement import n_to_decide
from bench.advise.limits import Limit
from bench.report.advice.words import effort, limit_text, listed, measured, would_decide
from bench.terminal import printable

NOTHING = "Nothing: no limit is open that could change the answer."


def next_steps(advice: Advice) -> list[str]:
    """List what would decide what is open, of variants that are shown to miss no limit; else what to try instead."""
    if advice.trial:
        return ["The whole suite: a trial run shows that everything works, and no more."]
    lines = [*_open_limits(advice), *_smaller(advice)]
    if advice.exit_code == 1:
        lines += _instead(advice)
    return [printable(line) for line in lines] or [NOTHING]


def _instead(advice: Advice) -> Iterator[str]:
    row = advice.situation.row
    tried = any(one.row.family in row.families for one in advice.variants)
    if row.families and not tried:
        yield f"Build and measure what the matrix says: {row.solution}."
    else:
        yield "No more measuring will help: take another model, more training data, or another limit."


def _open_limits(advice: Advice) -> Iterator[str]:
    alive = [one for one in advice.variants if one.status != "fail"]
    for limit in advice.limits:
        undecided = [(one, j) for one in alive for j in one.those("undecided") if j.limit == limit]
        undecided.sort(key=lambda pair: effort(pair[1]))
        if undecided:
            needs = [f"{one.name} {would_decide(j) or 'no number'}" for one, j in undecided]
            now = list(dict.fromkeys(measured(j) for _, j in undecided))
            yield f"{limit_text(limit)} is open. What would decide it: {listed(needs)} ({listed(now, 'numbers')} now)."
            yield from dict.fromkeys(f"{one.name}: {j.why}." for one, j in undecided if j.needed_rounds)
        yield from _missing(advice, alive, limit)


def _missing(advice: Advice, alive: list[Judged], limit: Limit) -> Iterator[str]:
    missing = [(one, j) for one in alive for j in one.those("not measured") if j.limit == limit]
    if missing:
        reasons = list(dict.fromkeys(j.why for _, j in missing))
        names = listed([one.name for one, _ in missing])
        yield f"{limit_text(limit)} is not measured of {names} ({listed(reasons, 'reasons')})."


def _smaller(advice: Advice) -> Iterator[str]:
    """Say of the smaller variants that meet every limit how many questions would show that they do as well."""
    best, needs = advice.best, []
    for one in advice.cheaper:
        change = change_of(advice.task, best, one, advice.summary) if best else None
        if one.status != "pass" or not change or change.difference <= -advice.margin:
            continue
        if needed := n_to_decide(change.difference, change.low, change.high, change.n, -advice.margin):
            needs.append((needed, one.name))
    if best and needs:
        counts = listed([f"{name} about {needed:,}" for needed, name in sorted(needs)])
        yield f"Questions of {advice.task} that would show whether a smaller one answers like {best.name}: {counts}."
