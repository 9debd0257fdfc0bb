"""What tests of tasks share: a scorer of known answers, task files over a few rows, and made-up CSVs of MMLU."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.measures.accuracy import Accuracy
from bench.runtimes.forest import Request
from bench.runtimes.session import Vocabulary
from bench.tasks.ask import ask
from variants.tokenizer.framing import Framing

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
        self.vocabulary = Vocabulary(0x110000, Framing((), None, 0, None), {}, template)
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


GROUP = "mmlu_social_sciences"


ODD = {
    0: [" It begins with a space, and\nhas a line\n\nbreak", ' "quoted", with a comma', " B", "", "NA", "A"],
    1: ["¿Ünïcödé — ∀x?", "x = 1", "x\t= 2 ", "None", "3", "D"],
}
"""Rows that a careless reader changes."""


def write(folder: Path, subjects: list[str], n_test: int = 3, n_dev: int = 5) -> Path:
    for split, n_rows in (("dev", n_dev), ("test", n_test)):
        (folder / split).mkdir(parents=True)
        for subject in subjects:
            plain = [
                [f"{subject} {split} {i}?", f"{i}", f"{i + 1}", f"{i + 2}", f"{i + 3}", "ABCD"[i % 4]]
                for i in range(n_rows)
            ]
            rows = [ODD.get(i, row) if split == "test" else row for i, row in enumerate(plain)]
            with (folder / split / f"{subject}_{split}.csv").open("w", newline="", encoding="utf-8") as stream:
                csv.writer(stream, lineterminator="\n").writerows(rows)
    return folder
