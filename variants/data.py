"""Rows of a task: JSONL, one question with its choices a line, train and test split alike."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from variants.errors import UserError


@dataclass(frozen=True)
class TaskRow:
    """One multiple-choice question; `answer` is the index of the right choice."""

    subject: str
    question: str
    choices: tuple[str, ...]
    answer: int


def read_rows(path: Path) -> list[TaskRow]:
    """Read a JSONL file of rows. Raises UserError, naming file and line, for the first that is malformed."""
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 at byte {error.start}; save it as UTF-8") from None
    rows = [_row(path, number, line) for number, line in enumerate(lines, 1) if line.strip()]
    if not rows:
        raise UserError(f"{path}: no rows in it")
    return rows


def _row(path: Path, number: int, line: str) -> TaskRow:
    shape = '{"subject": "…", "question": "…", "choices": ["…", "…"], "answer": 0}'
    try:
        fields = json.loads(line)
        subject, question = fields.get("subject", ""), fields["question"]
        choices, answer = tuple(fields["choices"]), fields["answer"]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(f"{path}:{number}: {type(error).__name__} {error}; a row is {shape}") from None
    texts = [subject, question, *choices]
    if not all(isinstance(text, str) for text in texts) or len(choices) < 2 or not question:
        raise UserError(f"{path}:{number}: needs a question and two or more choices, all text; a row is {shape}")
    if isinstance(answer, bool) or not isinstance(answer, int) or not 0 <= answer < len(choices):
        raise UserError(f"{path}:{number}: answer is {answer!r}, allowed: 0 to {len(choices) - 1}, an index of choices")
    return TaskRow(subject, question, choices, answer)
