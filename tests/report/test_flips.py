"""Flipped questions in words: the question, its choices and both answers, as far as this checkout has their texts."""

from __future__ import annotations

import json
from pathlib import Path

from bench.commands.report import texts_of
from bench.compare.flips import Flip, flips_between
from bench.records.selection import Wanted, select
from bench.records.store import read
from bench.report.tables.flips import SHOWN, flip_cells, flips_grid
from bench.summary.rows import Row
from bench.summary.summarize import summarize
from bench.tasks.texts import question_texts
from variants.paths import ROOT

LOST = Flip("q4", "hr", "6233fc4d6499", "leave", 3, 3, 0, lost=True, text="How long?", choices=("1", "2", "3", "4"))
UNKNOWN = Flip("q4", "hr", "0123456789ab", "leave", 3, 1, 3, lost=False)


def shipped() -> dict[str, Row]:
    """Return the rows of the newest sweep of this checkout's records."""
    chosen = select(read(ROOT / "results")[0], Wanted(), ROOT / "results")
    assert chosen is not None
    return summarize(chosen.records).by_name


def test_the_texts_of_the_embedded_questions_are_found_by_the_digests_of_real_records() -> None:
    row = shipped()["finetuned-q2"]
    texts = texts_of(row.records)
    for task, answers in row.answers.items():
        first = json.loads((ROOT / "bench" / "tasks" / task / "test.jsonl").read_text().splitlines()[0])
        assert set(answers.question) <= texts.keys()
        assert texts[answers.question[0]] == (first["question"], tuple(first["choices"]))


def test_a_question_whose_file_has_changed_has_no_text(tmp_path: Path) -> None:
    row = {"subject": "s", "question": "How long?", "choices": ["1", "2"], "answer": 0}
    (tmp_path / "rows.jsonl").write_text(json.dumps(row) + "\n")
    (tmp_path / "mine.yaml").write_text(
        "task: mine\ndataset_path: json\noutput_type: multiple_choice\n"
        "dataset_kwargs:\n  data_files:\n    test: rows.jsonl\n"
    )
    (digest,) = question_texts([str(tmp_path / "mine.yaml")], None)
    (tmp_path / "rows.jsonl").write_text(json.dumps({**row, "answer": 1}) + "\n")
    assert digest not in question_texts([str(tmp_path / "mine.yaml")], None)
    assert question_texts([str(tmp_path / "gone.yaml"), "mmlu"], None) == {}
    for folder in ("~nobody-here/mmlu", "\0", " "):
        assert question_texts([], folder) == {}


def test_a_flip_shows_the_question_its_choices_and_both_answers() -> None:
    assert flip_cells(LOST) == ["q4", "How long?", "lost", "D 4", "A 1", "D 4", "hr", "leave"]
    grid = flips_grid([UNKNOWN, LOST], "finetuned", "finetuned-q4")
    assert grid.title == "2 flipped questions: 1 lost, 1 gained"
    assert grid.columns == ("Question", "Flip", "Answer of finetuned", "Answer of finetuned-q4", "Right answer")
    assert (grid.lines[0].entries[0].text, grid.lines[0].entries[0].sub) == ("How long?", "A 1\nB 2\nC 3\nD 4")


def test_where_a_text_cannot_be_found_the_table_says_so() -> None:
    grid = flips_grid([UNKNOWN, LOST], "base", "head")
    assert "The text of 1 is not in this checkout" in grid.says
    assert grid.lines[1].entries[0].text == "text not in this checkout (0123456789ab)"
    assert [entry.text for entry in grid.lines[1].entries[1:]] == ["gained", "B", "D", "D"]


def test_a_long_list_is_cut_and_says_so() -> None:
    grid = flips_grid([LOST] * (SHOWN + 1), "base", "head")
    assert len(grid.lines) == SHOWN
    assert f"Listed are {SHOWN} of {SHOWN + 1}" in grid.says


def test_generated_answers_are_shown_as_they_were_written() -> None:
    flip = Flip("q4", "gsm8k", "0123456789ab", "", None, "the answer is 4", "4.0", lost=True)
    assert flip_cells(flip)[3:6] == ["the answer is 4", "4.0", "none"]


def test_two_variants_of_a_sweep_flip_where_one_is_right_and_the_other_is_not() -> None:
    rows = shipped()
    before, after = rows["finetuned"], rows["finetuned-q2"]
    flipped = list(flips_between(before, after))
    for task in before.answers:
        both = [
            [
                pick == gold
                for pick, gold in zip(row.answers[task].picked or (), row.answers[task].gold or (), strict=True)
            ]
            for row in (before, after)
        ]
        moved = [(was, now) for was, now in zip(*both, strict=True) if was != now]
        mine = [flip for flip in flipped if flip.task == task]
        assert [flip.lost for flip in mine] == [was for was, _ in moved]
    assert list(flips_between(before, before)) == []
