"""The evidence of an advice for the terminal: a row per variant, a column per limit, in tables that fit 80 columns."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from bench.advise.advice import Advice, Judged
from bench.advise.judgement import Status
from bench.advise.limits import Limit
from bench.report.advice.words import MARKS, condition_of, subject_of, value_text
from bench.terminal import printable

if TYPE_CHECKING:
    from rich.table import Table

LIMITS = 4
"""The columns of limits that fit 80 columns beside the name of a variant; more of them go on in the next table."""
ORDER: tuple[Status, ...] = ("pass", "undecided", "not measured", "fail")
VERDICTS = {"pass": "qualifies", "undecided": "undecided", "not measured": "not measured", "fail": "fails"}
COLOURS = {"pass": "green", "undecided": "yellow", "not measured": "dim", "fail": "red"}


def evidence_tables(advice: Advice) -> Iterator[Table]:
    """Yield the tables; what qualifies stands first, the choice on top."""
    tables = math.ceil(len(advice.limits) / LIMITS)
    each = math.ceil(len(advice.limits) / tables)
    for start in range(0, len(advice.limits), each):
        yield _table(advice, advice.limits[start : start + each])


def in_order(advice: Advice) -> list[Judged]:
    """Return the candidates, the choice and its runner-up first, then by verdict and size."""
    first = [one for one in (advice.ship, advice.runner_up) if one]
    rest = [one for one in advice.variants if one not in first]
    return first + sorted(rest, key=lambda one: (ORDER.index(one.status), one.size))


def _table(advice: Advice, limits: Sequence[Limit]) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("Variant", overflow="fold")
    table.add_column("Verdict", overflow="fold")
    for limit in limits:
        title = Text("\n".join(map(printable, (subject_of(limit), condition_of(limit)))), style="bold")
        table.add_column(title, overflow="fold")
    for one in in_order(advice):
        cells = [Text(printable(one.name), style="bold" if one is advice.ship else "")]
        verdict = "ship" if one is advice.ship else VERDICTS[one.status]
        cells.append(Text(verdict, style=COLOURS[one.status]))
        for judgement in one.judgements:
            if judgement.limit in limits:
                text = f"{MARKS[judgement.status]} {value_text(judgement)}" if judgement.value is not None else "–"
                cells.append(Text(text, style=COLOURS[judgement.status]))
        table.add_row(*cells)
    return table
