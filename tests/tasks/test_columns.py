"""The columns that tasks of every kind leave in a record, through the real lm-eval."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from bench.records.values import Answers
from bench.tasks import catalogue
from bench.tasks.load import Loaded, load
from tests.tasks.conftest import GENERATED, ROWS, Toy, asked_of, asking, choice_task, task


def test_choices_have_gold_picked_and_loglik_and_keep_their_subjects(folder: Path) -> None:
    columns = asked_of(Toy([-1, -2, -3, -4, -6, -5]), asking(choice_task(folder)))["mine"]
    assert columns["gold"] == [0, 1, 1]
    assert columns["picked"] == [0, 0, 1]
    assert columns["loglik"] == [[-1, -2], [-3, -4], [-6, -5]]
    assert columns["subject"] == ["sums", "sums", "words"]
    assert (columns["version"], columns["num_fewshot"], columns["chat_template"]) == (3, 0, None)


def test_columns_of_every_kind_of_task_are_what_a_record_reads(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rolling: dict[str, Any] = {
        "output_type": "loglikelihood_rolling",
        "doc_to_text": "",
        "doc_to_target": "{{question}}",
        "metric_list": [{"metric": "word_perplexity", "aggregation": "weighted_perplexity", "higher_is_better": False}],
    }
    kinds: list[Callable[[], str]] = [
        lambda: choice_task(folder),
        lambda: task(folder, **GENERATED),
        lambda: task(folder, **rolling),
    ]
    for write_task in kinds:
        columns = asked_of(Toy(), asking(write_task()))["mine"]
        assert set(columns) <= set(Answers.__struct_fields__)
        answers = msgspec.json.decode(json.dumps(columns), type=Answers)
        assert (answers.question, answers.version) == (columns["question"], columns["version"])
    shots = {"validation_split": "test", "fewshot_split": "test"}
    (one,) = load(choice_task(folder, **shots), None, 1, 1).leaves.values()
    (two,) = load(choice_task(folder, num_fewshot=0), None, 1, 1).leaves.values()
    of_two = Loaded({"one": one, "two": two}, ["1", "2"])  # a group whose tasks differ in version and examples
    monkeypatch.setattr("bench.tasks.ask.load", lambda *_: of_two)
    (columns,) = asked_of(Toy(), asking(choice_task(folder))).values()
    answers = msgspec.json.decode(json.dumps(columns), type=Answers)
    assert (answers.version, answers.num_fewshot) == (["1", "2"], [0, 1])


def test_what_is_not_finite_is_null_and_never_picked(folder: Path) -> None:
    values = [math.nan, -9.0, -math.inf, math.nan, -2.0, math.inf]
    columns = asked_of(Toy(values), asking(choice_task(folder)))["mine"]
    assert columns["loglik"] == [[None, -9.0], [None, None], [-2.0, None]]
    assert columns["picked"] == [1, -1, 0]
    json.dumps(columns, allow_nan=False)


def test_what_was_picked_is_not_decided_by_the_rounding_of_what_is_stored(folder: Path) -> None:
    close = [-3.1234511, -3.1234499]
    columns = asked_of(Toy([*close, *close, -1, -1]), asking(choice_task(folder)))["mine"]
    assert columns["picked"] == [1, 1, 0]
    assert columns["loglik"][0] == [-3.12345, -3.12345]


def test_generated_answers_are_kept_with_the_metric_of_each(folder: Path) -> None:
    path = task(
        folder,
        **GENERATED,
    )
    columns = asked_of(Toy(), asking(path))["mine"]
    assert columns["metric"] == "exact_match"
    assert columns["value"] == [1, 0, 0]
    assert columns["answer"] == ["2", "no idea", "no idea"]
    assert "picked" not in columns


def test_a_perplexity_keeps_log_likelihood_and_weight_of_each_document(folder: Path) -> None:
    path = task(
        folder,
        output_type="loglikelihood_rolling",
        doc_to_text="",
        doc_to_target="{{question}}",
        metric_list=[{"metric": "word_perplexity", "aggregation": "weighted_perplexity", "higher_is_better": False}],
    )
    columns = asked_of(Toy(), asking(path))["mine"]
    assert columns["metric"] == "word_perplexity"
    assert columns["value"] == [[-len(row["question"]), len(row["question"].split())] for row in ROWS]  # type: ignore[arg-type, attr-defined]


def test_the_first_of_several_filters_counts_and_is_named(folder: Path) -> None:
    path = task(
        folder,
        **GENERATED,
        filter_list=[
            {"name": "digit", "filter": [{"function": "regex", "regex_pattern": r"(\d)"}, {"function": "take_first"}]},
            {"name": "raw", "filter": [{"function": "take_first"}]},
        ],
    )
    columns = asked_of(Toy(), asking(path))["mine"]
    assert columns["metric"] == "exact_match,digit"
    assert columns["answer"] == ["2", "[invalid]", "[invalid]"]
    assert len(columns["value"]) == columns["n"] == 3


def test_a_task_with_its_own_grading_has_its_metric_and_all_its_files_are_in_the_identity(folder: Path) -> None:
    (folder / "grading.py").write_text("def grade(doc, results):\n    return {'half': 0.5 * (doc['answer'] + 1)}\n")
    (folder / "common.yaml").write_text("doc_to_text: '{{question}}'\ndoc_to_target: answer\n")
    text = Path(choice_task(folder)).read_text().replace('"doc_to_text": "{{question}}", ', "")
    config = json.loads(text) | {"metric_list": [{"metric": "half", "aggregation": "mean", "higher_is_better": True}]}
    path = folder / "own.yaml"
    path.write_text(yaml.safe_dump(config) + "include: common.yaml\nprocess_results: !function grading.grade\n")
    columns = asked_of(Toy(), asking(str(path), trust_tasks=True))["mine"]
    assert columns["metric"] == "half"
    assert columns["value"] == [0.5, 1.0, 1.0]
    assert "answer" not in columns
    for name in ("own.yaml", "common.yaml", "grading.py", "rows.jsonl"):
        before = catalogue.content([str(path)], None)
        (folder / name).write_text((folder / name).read_text() + "\n")
        assert catalogue.content([str(path)], None) != before, name
