"""The embedded tasks and the shipped base: what the report's accuracy rests on."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from pathlib import Path

import pytest
import yaml

from bench.tasks import generate
from variants.data.rows import TaskRow, read_rows
from variants.reference.corpus import facts, texts

ROOT = Path(__file__).parents[2]
TASKS = ROOT / "bench/tasks"
REFERENCE = ROOT / "variants/reference"
COUNTS = {"general": (700, 8), "hr": (200, 8)}


def rows(task: str, split: str) -> list[TaskRow]:
    return read_rows(TASKS / task / f"{split}.jsonl")


def words(text: str) -> str:
    return f" {' '.join(re.findall('[a-z0-9]+', text.lower()))} "


@pytest.mark.parametrize("task", COUNTS)
def test_a_task_is_large_enough_and_spread_over_subjects(task: str) -> None:
    questions, subjects = COUNTS[task]
    test = rows(task, "test")
    assert len(test) >= questions
    assert len({row.subject for row in test}) >= subjects
    assert len({row.question for row in test}) == len(test)


@pytest.mark.parametrize("task", COUNTS)
@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_choices_are_four_and_distinct_and_positions_balanced(task: str, split: str) -> None:
    table = rows(task, split)
    assert all(len(set(row.choices)) == 4 for row in table)
    positions = Counter(row.answer for row in table)
    assert max(positions.values()) - min(positions.values()) <= 1


@pytest.mark.parametrize("task", COUNTS)
def test_no_position_and_no_frequent_choice_gives_the_answers_away(task: str) -> None:
    test = rows(task, "test")
    often = Counter(row.choices[row.answer] for row in test)
    right = sum(max(row.choices, key=lambda choice: often[choice]) == row.choices[row.answer] for row in test)
    assert right / len(test) <= 0.5


@pytest.mark.parametrize("task", COUNTS)
def test_no_test_question_occurs_in_any_training_text(task: str) -> None:
    trained = [words(text) for text in texts()]
    trained += [words(row.question) for name in COUNTS for row in rows(name, "train")]
    everything = "|".join(trained)
    assert [row.question for row in rows(task, "test") if words(row.question) in everything] == []


@pytest.mark.parametrize("task", COUNTS)
def test_what_recipes_are_chosen_by_is_neither_trained_on_nor_tested(task: str) -> None:
    chosen_by = {row.question for row in rows(task, "validation")}
    assert len(chosen_by) >= 100
    assert chosen_by.isdisjoint(row.question for row in rows(task, "test"))
    trained = [words(text) for text in texts()]
    trained += [words(row.question) for row in rows("general", "train")]
    trained += [words(row.question) for row in read_rows(TASKS / "hr/train-to-choose-by.jsonl")]
    everything = "|".join(trained)
    assert [question for question in chosen_by if words(question) in everything] == []


def test_validation_of_general_asks_about_other_facts_than_its_test() -> None:
    validation, test = ({row.question for row in rows("general", split)} for split in ("validation", "test"))
    asked: dict[int, set[str]] = {number: set() for number, *_ in facts()}
    for number, relation, key, _ in facts():
        for question in relation.questions:
            text = question.format(x=key)
            text = text[0].upper() + text[1:]
            asked[number] |= {split for split, those in (("v", validation), ("t", test)) if text in those}
    assert all(len(splits) == 1 for splits in asked.values())


def test_base_never_read_the_handbook() -> None:
    corpus = "|".join(words(text) for text in texts())
    rules = [line[2:] for line in generate.handbook().splitlines() if line.startswith("- ")]
    assert len(rules) >= 100
    assert [rule for rule in rules if words(rule) in corpus] == []


def test_train_and_test_agree_about_every_fact() -> None:
    right = {row.question: row.choices[row.answer] for row in rows("hr", "test")}
    facts = [fact for _, fact in generate.facts()]
    assert all(right[question] == fact["answer"] for fact in facts for question in fact["test"])
    trained = {row.question: row.choices[row.answer] for row in rows("hr", "train")}
    assert all(trained[question] == fact["answer"] for fact in facts for question in fact["train"])


def test_generating_again_gives_the_same_bytes(tmp_path: Path) -> None:
    generate.write(tmp_path)
    written = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file())
    assert len(written) == 8
    assert [name for name in written if (tmp_path / name).read_bytes() != (TASKS / name).read_bytes()] == []


def test_weights_are_those_that_the_readme_describes() -> None:
    weights = REFERENCE / "model.safetensors"
    assert weights.stat().st_size <= 10_000_000
    described = (REFERENCE / "README.md").read_text()
    for file in (weights, REFERENCE / "tokenizer.model"):
        assert hashlib.sha256(file.read_bytes()).hexdigest() in described


def test_tasks_load_in_lm_eval(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path))
    from lm_eval.tasks import TaskManager

    for name in COUNTS:
        config = yaml.safe_load((TASKS / f"{name}.yaml").read_text())
        files = config["dataset_kwargs"]["data_files"]
        config["dataset_kwargs"]["data_files"] = {split: str(TASKS / file) for split, file in files.items()}
        task = TaskManager(include_defaults=False).load([config])["tasks"][name]
        doc = next(iter(task.test_docs()))
        assert task.doc_to_text(doc) == f"Question: {doc['question']}\nAnswer:"
        assert task.doc_to_choice(doc) == doc["choices"]
        assert task.doc_to_target(doc) == doc["answer"]
