"""What charts say: one sentence for each thing that a sweep can show, and nothing that it does not."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from bench.report.charts.answers.spots import view_of
from bench.report.charts.answers.title import Shown, shown_by, title
from bench.report.charts.draw import draw_all
from bench.report.numbers import titled
from bench.report.tables.decision import decision_grid
from tests.advise.made_up import BOTH, QUANT, TUNED_V, V, advice_of, but

LIMITS = {"latency": "e2e", "max_p99_ms": 150, "title": "t", "target": "server"}
BASE = V("base", hr=700)


@pytest.mark.parametrize(
    ("shown", "sentence"),
    [
        (
            Shown("hr", 9, 5, only_tuned=True, compared=5, more=5, quantized=4),
            "Only fine-tuning learns hr; quantizing it costs nothing we could measure",
        ),
        (
            Shown("hr", 9, 5, only_tuned=True, compared=5, more=5, quantized=4, losing=("f-q2",)),
            "Only fine-tuning learns hr; of 4 quantized variants only f-q2 is shown to lose by it",
        ),
        (
            Shown("hr", 9, 5, only_tuned=True, compared=1, more=1, quantized=1, losing=("f-q2",)),
            "Only fine-tuning learns hr; quantizing it is shown to cost right answers",
        ),
        (
            Shown("hr", 9, 5, compared=5, more=5, quantized=8, losing=("q2", "q3")),
            "Fine-tuning raises hr; 2 of 8 quantized variants are shown to lose by it",
        ),
        (Shown("hr", 3, 1, compared=2, less=2), "Fine-tuning loses answers on hr"),
        (Shown("hr", 3, 3, compared=2), "Fine-tuning is not shown to change hr"),
        (Shown("hr", 3, 3, compared=2, more=1), "1 of 2 fine-tuned variants is shown to answer more of hr"),
        (Shown("hr", 4, 3, compared=3, less=2), "2 of 3 fine-tuned variants are shown to answer less of hr"),
        (
            Shown("hr", 4, 3, compared=3, more=1, less=2),
            "On hr 1 of 3 fine-tuned variants is shown to answer more, 2 less",
        ),
        (Shown("hr", 4, 4, quantized=3), "Quantizing costs nothing we could measure on hr"),
        (
            Shown("hr", 4, 4, quantized=3, losing=("q2",)),
            "Of 3 quantized variants only q2 is shown to lose by it on hr",
        ),
        (Shown("hr", 4, 4, all_guess=True, quantized=3), "On hr no variant is shown to do better than guessing"),
        (Shown("hr", 1, 1), "One variant answered hr: there is nothing to choose from"),
        (Shown("hr", 3, 3), "On hr none of 3 variants is shown to differ from the best"),
        (Shown("hr", 3, 2), "On hr 2 of 3 variants are not shown to differ from the best"),
    ],
)
def test_the_decision_says_what_fine_tuning_and_quantizing_are_shown_to_do(shown: Shown, sentence: str) -> None:
    assert title(shown) == sentence


@pytest.mark.parametrize(
    ("variants", "sentence"),
    [
        (
            {"base": V("base", hr=500), "q4": but(QUANT, hr=505), "tuned": TUNED_V, "both": but(BOTH, hr=938)},
            "Only fine-tuning learns hr; quantizing it costs nothing we could measure",
        ),
        (
            {"base": BASE, "q4": but(QUANT, hr=600), "tuned": TUNED_V, "both": but(BOTH, hr=938)},
            "Fine-tuning raises hr; of 2 quantized variants only q4 is shown to lose by it",
        ),
        ({"base": BASE, "q4": but(QUANT, hr=600)}, "Quantizing is shown to cost right answers on hr"),
        ({"base": BASE, "tuned": but(TUNED_V, hr=702, moved=(40, 40))}, "Fine-tuning is not shown to change hr"),
        ({"q4": but(QUANT, hr=700)}, "One variant answered hr: there is nothing to choose from"),
        ({"base": V("base", hr=500), "q4": but(QUANT, hr=500)}, "On hr no variant is shown to do better than guessing"),
    ],
)
def test_a_sweep_shows_it_by_its_answers(variants: Mapping[str, V], sentence: str) -> None:
    advice = advice_of(variants, LIMITS)
    view = view_of(advice)
    assert view is not None
    assert title(shown_by(advice, view.task, sum(spot.score.like_the_best is True for spot in view.spots))) == sentence


@pytest.mark.parametrize(
    ("variants", "sentence"),
    [
        ({"base": BASE}, "base answers 70 % of hr in 8.00 MB"),
        ({"base": V("base", hr=500)}, "No variant is shown to do better than guessing on hr"),
        (
            {"base": BASE, "q4": but(QUANT, hr=698)},
            "No variant is shown to differ from the best on hr, the smallest, q4, included",
        ),
        (
            {"base": BASE, "q4": but(QUANT, hr=600)},
            "base answers the most of hr: every smaller variant is shown to answer less",
        ),
        (
            {"base": BASE, "q4": but(QUANT, hr=600), "tuned": TUNED_V, "both": but(BOTH, hr=938, mb=2.6)},
            "both is the smallest that is not shown to differ from the best on hr: 2.60 MB, tuned has 8.00 MB",
        ),
        ({"base": BASE, "q4": but(QUANT, hr=900)}, "q4 answers the most of hr: 90 % in 2.50 MB"),
    ],
)
def test_right_answers_against_size_names_the_smallest_that_is_not_shown_to_be_worse(
    variants: Mapping[str, V], sentence: str
) -> None:
    advice = advice_of(variants, LIMITS)
    assert draw_all(advice.summary, None).charts["accuracy-size-hr"].title == sentence


@pytest.mark.parametrize(
    ("variants", "rounds", "sentence"),
    [
        ({"base": BASE}, 2, "Half of the requests to base take at most 99.0 ms in llamacpp"),
        ({"base": BASE, "q4": but(QUANT, ms=50)}, 1, "One round in llamacpp: which variant is faster is not shown"),
        (
            {"base": BASE, "q4": but(QUANT, ms=(50, 51))},
            2,
            "q4 is shown to be the fastest in llamacpp; rounds of one variant differ by up to 2 %",
        ),
        (
            {"base": BASE, "q4": but(QUANT, ms=50)},
            2,
            "q4 is shown to be the fastest in llamacpp; rounds of one variant differ by up to 1 %",
        ),
        (
            {"base": BASE, "q4": but(QUANT, ms=(50, 90))},
            2,
            "No variant is shown to be faster or slower than base in llamacpp; "
            "rounds of one variant differ by up to 80 %",
        ),
        (
            {"base": V("base", ms=(100, 120)), "q4": but(QUANT, ms=(90, 110))},
            2,
            "No variant is shown to be faster or slower than base in llamacpp; "
            "rounds of one variant differ by up to 23 %",
        ),
        (
            {"base": BASE, "q4": but(QUANT, ms=(50, 55)), "q2": but(QUANT, ms=(60, 60)), "tuned": but(TUNED_V, ms=120)},
            2,
            "2 of 3 variants in llamacpp are shown to be faster than base, 1 slower; "
            "rounds of one variant differ by up to 10 %",
        ),
    ],
)
def test_latency_says_what_rounds_show(variants: Mapping[str, V], rounds: int, sentence: str) -> None:
    advice = advice_of(variants, LIMITS, rounds=rounds)
    assert draw_all(advice.summary, None).charts["latency"].title == sentence


def test_without_a_limit_on_latency_the_chart_shows_that_of_the_table_of_candidates() -> None:
    advice = advice_of({"base": BASE, "q4": QUANT}, {"title": "t", "target": "server", "max_size_gb": 1})
    view = view_of(advice)
    assert view is not None
    assert titled(view.metric.title, view.metric.unit) in decision_grid(advice.summary, advice).columns
