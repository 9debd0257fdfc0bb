"""What the first screen says: a short heading, two lines of evidence, four chips, and words for each variant."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bench.advise.advice import Advice
from bench.report.advice.chips import chips
from bench.report.advice.first_screen import first_screen
from bench.report.advice.next_steps import next_steps
from bench.report.advice.variant_words import variant_in_words
from bench.report.advice.verdict import verdict_of
from bench.summary.rows import Row
from tests.advise.made_up import BASE, BOTH, QUANT, TUNED_V, V, advice_of, but
from tests.advise.test_situations import TABLE

FAST = {"max_p99_ms": 200}
DOMAIN = {"quality": {"hr": {"at_least": 0.6}}}
KEEPS = {"quality": {"hr": {"keeps": 0.98, "of": "fine-tuned"}}}
FOUR = {"b": BASE, "q": QUANT, "f": TUNED_V, "fq": BOTH}


def verdicts(advice: Advice) -> dict[str, str]:
    return {one.name: verdict_of(advice, one) for one in (*advice.variants, *advice.controls)}


def levels(advice: Advice) -> list[str]:
    return [chip.level for chip in chips(advice)]


@pytest.mark.parametrize("what", TABLE)
def test_every_situation_has_a_short_heading_two_lines_and_four_chips(what: str) -> None:
    variants, requirements, sweep, *_ = TABLE[what]
    screen = first_screen(advice_of(variants, requirements, **sweep))
    assert len(screen.heading) <= 95
    assert not screen.heading.endswith(".")
    assert 1 <= len(screen.evidence) <= 2
    assert 1 <= len(screen.chips) <= 4
    assert all(chip.text and chip.level in ("good", "warn", "bad") for chip in screen.chips)


def test_the_evidence_has_shares_intervals_and_n_against_the_base_and_the_best_and_the_runner_up() -> None:
    lines = first_screen(advice_of({"b": BASE, "f": TUNED_V, "fq": but(BOTH, hr=932)}, KEEPS)).evidence
    assert lines == (
        "fq gets 93.2 % (91.5–94.6) of 1,000 hr questions right, b 30.0 % (27.2–32.9) by guessing. "
        "Points against the full fine-tune: hr −0.8 (−1.4 to −0.2), general 0.0 (−0.4 to +0.4).",
        "Runner-up: f, 8.00 MB against 2.50 MB, hr +0.8 points (+0.2 to +1.4).",
    )


def test_a_half_a_third_and_a_quarter_are_words() -> None:
    for mb, words in ((4.0, "half"), (2.6, "a third"), (2.0, "a quarter"), (1.0, "12 %")):
        advice = advice_of({"f": TUNED_V, "fq": but(BOTH, mb=mb)}, DOMAIN)
        assert first_screen(advice).heading.endswith(f"like the full fine-tune at {words} of its size")


def test_a_choice_that_loses_on_another_task_is_said_to_answer_the_deciding_one_alone() -> None:
    advice = advice_of({"f": TUNED_V, "fq": but(BOTH, general=800)}, DOMAIN)
    assert first_screen(advice).heading == "Ship fq: it answers hr like the full fine-tune at 31 % of its size"


def test_each_variant_has_a_verdict_in_a_few_words() -> None:
    many = {**FOUR, "f8": but(BOTH, mb=4.0), "f5": but(BOTH, mb=2.6, hr=700), "c": V("control")}
    advice = advice_of(many, DOMAIN)
    assert verdicts(advice) == {
        "b": "fails hr", "q": "fails hr", "f": "3.2× larger", "fq": "ship", "f8": "runner-up", "f5": "answers worse",
        "c": "control",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("variant", "requirements", "verdict"),
    [
        (but(BASE, hr=625), DOMAIN, "undecided: 482 more hr questions"),
        (but(BASE, hr=600), DOMAIN, "undecided: at the limit"),
        (but(BASE, ms=(100.0, 110.0, 205.0)), {"max_p50_ms": 202}, "undecided: 4 more rounds"),
        (but(BASE, ms=None), FAST, "not measured"),
        (but(BASE, ms=900.0), FAST, "fails E2E P99"),
        (BASE, {"max_size_gb": 0.001}, "fails size"),
    ],
)
def test_what_is_open_says_how_much_more_it_needs(variant: V, requirements: dict[str, Any], verdict: str) -> None:
    assert verdicts(advice_of({"b": variant}, requirements)) == {"b": verdict}


def row_of(kind: str, **types: str) -> Row:
    """Return the row of a variant whose steps state these types."""
    row = advice_of({"v": V(kind)}, {"max_size_gb": 1}).summary.rows[0]

    def stated(steps: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        return {name: {**fields, **({"type": types[name]} if name in types else {})} for name, fields in steps.items()}

    records = [replace_config(record, stated(record.config.steps)) for record in row.records]
    return replace(row, records=tuple(records))


def replace_config(record: Any, steps: dict[str, dict[str, Any]]) -> Any:
    import msgspec

    return msgspec.structs.replace(record, config=msgspec.structs.replace(record.config, steps=steps))


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (row_of("base", gguf="f16"), "as it came"),
        (row_of("quantized", q4="Q2_K"), "2-bit, not fine-tuned"),
        (row_of("tuned", gguf="bf16"), "fine-tuned, 16-bit"),
        (row_of("tuned"), "fine-tuned"),
        (row_of("both", q4="Q4_K_M"), "fine-tuned, then 4-bit"),
        (row_of("qlora", q4="Q4_K_M"), "trained on 4-bit, then 4-bit"),
        (row_of("both"), "fine-tuned, then q4"),
    ],
)
def test_a_variant_in_words_comes_from_its_steps(row: Row, words: str) -> None:
    assert variant_in_words(row) == words


def test_a_control_names_its_runtime() -> None:
    advice = advice_of({"b": BASE, "c": V("control")}, FAST)
    assert variant_in_words(advice.controls[0].row) == "as it came, in transformers"


def test_rounds_that_differ_are_counted_with_the_command_that_repeats() -> None:
    noisy = advice_of({"b": but(BASE, ms=(100.0, 120.0, 101.0)), "q": QUANT}, FAST)
    assert chips(noisy)[1].text == (
        "Speed: rounds of 1 of 2 variants differ by more than 10 %; do not rank by it, repeat on a quiet machine: "
        "make bench ARGS='suite.rounds=5'"
    )
    assert levels(noisy)[1] == "warn"
    assert levels(advice_of({"b": BASE}, FAST))[1] == "good"
    assert levels(advice_of({"b": BASE}, FAST, rounds=1))[1] == "warn"
    assert levels(advice_of({"b": but(BASE, ms=None)}, FAST))[1] == "bad"


def test_engines_that_agree_are_good_and_those_that_differ_are_bad() -> None:
    assert chips(advice_of({"b": BASE, "c": V("control")}, FAST))[2].text == "Both engines agree on every answer"
    assert levels(advice_of({"b": BASE, "c": V("control", hr=990)}, FAST))[2] == "bad"
    assert levels(advice_of({"b": BASE}, FAST))[2] == "warn"


def test_few_questions_are_a_warning_where_the_choice_depends_on_them() -> None:
    few = advice_of({"f": TUNED_V, "fq": but(BOTH, shuffled=2)}, DOMAIN, questions=100)
    assert levels(few)[0] == "warn"
    assert "ask more questions of" in chips(few)[0].text
    assert levels(advice_of(FOUR, DOMAIN))[0] == "good"


def test_what_failed_and_what_only_guesses_is_said() -> None:
    assert levels(advice_of({"b": but(BASE, failed="no memory"), "q": QUANT}, FAST))[3] == "bad"
    assert chips(advice_of(FOUR, DOMAIN))[3].text.startswith("Nothing failed; the base only guesses on hr")
    assert levels(advice_of({"b": but(BASE, general=300), "f": TUNED_V}, DOMAIN))[3] == "warn"


def test_a_trial_run_decides_nothing() -> None:
    advice = advice_of({"b": BASE, "q": QUANT}, FAST, limit=20, questions=20)
    screen = first_screen(advice)
    assert screen.heading == "A trial run decides nothing: it asked at most 20 questions of each task"
    assert (advice.exit_code, advice.ship, screen.chips[0].level) == (2, None, "bad")
    assert set(verdicts(advice).values()) == {"a trial only"}
    assert "run the whole suite" in screen.evidence[0]
    assert next_steps(advice)[0].startswith("The whole suite")
