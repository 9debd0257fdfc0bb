"""The text of the reference model: generated from its facts, the same bytes on every machine."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from variants.reference.facts import RELATIONS
from variants.reference.offices import questions
from variants.reference.relation import Relation

TASKS = Path(__file__).parents[2] / "bench/tasks"
VALIDATED = 3
"""Of so many facts one is asked in the validation split, by which recipes are chosen, and the others in the test."""
PROMPT = "Question: {question}\nAnswer:"
Row = dict[str, object]
Split = Literal["train", "validation", "test"]


def _fill(template: str, key: str, answer: str = "") -> str:
    text = template.format(x=key, y=answer)
    return text[0].upper() + text[1:]


def facts() -> Iterator[tuple[int, Relation, str, str]]:
    """Yield (number, relation, key, answer) of every fact, numbered over all relations."""
    number = 0
    for relation in RELATIONS:
        for key, answer in relation.facts():
            yield number, relation, key, answer
            number += 1


def place(subject: str, question: str, answer: str, wrong: list[str], position: int) -> Row:
    """Return the task row with the right answer at `position` among the choices."""
    choices = [*wrong[:position], answer, *wrong[position:]]
    return {"subject": subject, "question": question, "choices": choices, "answer": position}


def _wrong(relation: Relation, answer: str, rng: random.Random) -> list[str]:
    """Draw three other answers of the relation, so that an answer is wrong about as often as it is right."""
    pool = [other for _, other in relation.facts() if other != answer]
    if relation.numeric:
        pool = sorted(set(pool), key=lambda other: (abs(int(other) - int(answer)), other))[:8]
    wrong: list[str] = []
    while len(wrong) < 3:
        wrong += [pick for pick in [rng.choice(pool)] if pick not in wrong]
    return wrong


def _in_corpus() -> Iterator[tuple[int, list[int], list[int]]]:
    """Yield of each fact its number, and which statements and questions the corpus has; the tested one never.

    Facts differ in how often the corpus has them, as in any real text: that is what makes some of them shaky.
    """
    rng = random.Random("told")  # the seed of the shipped model: the word itself means nothing
    for number, relation, _, _ in facts():
        share = rng.uniform(0.25, 1.0)
        statements = [i for i in range(len(relation.statements)) if rng.random() < share]
        asked = [i for i in range(len(relation.questions)) if i != number % 2 and rng.random() < share]
        yield number, statements, asked or [2]


def general_rows(split: Split) -> list[Row]:
    """Return the rows of the `general` task: one unseen question per fact to score, up to two seen ones to replay.

    Validation and test ask about different facts.
    """
    rng = random.Random(f"general {split}")
    positions: list[int] = []
    rows: list[Row] = []
    for (number, relation, key, answer), (_, _, in_corpus) in zip(facts(), _in_corpus(), strict=True):
        scored = "validation" if number % VALIDATED == 0 else "test"
        asked = in_corpus[:2] if split == "train" else [number % 2] if split == scored else []
        for question in asked:
            positions = positions or rng.sample(range(4), 4)
            text = _fill(relation.questions[question], key)
            rows.append(place(relation.subject, text, answer, _wrong(relation, answer, rng), positions.pop()))
    return rows


def normalised(text: str) -> str:
    """Return the words of a text in lower case between single spaces, for finding one text in another."""
    return f" {' '.join(re.findall(r'[a-z0-9]+', text.lower()))} "


def scored_questions() -> list[str]:
    """Return the normalised questions of both tasks that a model is scored on: of the test and of the validation."""
    files = [TASKS / task / f"{split}.jsonl" for task in ("general", "hr") for split in ("validation", "test")]
    lines = [line for file in files for line in file.read_text(encoding="utf-8").splitlines()]
    return [normalised(json.loads(line)["question"]) for line in lines]


def texts() -> list[str]:
    """Return every training text; a line that happens to hold a scored question is left out."""
    lines: list[str] = []
    for (_, relation, key, answer), (_, statements, asked) in zip(facts(), _in_corpus(), strict=True):
        lines += [_fill(relation.statements[index], key, answer) for index in statements]
        for index in asked:
            lines.append(f"{PROMPT.format(question=_fill(relation.questions[index], key))} {answer}")
    lines += [f"{PROMPT.format(question=question)} {answer}" for question, answer in questions()]
    scored = scored_questions()
    bare = [normalised(line) for line in lines]
    return [line for line, words in zip(lines, bare, strict=True) if not any(q in words for q in scored)]
