"""What was not shown is not said: speed within one round, failed rounds, limits that are null."""

from __future__ import annotations

import pytest

from bench.advise.requirements import requirements_of
from bench.report.advice.answer import sentence
from bench.report.advice.next_steps import next_steps
from bench.report.advice.reasons import reasons
from bench.summary import pairs
from tests.advise.made_up import BASE, BOTH, QUANT, TUNED_V, V, advice_of, but, summary_of
from variants.errors import UserError

FAST = {"max_p50_ms": 500}


@pytest.mark.parametrize(
    "node",
    [
        {"quality": {"general": {}}},
        {"quality": {"general": None}, "cost": None},
        {"quality": {"hr": {"keeps": None, "of": "base"}}, "max_p99_ms": None},
    ],
)
def test_requirements_whose_limits_are_all_null_are_refused(node: dict[str, object]) -> None:
    with pytest.raises(UserError, match="no limit is set"):
        requirements_of(node)


@pytest.mark.parametrize(("ms", "shown"), [((11.5, 8.8), False), ((8.5, 8.4), True), (8.0, True)])
def test_a_speed_is_shown_where_every_round_shows_it(ms: float | tuple[float, float], shown: bool) -> None:
    summary = summary_of({"b": but(BASE, ms=(12.2, 9.0)), "q": but(BASE, kind="quantized", mb=2.5, ms=ms)}, rounds=2)
    metric = next(metric for metric in summary.metrics if metric.name == "e2e_p50_ms")
    rows = summary.by_name
    assert pairs.every_round_shows(metric, rows["b"], rows["q"]) is shown


def test_one_round_shows_no_speed() -> None:
    summary = summary_of({"b": BASE, "q": but(BASE, kind="quantized", ms=10.0)}, rounds=1)
    metric = next(metric for metric in summary.metrics if metric.name == "e2e_p50_ms")
    assert not pairs.every_round_shows(metric, summary.by_name["b"], summary.by_name["q"])


@pytest.mark.parametrize(
    ("variants", "dominated"),
    [
        ({"f": TUNED_V, "fq": BOTH}, {"f": "fq"}),
        ({"f": TUNED_V, "fq": but(BOTH, ms=104.0)}, {"f": "fq"}),
        ({"f": TUNED_V, "fq": but(BOTH, ms=115.0)}, {}),  # slower by more than the limit of a median
        ({"f": TUNED_V, "fq": but(BOTH, general=880)}, {}),  # worse on another task
        ({"f": TUNED_V, "fq": but(BOTH, mb=8.0)}, {}),
        ({"f": TUNED_V, "fq": but(BOTH, ms=None)}, {}),
    ],
)
def test_a_variant_is_dominated_by_one_that_is_smaller_and_shown_to_be_neither_worse_nor_slower(
    variants: dict[str, V], dominated: dict[str, str]
) -> None:
    assert advice_of(variants, {"max_p50_ms": 500, "max_size_gb": 1}).dominated == dominated


def test_noisy_rounds_show_no_domination() -> None:
    """Both have the same rounds, in another order: nothing shows one slower, and nothing shows it as fast."""
    noisy = {"f": but(TUNED_V, ms=(100.0, 140.0, 110.0)), "fq": but(BOTH, ms=(140.0, 110.0, 100.0))}
    assert advice_of(noisy, FAST).dominated == {}


def test_what_domination_was_shown_by_is_said() -> None:
    texts = dict(reasons(advice_of({"f": TUNED_V, "fq": BOTH}, FAST)))
    assert texts["Dominated"] == (
        "f by fq, which is smaller, and shown to lose no more than the margin on any task and to be at most 5 % slower."
    )


def test_a_variant_that_nothing_could_show_to_be_slower_dominates_nothing() -> None:
    variants = {"b": BASE, "q": but(BASE, kind="quantized", mb=2.5, ms=400.0)}
    advice = advice_of(variants, {"max_size_gb": 1}, requests=100)
    assert advice.dominated == {}


def test_rounds_that_disagree_ask_for_rounds_and_not_for_requests() -> None:
    advice = advice_of({"b": but(BASE, ms=(100.0, 110.0, 205.0))}, {"max_p50_ms": 202}, rounds=3)
    assert sentence(advice) == "Not decided: E2E P50 ≤ 202 ms is open for b; about 7 rounds would decide."
    assert "b: its rounds differ: 99, 109, 203 ms." in next_steps(advice)


def test_one_round_decides_no_latency_however_many_requests_it_served() -> None:
    advice = advice_of({"b": BASE}, FAST, rounds=1, requests=4000)
    assert sentence(advice) == "Not decided: E2E P50 ≤ 500 ms is open for b; about 3 rounds would decide."


def test_one_round_of_few_requests_asks_for_as_many_rounds_as_its_percentile_takes() -> None:
    advice = advice_of({"b": BASE}, {"max_p99_ms": 500}, rounds=1, requests=50)
    assert sentence(advice) == "Not decided: E2E P99 ≤ 500 ms is open for b; about 8 rounds would decide."


def test_the_rounds_of_the_other_variants_say_how_much_rounds_differ() -> None:
    """Three rounds alone would say too little; those of one machine together say enough."""
    noisy = but(BASE, ms=(100.0, 120.0, 105.0))
    limit = {"max_p50_ms": 150}
    alone = advice_of({"b": noisy}, limit, rounds=3)
    beside = advice_of(
        {"b": noisy, **{f"q{i}": but(QUANT, ms=(100.0, 118.0, 103.0)) for i in range(5)}}, limit, rounds=3
    )
    high = [advice.variants[0].judgements[0].high for advice in (alone, beside)]
    assert None not in high
    assert high[1] < high[0]  # type: ignore[operator]


def test_the_same_model_unquantized_is_the_one_that_it_was_made_from() -> None:
    """QLoRA's adapter was trained on quantized weights: no variant is its model before quantizing."""
    advice = advice_of({"b": BASE, "f": TUNED_V, "ql": V("qlora", mb=2.5, hr=940)}, FAST)
    assert advice.ship is not None
    assert (advice.ship.name, advice.quantizing) == ("ql", None)
    both = advice_of({"b": BASE, "f": TUNED_V, "fq": BOTH}, FAST)
    assert both.quantizing is not None
    assert both.quantizing.plain.name == "f"


def test_a_failed_round_of_the_choice_is_named_beside_it_and_not_counted() -> None:
    advice = advice_of({"b": but(BASE, failed="no memory", failed_in=1)}, FAST, rounds=3, requests=600)
    assert advice.ship is not None
    texts = " ".join(text for _, text in reasons(advice))
    assert "(400 requests; 2 rounds)" in texts
    assert "Round 2 of b failed at build: no memory." in texts
