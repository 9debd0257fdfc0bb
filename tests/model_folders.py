"""The least that is a model folder, for tests that damage it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from variants.configure import configure
from variants.errors import UserError

INDEX = "model.safetensors.index.json"


def small_folder(folder: Path) -> Path:
    """Make a folder with a config, a tokenizer and one tensor `a`."""
    folder.mkdir()
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        (folder / name).write_text("{}")
    weights(folder / "model.safetensors", "a")
    return folder


def weights(file: Path, *names: str) -> None:
    save_file({name: np.zeros((2, 2), dtype=np.float16) for name in names}, file)


def complaint(folder: Path) -> str:
    """Return the one line with which a folder is refused where it is planned."""
    with pytest.raises(UserError) as refused:
        configure({"_target_": "variants.steps.source.Source", "path": str(folder)}, "steps.source")
    assert str(refused.value).isprintable()
    return str(refused.value)
