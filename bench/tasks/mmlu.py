"""MMLU from a local folder of the original CSVs (Hendrycks et al. 2021, arXiv 2009.03300), as the hub serves it.

`dev/SUBJECT_dev.csv` holds the examples, `test/SUBJECT_test.csv` the questions; a row is question, four choices,
letter, without a header. Read with the csv module's defaults over lines that end in a newline, which is how the hub's
`cais/mmlu` was made from these files: a space before a field is part of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from variants.data.tables import csv_rows
from variants.errors import UserError
from variants.storage.checksum import sha256_of

if TYPE_CHECKING:
    from datasets import DatasetDict

HUB = "cais/mmlu"
SPLITS = ("dev", "test")
LETTERS = "ABCD"


class Question(TypedDict):
    """A row in the order of the hub's columns: lm-eval identifies a question by a hash of the whole row."""

    question: str
    subject: str
    choices: list[str]
    answer: int


def files(folder: Path, subject: str) -> dict[str, Path]:
    """Return the file of each split of a subject."""
    return {split: folder / split / f"{subject}_{split}.csv" for split in SPLITS}


def content_sha256(folder: Path) -> str:
    """Return one sha256 of all CSVs in a folder and their names, the same wherever it lies."""
    csvs = sorted(path for split in SPLITS for path in (folder / split).glob("*.csv"))
    return hashlib.sha256("".join(f"{path.name} {sha256_of(path)}\n" for path in csvs).encode()).hexdigest()


def check(folder: Path, subjects: Sequence[str], num_fewshot: int) -> None:
    """Raise UserError where the folder, a split, a subject or enough examples are missing, or a row is malformed."""
    for split in SPLITS:
        if not (folder / split).is_dir():
            raise UserError(f"data_dir: got {folder}, which has no folder {split!r}; it needs dev and test of the CSVs")
    for subject in subjects:
        for split, path in files(folder, subject).items():
            n_rows = len(read(path))
            if split == "dev" and n_rows < num_fewshot:
                raise UserError(f"{path}: {n_rows} examples, but accuracy.num_fewshot={num_fewshot}; ask for fewer")


def read(path: Path) -> list[Question]:
    """Read a CSV into rows of subject, question, choices and the index of the right one, checked.

    Raises UserError, naming file and line, for the first that is malformed.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file; data_dir needs dev and test of every subject asked for")
    stat = path.stat()
    return _read(path, stat.st_size, stat.st_mtime_ns)


@cache
def _read(path: Path, size_bytes: int, mtime_ns: int) -> list[Question]:
    subject = path.stem.rpartition("_")[0]
    rows: list[Question] = []
    for line, fields in csv_rows(path, strict=False):
        try:
            rows.append(_row(fields, subject))
        except ValueError as error:
            raise UserError(f"{path}:{line}: {error}; a row is question, four choices, letter") from None
    if not rows:
        raise UserError(f"{path}: no rows in it")
    return rows


def _row(fields: list[str], subject: str) -> Question:
    if len(fields) != 6:
        raise ValueError(f"{len(fields)} columns instead of 6")
    question, *choices, letter = fields
    if not question.strip():
        raise ValueError("its question is empty")
    if letter not in tuple(LETTERS):
        raise ValueError(f"its answer is {letter!r}, allowed: A, B, C, D")
    return {"question": question, "subject": subject, "choices": choices, "answer": LETTERS.index(letter)}


@contextmanager
def served_from(folder: Path | None) -> Iterator[None]:
    """Make `datasets.load_dataset` answer for the hub's MMLU from a folder of CSVs, so that no task is redefined.

    For the process that runs lm-eval only.
    """
    from unittest.mock import patch

    import datasets

    hub = datasets.load_dataset
    features = datasets.Features(
        {
            "question": datasets.Value("string"),
            "subject": datasets.Value("string"),
            "choices": datasets.List(datasets.Value("string")),
            "answer": datasets.ClassLabel(names=list(LETTERS)),
        }
    )

    def load_dataset(path: str, name: str | None = None, **rest: object) -> DatasetDict:
        if folder is None or path != HUB:
            return hub(path, name, **rest)
        splits = {split: read(file) for split, file in files(folder, str(name)).items()}
        return datasets.DatasetDict(
            {split: datasets.Dataset.from_list(rows, features=features) for split, rows in splits.items()}
        )

    with patch.object(datasets, "load_dataset", load_dataset):
        yield
