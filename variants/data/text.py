"""The one reader of text that others wrote: what is no plain UTF-8 text is refused by file and line, never repaired.

A byte-order mark at the start is left out, and CRLF is one line end. UTF-16 and other encodings, NUL, halves of
surrogate pairs, keys that occur twice, NaN, and whatever is no regular file are refused.
"""

from __future__ import annotations

import codecs
import json
import math
import os
import stat
from collections.abc import Hashable, Iterator
from pathlib import Path
from typing import NoReturn

import yaml

from variants.errors import UserError

LARGEST_BYTES, LARGEST_YAML_BYTES = 2**30, 2**20
DEEPEST, MOST_VALUES = 50, 100_000
"""How deep JSON and YAML may be nested, and how many values one may have, each anchor of a YAML written out."""
OTHER_ENCODINGS = {
    codecs.BOM_UTF32_LE: "UTF-32",  # before UTF-16, whose mark it begins with
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}


def read_text(path: Path) -> str:
    """Read a text file; each of its line ends becomes a newline. Raises UserError with file and line."""
    return read_raw(path).replace("\r\n", "\n").replace("\r", "\n")


def read_raw(path: Path, largest_bytes: int = LARGEST_BYTES) -> str:
    """Read a text file with its line ends as they are. Raises UserError with file and line."""
    content = _content(path, largest_bytes)
    for mark, encoding in OTHER_ENCODINGS.items():
        if content.startswith(mark):
            raise UserError(f"{path}:1: it is {encoding}; save it as UTF-8")
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UserError(f"{path}:{line}: not UTF-8 at byte {error.start}; save it as UTF-8") from None
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise UserError(f"{path}:{line}: a NUL character, so it is no UTF-8 text; save it as UTF-8")
    return text.removeprefix("\ufeff")


def _content(path: Path, largest_bytes: int) -> bytes:
    """Return the bytes of a regular file. Without O_NONBLOCK a pipe that nobody writes to would hang here."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in its name
        raise UserError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from None
    try:
        opened = os.fstat(handle)
        if not stat.S_ISREG(opened.st_mode):
            what = "a folder" if stat.S_ISDIR(opened.st_mode) else "a device or a pipe"
            raise UserError(f"{path}: is {what}, allowed: a file")
        if opened.st_size > largest_bytes:
            raise UserError(f"{path}: {opened.st_size:,} bytes, allowed: up to {largest_bytes:,}")
        with open(handle, "rb", closefd=False) as stream:
            return stream.read(largest_bytes)
    finally:
        os.close(handle)


def parse_json(text: str) -> object:
    """Parse strict JSON. Raises ValueError with what is wrong."""
    try:
        value: object = json.loads(
            text, object_pairs_hook=_once, parse_constant=_no_number, parse_float=_finite, parse_int=_whole
        )
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    # What UTF-8 cannot hold comes as an escape alone.
    if "\\u" in text or text.count("[") + text.count("{") > DEEPEST:
        check_texts(value)
    return value


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the key {next(name for name in names if names.count(name) > 1)!r} occurs twice")
    return fields


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number")


def _finite(text: str) -> float:
    value = float(text)
    return value if math.isfinite(value) else _no_number(text)


def _whole(text: str) -> int:
    value = int(text) if len(text) < 20 else 2**63
    return value if -(2**63) <= value < 2**63 else _no_number(f"{text[:20]}…")


def check_texts(value: object) -> None:
    """Raise ValueError where a text inside a value holds what no file of text can: NUL, or half a surrogate pair.

    Also where the value is nested too deeply, or too large once each anchor of a YAML is written out.
    """
    for number, part in enumerate(_parts(value)):
        if number > MOST_VALUES:
            raise ValueError(f"it has more than {MOST_VALUES:,} values")
        if isinstance(part, str):
            if "\0" in part:
                raise ValueError(f"a NUL character in {part[:40]!r}")
            try:
                part.encode()
            except UnicodeEncodeError:
                raise ValueError(f"half of a surrogate pair in {part[:40]!r}") from None


def _parts(value: object, depth: int = 0) -> Iterator[object]:
    if depth > DEEPEST:
        raise ValueError("it is nested too deeply")
    yield value
    if isinstance(value, dict | list):
        for inside in [*value, *value.values()] if isinstance(value, dict) else value:
            yield from _parts(inside, depth + 1)


class StrictLoader(yaml.SafeLoader):
    """Reads plain YAML; a key that occurs twice is refused."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, object]:
        """Make a dict of a node; keys that a `<<` brings may be overridden."""
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and keys.count(key.value) > 1:
                raise yaml.MarkedYAMLError(None, None, f"the key {key.value!r} occurs twice", key.start_mark)
        return super().construct_mapping(node, deep)


def read_yaml(path: Path, loader: type[StrictLoader] = StrictLoader) -> object:
    """Read a YAML file of text. Raises UserError with file and line."""
    text = read_raw(path, LARGEST_YAML_BYTES)
    try:
        value: object = yaml.load(text, Loader=loader)
        check_texts(value)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f":{mark.line + 1}" if mark else ""
        raise UserError(f"{path}{line}: no YAML: {' '.join(str(error.problem).split())}") from None
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        why = "it is nested too deeply" if isinstance(error, RecursionError) else " ".join(str(error).split())
        raise UserError(f"{path}: no YAML: {why}") from None
    return value
