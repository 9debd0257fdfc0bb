"""The tables of a sweep that asked nothing: size and speed, and how near each variant is to the memory's bandwidth."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bench.advise.roofline import Roofline, roofline_of
from bench.metrics.metric import Metric
from bench.report.advice.variant_words import variant_in_words
from bench.report.entries import value_entry
from bench.report.grid import NOT_MEASURED, Entry, Grid, Line
from bench.report.numbers import digits, sized, titled
from bench.summary.rows import Row, Summary

SHOWN = ("size_bytes", "tpot_p50_ms", "ttft_p50_ms", "e2e_p99_ms", "peak_device_bytes", "peak_resident_bytes")
PREFILL = "prefill_tokens_per_s"
SHARE = "Share of bandwidth"
COMPUTED = (
    "Computed: a token reads all weights once, but of an embedding table that is no output layer one row, and the keys "
    "and values of all tokens before it (Williams et al. 2009, CACM 52:65). Measured: tokens/s (1,000 / the median "
    "TPOT in ms), and the bandwidth, by copying memory, which is read and written: on a GPU its own memory, else the "
    "CPU's. Reading alone may be faster than a copy."
)


def speed_grid(summary: Summary) -> Grid:
    """Make the table of size and speed, a line per variant, in the order of the summary."""
    metrics = list(_metrics(summary))
    lines = [Line((*_entries(row, metrics), _share(roofline_of(row))), row.family) for row in summary.rows]
    return Grid("decision", "Size and speed", "", ("Variant", *map(_title, metrics), SHARE), tuple(lines))


def _metrics(summary: Summary) -> Iterator[Metric]:
    known = {metric.name: metric for metric in summary.metrics if summary.measured(metric.name)}
    for name in SHOWN:
        if name in known and not (name == "peak_resident_bytes" and "peak_device_bytes" in known):
            yield known[name]  # of a variant on a GPU, the memory of the process decides nothing
    yield from (metric for metric in known.values() if metric.kind == PREFILL)


def _title(metric: Metric) -> str:
    if metric.kind != PREFILL:
        return titled(metric.title, metric.unit)
    return f"Prefill of {int(metric.task.partition(' ')[0]):,} tokens, tokens/s"


def _entries(row: Row, metrics: Sequence[Metric]) -> Iterator[Entry]:
    yield Entry(row.variant, variant_in_words(row))
    yield from (value_entry(row, [metric]) for metric in metrics)


def _share(line: Roofline | None) -> Entry:
    if line is None:
        return NOT_MEASURED
    why = ("above 100 %: cached,\nor read faster than copied", "cached") if line.share >= 1.005 else ()
    return Entry(f"{100 * line.share:.0f} %", *why)


def roofline_grids(summary: Summary) -> list[Grid]:
    """Make the table of what a token reads beside the bandwidth that was measured; none where neither is known."""
    lines = [(row, roofline_of(row)) for row in summary.rows]
    if not any(line for _, line in lines):
        return []
    return [
        Grid(
            "roofline",
            "How near the bandwidth of the memory",
            "Bytes that a token reads × tokens a second, as a share of the bandwidth measured before and after a cell.",
            ("Variant", "Weights read", "Cache read", "Tokens/s", "Read a second", "Bandwidth", SHARE),
            tuple(Line((Entry(row.variant), *_reading(line)), row.family) for row, line in lines),
            (COMPUTED,),
        )
    ]


def _reading(line: Roofline | None) -> list[Entry]:
    if line is None:
        return [NOT_MEASURED] * 6
    tokens_per_s = 1e3 / line.token_ms
    return [
        Entry(sized(line.weight_bytes)),
        Entry(sized(line.kv_bytes)) if line.kv_bytes else NOT_MEASURED,
        Entry(digits(tokens_per_s)),
        Entry(f"{digits(line.read_bytes * tokens_per_s / 1e9)} GB"),
        Entry(f"{digits(line.bandwidth_gb_s)} GB/s"),
        _share(line),
    ]
