"""Tables of rows as they are written, JSONL or CSV: a text stays a text, whatever it looks like.

Training, scoring and timing read them here, so that all of them read the same. A library that guesses would make a
date of "2024-01-02" and 7 of "007".
"""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from variants.data.text import parse_json, read_raw, read_text
from variants.errors import UserError

Fields = dict[str, object]
OPTIONAL = "subject"
"""The one column that a row may leave out: where it does, a row has None in it."""

KINDS: Mapping[type, str] = {bool: "true or false", int: "a whole number", float: "a number with a point", str: "text"}


@dataclass(frozen=True)
class Line:
    """A row, and where it begins: `FILE:LINE`."""

    place: str
    fields: Fields


def read_jsonl(path: Path) -> list[Line]:
    """Read a file of one JSON object a line. Raises UserError, naming file and line, for the first that is none."""
    lines: list[Line] = []
    for number, text in enumerate(read_text(path).split("\n"), 1):
        if text.strip():
            try:
                fields = parse_json(text)
            except ValueError as error:
                raise UserError(f"{path}:{number}: no JSON: {error}") from None
            if not isinstance(fields, dict):
                raise UserError(f"{path}:{number}: got {text[:40]}, allowed: one JSON object a line, {{…}}")
            lines.append(Line(f"{path}:{number}", fields))
    return _not_empty(path, lines)


def read_csv(path: Path) -> list[Line]:
    """Read a CSV whose first row names its columns; all values are text. Raises UserError with file and line."""
    header: list[str] | None = None
    lines: list[Line] = []
    for number, row in csv_rows(path, strict=True):
        if header is None:
            header = row
            if len(set(header)) < len(header) or not all(header):
                raise UserError(f"{path}:{number}: its columns are {header}, allowed: a name for each, no two the same")
        elif row:
            if len(row) != len(header):
                raise UserError(f"{path}:{number}: {len(row)} columns, but its first line names {len(header)}")
            lines.append(Line(f"{path}:{number}", dict(zip(header, row, strict=True))))
    return _not_empty(path, lines)


def csv_rows(path: Path, strict: bool) -> Iterator[tuple[int, list[str]]]:
    """Yield each row of a CSV and the line on which it begins. Raises UserError with file and line.

    A line ends in a newline, which a field in quotes may hold. What is not `strict` may have text behind a quote.
    """
    with _any_length():
        rows = csv.reader(io.StringIO(read_raw(path), newline="\n"), strict=strict)
        while True:
            begins = rows.line_num + 1
            try:
                row = next(rows)
            except StopIteration:
                return
            except csv.Error as error:
                raise UserError(f"{path}:{begins}: no CSV: {error}") from None
            yield begins, row


@contextmanager
def _any_length() -> Iterator[None]:
    """Let a field of a CSV be longer than the 131,072 characters that the csv module allows."""
    before = csv.field_size_limit(sys.maxsize)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _not_empty(path: Path, lines: list[Line]) -> list[Line]:
    if not lines:
        raise UserError(f"{path}: no rows in it")
    return lines


READERS = {"json": read_jsonl, "csv": read_csv}
"""The formats of tables, by lm-eval's name of each."""


def read_table(paths: Sequence[Path], format: str) -> tuple[Line, ...]:
    """Read files as one table: every row has every column, in the order in which they come first.

    Raises UserError, naming file and line, for a column that a row lacks, or that is text here and a number there.
    """
    stats = [path.stat() if path.is_file() else None for path in paths]
    return _table(tuple(paths), format, tuple(stat and (stat.st_size, stat.st_mtime_ns) for stat in stats))


@lru_cache(maxsize=16)
def _table(paths: tuple[Path, ...], format: str, _: object) -> tuple[Line, ...]:
    """Read a table once for all cells of a sweep."""
    lines = [line for path in paths for line in READERS[format](path)]
    first: dict[str, Line] = {}
    kinds: dict[str, tuple[str, str]] = {}
    for line in lines:
        for column in line.fields:
            first.setdefault(column, line)
        for where, kind in _kinds(line.fields, ""):
            known, place = kinds.setdefault(where, (kind, line.place))
            if kind != known:
                raise UserError(f"{line.place}: {where} is {kind}, but {known} at {place}; write both alike")
    for line in lines:
        for column in first.keys() - line.fields.keys() - {OPTIONAL}:
            raise UserError(f"{line.place}: no {column!r}, which {first[column].place} has; null stands for nothing")
    return tuple(Line(line.place, {column: line.fields.get(column) for column in first}) for line in lines)


def _kinds(value: object, where: str) -> Iterator[tuple[str, str]]:
    """Yield what each part of a value is, by where it is; null is of every kind."""
    if isinstance(value, Mapping):
        if where:
            yield where, "keys with values"
        for key, inside in value.items():
            yield from _kinds(inside, f"{where}.{key}" if where else key)
    elif isinstance(value, list):
        yield where, "a list"
        for inside in value:
            yield from _kinds(inside, f"{where}[]")
    elif value is not None:
        yield where, KINDS[type(value)]
