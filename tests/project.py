"""A copy of this project, for tests that change its files, commit to it, or run its hooks."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from variants.paths import ROOT


def copy_project(folder: Path) -> None:
    """Copy the files of the project into a folder, with an empty `results/` and without a repository.

    Only what git would take is copied: a temporary folder inside the project would be copied into itself.
    """
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z", "--", ".", ":!results"]
    names = subprocess.run(listed, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split("\0")
    for name in filter(None, names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)  # with its mode: a hook has to be executable
    (folder / "results").mkdir()
