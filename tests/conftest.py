"""A tiny real model that the whole path runs on: random weights, the embedded model's tokenizer."""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from bench.selftest.scratch import make_tiny_model
from tests.branch import Branch
from tests.checkout import Checkout
from tests.own_locks import take_own_locks
from variants.artifact import Artifact, Kind
from variants.build import build
from variants.cache import Cache
from variants.paths import ROOT
from variants.step import plan

for variable in [name for name in os.environ if name.startswith("GIT_")]:
    del os.environ[variable]  # a hook that runs the tests names its own repository: scratch commits would go there


if "PYTEST_XDIST_WORKER" in os.environ:
    take_own_locks()
    os.environ["OMP_WAIT_POLICY"] = "passive"  # a thread that waits leaves its core to the other test processes

LONG = ("selftest", "sweep", "commands", "measures", "hostile", "tests", "runtimes", "scoring", "variants")
"""The folders whose files take longest, the longest first."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start with what takes longest: a process that begins it last would still run when all others have ended."""
    items.sort(key=lambda item: LONG.index(item.path.parent.name) if item.path.parent.name in LONG else len(LONG))


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A one-layer Llama with rows of 256, so that K-quants are K-quants."""
    return make_tiny_model(tmp_path_factory.mktemp("tiny") / "model")


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One artifact cache for all tests: what one has built, the next one finds."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def catalogue(tiny_model: Path) -> dict[str, dict[str, Any]]:
    """The committed catalogue of steps over the tiny model."""
    return steps_of(tiny_model)


def steps_of(model: Path) -> dict[str, dict[str, Any]]:
    """Compose conf/steps for a model folder."""
    from bench.sweep.plan.compose import compose
    from bench.sweep.plan.request import parse

    return compose(parse([f"model={model}"]), "base", 0).steps


@pytest.fixture(scope="session")
def short_training(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Fields of the step `lora` by which it trains on a few rows, for tests of what is made of an adapter."""
    rows = tmp_path_factory.mktemp("rows") / "few.jsonl"
    with (ROOT / "bench" / "tasks" / "hr" / "train.jsonl").open() as all_rows:
        rows.write_text("".join(islice(all_rows, 64)))
    return {"data": str(rows), "replay_share": 0.0, "epochs": 4, "batch_size": 16, "rank": 8, "alpha": 16}


def make(cache: Path, catalogue: dict[str, dict[str, Any]], names: Sequence[str]) -> Artifact:
    """Build a chain of steps in this process and return its last artifact."""
    artifact: Artifact | None = None
    for planned in plan("test", names, catalogue, "cpu"):
        artifact = build(Cache(cache), planned, artifact, "cpu")
    assert artifact is not None
    return artifact


def bare(path: Path, kind: Kind, parent: Artifact | None = None) -> Artifact:
    """Return an artifact of which nothing is known but its folder and its kind."""
    return Artifact(
        path=path,
        kind=kind,
        fingerprint=f"{kind}-fingerprint",
        step={"name": kind, "kind": kind, "fields": {}, "tools": {}, "device": None},
        files=(),
        tensor_types={},
        n_parameters=0,
        build_seconds=0.0,
        peak_resident_bytes=0,
        notes={},
        warnings=(),
        parent=parent,
    )


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    """A scratch repository of two commits, not measured yet."""
    return Checkout(tmp_path)


@pytest.fixture
def branch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Branch:
    """A scratch repository of 30 commits, not measured yet, with a cache of its own."""
    made = Branch(tmp_path, 30)
    monkeypatch.setattr(Cache, "default", lambda: Cache(made.cache))
    return made
