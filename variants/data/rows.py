"""Rows of a task: JSONL, one question with its choices a line, train and test split alike."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from variants.data.tables import Line, read_jsonl
from variants.errors import UserError

QUESTION = "{question}"
"""Where the question stands in a prompt."""
SHAPE = '{"subject": "…", "question": "…", "choices": ["…", "…"], "answer": 0}'


@dataclass(frozen=True)
class TaskRow:
    """One multiple-choice question; `answer` is the index of the right choice."""

    subject: str
    question: str
    choices: tuple[str, ...]
    answer: int

    def asked(self, prompt: str) -> str:
        """Put the question where a prompt has {question}; other braces are text, in either."""
        return prompt.replace(QUESTION, self.question)


def read_rows(path: Path) -> list[TaskRow]:
    """Read a JSONL file of rows. Raises UserError, naming file and line, for the first that is malformed."""
    try:
        stat = path.stat()
    except (OSError, ValueError):
        return list(map(_row, read_jsonl(path)))
    return list(_rows(path, stat.st_size, stat.st_mtime_ns))


@lru_cache(maxsize=16)
def _rows(path: Path, size_bytes: int, mtime_ns: int) -> tuple[TaskRow, ...]:
    """Read a file once for all cells of a sweep."""
    return tuple(map(_row, read_jsonl(path)))


def _row(line: Line) -> TaskRow:
    fields, place = line.fields, line.place
    for column in ("question", "choices", "answer"):
        if column not in fields:
            raise UserError(f"{place}: no {column!r}; a row is {SHAPE}")
    subject, question, choices, answer = (fields.get(name) for name in ("subject", "question", "choices", "answer"))
    if not isinstance(subject, str | None) or not isinstance(question, str) or not question.strip():
        raise UserError(f"{place}: needs a question, and it and its subject are text; a row is {SHAPE}")
    if not isinstance(choices, list) or not all(isinstance(choice, str) for choice in choices):
        raise UserError(f"{place}: choices is {choices!r}, allowed: a list of texts; a row is {SHAPE}")
    if fault := fault_of(choices):
        raise UserError(f"{place}: {fault}")
    if isinstance(answer, bool) or not isinstance(answer, int) or not 0 <= answer < len(choices):
        raise UserError(f"{place}: answer is {answer!r}, allowed: 0 to {len(choices) - 1}, an index of choices")
    return TaskRow(subject or "", question, tuple(choices), answer)


def fault_of(choices: list[str]) -> str:
    """Say what makes choices none to choose from, empty where nothing does."""
    words = [" ".join(choice.split()) for choice in choices]
    if len(choices) < 2:
        return f"{len(choices)} choices, allowed: two and more"
    if "" in words:
        return f"choice {words.index('')} is empty; write what it says"
    for number, choice in enumerate(words):
        if (first := words.index(choice)) < number:
            how = "the same" if choices[first] == choices[number] else "the same but for spaces"
            return f"choices {first} and {number} are {how}: {choices[number]!r}; all must differ"
    return ""
