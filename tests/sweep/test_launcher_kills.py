"""What a kill of a launcher's process costs: one cell, which the same command measures again."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from omegaconf import DictConfig

from bench.cli import main
from bench.sweep import passes
from tests.sweep.conftest import arguments
from tests.sweep.test_launchers import joblib, ray

run_job = passes.job


def killed_in_the_middle(config: DictConfig) -> None:
    """Run a job; the first one of q4 is killed after it has begun."""
    marker = Path(config.cache_dir, "killed")
    if config.variant.name == "q4" and not marker.exists():
        marker.touch()
        passes.run_first = lambda *_: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore[assignment,return-value]
    run_job(config)


def table(results: Path) -> dict[str, tuple[str, str, int | None]]:
    """Return what the records of a sweep say: how it went, which cell it is, and its size."""
    records = [json.loads(path.read_text()) for path in results.glob("*/*/*.r*.json")]
    return {r["variant"]: (r["status"], r["cell"], r["measures"].get("size", {}).get("size_bytes")) for r in records}


@pytest.fixture
def cluster() -> Iterator[None]:
    """End the Ray cluster that a test has started in this process."""
    yield
    import ray

    ray.shutdown()


@pytest.mark.usefixtures("cluster")
@pytest.mark.parametrize("launcher", [pytest.param("joblib", marks=joblib), pytest.param("ray", marks=ray)])
def test_a_killed_process_is_a_failed_record_and_the_same_command_ends_with_the_same_table(
    launcher: str, tiny_model: Path, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = ("variant=base,q4,q8", "suite.measures=[size]", "suite.once=[]", "device=cpu")
    assert main(arguments(tiny_model, tmp_path / "local", cache, *few)) == 0
    typed = arguments(tiny_model, tmp_path / "results", tmp_path / "cache", *few, f"launcher={launcher}")
    with monkeypatch.context() as struck:
        struck.setattr(passes, "job", killed_in_the_middle)
        assert main(typed) == 1
    by_variant = table(tmp_path / "results")
    print(by_variant)
    assert by_variant["q4"][0] == "failed"
    (record,) = (tmp_path / "results").glob("*/*/q4*.json")
    assert json.loads(record.read_text())["error"]["type"] == "WorkerDied"
    assert {name: status for name, (status, _, _) in by_variant.items() if name != "q4"} == {"base": "ok", "q8": "ok"}
    assert main(typed) == 0
    assert table(tmp_path / "results") == table(tmp_path / "local")
