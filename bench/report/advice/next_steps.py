"""What to measure next: what would decide each limit that is open, and whether a smaller variant will do."""

from __future__ import annotations

import math
from collections.abc import Iterator

from bench.advise.advice import Advice, Judged, change_of
from bench.advise.limits import Limit
from bench.report.advice.words import limit_text, listed, printable, units_of

MANY = 1_000_000
NOTHING = "Nothing: every limit is decided for every variant."


def next_steps(advice: Advice) -> list[str]:
    """List what would decide what is open, of variants that are shown to miss no limit."""
    lines = [printable(line) for line in (*_open_limits(advice), *_smaller(advice))]
    return lines or [NOTHING]


def _open_limits(advice: Advice) -> Iterator[str]:
    alive = [one for one in advice.variants if one.status != "fail"]
    for limit in advice.limits:
        undecided = [(one, j) for one in alive for j in one.those("undecided") if j.limit == limit]
        needed = [(j.needed or math.inf) for _, j in undecided]
        if undecided:
            names = listed([one.name for one, _ in undecided])
            n = max(j.n for _, j in undecided)
            yield f"{limit_text(limit)} is open for {names}: {_would(limit, needed, n)}."
            yield from dict.fromkeys(f"{one.name}: {j.why}." for one, j in undecided if "rounds" in j.why)
        yield from _missing(advice, alive, limit)


def _would(limit: Limit, needed: list[float], n: int) -> str:
    if min(needed) == math.inf:
        return f"at the limit; no number of {units_of(limit)} would decide it"
    least, most = (int(value) for value in (min(needed), max(value for value in needed if value < math.inf)))
    count = f"{least:,}" if least == most else f"{least:,} to {most:,}"
    return f"about {count} {units_of(limit)} would decide it ({n:,} now)"


def _missing(advice: Advice, alive: list[Judged], limit: Limit) -> Iterator[str]:
    missing = [(one, j) for one in alive for j in one.those("not measured") if j.limit == limit]
    if missing:
        reasons = list(dict.fromkeys(j.why for _, j in missing))
        names = listed([one.name for one, _ in missing])
        yield f"{limit_text(limit)} is not measured of {names} ({listed(reasons, 'reasons')})."


def _smaller(advice: Advice) -> Iterator[str]:
    for one in advice.cheaper:
        best = advice.best
        if one.status != "pass" or best is None:
            continue
        change = change_of(advice.task, best, one, advice.summary)
        if change is None or change.difference + advice.margin <= 0:
            continue
        needed = change.n * ((change.difference - change.low) / (change.difference + advice.margin)) ** 2
        if needed < MANY:
            yield (
                f"{one.name} is smaller and meets every limit: about {max(change.n + 1, math.ceil(needed)):,} questions "
                f"of {advice.task} would show whether it answers like {best.name} ({change.n:,} now)."
            )
