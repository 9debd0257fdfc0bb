"""Task YAMLs in lm-eval's format: the embedded ones, and a user's own by path."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from variants.errors import UserError
from variants.paths import resolve

TASKS = Path(__file__).parent
Config = dict[str, Any]
"""The content of a task YAML; lm-eval knows more keys than this project reads."""


class _Loader(yaml.SafeLoader):
    """Reads `!function module.name` as text: what it names is lm-eval's to import."""


_Loader.add_constructor("!function", lambda loader, node: loader.construct_scalar(node))  # type: ignore[arg-type]


def embedded() -> list[str]:
    """List the names of the embedded tasks."""
    return sorted(path.stem for path in TASKS.glob("*.yaml"))


def find(name: str) -> Path | None:
    """Return the YAML of an embedded task or of a path; None where the name is one of lm-eval's.

    Raises UserError for a path without a file.
    """
    if "/" not in name and not name.endswith((".yaml", ".yml")):
        path = TASKS / f"{name}.yaml"
        return path if path.is_file() else None
    if not resolve(name).is_file():
        raise UserError(f"tasks: no task file {name}; paths are relative to the project's folder")
    return resolve(name)


def read(path: Path) -> Config:
    """Read a task YAML with what it includes; functions stay text. Raises UserError where it is no task YAML."""
    try:
        config = _merged(path)
        if not isinstance(config["task"], str | int):
            raise TypeError("its `task` is not a name")
    except (yaml.YAMLError, KeyError, TypeError, AttributeError, OSError) as error:
        why = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"{path}: not a task YAML with `task` and what lm-eval needs beside it ({why})") from None
    return config


def data_files(path: Path) -> dict[str, list[str]]:
    """Return `dataset_kwargs.data_files` with absolute paths, a list for each split; empty where there are none."""
    listed = (read(path).get("dataset_kwargs") or {}).get("data_files") or {}
    splits = listed if isinstance(listed, dict) else {"train": listed}
    return {
        split: [str(path.parent / file) for file in ([files] if isinstance(files, str) else files)]
        for split, files in splits.items()
    }


def rows_files(path: Path) -> list[Path]:
    """List the JSONL files whose rows are multiple-choice questions of this project's shape."""
    config = read(path)
    if config.get("dataset_path") != "json" or config.get("output_type") != "multiple_choice":
        return []
    return [Path(file) for files in data_files(path).values() for file in files]


def files(path: Path) -> list[Path]:
    """List every local file that a task reads: its YAML, what that includes, functions beside it, and data."""
    yamls = list(_yaml_files(path))
    beside = [(one, file) for one in yamls for file in sorted(one.parent.glob("*.py"))]
    code = [file for one, file in beside if f"!function {file.stem}." in one.read_text(encoding="utf-8")]
    data = [Path(file) for files in data_files(path).values() for file in files]
    for file in data:
        if not file.is_file():
            raise UserError(f"{path}: names {file}, and there is no such file")
    return [*yamls, *code, *data]


def _merged(path: Path) -> Config:
    """Return a YAML's keys over those of what it includes, the later include over the earlier."""
    config: Config = {}
    for included in _includes(path):
        config |= _merged(included)
    return config | _load(path)


def _yaml_files(path: Path) -> Iterator[Path]:
    yield path
    for included in _includes(path):
        yield from _yaml_files(included)


def _includes(path: Path) -> list[Path]:
    listed = _load(path).get("include") or []
    return [path.parent / name for name in ([listed] if isinstance(listed, str) else listed)]


def _load(path: Path) -> Config:
    config = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)
    if not isinstance(config, dict):
        raise TypeError("no mapping at its top")
    return config
