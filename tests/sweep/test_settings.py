"""Settings: what is wrong in them is one line that names the key, what it got and what is allowed."""

from __future__ import annotations

import msgspec
import pytest

from bench.sweep.jobs import BuildJob, MeasureJob, decode, encode
from bench.sweep.plan.compose import compose
from bench.sweep.plan.conf import names
from bench.sweep.plan.request import parse
from bench.sweep.plan.settings import Settings, Suite
from variants.errors import UserError


def composed(*arguments: str) -> Settings:
    return compose(parse(arguments), "base", 0, check=True)


@pytest.mark.parametrize(
    ("argument", "complaint"),
    [
        ("suite.rounds=null", "suite.rounds: got null, allowed: a whole number from 1"),
        ("suite.measures=size", "suite.measures: got 'size', allowed: a list"),
        ("variant.steps=[source,8]", "variant.steps[1]: got 8, allowed: text"),
        (f"latency.requests={2**63}", f"latency.requests: got {2**63}, allowed: a whole number <= "),
        (f"steps.lora.rank={2**63}", f"steps.lora.rank: got {2**63}, allowed: a whole number <= "),
        ("suite.questions=4", "suite.questions: got 4, allowed: keys with values"),
        ("suite.questions.domain_task=null", "suite.questions: options.rows needs a domain_task, "),
        (
            "suite.questions.order.anchor=bass",
            "suite.questions.order.anchor: no 'bass' in conf/variant; ",
        ),
        (
            "suite.questions.order.variants=[]",
            "suite.questions.order.variants: got [], allowed: a list that is not",
        ),
        ("suite.questions.changes.rows=[{titel: a}]", "suite.questions.changes.rows[0]: object contains unknown field"),
        (
            "suite.questions.options.rows=[{title: a, variant: base, claim: {size_gb: 0, latency_ms: 1, "
            "quality_percent: 2}}]",
            "suite.questions.options.rows[0].claim.size_gb: got 0, allowed: a number >= 1e-09",
        ),
    ],
)
def test_a_value_of_another_type_names_its_key_and_what_is_allowed(argument: str, complaint: str) -> None:
    with pytest.raises(UserError) as raised:
        composed(argument)
    assert str(raised.value).startswith(complaint)


def test_every_file_of_conf_measure_is_composed_and_a_suite_may_set_its_keys() -> None:
    settings = composed("suite=smoke")
    assert list(settings.measures) == names("measure")
    assert (settings.measures["latency"]["requests"], settings.measures["accuracy"]["limit"]) == (10, 20)


def test_a_suite_without_once_and_questions_measures_all_in_every_round_and_asks_nothing() -> None:
    suite = msgspec.convert({"name": "s", "variants": ["base"], "rounds": 2, "measures": ["size"]}, Suite)
    assert (suite.once, suite.questions) == ((), None)


@pytest.mark.parametrize("suite", names("suite"))
def test_a_suite_asks_about_variants_that_it_measures(suite: str) -> None:
    settings = composed(f"suite={suite}")
    questions = settings.suite.questions
    assert set(questions.variants().values() if questions else ()) <= set(settings.suite.variants)


def test_a_job_is_read_back_as_it_was_written() -> None:
    build = BuildJob("q4", {"type": "Q4_K_M"}, "b" * 64, "a" * 64, "cpu", "/cache", "/cache/out.json")
    references = {"divergence": {"base": "c" * 64, "parent": "d" * 64}}
    measure = MeasureJob("b" * 64, references, {}, {"size": {}}, 0, "cpu", "/cache", "/cache/out.json")
    assert [decode(encode(job)) for job in (build, measure)] == [build, measure]
    with pytest.raises(msgspec.ValidationError, match="unknown field `spet`"):
        decode(encode(build).replace(b'"step"', b'"spet"'))
