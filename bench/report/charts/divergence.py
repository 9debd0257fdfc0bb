"""Divergence from the same model unquantized, against bits per weight: what a bit buys where accuracy sees nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from bench.metrics.divergence import divergence_of, from_parent_of
from bench.report.charts.chart import Chart
from bench.report.charts.labels import Label, label, line_boxes, mark_box, note
from bench.report.charts.picture import Finding, Size, chart, frame, shortened
from bench.report.charts.style import MUTED, PAPER, colour_of, is_wide, spaced
from bench.report.numbers import least_to_most, nats
from bench.stats.estimates import Estimate
from bench.summary.rows import Row, Summary

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FROM_PARENT, FROM_BASE = "parent_kl_mean", "kl_mean"


@dataclass(frozen=True)
class Spot:
    """A quantized variant: its bits per weight, and its divergence in nats from the same model unquantized."""

    row: Row
    bits: float
    kl: Estimate
    floor: float

    @property
    def series(self) -> tuple[str, str, bool]:
        """Return what variants have in common that are drawn as one line."""
        return self.row.runtime, self.row.family.name, "finetune" in self.row.roles


def divergence_against_bits(summary: Summary) -> Chart | None:
    """Draw mean KL with its interval, on a log axis; None where it was not measured."""
    spots = sorted((spot for row in summary.rows if (spot := _spot(row))), key=lambda spot: -spot.bits)
    if not spots:
        return None
    head = title(spots)
    n = least_to_most([spot.kl.n for spot in spots])
    low, high, _ = _reach(spots)
    scale = " (log scale)" if is_wide(low, high) else ""
    subtitle = (
        f"Mean KL divergence of the next token from the same model unquantized, nats{scale}, with 95 % interval "
        f"(n = {n} windows of text), against bits per weight as measured; a line joins one model's quantizations."
    )
    texts = "; ".join(f"{spot.row.variant} {nats(spot.kl.value)} at {spot.bits:.1f} bits" for spot in spots)
    header = ["variant", "family", "runtime", "bits_per_weight", "kl_nats", "kl_nats_low", "kl_nats_high"]
    header += ["windows", "rounding_floor_nats"]
    lines = [
        (
            *(spot.row.variant, spot.row.family.name, spot.row.runtime, spot.bits),
            *(spot.kl.value, spot.kl.low, spot.kl.high, spot.kl.n, spot.floor),
        )
        for spot in spots
    ]
    finding = Finding("divergence", head, subtitle, f"{head}. Nats a token: {texts}.", header, lines)
    return chart(finding, lambda axes, size: _draw(axes, size, spots))


def _spot(row: Row) -> Spot | None:
    """Return where a quantized variant stands.

    Older records have only the divergence from the base. Of a variant that was never fine-tuned that is the one.
    """
    if "quantize" not in row.roles or row.is_reference:
        return None
    kl = row.values.get(FROM_PARENT) or (None if "finetune" in row.roles else row.values.get(FROM_BASE))
    bits, measured = row.value("bits_per_weight"), from_parent_of(row.records) or divergence_of(row.records)
    if bits is None or kl is None or kl.value <= 0:
        return None
    return Spot(row, bits, kl, (measured.rounding_floor if measured else None) or 0.0)


def title(spots: Sequence[Spot]) -> str:
    """Say whether fewer bits are shown to lie farther from the model unquantized, in every series."""
    most = max(spots, key=lambda spot: spot.kl.value)
    least = min(spots, key=lambda spot: spot.kl.value)
    if len(spots) == 1:
        return f"{most.row.variant} lies {nats(most.kl.value)} nats a token from its unquantized model"
    ends = (
        f"from {nats(least.kl.value)} nats a token ({least.row.variant}) to {nats(most.kl.value)} ({most.row.variant})"
    )
    steps = [pair for line in _series(spots) for pair in pairwise(line)]
    if steps and all(_farther(after.kl, before.kl) for before, after in steps):
        return f"The fewer bits, the farther from the unquantized model: {ends}"
    return f"Quantized variants lie apart from their unquantized model: {ends}"


def _farther(one: Estimate, other: Estimate) -> bool:
    return one.low is not None and other.high is not None and one.low > other.high


def _series(spots: Sequence[Spot]) -> list[list[Spot]]:
    together: dict[tuple[str, str, bool], list[Spot]] = {}
    for spot in spots:
        together.setdefault(spot.series, []).append(spot)
    return list(together.values())


def _reach(spots: Sequence[Spot]) -> tuple[float, float, float]:
    """Return the least and the largest number that is drawn, and the rounding floor where the view has it, else 0."""
    ends = [end for spot in spots for end in (spot.kl.value, spot.kl.low, spot.kl.high) if end and end > 0]
    floor = max(spot.floor for spot in spots)
    if not 0 < floor < max(ends) or min(ends) > 300 * floor:
        return min(ends), max(ends), 0.0
    return min(*ends, floor), max(ends), floor


def _draw(axes: Axes, size: Size, spots: Sequence[Spot]) -> None:
    frame(axes, 66, 14, 30, 50)
    axes.set_title("mean KL to the unquantized model, nats", pad=10)
    axes.set_xlabel("bits per weight")
    axes.grid(axis="y")
    lowest, highest, floor = _reach(spots)
    spaced(axes, "y", lowest, highest, room=0.1)
    bits = [spot.bits for spot in spots]
    free = 0.1 * (max(bits) - min(bits)) + 0.2
    axes.set_xlim(min(bits) - free, max(bits) + free)
    taken = []
    for line in _series(spots):
        corners = [(spot.bits, spot.kl.value) for spot in line]
        axes.plot(*zip(*corners, strict=True), color=colour_of(line[0].row.family), lw=1.4, alpha=0.6, zorder=1)
        taken += line_boxes(axes, corners)
    for spot in spots:
        colour, low = colour_of(spot.row.family), max(spot.kl.low or 0.0, lowest)
        axes.plot([spot.bits] * 2, [low, spot.kl.high or spot.kl.value], color=colour, lw=1.6, alpha=0.4, zorder=2)
        axes.plot(
            spot.bits, spot.kl.value, marker=spot.row.family.marker, ms=10, color=colour, mec=PAPER, mew=0.8, zorder=3
        )
        taken.append(mark_box(axes, spot.bits, spot.kl.value, 6))
    if floor:
        axes.axhline(floor, color=MUTED, lw=1, ls=":", zorder=1)
        taken += note(axes, "rounding floor", (floor, floor), taken, MUTED)
    names = [Label(shortened(spot.row.variant), [(spot.bits, spot.kl.value)], 13) for spot in spots]
    label(axes, names, taken)
