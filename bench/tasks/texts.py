"""The texts of questions, by the digest that a record has of each: from the files that are in this checkout."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from bench.tasks import mmlu, task_yaml
from variants.data.rows import read_rows
from variants.data.tables import read_table
from variants.errors import UserError
from variants.paths import resolve

Texts = Mapping[str, tuple[str, tuple[str, ...]]]
"""A question and its choices, by the digest of its row."""
DIGITS = 12
"""So many of a digest's hexadecimal digits stand in a record."""


def question_texts(names: Iterable[str], data_dir: str | None) -> Texts:
    """Return the questions of some tasks that files of this project's shape, or MMLU's CSVs in `data_dir`, still have.

    A question that comes from the hub, and one whose file has changed or is gone, is not among them.
    """
    rows = [row for file in _files(names, data_dir) for row in _rows(file)]
    return {_digest(row): (str(row["question"]), tuple(map(str, _choices(row)))) for row in rows}


def digests(files: Iterable[Path]) -> set[str]:
    """Return the digests of the questions in some files of this project's shape, as records have them."""
    return {_digest(row) for file in files for row in _rows(file)}


def _files(names: Iterable[str], data_dir: str | None) -> Iterator[Path]:
    for name in names:
        try:
            if path := task_yaml.find(name):
                yield from task_yaml.rows_files(path)
        except UserError:  # the record is of another checkout, whose task this one does not have
            continue
    with suppress(UserError):  # nor need its folder be a path here
        if data_dir:
            yield from sorted((resolve(data_dir) / "test").glob("*_test.csv"))


def _rows(file: Path) -> Sequence[Mapping[str, object]]:
    try:
        if file.suffix == ".csv":
            return [dict(row) for row in mmlu.read(file)]
        read_rows(file)  # which checks the shape
        return [line.fields for line in read_table([file], "json")]
    except UserError:
        return []


def _choices(row: Mapping[str, object]) -> Sequence[object]:
    choices = row["choices"]
    return choices if isinstance(choices, list) else ()


def _digest(row: Mapping[str, object]) -> str:
    """Return the digest of a row as lm-eval makes it: of the row as indented JSON."""
    return hashlib.sha256(json.dumps(row, indent=2, ensure_ascii=False).encode()).hexdigest()[:DIGITS]
