"""Compare each variant with the base of its runtime: ratios, and for right answers question by question."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from bench.metrics.metric import Marks, Metric
from bench.stats import proportions
from bench.summary.pairs import identity_difference, times_better
from bench.summary.rows import BesideBase, Row


def compared(rows: Sequence[Row], metrics: Sequence[Metric]) -> list[Row]:
    """Return the rows with their change from the base of the same runtime."""
    by_name = {row.variant: row for row in rows}
    beside: dict[str, dict[str, BesideBase]] = {row.variant: {} for row in rows}
    notes: dict[str, list[str]] = {}
    for row in rows:
        base = by_name.get(row.reference or "")
        if base is None or base is row:
            continue
        for metric in metrics:
            if metric.test is None or metric.name not in row.values or metric.name not in base.values:
                continue
            if why := identity_difference(metric, base, row):
                note = f"{metric.measure} is not comparable with {base.variant}: {why}"
                notes.setdefault(row.variant, []).append(note)
            elif change := _change(metric, base, row):
                beside[row.variant][metric.name] = change
                if change.anchor:
                    note = f"{metric.measure} was not measured on the same cards as {base.variant}'s: compared beside"
                    note += f" the anchor {change.anchor}, which was measured on each of them"
                    notes.setdefault(row.variant, []).append(note)
    adjusted = _with_holm(beside)
    return [
        replace(
            row,
            beside_base=adjusted[row.variant],
            warnings=(*row.warnings, *dict.fromkeys(notes.get(row.variant, ()))),
        )
        for row in rows
    ]


def _change(metric: Metric, base: Row, row: Row) -> BesideBase | None:
    sides = [metric.sample(side.records) if metric.sample else None for side in (base, row)]
    if isinstance(sides[0], Marks) and isinstance(sides[1], Marks):
        return BesideBase(paired=proportions.paired_difference(sides[0].right, sides[1].right))
    return times_better(metric, base, row)


def _with_holm(beside: Mapping[str, Mapping[str, BesideBase]]) -> dict[str, dict[str, BesideBase]]:
    """Adjust the p of all paired comparisons of the sweep for having looked at all of them."""
    looked_at = list(_paired(beside))
    adjusted = proportions.holm([p for _, _, p in looked_at])
    holm = {(variant, name): p for (variant, name, _), p in zip(looked_at, adjusted, strict=True)}
    return {
        variant: {name: replace(change, p_holm=holm.get((variant, name))) for name, change in changes.items()}
        for variant, changes in beside.items()
    }


def _paired(beside: Mapping[str, Mapping[str, BesideBase]]) -> Iterator[tuple[str, str, float]]:
    for variant, changes in beside.items():
        yield from ((variant, name, change.paired.p) for name, change in changes.items() if change.paired)
