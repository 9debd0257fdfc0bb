"""Models that cannot be used: folders, weights and hub models; one line, exit code 2, nothing built."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import make
from tests.sweep.conftest import Run
from variants.paths import ROOT


def _copy(tiny_model: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_model, tmp_path / "model"))


def test_an_unknown_model_names_the_nearest(refused: Run) -> None:
    assert "did you mean reference" in refused(model="referense")
    assert "model.path: missing" in refused(model="local")
    assert "model: got nothing, allowed: a name in conf/model" in refused(model="")


def test_a_model_folder_that_does_not_exist(refused: Run, tmp_path: Path) -> None:
    assert "no such folder" in refused(model=tmp_path / "nowhere")


def test_a_model_folder_without_weights(refused: Run, tiny_model: Path, tmp_path: Path) -> None:
    model = _copy(tiny_model, tmp_path)
    (model / "model.safetensors").unlink()
    assert "no weights" in refused(model=model)


def test_pickled_weights_are_refused(refused: Run, tiny_model: Path, tmp_path: Path) -> None:
    model = _copy(tiny_model, tmp_path)
    (model / "model.safetensors").rename(model / "pytorch_model.bin")
    assert "only pickled weights (pytorch_model.bin), refused" in refused(model=model)


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (lambda content: content[:-100], "its header promises"),
        (lambda content: content[:5], "not a safetensors file or cut short"),
        (lambda content: content[:8] + b"x" * 100 + content[108:], "does not parse"),
    ],
)
def test_a_broken_safetensors_file(
    refused: Run, tiny_model: Path, tmp_path: Path, damage: Callable[[bytes], bytes], named: str
) -> None:
    model = _copy(tiny_model, tmp_path)
    weights = model / "model.safetensors"
    weights.write_bytes(damage(weights.read_bytes()))
    complaint = refused(model=model)
    assert "model.safetensors: " in complaint
    assert named in complaint


def test_a_missing_shard_is_named(refused: Run, tiny_model: Path, tmp_path: Path) -> None:
    model = _copy(tiny_model, tmp_path)
    index = {"weight_map": {"a": "model.safetensors", "b": "model-00002-of-00002.safetensors"}}
    (model / "model.safetensors.index.json").write_text(json.dumps(index))
    assert "shard model-00002-of-00002.safetensors" in refused(model=model)


def test_a_gguf_whose_content_breaks_off_is_refused_before_llamacpp_sees_it(
    tmp_path: Path, catalogue: dict[str, dict[str, Any]], cache: Path
) -> None:
    from variants.errors import UserError
    from variants.weights import gguf_header

    whole = make(cache, catalogue, ["source", "gguf"]).gguf().read_bytes()
    for size in (3, 2_000, len(whole) - 1000):
        cut = tmp_path / "cut.gguf"
        cut.write_bytes(whole[:size])
        with pytest.raises(UserError, match="not a complete GGUF file"):
            gguf_header(cut)


def test_a_gguf_file_given_as_a_model(refused: Run, tmp_path: Path) -> None:
    model = tmp_path / "model.gguf"
    model.write_bytes(b"GGUF")
    assert "give the safetensors folder" in refused(model=model)


def test_a_hub_model_while_offline(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bench.cli", "run", "suite=smoke", "model=some/model", f"cache_dir={tmp_path}"],
        env={**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)},
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2, done
    assert "model.id=some/model" in done.stderr
    assert "give a local folder" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_hub_model_that_is_in_the_local_cache_runs_offline(tmp_path: Path, tiny_model: Path) -> None:
    """The hub's own layout: refs/main names the revision, snapshots/REVISION holds the files."""
    repository = tmp_path / "hub" / "models--some--model"
    revision = "0" * 40
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(revision)
    shutil.copytree(tiny_model, repository / "snapshots" / revision)
    code = "from variants.model_folder import hub_folder; print(hub_folder('some/model', 'main'))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)},
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.stdout.strip().endswith(revision), done
