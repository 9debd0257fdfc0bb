"""When to skip quantization: where it gains nothing here, by the same-runtime ratio, the roofline and the limits."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import pytest

from bench.advise.advice import Advice
from bench.advise.roofline import Roofline, roofline_of
from bench.report.advice.reasons import reasons
from bench.summary.rows import Row
from tests.advise.made_up import BASE, BOTH, QUANT, TUNED_V, V, advice_of, but

FAST = {"max_p99_ms": 500}
DOMAIN = {"quality": {"hr": {"at_least": 0.6}}}


def said(advice: Advice, topic: str) -> str:
    return next((text for title, text in reasons(advice) if title == topic), "")


@pytest.mark.parametrize(
    ("variants", "requirements", "skip", "text"),
    [
        ({"b": BASE, "q": QUANT}, FAST, True, "no limit here needs it: b meets all without, and no speed-up is shown."),
        ({"b": BASE, "q": but(QUANT, ms=140.0)}, FAST, True, "b meets all without, and it is slower. It gains bytes"),
        ({"b": BASE, "q": but(QUANT, ms=40.0)}, FAST, False, "q against b: size 8.00 MB → 2.50 MB; E2E P99 2.50×"),
        (
            {"f": TUNED_V, "fq": but(BOTH, hr=500)}, DOMAIN, True,
            "skip it: f meets every limit without, and fq misses hr ≥ 60 %.",
        ),
        ({"b": BASE, "q": QUANT}, {"max_size_gb": 0.005}, False, "needed: b misses size ≤ 5.00 MB."),
        ({"b": but(BASE, ms=900.0), "q": QUANT}, FAST, False, "needed: b misses E2E P99 ≤ 500 ms."),
    ],
)  # fmt: skip
def test_quantizing_is_skipped_where_no_limit_needs_it_and_no_speed_up_is_shown(
    variants: dict[str, V], requirements: dict[str, Any], skip: bool, text: str
) -> None:
    advice = advice_of(variants, requirements)
    assert advice.quantizing is not None
    assert advice.quantizing.skip is skip
    assert text in said(advice, "Quantizing")


def with_machine(row: Row, copy_gb_s: float | None, device: str = "cpu") -> Row:
    """Return a row of a machine with this memory bandwidth."""
    canary = {"before": {"copy_gb_s": copy_gb_s}} if copy_gb_s else None
    records = (msgspec.structs.replace(one, canary=canary, session={"device": device}) for one in row.records)
    return replace(row, records=tuple(records))


def test_a_roofline_takes_a_size_a_time_per_token_and_the_bandwidth_of_the_device() -> None:
    row = advice_of({"b": but(BASE, ms=80.0)}, FAST).variants[0].row
    line = roofline_of(with_machine(row, 10.0))
    assert line is not None
    assert line.reading_ms == pytest.approx(0.8)
    assert line.share == pytest.approx(0.4, rel=0.02)
    assert roofline_of(with_machine(row, None)) is None
    assert roofline_of(with_machine(row, 10.0, "cuda")) is None
    untimed = advice_of({"b": but(BASE, ms=None)}, FAST).variants[0].row
    assert roofline_of(with_machine(untimed, 10.0)) is None


def test_a_model_is_launch_bound_where_reading_its_weights_takes_under_a_tenth_of_a_token() -> None:
    assert Roofline(8e6, 8.1, 10.0).launch_bound
    assert not Roofline(8e6, 7.9, 10.0).launch_bound


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (4000.0, "launch-bound, so that fewer bytes make it no faster."),
        (100.0, "of it is reading weights, which quantizing can shorten."),
        (4.0, "its weights come from a cache, and bandwidth alone decides nothing."),
    ],
)
def test_the_roofline_is_said_beside_the_ratio(ms: float, text: str) -> None:
    advice = advice_of({"b": but(BASE, ms=ms), "q": but(QUANT, ms=ms)}, {"max_p99_ms": 5000})
    assert said(advice, "Roofline").endswith(text)


def test_a_base_that_is_too_slow_has_its_roofline_though_nothing_qualifies() -> None:
    advice = advice_of({"b": but(BASE, ms=4000.0), "q": but(QUANT, ms=4000.0)}, FAST)
    assert advice.exit_code == 1
    assert "launch-bound" in said(advice, "Roofline")
