"""Tasks of every kind through the real lm-eval, over a scorer that knows its answers."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import yaml

from bench.measures.accuracy import Accuracy
from bench.records.values import Answers
from bench.runtimes.forest import Request
from bench.runtimes.session import Vocabulary
from bench.tasks import catalogue
from bench.tasks.ask import ask, task_texts
from bench.tasks.load import Loaded, load
from tests.tasks.test_mmlu import GROUP, write

TEMPLATE = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"
ROWS = [
    {"subject": "sums", "question": "1 + 1 =", "choices": ["2", "3"], "answer": 0},
    {"subject": "sums", "question": "2 + 2 =", "choices": ["3", "4"], "answer": 1},
    {"subject": "words", "question": "The opposite of hot is", "choices": ["red", "cold"], "answer": 1},
]
GENERATED: dict[str, Any] = {
    "output_type": "generate_until",
    "doc_to_text": "{{question}}",
    "doc_to_target": "{{choices[answer]}}",
    "generation_kwargs": {"until": ["\n"], "max_gen_toks": 4, "do_sample": False},
    "metric_list": [{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}],
}


class Toy:
    """Tokens are letters; a continuation's log-likelihood is what `values` says, in turn, or minus its length."""

    version = "toy-1"

    def __init__(self, values: Sequence[float] = (), blind: str = "", template: str | None = None) -> None:
        self.n_ctx = 100_000
        self.vocabulary = Vocabulary(0x110000, None, False, 0, {}, template)
        self._values = list(values)
        self._blind = blind
        self.asked: list[Request] = []
        self.tokenized: list[tuple[str, bool]] = []

    def tokenize(self, texts: Sequence[tuple[str, bool]]) -> list[Any]:
        self.tokenized += texts
        return [np.array([0 if c in self._blind else ord(c) for c in text], dtype=np.int32) for text, _ in texts]

    def score(self, requests: Sequence[Request]) -> tuple[list[tuple[float, bool]], dict[str, Any]]:
        self.asked += requests
        values = self._values or [-float(len(request.continuation)) for request in requests]
        return [(value, False) for value in values], {"requests": len(requests)}

    def complete(self, tokens: Sequence[int], n_tokens: int, until: Sequence[str]) -> str:
        return "2" if chr(tokens[0]) == "1" else "no idea"


def asking(*tasks: str, **changed: Any) -> Accuracy:
    fields = {"num_fewshot": None, "limit": None, "limit_per_subject": None, "seed": 1, "data_dir": None}
    return Accuracy(**{**fields, "tasks": list(tasks), "chat_template": False, **changed})


def asked_of(toy: Toy, question: Accuracy) -> dict[str, Any]:
    return ask(toy, lambda *_: None, question.questions(), None)  # type: ignore[arg-type]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "datasets")
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return tmp_path


def task(folder: Path, **config: Any) -> str:
    """Write a task YAML (JSON is YAML) over the rows; return its path."""
    path = folder / "mine.yaml"
    data = {"dataset_path": "json", "dataset_kwargs": {"data_files": {"test": "rows.jsonl"}}, "test_split": "test"}
    path.write_text(json.dumps({"task": "mine", **data, **config}))
    return str(path)


def choice_task(folder: Path, **config: Any) -> str:
    choices = {
        "output_type": "multiple_choice",
        "doc_to_text": "{{question}}",
        "doc_to_choice": "{{choices}}",
        "doc_to_target": "answer",
        "metric_list": [{"metric": "acc"}],
        "metadata": {"version": 3},
    }
    return task(folder, **choices | config)


def test_a_group_is_one_set_of_columns_whose_subjects_are_its_leaves(tmp_path: Path) -> None:
    from bench.tasks.catalogue import mmlu_subjects

    csvs = write(tmp_path / "csv", mmlu_subjects([GROUP]))
    tasks = asked_of(Toy(), asking(GROUP, num_fewshot=2, limit_per_subject=2, data_dir=str(csvs)))
    assert list(tasks) == [GROUP]
    columns = tasks[GROUP]
    assert columns["n"] == len(columns["question"]) == len(set(columns["question"])) == 24
    assert sorted(set(columns["subject"])) == mmlu_subjects([GROUP])
    assert columns["num_fewshot"] == 2
    assert {len(row) for row in columns["loglik"]} == {4}
    assert (columns["scorer"], columns["scoring"]["requests"], columns["version"]) == ("toy-1", 96, "2")


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


def test_a_chat_template_wraps_every_prompt_and_is_recorded_by_its_hash(folder: Path) -> None:
    toy = Toy(template=TEMPLATE)
    plain = asked_of(Toy(), asking(choice_task(folder)))["mine"]
    columns = asked_of(toy, asking(choice_task(folder), chat_template=True))["mine"]
    assert "".join(map(chr, toy.asked[0].context)) == "<user>1 + 1 ="
    assert columns["chat_template"] == hashlib.sha256(TEMPLATE.encode()).hexdigest()
    assert columns["prompt_sha256"] != plain["prompt_sha256"]


def test_a_template_that_refuses_a_system_message_gets_the_prompt_without_it_and_says_so(
    folder: Path,
) -> None:
    refuses = "{% if messages[0].role == 'system' %}{{ raise_exception('no system role') }}{% endif %}" + TEMPLATE
    described = choice_task(folder, description="Add up.")
    toy = Toy(template=refuses)
    columns = asked_of(toy, asking(described, chat_template=True))["mine"]
    assert "".join(map(chr, toy.asked[0].context)) == "<user>1 + 1 ="
    assert columns["without_system"]
    toy = Toy(template=TEMPLATE)
    columns = asked_of(toy, asking(described, chat_template=True))["mine"]
    assert "".join(map(chr, toy.asked[0].context)).startswith("<system>Add up.")
    assert not columns["without_system"]


def test_a_prompt_that_begins_with_the_beginning_of_text_is_tokenized_once_and_without_a_second(folder: Path) -> None:
    toy = Toy(template="<s>" + TEMPLATE)
    toy.vocabulary = replace(toy.vocabulary, texts={"bos_token": "<s>"})
    asked_of(toy, asking(choice_task(folder), chat_template=True))
    assert toy.tokenized
    assert len(set(toy.tokenized)) == len(toy.tokenized)
    assert not any(start for text, start in toy.tokenized if text.startswith("<s>"))


def test_a_model_without_a_chat_template_cannot_be_asked_through_one(folder: Path) -> None:
    with pytest.raises(RuntimeError, match="no chat template; set it to false"):
        asked_of(Toy(), asking(choice_task(folder), chat_template=True))


def test_letters_that_a_tokenizer_makes_the_same_are_refused_by_task_and_token(tmp_path: Path) -> None:
    csvs = write(tmp_path / "csv", ["sociology"])
    with pytest.raises(RuntimeError) as error:
        asked_of(Toy(blind="ABCD"), asking("mmlu_sociology", data_dir=str(csvs)))
    assert "task mmlu_sociology: to this model's tokenizer the choice ' B' is the same tokens as ' A'" in str(
        error.value
    )


def test_examples_in_the_prompt_follow_the_number_asked_for(tmp_path: Path) -> None:
    csvs = write(tmp_path / "csv", ["sociology"])
    for shots in (0, 3):
        toy = Toy()
        asked_of(toy, asking("mmlu_sociology", num_fewshot=shots, data_dir=str(csvs)))
        assert "".join(map(chr, toy.asked[0].context)).count("Answer:") == shots + 1


def test_a_task_that_says_zero_examples_keeps_zero_and_the_record_says_so(folder: Path) -> None:
    fewshot = {"validation_split": "test", "fewshot_split": "test"}
    for own, used in ((0, 0), (2, 1), (None, 1)):
        stated = {} if own is None else {"num_fewshot": own}
        toy = Toy()
        columns = asked_of(toy, asking(choice_task(folder, **fewshot, **stated), num_fewshot=1))["mine"]
        assert columns["num_fewshot"] == used
        assert "".join(map(chr, toy.asked[0].context)).count("\n\n") == used


def test_the_texts_of_tasks_are_questions_with_their_right_answers(folder: Path) -> None:
    texts = task_texts(Toy(), lambda *_: None, [choice_task(folder)], None, 1)  # type: ignore[arg-type]
    assert texts == ["1 + 1 = 2", "2 + 2 = 4", "The opposite of hot is cold"]
    csvs = write(folder / "csv", ["sociology"])
    (first, *_) = task_texts(Toy(), lambda *_: None, ["mmlu_sociology"], str(csvs), 1)  # type: ignore[arg-type]
    assert first.endswith("\nAnswer: A")


def test_a_number_without_choices_is_an_answer_in_itself(folder: Path) -> None:
    path = task(folder, output_type="generate_until", doc_to_text="{{question}}", doc_to_target="answer")
    texts = task_texts(Toy(), lambda *_: None, [path], None, 1)  # type: ignore[arg-type]
    assert texts == ["1 + 1 = 0", "2 + 2 = 1", "The opposite of hot is 1"]


def test_choices_without_a_context_are_asked_and_must_differ_in_tokens(folder: Path) -> None:
    path = choice_task(folder, doc_to_text="")
    columns = asked_of(Toy(), asking(path))["mine"]
    assert (columns["n"], columns["gold"], columns["picked"]) == (3, [0, 1, 1], [0, 0, 0])
    with pytest.raises(RuntimeError, match="the choice ' 3' is the same tokens as ' 2'"):
        asked_of(Toy(blind="23"), asking(path))


def test_a_group_of_mixed_kinds_is_refused_before_anything_is_asked(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (choice,) = load(choice_task(folder), None, None, 1).leaves.values()
    exact = [{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}]
    path = task(
        folder, output_type="generate_until", doc_to_text="{{question}}", doc_to_target="answer", metric_list=exact
    )
    (generated,) = load(path, None, None, 1).leaves.values()
    mixed = Loaded({"arc": choice, "gsm8k": generated}, 1)
    monkeypatch.setattr("bench.tasks.ask.load", lambda name, *_: load(path, *_) if name == path else mixed)
    toy = Toy()
    monkeypatch.setattr(toy, "complete", lambda *_: pytest.fail("asked"))
    with pytest.raises(RuntimeError) as error:
        asked_of(toy, asking(path, "openllm"))
    assert toy.asked == []
    assert "task openllm: its tasks have no metric in common (arc by acc; gsm8k by exact_match)" in str(error.value)
    assert "one by one in accuracy.tasks" in str(error.value)


def test_a_limit_takes_the_first_and_a_draw_takes_the_same_for_every_model(folder: Path) -> None:
    first = asked_of(Toy(), asking(choice_task(folder), limit=2))["mine"]
    everything = asked_of(Toy(), asking(choice_task(folder)))["mine"]
    assert first["question"] == everything["question"][:2]
    drawn = [
        asked_of(Toy(template=t), asking(choice_task(folder), limit_per_subject=1))["mine"] for t in (None, TEMPLATE)
    ]
    assert drawn[0]["question"] == drawn[1]["question"]
    assert drawn[0]["subject"] == ["sums", "words"]


def test_a_task_with_its_own_grading_has_its_metric_and_all_its_files_are_in_the_identity(folder: Path) -> None:
    (folder / "grading.py").write_text("def grade(doc, results):\n    return {'half': 0.5 * (doc['answer'] + 1)}\n")
    (folder / "common.yaml").write_text("doc_to_text: '{{question}}'\ndoc_to_target: answer\n")
    text = Path(choice_task(folder)).read_text().replace('"doc_to_text": "{{question}}", ', "")
    config = json.loads(text) | {"metric_list": [{"metric": "half", "aggregation": "mean", "higher_is_better": True}]}
    path = folder / "own.yaml"
    path.write_text(yaml.safe_dump(config) + "include: common.yaml\nprocess_results: !function grading.grade\n")
    columns = asked_of(Toy(), asking(str(path)))["mine"]
    assert columns["metric"] == "half"
    assert columns["value"] == [0.5, 1.0, 1.0]
    assert "answer" not in columns
    for name in ("own.yaml", "common.yaml", "grading.py", "rows.jsonl"):
        before = catalogue.content([str(path)], None)
        (folder / name).write_text((folder / name).read_text() + "\n")
        assert catalogue.content([str(path)], None) != before, name


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
