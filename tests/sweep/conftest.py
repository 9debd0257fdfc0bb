"""What tests of sweeps share: a small sweep as it is typed, and runs that are refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bench.cli import main

Run = Callable[..., str]


@pytest.fixture
def refused(tmp_path: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run `bench run` with bad arguments; return its one line of complaint."""

    def run(*arguments: str, model: Path | str = tiny_model, places: bool = True) -> str:
        folders = [f"results_dir={tmp_path / 'results'}", f"cache_dir={tmp_path / 'cache'}"] if places else []
        code = main(["run", "suite=smoke", f"model={model}", *folders, *arguments])
        captured = capsys.readouterr()
        assert code == 2, captured
        assert captured.err.startswith("bench: ")
        assert captured.err.count("\n") == 1, captured.err
        assert not list(tmp_path.glob("results/*/*/*.json"))
        return captured.err

    return run


def arguments(tiny_model: Path, results: Path, cache: Path, *more: str) -> list[str]:
    few = ["latency.requests=4", "latency.warmup_requests=1", "latency.output_tokens=4", "accuracy.limit=6"]
    places = [f"results_dir={results}", f"cache_dir={cache}"]
    return ["run", "suite=smoke", f"model={tiny_model}", *few, *places, *more]
