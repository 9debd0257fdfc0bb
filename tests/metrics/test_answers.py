"""What the answers to a task come to: right or wrong, scores, subjects, and what is broken."""

from __future__ import annotations

import math

import msgspec
import pytest
from msgspec.structs import replace

from bench.metrics.accuracy import ACCURACY
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
from bench.metrics.chance import chance_level, guessing
from bench.metrics.metric import difference, identity_of
from bench.records.file import decode, sealed
from bench.records.values import Answers, Tokenizer
from bench.selftest import raw_values, records
from tests.metrics.conftest import choices, valued


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


def test_subjects_are_counted_apart() -> None:
    answers = replace(choices(3, n=4), subject=["law", "law", "anatomy", "law"])
    assert subjects_of(answers) == {"law": (2, 3), "anatomy": (1, 1)}


def test_a_date_that_a_template_writes_is_part_of_what_is_compared() -> None:
    contents = [records.record("base") for _ in range(2)]
    for content, date in zip(contents, ("2024-07-26", "2026-11-25"), strict=True):
        content["measures"]["accuracy"]["hr"]["template_date"] = date
    sides = [identity_of(ACCURACY.of("hr"), [decode(sealed(content).encode())]) for content in contents]
    assert difference(*sides) == "hr template date: 2024-07-26 / 2026-11-25"
