"""The code of a task is part of its identity: what its YAML names, and what that imports, however it is written."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from bench.tasks import catalogue
from bench.tasks.code import imported
from tests.tasks.conftest import asking, choice_task
from variants.errors import UserError


def lay(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


@pytest.mark.parametrize(
    ("code", "imports"),
    [
        ("import helper", ["helper.py"]),
        ("import helper as h, json, os.path", ["helper.py"]),
        ("from helper import f", ["helper.py"]),
        ("from helper import *", ["helper.py"]),
        ("from . import helper", ["helper.py"]),
        ("from .helper import f", ["helper.py"]),
        ("def f():\n    import helper\n", ["helper.py"]),
        ("try:\n    import numpy\nexcept ImportError:\n    import helper\n", ["helper.py"]),
        ("import importlib\nm = importlib.import_module('helper')", ["helper.py"]),
        ("m = __import__('helper')", ["helper.py"]),
        ("import package", ["package/__init__.py"]),
        ("import package.module", ["package/__init__.py", "package/module.py", "package/sister.py"]),
        ("from package import module", ["package/__init__.py", "package/module.py", "package/sister.py"]),
        ("from package.inner.deep import f", ["package/__init__.py", "package/inner/deep.py", "helper.py"]),
        ("import chain1", ["chain1.py", "chain2.py", "helper.py"]),
        ("import circle1", ["circle1.py", "circle2.py"]),
        ("import elsewhere", ["path/elsewhere.py", "path/next_to_it.py"]),
        ("# import helper\ntext = 'import helper'", []),
        ("import math, torch, lm_eval, variants.paths", []),
    ],
)
def test_imports_are_followed_through_local_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, imports: list[str]
) -> None:
    lay(
        tmp_path,
        {
            "task/functions.py": code,
            "task/helper.py": "def f(): ...",
            "task/package/__init__.py": "",
            "task/package/module.py": "from . import sister\nfrom .sister import f",
            "task/package/sister.py": "",
            "task/package/inner/deep.py": "from ...helper import f",
            "task/chain1.py": "import chain2",
            "task/chain2.py": "from helper import f",
            "task/circle1.py": "import circle2",
            "task/circle2.py": "import circle1",
            "path/elsewhere.py": "import next_to_it",
            "path/next_to_it.py": "",
        },
    )
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path / "path")])
    files = imported(["functions.f"], tmp_path / "task")
    expected = [tmp_path / ("" if name.startswith("path/") else "task") / name for name in ["functions.py", *imports]]
    assert sorted(files) == sorted(expected)


def test_any_file_of_a_chain_of_imports_moves_the_identity_of_a_task(folder: Path) -> None:
    lay(
        folder,
        {
            "grading.py": "from checks import strict\n\ndef grade(doc, results):\n    return strict()\n",
            "checks/__init__.py": "from .rules import strict\n",
            "checks/rules.py": "import weights\n",
            "weights.py": "HALF = 0.5\n",
            "unrelated.py": "",
            "nested/common.yaml": "process_docs: !function more.rows\n",
            "nested/more.py": "from .less import rows\n",
            "nested/less.py": "",
        },
    )
    path = Path(choice_task(folder))
    path.write_text(f"{path.read_text()[:-1]}, process_results: !function grading.grade, include: nested/common.yaml}}")
    before = catalogue.content([str(path)], None)
    moving = ("grading.py", "checks/__init__.py", "checks/rules.py", "weights.py", "nested/more.py", "nested/less.py")
    for name in moving:
        lay(folder, {name: (folder / name).read_text() + "\n"})
        after = catalogue.content([str(path)], None)
        assert after != before, name
        before = after
    lay(folder, {"unrelated.py": "x = 1"})
    assert catalogue.content([str(path)], None) == before
    lay(folder, {"weights.py": "def broken(:\n"})
    with pytest.raises(UserError, match=r"weights\.py:1: no Python: "):
        asking(str(path), trust_tasks=True).data()
