"""What the answers to a task come to: right or wrong, scores, averages over subjects, chance, and what is broken."""

from __future__ import annotations

import math

import msgspec
import numpy as np
import pytest
from msgspec.structs import replace

from bench.metrics.answers import (
    DocumentValue,
    is_right_or_wrong,
    not_finite,
    right,
    score,
    subjects_of,
    ties,
    tokenizer_difference,
)
from bench.metrics.chance import chance_level, guesses, guessing, shuffled_accuracy
from bench.records.values import Answers, Tokenizer
from bench.selftest import raw_values
from bench.stats import estimates, proportions


def choices(correct: int, n: int = 100, golds: tuple[int, ...] = (0, 1, 2, 3)) -> Answers:
    gold = [golds[i % len(golds)] for i in range(n)]
    picked = [g if i < correct else (g + 1) % 4 for i, g in enumerate(gold)]
    loglik: list[list[float | None]] = [[-1.0 if k == p else -3.0 - k for k in range(4)] for p in picked]
    return Answers([str(i) for i in range(n)], [""] * n, gold=gold, picked=picked, loglik=loglik)


def valued(metric: str, value: list[DocumentValue]) -> Answers:
    n = len(value)
    return Answers([str(i) for i in range(n)], [""] * n, metric=metric, value=value)


def test_values_of_0_and_1_are_right_and_wrong() -> None:
    answers = valued("exact_match,strict-match", [1, 0, 1.0, None])
    assert is_right_or_wrong(answers)
    assert right(answers) == [True, False, True, False]
    assert not is_right_or_wrong(valued("bleu", [1, 0, 0.5]))
    assert not is_right_or_wrong(valued("perplexity", [0, 0]))


def test_a_perplexity_is_of_all_words_and_not_a_mean_over_documents() -> None:
    answers = valued("word_perplexity", [(-20.0, 10), (-300.0, 100)])
    estimate = score(answers)
    assert estimate is not None
    assert estimate.value == pytest.approx(math.exp(320 / 110))
    assert estimate.low is not None
    assert estimate.high is not None
    assert estimate.low < estimate.value < estimate.high
    assert estimate.n == 2


@pytest.mark.parametrize(
    ("metric", "value", "expected"),
    [
        ("byte_perplexity", [(-2.0, 4), (-4.0, 4)], math.exp(6 / 8)),
        ("bits_per_byte", [(-2.0, 4), (-4.0, 4)], 6 / 8 / math.log(2)),
        ("perplexity", [-1.0, -3.0], math.exp(2)),
        ("bleu", [0.5, 0.25], 0.375),
    ],
)
def test_other_metrics_are_aggregated_as_lm_eval_does(metric: str, value: list[DocumentValue], expected: float) -> None:
    estimate = score(valued(metric, value))
    assert estimate is not None
    assert estimate.value == pytest.approx(expected)


def test_lm_eval_itself_gives_the_same_perplexities() -> None:
    metrics = pytest.importorskip("lm_eval.api.metrics")
    pairs: list[DocumentValue] = [tuple(pair) for pair in raw_values.rolling(2.5)["value"]]
    for metric, theirs in (("word_perplexity", "weighted_perplexity"), ("bits_per_byte", "bits_per_byte")):
        estimate = score(valued(metric, pairs))
        assert estimate is not None
        assert estimate.value == pytest.approx(getattr(metrics, theirs)(pairs))


def test_a_missing_value_leaves_no_number() -> None:
    assert score(valued("bleu", [0.5, None])) is None
    assert score(valued("word_perplexity", [(-1.0, 2), (None, 3)])) is None


def test_values_of_two_kinds_are_refused() -> None:
    with pytest.raises(ValueError, match="neither all numbers nor all pairs"):
        valued("bleu", [0.5, (-1.0, 3)])


def test_guessing_is_what_blind_and_what_always_one_letter_gives() -> None:
    assert guesses(choices(50, golds=(0, 0, 1, 2))) == (0.25, 0.5)
    assert guesses(msgspec.convert(raw_values.generated(0.5), Answers)) == ()


@pytest.mark.parametrize(
    ("correct", "words"), [(25, "at chance"), (30, "at chance"), (40, ""), (5, "below chance"), (18, "at chance")]
)
def test_a_score_within_error_of_chance_is_called_so(correct: int, words: str) -> None:
    assert chance_level(choices(correct)) == words


def test_a_score_that_the_most_frequent_letter_would_reach_is_at_chance() -> None:
    assert chance_level(choices(55, golds=(0, 0, 1, 2))) == "at chance"


def test_a_preference_for_a_letter_that_is_seldom_right_is_at_chance_and_not_below() -> None:
    gold = [0] * 10 + [1, 2, 3] * 30
    answers = replace(choices(0), gold=gold, picked=[0] * 100)
    assert shuffled_accuracy(answers) == pytest.approx(0.1)
    assert chance_level(answers) == "at chance"
    apart = replace(answers, subject=["sums"] * 10 + ["words"] * 90, picked=[1] * 10 + [0] * 90)
    assert shuffled_accuracy(apart) == 0
    assert chance_level(apart) == "at chance"
    mixed_up = replace(answers, picked=[(g + 1) % 4 for g in gold])
    assert chance_level(mixed_up) == "below chance"


def test_a_right_choice_that_always_stands_first_is_no_answer_to_guess() -> None:
    answers = choices(95, golds=(0,))
    assert guesses(answers) == (0.25,)
    assert chance_level(answers) == ""
    assert guessing(answers) == "guessing gives 25.0 %"
    assert chance_level(choices(24, golds=(0,))) == "at chance"


def test_what_is_broken_is_counted_and_put_in_words() -> None:
    answers = choices(26)
    rows = [[None, -1.0, -2.0, -3.0], [-2.0] * 4, [-2.0] * 4, *(answers.loglik or [])[3:]]
    tokenizer = Tokenizer(1200, 2, {"text": "é", "gguf": [1], "hf": [2, 3]})
    answers = replace(answers, loglik=rows, tokenizer=tokenizer)
    assert (not_finite(answers), ties(answers), chance_level(answers)) == (1, 2, "at chance")
    assert guessing(answers) == "guessing gives 25.0 %, always the most frequent answer 25.0 %"
    assert tokenizer_difference(answers) == (
        "the GGUF's tokenizer and the source's differ on 2 of 1,200 texts, for example 'é': [1] against [2, 3]"
    )


def test_nothing_is_broken_in_sound_answers() -> None:
    answers = choices(90)
    assert (not_finite(answers), ties(answers), chance_level(answers), tokenizer_difference(answers)) == (0, 0, "", "")


def test_columns_of_an_older_record_are_enough() -> None:
    columns = {"question": ["a"], "subject": [""], "gold": [0], "picked": [0], "loglik": [[-1.0, -2.0]]}
    answers = msgspec.convert(columns, Answers)
    assert (answers.truncated, answers.scorer, answers.tokenizer) == (None, None, None)
    assert right(answers) == [True]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"picked": [0, 1]}, "columns of lengths"),
        ({"loglik": [["x", -2.0]]}, r"\$.loglik\[0\]\[0\]"),
        ({"gold": None, "picked": None, "loglik": None}, "neither `gold`"),
        ({"value": [0.5]}, "without the `metric`"),
    ],
)
def test_columns_that_do_not_fit_are_refused_with_their_place(change: dict[str, object], problem: str) -> None:
    columns = {"question": ["a"], "subject": [""], "gold": [0], "picked": [0], "loglik": [[-1.0, -2.0]]}
    with pytest.raises(msgspec.ValidationError, match=problem):
        msgspec.convert({**columns, **change}, Answers)


def test_the_macro_average_counts_every_subject_the_same() -> None:
    estimate = proportions.macro_average([(90, 100), (1, 2)])
    assert estimate.value == pytest.approx(0.7)
    assert estimate.n == 102
    assert estimate.low < 0.7 < estimate.high


def test_the_interval_of_the_macro_average_covers_as_stated() -> None:
    rng = np.random.default_rng(3)
    truth = rng.beta(4, 3, 57)
    hits = 0
    for _ in range(400):
        estimate = proportions.macro_average([(int(k), 20) for k in rng.binomial(20, truth)])
        hits += estimate.low <= truth.mean() <= estimate.high
    assert 0.92 <= hits / 400 <= 0.98


def test_a_macro_average_without_variation_still_has_an_interval() -> None:
    estimate = proportions.macro_average([(5, 5), (7, 7)])
    assert estimate.value == estimate.high == 1
    assert estimate.low == pytest.approx(proportions.wilson(12, 12).low)


def test_clusters_widen_an_interval_as_they_should() -> None:
    rng = np.random.default_rng(5)
    windows = rng.normal(0, 1, (20, 1)) + rng.normal(0, 0.1, (20, 50))
    clustered = estimates.ratio_mean(windows.sum(1).tolist(), [50] * 20)
    alone = estimates.ratio_mean(windows.ravel().tolist(), [1] * 1000)
    assert clustered.value == pytest.approx(alone.value)
    assert None not in (clustered.low, clustered.high, alone.low, alone.high)
    assert (clustered.high or 0) - (clustered.low or 0) > 5 * ((alone.high or 0) - (alone.low or 0))


def test_a_ratio_of_equal_weights_is_students_mean() -> None:
    from scipy.stats import t

    values = [1.0, 2.0, 4.0, 7.0]
    estimate = estimates.ratio_mean(values, [1] * 4)
    low, high = t.interval(0.95, 3, np.mean(values), np.std(values, ddof=1) / 2)
    assert [estimate.low, estimate.high] == pytest.approx([low, high])
    assert estimates.ratio_mean([3.0], [2]).low is None


def test_subjects_are_counted_apart() -> None:
    answers = replace(choices(3, n=4), subject=["law", "law", "anatomy", "law"])
    assert subjects_of(answers) == {"law": (2, 3), "anatomy": (1, 1)}
