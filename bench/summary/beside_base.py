"""Compare each variant with the base of its runtime: ratios, and for right answers question by question."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from bench.metrics.metric import Marks, Metric, Rounds
from bench.stats import estimates, proportions
from bench.stats.estimates import Estimate
from bench.summary.pairs import identity_difference
from bench.summary.rows import BesideBase, Row

Draws = Mapping[str, NDArray[np.float64]]


def compared(rows: Sequence[Row], metrics: Sequence[Metric]) -> list[Row]:
    """Return the rows with their change from the base of the same runtime."""
    by_name = {row.variant: row for row in rows}
    draws = {row.variant: _draws(row, metrics) for row in rows}
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
            elif change := _change(metric, base, row, draws):
                beside[row.variant][metric.name] = change
    adjusted = _with_holm(beside)
    return [
        replace(
            row,
            beside_base=adjusted[row.variant],
            warnings=(*row.warnings, *dict.fromkeys(notes.get(row.variant, ()))),
        )
        for row in rows
    ]


def _change(metric: Metric, base: Row, row: Row, draws: Mapping[str, Draws]) -> BesideBase | None:
    if metric.better is None:
        return None
    sides = [metric.sample(side.records) if metric.sample else None for side in (base, row)]
    if isinstance(sides[0], Marks) and isinstance(sides[1], Marks):
        return BesideBase(paired=proportions.paired_difference(sides[0].right, sides[1].right))
    if metric.scale != "ratio":
        return None
    over, under = (row, base) if metric.better == "higher" else (base, row)
    above, below = (side.values[metric.name] for side in (over, under))
    if not below.value:
        return None
    ends: tuple[float | None, float | None] = (None, None)
    drawn = [draws[side.variant].get(metric.name) for side in (over, under)]
    if drawn[0] is not None and drawn[1] is not None and None not in (above.low, above.high, below.low, below.high):
        ends = estimates.ratio_interval(drawn[0], drawn[1])
    return BesideBase(ratio=Estimate(above.value / below.value, *ends, min(above.n, below.n)))


def _draws(row: Row, metrics: Sequence[Metric]) -> Draws:
    """Return many draws of each metric, made by resampling requests; metrics of one column share their draws."""
    columns: dict[str, dict[str, Rounds]] = {}
    for metric in metrics:
        sample = metric.sample(row.records) if metric.sample and metric.test == "rounds" else None
        if isinstance(sample, Rounds) and sample.least_n > 1:
            columns.setdefault(sample.column, {})[metric.name] = sample
    draws: dict[str, NDArray[np.float64]] = {}
    for column, samples in columns.items():
        blocks = next(iter(samples.values())).blocks
        qs = [sample.q for sample in samples.values()]
        seed = zlib.crc32(f"{row.variant} {column}".encode())
        drawn = estimates.percentile_draws(blocks, qs, seed=seed)
        draws |= {
            name: 1 / row_of_draws if sample.reciprocal else row_of_draws
            for (name, sample), row_of_draws in zip(samples.items(), drawn, strict=True)
        }
    return draws


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
