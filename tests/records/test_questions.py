"""The questions of a suite as a record keeps them: which variants they name, and what is refused in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from bench.records.questions import Questions
from bench.selftest import records
from tests.records.conftest import typed, why_left_out

STATED: dict[str, Any] = {
    "general_task": "general",
    "domain_task": "hr",
    "options": {
        "title": "Which option?",
        "says": "By size.",
        "rows": [
            {"title": "As it is", "variant": "base"},
            {"title": "Small", "variant": "q2", "claim": {"size_gb": 6.5, "latency_ms": 20, "quality_percent": 59}},
        ],
        "claims": [{"title": "8x smaller", "metric": "size_bytes", "times": [8], "before": "base", "after": "q2"}],
    },
    "order": {"title": "Which order?", "says": "First or last.", "anchor": "base", "variants": ["qlora-q4"]},
    "changes": {"title": "What changes?", "says": "Alone.", "rows": [{"title": "Q4", "before": "base", "after": "q4"}]},
}


def test_questions_of_a_record_are_those_of_its_suite_and_name_their_variants_by_key() -> None:
    content = records.record("q4")
    content["config"]["questions"] = STATED
    questions = typed(content).config.questions
    assert questions == msgspec.convert(STATED, Questions)
    assert questions.variants() == {
        "options.rows[0].variant": "base",
        "options.rows[1].variant": "q2",
        "options.claims[0].before": "base",
        "options.claims[0].after": "q2",
        "order.anchor": "base",
        "order.variants[0]": "qlora-q4",
        "changes.rows[0].before": "base",
        "changes.rows[0].after": "q4",
    }
    assert Questions().variants() == {}


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"domain_task": None}, "options.rows needs a domain_task, on which the options are compared"),
        (
            {"options": {**STATED["options"], "claims": [{**STATED["options"]["claims"][0], "times": [8, 7]}]}},
            "times: got [8.0, 7.0], allowed: the smaller number first - at `$.config.questions.options.claims[0]`",
        ),
        (
            {"options": {**STATED["options"], "claims": [{**STATED["options"]["claims"][0], "times": 8}]}},
            "Expected `array`, got `int` - at `$.config.questions.options.claims[0].times`",
        ),
        ({"opinions": {}}, "unknown field `opinions`"),
        ({"options": {**STATED["options"], "rows": [], "claims": []}}, "options has neither rows nor claims"),
        ({"options": {**STATED["options"], "title": ""}}, "length >= 1 - at `$.config.questions.options.title`"),
        ({"order": {"title": "t", "says": "s", "variants": ["q4"]}}, "missing required field `anchor`"),
        ({"changes": 4}, "got `int` - at `$.config.questions.changes`"),
    ],
)
def test_questions_that_cannot_be_read_are_one_line_with_their_place(
    tmp_path: Path, change: dict[str, Any], why: str
) -> None:
    content = records.record("q4")
    content["config"]["questions"] = {**STATED, **change}
    records.write(tmp_path, content)
    complaint = why_left_out(tmp_path)
    assert why in complaint
    assert "$.config.questions" in complaint
    assert "\n" not in complaint


def test_questions_of_an_older_record_still_load() -> None:
    content = records.record("q4")
    options = {key: value for key, value in STATED["options"].items() if key != "claims"}
    content["config"]["questions"] = {**STATED, "options": {**options, "kept": {"before": "base", "after": "q2"}}}
    asked = typed(content).config.questions
    assert asked is not None
    assert asked.options is not None
    assert asked.options.claims == ()
