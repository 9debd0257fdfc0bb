"""The table of what accuracy cannot see: how far each variant's next-token distributions are from its base's."""

from __future__ import annotations

from collections.abc import Sequence

from bench.metrics.divergence import Divergence
from bench.report.grid import ITSELF, NOT_MEASURED, Entry, Grid, Line
from bench.report.numbers import digits, nats, percent_span, share, span
from bench.report.tables.overview import named
from bench.stats.estimates import Estimate
from bench.stats.proportions import Share
from bench.summary.rows import Row


def divergence_grid(rows: Sequence[Row]) -> list[Grid]:
    """Make the table of divergences, none where nothing diverged was measured."""
    found = [row.divergence for row in rows if row.divergence]
    if not found:
        return []
    return [
        Grid(
            key="divergence",
            title="Divergence from the base",
            says="Mean Kullback–Leibler divergence of the next-token distribution from that of the base of the same "
            "runtime, over one text, token by token. Same top: how often both hold the same token for the likeliest.",
            columns=(
                *("Variant", "Base", "Mean KL, nats", "99th percentile", "Same top token"),
                *("Perplexity", "Perplexity of base", "Tokens", "Rounding floor, nats"),
            ),
            lines=tuple(Line((named(row), *_entries(row, row.divergence)), row.family) for row in rows),
            notes=(
                "Small print: 95 % intervals, Student's over windows of consecutive tokens, which are the clusters. "
                "Rounding floor: the mean KL that keeping the base's log-probabilities in half precision makes by "
                "itself; a mean KL near it says nothing.",
                f"Texts: {', '.join(sorted({each.text[:12] for each in found}))} (sha256).",
            ),
        )
    ]


def _entries(row: Row, found: Divergence | None) -> list[Entry]:
    if found is None:
        return [ITSELF if row.is_reference else NOT_MEASURED] * 8
    floor = found.rounding_floor
    near = floor is not None and found.kl_mean.value <= 2 * floor
    mean = Entry(nats(found.kl_mean.value), _nats_span(found.kl_mean) + (",\nat the floor" if near else ""))
    return [
        Entry(found.base),
        mean,
        Entry(nats(found.kl_p99)),
        Entry(share(found.same_top.value), _share_span(found)),
        Entry(digits(found.perplexity.value), span(found.perplexity)),
        Entry(digits(found.base_perplexity.value), span(found.base_perplexity)),
        Entry(f"{found.tokens:,}", f"{found.windows:,} windows"),
        NOT_MEASURED if floor is None else Entry(nats(floor)),
    ]


def _nats_span(found: Estimate) -> str:
    if found.low is None or found.high is None:
        return "one window: no interval"
    return f"{nats(found.low)} to {nats(found.high)}"


def _share_span(found: Divergence) -> str:
    same = found.same_top
    if same.low is None or same.high is None:
        return "one window: no interval" if found.windows < 2 else f"all {found.tokens:,} alike: no interval"
    return percent_span(Share(same.value, same.low, same.high, same.n))
