"""Tasks through the real lm-eval, over a scorer that knows its answers: what is asked, and what is refused."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest
from jinja2 import UndefinedError

from bench.tasks.ask import task_texts
from bench.tasks.load import Loaded, load
from bench.tasks.untrusted import templates
from tests.tasks.conftest import GROUP, TEMPLATE, Toy, asked_of, asking, choice_task, task, write


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


def test_a_prompt_that_begins_with_the_beginning_of_text_is_tokenized_once(folder: Path) -> None:
    toy = Toy(template="<s>" + TEMPLATE)
    toy.vocabulary = replace(toy.vocabulary, texts={"bos_token": "<s>"})
    asked_of(toy, asking(choice_task(folder), chat_template=True))
    assert toy.tokenized
    assert len(set(toy.tokenized)) == len(toy.tokenized)


def test_the_date_that_a_chat_template_writes_is_fixed_and_in_the_record(folder: Path) -> None:
    toy = Toy(template="{{ strftime_now('%Y-%m-%d') }} " + TEMPLATE)
    toy.vocabulary = replace(toy.vocabulary, texts={"bos_token": "<s>"})
    columns = asked_of(toy, asking(choice_task(folder), chat_template=True))["mine"]
    assert "".join(map(chr, toy.asked[0].context)).startswith("2024-07-26 <user>")
    assert columns["template_date"] == "2024-07-26"
    assert columns["template_tokens"] == {"bos_token": "<s>"}
    columns = asked_of(Toy(template=TEMPLATE), asking(choice_task(folder), chat_template=True))["mine"]
    assert columns["template_date"] is None
    assert asked_of(Toy(), asking(choice_task(folder)))["mine"]["template_tokens"] is None


@pytest.mark.parametrize(
    ("key", "word", "near"), [("doc_to_text", "qestion", "question"), ("doc_to_target", "anser", "answer")]
)
def test_a_word_that_names_no_column_is_not_asked_as_every_question(
    folder: Path, key: str, word: str, near: str
) -> None:
    with pytest.raises(RuntimeError, match=f"task mine: {key} is '{word}', no column; did you mean {near}"):
        asked_of(Toy(), asking(choice_task(folder, **{key: word})))


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


def test_a_template_is_compiled_once_however_often_it_is_rendered() -> None:
    from lm_eval import utils

    for trusted in (True, False):
        with templates("a task", trusted):
            first = utils.env.from_string("{{question}}?")
            assert [utils.apply_template("{{question}}?", {"question": word}) for word in "ab"] == ["a?", "b?"]
            assert utils.env.from_string("{{question}}?") is first
            with pytest.raises(UndefinedError):
                utils.apply_template("{{answer}}", {})
