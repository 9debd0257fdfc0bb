"""The distance of a variant's next-token distributions from its base's, and from its own parent's, over one text.

The parent is the variant's own model before it was quantized: `finetuned` of finetuned-q4, the base of q4. The distance
from it is the loss by quantization alone, where that of a quantized fine-tune from the base mixes it with what was
learned. A variant that is not quantized last has no such parent, and `parent_…` no value.

The intervals take windows of consecutive tokens as clusters, so their `n` counts windows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import msgspec

from bench.metrics import identity
from bench.metrics.metric import Clusters, Identity, Metric, Records
from bench.records.types import Record
from bench.records.values import Divergence
from bench.stats import estimates
from bench.stats.estimates import Estimate

Read = Callable[[Records], Divergence | None]


def divergence_of(records: Records) -> Divergence | None:
    """Return what was measured in the first round that has it, None where one value is not finite."""
    measured = next((record.divergence for record in records if record.divergence), None)
    return None if measured is None or not_finite(measured) else measured


def from_parent_of(records: Records) -> Divergence | None:
    """Return the same with the parent in place of the base, None without a parent or where a value is not finite."""
    measured = _from_parent(next((record.divergence for record in records if record.divergence), None))
    return None if measured is None or not_finite(measured) else measured


def _from_parent(measured: Divergence | None) -> Divergence | None:
    if measured is None or measured.parent in (None, measured.base):
        return measured if measured and measured.parent else None
    assert measured.parent_kl is not None
    assert measured.parent_same_top is not None
    return msgspec.structs.replace(
        measured,
        base=measured.parent,
        kl=measured.parent_kl,
        same_top=measured.parent_same_top,
        rounding_floor=measured.parent_rounding_floor,
    )


def not_finite(measured: Divergence) -> int:
    """Count the tokens with a value that was no finite number."""
    return sum(None in token for token in zip(measured.kl, measured.nll, measured.base_nll, strict=True))


def windows_of(measured: Divergence) -> int:
    """Return the number of windows of consecutive tokens."""
    return -(-len(measured.kl) // measured.window)


def base_perplexity(measured: Divergence) -> Estimate:
    """Return the perplexity of the base over the same text."""
    return estimates.exponential(_mean(numbers(measured.base_nll), measured.window))


def numbers(column: Sequence[float | None]) -> list[float]:
    """Return a column without what was not finite."""
    return [value for value in column if value is not None]


def _of(compute: Callable[[Divergence], Estimate], read: Read = divergence_of) -> Callable[[Records], Estimate | None]:
    def value(records: Records) -> Estimate | None:
        measured = read(records)
        return None if measured is None else compute(measured)

    return value


def _kl_mean(measured: Divergence) -> Estimate:
    return _mean(numbers(measured.kl), measured.window)


def _kl_p99(measured: Divergence) -> Estimate:
    return Estimate(estimates.percentile(numbers(measured.kl), 0.99), n=len(measured.kl))


def _same_top(measured: Divergence) -> Estimate:
    """Return the share of ones, its ends within 0 and 1; no ends where all are alike, as windows show no spread."""
    mean = _mean([float(mark) for mark in measured.same_top], measured.window)
    if mean.low is None or mean.high is None or mean.value in (0.0, 1.0):
        return Estimate(mean.value, n=mean.n)
    return Estimate(mean.value, max(0.0, mean.low), min(1.0, mean.high), mean.n)


def _perplexity(measured: Divergence) -> Estimate:
    return estimates.exponential(_mean(numbers(measured.nll), measured.window))


def _mean(values: Sequence[float], window: int) -> Estimate:
    return estimates.ratio_mean(*estimates.windows(values, window))


def _kl_clusters(records: Records, read: Read = divergence_of) -> Clusters | None:
    measured = read(records)
    if measured is None:
        return None
    return Clusters(*estimates.windows(numbers(measured.kl), measured.window), floor=measured.rounding_floor or 0.0)


def _nll_clusters(records: Records) -> Clusters | None:
    measured = divergence_of(records)
    return Clusters(*estimates.windows(numbers(measured.nll), measured.window), log=True) if measured else None


def _not_finite(records: Records, parent: bool = False) -> int:
    measured = next((record.divergence for record in records if record.divergence), None)
    measured = _from_parent(measured) if parent else measured
    return not_finite(measured) if measured else 0


def _identity(record: Record) -> Identity:
    measured = record.divergence
    return {**_text(record), "divergence base": measured.base[:12]} if measured else _text(record)


def _text(record: Record) -> Identity:
    """Name the text alone: the parent is a part of the variant, and may be another one on the other side."""
    measured = record.divergence
    if measured is None:
        return identity.model(record)
    return {
        **identity.model(record),
        "divergence text": measured.text[:12],
        "divergence tokens": f"{len(measured.kl):,}",
        "divergence window": str(measured.window),
    }


METRICS = (
    Metric(
        "kl_mean", "Mean KL", "nat", "divergence", _of(_kl_mean), _identity,
        limit=0.10, test="windows", scale="difference", sample=_kl_clusters, not_finite=_not_finite,
        column="KL to base, nats",
    ),
    Metric("kl_p99", "KL P99", "nat", "divergence", _of(_kl_p99), _identity),
    Metric(
        "same_top_share", "Same top token", "share", "divergence", _of(_same_top), _identity,
        better="higher", scale="points",
    ),
    Metric(
        "parent_kl_mean", "Mean KL from its parent", "nat", "divergence", _of(_kl_mean, from_parent_of), _text,
        limit=0.10, test="windows", scale="difference", sample=partial(_kl_clusters, read=from_parent_of),
        not_finite=partial(_not_finite, parent=True), family="divergence from the parent",
    ),
    Metric("parent_kl_p99", "KL P99 from its parent", "nat", "divergence", _of(_kl_p99, from_parent_of), _text),
    Metric(
        "parent_same_top_share", "Same top token as its parent", "share", "divergence",
        _of(_same_top, from_parent_of), _text, better="higher", scale="points",
    ),
    Metric(
        "perplexity", "Perplexity of the text", "1", "divergence", _of(_perplexity), _identity,
        limit=0.01, test="windows", sample=_nll_clusters, not_finite=_not_finite, family="perplexity of the text",
    ),
)  # fmt: skip
