"""How much a metric changed, by which test, and what is said where there is too little to decide."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from bench.compare.lines import Asked
from bench.report.comparison_text import as_json
from bench.report.pages.comparison import comparison_page
from bench.selftest import raw_values, records
from tests.checkout import GENERAL, Checkout, q4, scaled
from tests.compare.conftest import asking, diverging, f1


def test_a_p99_of_few_requests_is_undecided_and_says_how_many_it_needs(checkout: Checkout) -> None:
    checkout.measure(checkout.base, requests=122)
    checkout.measure(checkout.head, requests=122)
    line = checkout.lines()["e2e_p99_ms"]
    assert (line.n, line.low is None or line.high is None, line.verdict) == (366, True, "undecided")
    assert line.why == "n too small: a P99 needs 368 requests on each side"


@pytest.mark.parametrize(("head", "verdict"), [(2.5, "same"), (2.6, "worse"), (2.4, "better")])
def test_a_perplexity_is_compared_by_its_ratio_over_the_same_documents(
    checkout: Checkout, head: float, verdict: str
) -> None:
    checkout.measure(checkout.base, asking("wikitext", raw_values.rolling(2.5)))
    checkout.measure(checkout.head, asking("wikitext", raw_values.rolling(head)))
    line = checkout.lines()["perplexity wikitext"]
    assert (line.verdict, line.test, line.n) == (verdict, "paired t over documents", 20)
    assert isinstance(line.base, float)
    assert isinstance(line.head, float)
    assert line.change == pytest.approx(line.head / line.base)
    assert None not in (line.low, line.change, line.high)
    assert line.low <= line.change <= line.high  # type: ignore[operator]


@pytest.mark.parametrize(("add", "verdict"), [(0.0, "same"), (-0.1, "worse"), (0.1, "better")])
def test_a_number_of_each_document_is_compared_by_its_difference(checkout: Checkout, add: float, verdict: str) -> None:
    checkout.measure(checkout.base, asking("squad", f1(0.0)))
    checkout.measure(checkout.head, asking("squad", f1(add)))
    line = checkout.lines()["score squad"]
    assert line.verdict == verdict
    assert line.change == pytest.approx(add, abs=1e-3)


def test_a_single_document_decides_nothing_and_says_so(checkout: Checkout) -> None:
    checkout.measure(checkout.base, asking("squad", f1(0.0, n=1)))
    checkout.measure(checkout.head, asking("squad", f1(0.2, n=1)))
    line = checkout.lines()["score squad"]
    assert (line.verdict, line.why) == (
        "undecided",
        "a single document: it takes two to show how much they differ",
    )


def test_numbers_that_all_happen_to_be_0_or_1_are_compared_with_numbers(checkout: Checkout) -> None:
    checkout.measure(checkout.base, asking("squad", {**f1(0), "value": [1.0] * 50}))
    checkout.measure(checkout.head, asking("squad", f1(0)))
    assert checkout.verdicts()["score squad"] == "worse"
    assert "accuracy squad" not in checkout.lines()


@pytest.mark.parametrize(("head", "verdict"), [(0.02, "same"), (0.03, "worse"), (0.01, "better")])
def test_divergence_is_compared_by_the_interval_over_windows(checkout: Checkout, head: float, verdict: str) -> None:
    checkout.measure(checkout.base, diverging(0.02))
    checkout.measure(checkout.head, diverging(head))
    assert checkout.verdicts()["kl_mean"] == verdict


def test_a_divergence_below_what_rounding_makes_by_itself_is_the_same(checkout: Checkout) -> None:
    for sha, nats in ((checkout.base, 1e-6), (checkout.head, 1.9e-6)):
        checkout.measure(sha, diverging(0.0, kl=[nats] * 160, rounding_floor=2e-6))
    assert checkout.verdicts()["kl_mean"] == "same"


@pytest.mark.parametrize(("factor", "verdict"), [(1.0, "same"), (1.2, "worse"), (0.8, "better")])
def test_peak_memory_is_compared_by_its_rounds(checkout: Checkout, factor: float, verdict: str) -> None:
    def peak(content: dict[str, Any]) -> None:
        peak = content["measures"]["memory"]["peak_resident_bytes"]
        content["measures"]["memory"]["peak_resident_bytes"] = round(factor * peak)

    checkout.measure(checkout.base)
    checkout.measure(checkout.head, peak)
    assert checkout.verdicts()["peak_resident_bytes"] == verdict


def test_a_single_round_decides_no_latency_and_says_why(checkout: Checkout) -> None:
    for sha, factor in ((checkout.base, 1.0), (checkout.head, 3.0)):
        content = records.record("q4", requests=400)
        content["commit"] = {"sha": sha, "dirty": False, "tree": "clean"}
        scaled(content, factor)
        records.write(checkout.results, content)
    line = checkout.lines()["e2e_p50_ms"]
    assert line.verdict == "undecided"
    assert line.change == pytest.approx(3.0)
    assert line.why == "one round on a side: it takes two to show how much rounds differ"


def test_what_is_undecided_says_the_n_that_would_decide_it(checkout: Checkout) -> None:
    checkout.measure(checkout.base)
    checkout.measure(checkout.head, **q4(general=GENERAL - 0.002))
    line = checkout.lines()["accuracy general"]
    assert line.needed is not None
    assert line.needed > 400
    assert line.why == f"about {line.needed:,} questions would decide it"


def test_the_parts_of_a_latency_have_verdicts_and_tokens_per_second_fall_where_a_token_takes_longer(
    checkout: Checkout,
) -> None:
    def slower(content: dict[str, Any]) -> None:
        latency = content["measures"]["latency"]
        latency["tpot_ms"] = [1.25 * value for value in latency["tpot_ms"]]

    checkout.measure(checkout.base)
    checkout.measure(checkout.head, slower)
    lines = checkout.lines()
    verdicts = {name: lines[name].verdict for name in ("ttft_p50_ms", "tpot_p50_ms", "tpot_p99_ms", "tokens_per_s")}
    assert verdicts == {
        "ttft_p50_ms": "same",
        "tpot_p50_ms": "worse",
        "tpot_p99_ms": "worse",
        "tokens_per_s": "worse",
    }
    tpot, tokens = lines["tpot_p50_ms"], lines["tokens_per_s"]
    assert tpot.change == pytest.approx(1.25)
    assert tokens.change == pytest.approx(1 / 1.25)
    assert (tokens.low, tokens.high) == (pytest.approx(1 / tpot.high), pytest.approx(1 / tpot.low))  # type: ignore[operator]
    assert lines["e2e_p50_ms"].verdict == "same"  # of another column of the record


def test_the_parts_of_a_latency_cost_the_whole_no_power(checkout: Checkout) -> None:
    checkout.measure(checkout.base)
    checkout.measure(checkout.head, lambda content: scaled(content, 1.06))
    alone, among_all = (
        {line.metric: line.p for line in checkout.compare(asked=asked).lines}["e2e_p50_ms"]
        for asked in (Asked(metrics=("e2e_p50_ms", "e2e_p99_ms")), Asked())
    )
    assert alone == among_all


def test_the_text_of_a_divergence_has_a_perplexity_that_is_compared_by_its_ratio(checkout: Checkout) -> None:
    nll = [2.5 + 0.01 * ((3 * i) % 7 - 3) for i in range(160)]
    checkout.measure(checkout.base, diverging(0.02, nll=nll))
    checkout.measure(checkout.head, diverging(0.02, nll=[value + 0.03 for value in nll]))
    line = checkout.lines()["perplexity"]
    assert (line.verdict, line.test, line.n) == ("worse", "paired t over windows", 160)
    assert line.change == pytest.approx(math.exp(0.03), rel=1e-6)
    assert checkout.verdicts()["kl_mean"] == "same"


def test_the_peak_of_memory_is_that_of_the_largest_round(checkout: Checkout) -> None:
    def peaks(content: dict[str, Any]) -> None:
        largest = 100_000_000 if content["round"] == 1 else 70_000_000
        content["measures"]["memory"]["peak_resident_bytes"] = largest

    checkout.measure(checkout.base)
    checkout.measure(checkout.head, peaks)
    assert checkout.lines()["peak_resident_bytes"].head == 100_000_000


def test_what_a_failed_cell_measured_before_it_failed_counts(checkout: Checkout) -> None:
    def fails(content: dict[str, Any]) -> None:
        if content["round"] == 2:
            content |= {"status": "failed", "error": {"stage": "measure", "message": "killed"}}
            content["measures"] = {"latency": content["measures"]["latency"]}
            content["measures"]["latency"]["e2e_ms"] = [500.0] * 140

    checkout.measure(checkout.base)
    checkout.measure(checkout.head, fails)
    lines = checkout.lines()
    assert (lines["e2e_p99_ms"].head, lines["e2e_p99_ms"].n) == (500.0, 420)
    assert (lines["run"].verdict, lines["run"].why) == ("now fails", "round 3 failed at measure: killed")


def test_a_perplexity_too_large_for_a_number_is_worse_and_null_in_json(checkout: Checkout) -> None:
    checkout.measure(checkout.base, asking("wikitext", raw_values.rolling(2.5)))
    checkout.measure(checkout.head, asking("wikitext", raw_values.rolling(900.0)))
    comparison = checkout.compare()
    line = next(line for line in comparison.lines if line.metric == "perplexity wikitext")
    assert (line.verdict, line.change) == ("worse", math.inf)
    (written,) = (one for one in json.loads(as_json(comparison, None))["lines"] if one["metric"] == line.metric)
    assert (written["verdict"], written["head"], written["change"]) == ("worse", None, None)
    assert "Perplexity, wikitext" in comparison_page(comparison, [])
