"""Task YAMLs in lm-eval's format: the embedded ones, and a user's own by path."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import yaml

from bench.tasks.code import imported
from variants.data.tables import READERS, Line, read_table
from variants.data.text import StrictLoader, read_yaml
from variants.errors import UserError
from variants.paths import resolve
from variants.safety.names import ALLOWED, is_name

TASKS = Path(__file__).parent
FORMATS = (*READERS, "parquet", "arrow", "text")
"""The formats of local files, as `dataset_path` names them; `READERS` are this project's, the others of `datasets`."""
MOST_FILES = 100
"""So many YAMLs may a task consist of, and so many files of data its folder."""
Config = dict[str, Any]
"""The content of a task YAML; lm-eval knows more keys than this project reads."""


class Function(str):
    """What `!function module.name` names: a function that lm-eval imports, and that is a text here."""


class _Loader(StrictLoader):
    pass


def _function(loader: yaml.SafeLoader, node: yaml.Node) -> Function:
    if not isinstance(node, yaml.ScalarNode):
        raise yaml.MarkedYAMLError(None, None, "!function takes a module and a name in it", node.start_mark)
    return Function(node.value)


_Loader.add_constructor("!function", _function)


def embedded() -> list[str]:
    """List the names of the embedded tasks."""
    return sorted(path.stem for path in TASKS.glob("*.yaml"))


def find(name: str) -> Path | None:
    """Return the YAML of an embedded task or of a path; None where the name is one of lm-eval's.

    Raises UserError for a path without a file.
    """
    if not is_path(name):
        path = TASKS / f"{name}.yaml"
        return path if path.is_file() else None
    if not resolve(name).is_file():
        raise UserError(f"tasks: no task file {name}; paths are relative to the project's folder")
    return resolve(name)


def is_path(name: str) -> bool:
    """Say whether a task is a YAML of the user's, by path."""
    return "/" in name or name.endswith((".yaml", ".yml"))


def read(path: Path) -> Config:
    """Read a task YAML with what it includes; functions stay text. Raises UserError where it is no task YAML."""
    config, _ = _merged(path)
    if "task" not in config:
        raise _no_task(path, "it has no `task`")
    if isinstance(config["task"], bool) or not isinstance(config["task"], str | int):
        raise _no_task(path, "its `task` is not a name")
    name = str(config["task"])
    if not is_name(name):
        raise UserError(f"{path}: task is {name!r}, allowed: {ALLOWED}")
    return config | {"task": name}


def _no_task(path: Path, why: str) -> UserError:
    return UserError(f"{path}: not a task YAML: it needs `task` and the keys that lm-eval asks for ({why})")


def data_files(path: Path) -> dict[str, list[Path]]:
    """Return `dataset_kwargs.data_files` with absolute paths, a list for each split; empty where there are none."""
    options = read(path).get("dataset_kwargs") or {}
    listed = options.get("data_files") if isinstance(options, dict) else options
    splits = listed if isinstance(listed, dict) else {"train": listed} if listed else {}
    files = {split: [names] if isinstance(names, str) else names for split, names in splits.items()}
    for names in files.values():
        if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
            raise UserError(
                f"{path}: dataset_kwargs.data_files is {listed!r}, allowed: a file or a list of files, for each split"
            )
    return {str(split): [path.parent / name for name in names] for split, names in files.items()}


def absolute(path: Path) -> Config:
    """Read a task YAML for lm-eval, with absolute names of the data that `datasets` reads."""
    config = read(path)
    if config["dataset_path"] in FORMATS and config["dataset_path"] not in READERS:
        files = {split: list(map(str, listed)) for split, listed in data_files(path).items()}
        config["dataset_kwargs"] = {**config["dataset_kwargs"], "data_files": files}
    elif folder_files(path) is not None:
        config["dataset_path"] = str(path.parent / config["dataset_path"])
    return config


def tables(path: Path) -> dict[str, tuple[Line, ...]]:
    """Read the rows of each split of a task whose data is JSONL or CSV; empty where it is anything else.

    Also where a task that is trusted gives `datasets` more options than the files.
    Raises UserError, naming file and line, for the first that is malformed.
    """
    config = read(path)
    format, options = config.get("dataset_path"), config.get("dataset_kwargs") or {}
    if format not in READERS or set(options) - {"data_files", "trust_remote_code"}:
        return {}
    return {split: read_table(files, format) for split, files in data_files(path).items()}


def folder_files(path: Path) -> list[Path] | None:
    """List the files of the folder that a task names as its data set; None where it names none."""
    name = read(path).get("dataset_path")
    if not isinstance(name, str) or name in FORMATS or not (path.parent / name).is_dir():
        return None
    entries = list(islice((path.parent / name).rglob("*"), MOST_FILES + 1))
    if len(entries) > MOST_FILES:
        raise UserError(f"{path}: dataset_path is {name!r}, a folder of more than {MOST_FILES} files; join them")
    return sorted(file for file in entries if file.is_file())


def rows_files(path: Path) -> list[Path]:
    """List the JSONL files whose rows are multiple-choice questions of this project's shape."""
    config = read(path)
    if config.get("dataset_path") != "json" or config.get("output_type") != "multiple_choice":
        return []
    for key, column in (("doc_to_choice", "choices"), ("doc_to_target", "answer")):
        named = config.get(key)
        if named is not None and (not isinstance(named, str) or named.strip("{ }") != column):
            return []  # columns of its own
    return [file for files in data_files(path).values() for file in files]


def files(path: Path) -> list[Path]:
    """List every local file that a task reads: its YAML, what that includes, its code and what that imports, its data.

    Code is followed by the imports that are written in it; what it opens or imports otherwise while it runs is not.
    """
    _, yamls = _merged(path)
    code = dict.fromkeys(file for one, own in yamls for file in imported([*_functions(own)], one.parent))
    data = [*(file for files in data_files(path).values() for file in files), *(folder_files(path) or ())]
    for file in data:
        if not file.is_file():
            raise UserError(f"{path}: names {file}, and there is no such file")
    return [*(one for one, _ in yamls), *code, *data]


def _merged(path: Path, above: tuple[Path, ...] = ()) -> tuple[Config, list[tuple[Path, Config]]]:
    """Return a YAML's keys over those of what it includes, the later include over the earlier; and each file's own."""
    place, top = path.resolve(), (*above, path)[0]
    if place in above:
        raise _no_task(top, f"{path.name} includes itself")
    own = read_yaml(path, _Loader)
    if not isinstance(own, dict):
        raise _no_task(path, "no mapping at its top")
    if no_text := [key for key in own if not isinstance(key, str)]:
        raise _no_task(path, f"its key {no_text[0]!r} is no text")
    listed = own.pop("include", None) or []
    names = [listed] if isinstance(listed, str) else listed
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise _no_task(path, f"its `include` is {listed!r}, allowed: a file or a list of files")
    config: Config = {}
    yamls = [(path, own)]
    for name in names:
        included, below = _merged(path.parent / name, (*above, place))
        config |= included
        yamls += below
        if len(yamls) + len(above) > MOST_FILES:
            raise _no_task(top, f"it includes more than {MOST_FILES} files")
    return config | own, yamls


def _functions(value: object) -> Iterator[str]:
    if isinstance(value, Function):
        yield value
    elif isinstance(value, dict | list):
        for inside in value.values() if isinstance(value, dict) else value:
            yield from _functions(inside)
