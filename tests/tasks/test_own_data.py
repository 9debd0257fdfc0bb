"""What training reads and what lm-eval asks are the same bytes, for a user's own columns and formats too."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bench.records.store import read
from bench.tasks import catalogue
from bench.tasks.load import check_questions, load
from bench.tasks.texts import question_texts
from tests.tasks.conftest import Toy, asked_of, asking, choice_task, task
from variants.data.rows import read_rows
from variants.errors import UserError
from variants.paths import ROOT

LOOKS = ["2024-01-02", "2024-01-02T03:04:05Z", "1e5", "null", "True", "NaN", "[1, 2]", "it's", "C:\\n", "{{ 7 }}", " B"]
"""Texts that a library would take for something else."""
QUOTED = "{{ [right, wrong] }}"


def asked_texts(path: str) -> list[str]:
    toy = Toy()
    asked_of(toy, asking(path))
    return ["".join(map(chr, [*request.context, *request.continuation])) for request in toy.asked]


def test_training_and_scoring_read_the_same_texts(folder: Path) -> None:
    rows = [{"question": look, "choices": [look, f"not {look}"], "answer": 0} for look in LOOKS]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\r\n" for row in rows), encoding="utf-8-sig")
    trained = [f"Q: {row.question}\nA: {choice}" for row in read_rows(folder / "rows.jsonl") for choice in row.choices]
    path = choice_task(folder, doc_to_text="Q: {{question}}\nA:")
    check_questions(Path(path), load(path, None, None, 0))
    assert asked_texts(path) == trained
    names = asked_of(Toy(), asking(path))["mine"]["question"]
    assert [question_texts([path], None)[name][0] for name in names] == LOOKS


def test_a_csv_is_asked_as_it_is_written(folder: Path) -> None:
    text = "prompt,right,wrong,answer\n" + "".join(f'"{look}",{look},x,0\n' for look in LOOKS if "," not in look)
    (folder / "rows.csv").write_text(text)
    csv = {"dataset_path": "csv", "dataset_kwargs": {"data_files": {"test": "rows.csv"}}, "doc_to_choice": QUOTED}
    path = choice_task(folder, **csv, doc_to_text="Q: {{prompt}}\nA:", doc_to_target="{{answer}}")
    assert asked_texts(path)[::2] == [f"Q: {look}\nA: {look}" for look in LOOKS if "," not in look]
    path = choice_task(folder, **csv, doc_to_text="Q: {{prompt}}", doc_to_target="answer")
    with pytest.raises(UserError, match=r'rows\.csv:2: its answer is .0., .* write doc_to_target: "\{\{COLUMN\}\}"'):
        check_questions(Path(path), load(path, None, None, 0))


@pytest.mark.parametrize(
    ("row", "named"),
    [
        ({"prompt": "q", "right": "b", "wrong": "b", "at": 0}, "rows.jsonl:2: choices 0 and 1 are the same: 'b'"),
        ({"prompt": "q", "right": "b", "wrong": "b ", "at": 0}, "rows.jsonl:2: choices 0 and 1 are the same but for"),
        ({"prompt": "q", "right": "", "wrong": "b", "at": 0}, "rows.jsonl:2: choice 0 is empty"),
        ({"prompt": "q", "right": "a", "wrong": "b", "at": 2}, "rows.jsonl:2: its answer is 2, allowed: 0 to 1"),
        ({"prompt": "q", "right": "a", "wrong": "b", "at": -1}, "rows.jsonl:2: its answer is -1, allowed: 0 to 1"),
        ({"prompt": "q", "right": "a", "wrong": "b", "at": None}, "rows.jsonl:2: its answer is None"),
        ({"prompt": "q", "right": "a", "wrong": "b"}, "rows.jsonl:2: no 'at', which"),
        ({"prompt": "q", "right": "a", "wrong": 5, "at": 0}, "rows.jsonl:2: wrong is a whole number, but text at"),
    ],
)
def test_columns_of_its_own_work_and_each_row_is_checked(folder: Path, row: dict[str, Any], named: str) -> None:
    good = {"prompt": "p", "right": "a", "wrong": "b", "at": 0}
    own = {"doc_to_text": "{{prompt}}", "doc_to_choice": QUOTED, "doc_to_target": "at"}
    (folder / "rows.jsonl").write_text(json.dumps(good) + "\n")
    path = choice_task(folder, **own)
    catalogue.check([path], None, None)
    check_questions(Path(path), load(path, None, None, 0))
    assert asked_texts(path) == ["p a", "p b"]
    (folder / "rows.jsonl").write_text(f"{json.dumps(good)}\n{json.dumps(row)}\n")
    with pytest.raises(UserError) as error:
        _plan(path)
    assert named in str(error.value)


def _plan(path: str) -> None:
    catalogue.check([path], None, None)
    check_questions(Path(path), load(path, None, None, 0))


def test_a_choice_by_name_must_be_one_of_the_choices(folder: Path) -> None:
    path = choice_task(folder, doc_to_target="{{ choices[answer] }} ")
    with pytest.raises(UserError, match=r"rows\.jsonl:1: its answer is '2 ', which is none of its choices"):
        _plan(path)


def test_files_that_datasets_reads_are_found_from_anywhere(folder: Path) -> None:
    (folder / "lines.txt").write_text("one two\nthree\n")
    lines = {"dataset_path": "text", "dataset_kwargs": {"data_files": {"test": "lines.txt"}}}
    rolling = {"output_type": "loglikelihood_rolling", "doc_to_text": "", "doc_to_target": "{{text}}"}
    path = task(folder, **lines, **rolling, metric_list=[{"metric": "word_perplexity"}])
    _plan(path)
    assert [doc["text"] for doc in load(path, None, None, 0).leaves["mine"].eval_docs] == ["one two", "three"]


def test_the_embedded_tasks_ask_what_the_shipped_records_say_they_asked() -> None:
    stored = [record for record in read(ROOT / "results", "04a43f182e02")[0] if record.answers.keys() >= {"general"}]
    if not stored:
        pytest.skip("results/ holds no records of 04a43f182e02")
    columns = asked_of(Toy(), asking("general", "hr"))
    for task_name, answers in stored[0].answers.items():
        assert columns[task_name]["prompt_sha256"] == answers.prompt_sha256
        assert columns[task_name]["question"] == list(answers.question)
        assert columns[task_name]["gold"] == list(answers.gold or ())
