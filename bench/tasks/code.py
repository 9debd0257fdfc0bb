"""The files of the code that a task runs, found without running it."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from variants.data.text import read_text
from variants.errors import UserError
from variants.paths import ROOT

IMPORTERS = ("import_module", "__import__")
"""The functions that import a module by its name."""


def imported(functions: Sequence[str], folder: Path) -> list[Path]:
    """List the local files of functions, named as in a YAML in `folder`, and of all that they import, each once.

    A module lies where lm-eval or Python may look for it: in `folder`, next to the file that imports it, or in a folder
    of Python's path that is neither this project's nor an installation's. Raises UserError for a file of no Python.
    """
    around = [folder, *_path()]
    waiting = [file for name in sorted(set(functions)) for file in _files(name.rpartition(".")[0], around)]
    files: dict[Path, None] = {}
    while waiting:
        file = waiting.pop(0)
        if file not in files:
            files[file] = None
            for level, name in sorted(_imports(file)):
                places = file.parents[level - 1 : level] if level else [file.parent, *around]
                waiting += _files(name, places)
    return list(files)


def _path() -> list[Path]:
    folders = (Path(name).absolute() for name in sys.path if name)
    installed = (Path(sys.prefix), Path(sys.base_prefix), ROOT)
    return [one for one in folders if one != ROOT and not any(one.is_relative_to(place) for place in installed)]


def _files(module: str, places: Sequence[Path]) -> list[Path]:
    """Return the files that importing a module runs, those of its packages first, from the first place that has it."""
    parts = module.split(".")
    for place in places:
        last = place.joinpath(*parts)
        packages = [place.joinpath(*parts[:n], "__init__.py") for n in range(1, len(parts) + 1)]
        files = [file for file in (*packages, last.parent / f"{last.name}.py") if file.is_file()]
        if module and files:
            return files
    return []


def _imports(file: Path) -> Iterator[tuple[int, str]]:
    """Yield the modules that a file may import, inside functions too, by how many dots go before them."""
    try:
        tree = ast.parse(read_text(file))
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = getattr(error, "lineno", None) or 1
        raise UserError(f"{file}:{line}: no Python: {getattr(error, 'msg', None) or type(error).__name__}") from None
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((0, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.module:
                yield node.level, node.module
            for alias in node.names:  # a module of the package, or a name in it
                yield node.level, f"{node.module}.{alias.name}" if node.module else alias.name
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            name = getattr(node.func, "attr", None) or getattr(node.func, "id", None)
            if name in IMPORTERS and isinstance(node.args[0].value, str):
                yield 0, node.args[0].value.lstrip(".")
