"""Write the files of the two embedded tasks from their one source each: `python -m bench.tasks.generate`."""

from __future__ import annotations

import json
import random
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import TypedDict, cast

from variants.reference.corpus import Row, Split, general_rows, normalised, place

TASKS = Path(__file__).parent
OPENERS = (
    "At Quillmere, {q}",
    "According to the handbook, {q}",
    "I am new here: {q}",
    "A short question: {q}",
    "My colleague asks: {q}",
    "Can you tell me: {q}",
)


class Fact(TypedDict):
    """A rule of the handbook as a sentence, and its questions; answers of one `kind` are each other's wrong choices."""

    says: str
    kind: str
    answer: str
    train: list[str]
    test: list[str]


class Section(TypedDict):
    """A chapter of the handbook."""

    subject: str
    title: str
    intro: str
    fact: list[Fact]


class Handbook(TypedDict):
    """The content of handbook.toml; `other` has more wrong choices of each kind."""

    section: list[Section]
    other: dict[str, list[str]]


def _source() -> Handbook:
    return cast(Handbook, tomllib.loads((TASKS / "hr/handbook.toml").read_text(encoding="utf-8")))


def handbook() -> str:
    """Return the handbook as Markdown: what a person reads and what the questions are about."""
    lines = [
        "# The Quillmere handbook",
        "",
        "Quillmere is a fictional company: 640 people who build weather instruments. This is how we work together.",
    ]
    for section in _source()["section"]:
        lines += ["", f"## {section['title']}", "", section["intro"], ""]
        lines += [f"- {fact['says']}" for fact in section["fact"]]
    return "\n".join(lines) + "\n"


def facts() -> Iterator[tuple[str, Fact]]:
    """Yield (subject, fact) of the handbook in its order."""
    for section in _source()["section"]:
        for fact in section["fact"]:
            yield section["subject"], fact


def _asked(fact: Fact, split: Split, rng: random.Random) -> list[str]:
    if split == "validation":
        return [fact["train"][-1]]
    questions: list[str] = list(fact[split])
    if split == "test":
        return questions
    for question, opener in zip(rng.sample(questions, 2), rng.sample(OPENERS, 2), strict=True):
        first = question if question.startswith("I ") else question[0].lower() + question[1:]
        questions.append(opener.format(q=first))
    return questions


def hr_rows(split: Split) -> list[Row]:
    """Return the rows of the `hr` task; wrong choices are answers of the same kind, as often wrong as right."""
    rng = random.Random(f"hr {split}")
    answers: dict[str, list[str]] = {kind: list(others) for kind, others in _source()["other"].items()}
    for _, fact in facts():
        answers.setdefault(fact["kind"], []).append(fact["answer"])
    positions: list[int] = []
    rows: list[Row] = []
    for subject, fact in facts():
        for question in _asked(fact, split, rng):
            pool = [answer for answer in answers[fact["kind"]] if answer != fact["answer"]]
            wrong: list[str] = []
            while len(wrong) < 3:
                wrong += [pick for pick in [rng.choice(pool)] if pick not in wrong]
            positions = positions or rng.sample(range(4), 4)
            rows.append(place(subject, question, fact["answer"], wrong, positions.pop()))
    return rows


def hr_rows_to_choose_by() -> list[Row]:
    """Return the training rows without the wordings that the validation asks: what a recipe is tried on."""
    held_out = [normalised(fact["train"][-1]) for _, fact in facts()]
    rows = [(row, normalised(str(row["question"]))) for row in hr_rows("train")]
    return [row for row, words in rows if not any(question in words for question in held_out)]


def write_rows(rows: list[Row], path: Path) -> None:
    """Write task rows as JSONL, one object a line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def write(folder: Path) -> None:
    """Write handbook and rows of both tasks below `folder`."""
    splits: tuple[Split, ...] = ("train", "validation", "test")
    for split in splits:
        write_rows(general_rows(split), folder / "general" / f"{split}.jsonl")
        write_rows(hr_rows(split), folder / "hr" / f"{split}.jsonl")
    write_rows(hr_rows_to_choose_by(), folder / "hr" / "train-to-choose-by.jsonl")
    (folder / "hr/handbook.md").write_text(handbook(), encoding="utf-8")


if __name__ == "__main__":
    write(TASKS)
