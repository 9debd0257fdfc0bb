"""What this machine is: its GPUs as the driver reports them, its checkout as git does."""

from __future__ import annotations

import subprocess
from dataclasses import asdict
from pathlib import Path

import msgspec
import pytest

from bench.machine import git, gpu
from bench.machine.hardware import commit, machine
from bench.records import types


def test_a_device_file_without_a_driver_is_no_gpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    if gpu.gpu_names():
        pytest.skip("this machine has a driver")
    monkeypatch.setattr(gpu, "DEVICES", tmp_path)
    (tmp_path / "nvidia0").touch()
    assert gpu.gpus.__wrapped__() == ()


def test_a_driver_is_asked_only_where_there_is_a_device_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(gpu, "DEVICES", tmp_path)
    monkeypatch.setattr(gpu, "driver", lambda: pytest.fail("asked"))
    (tmp_path / "nvidiactl").touch()
    assert gpu.gpus.__wrapped__() == ()


def test_every_gpu_has_a_name_and_memory() -> None:
    if not gpu.gpu_names():
        pytest.skip("this machine has no GPU")
    assert all(gpu.gpu_names())
    assert all(0 < gpu.used_bytes(card) + gpu.free_bytes(card) <= card.total_bytes for card in gpu.gpus())


def test_machine_and_commit_are_what_a_record_holds_of_them() -> None:
    for now, kind in ((machine(), types.Machine), (commit(), types.Commit)):
        read = msgspec.json.decode(msgspec.json.encode(asdict(now)), type=kind, strict=True)
        assert msgspec.structs.asdict(read) == asdict(now)


def test_the_state_of_a_checkout_is_clean_until_a_file_differs_outside_results(tmp_path: Path) -> None:
    def run(*arguments: str) -> None:
        author = ["-c", "user.name=t", "-c", "user.email=t@example.com"]
        subprocess.run(["git", "-C", str(tmp_path), *author, *arguments], check=True)

    assert git.state(tmp_path).sha is None
    run("init", "-q")
    run("commit", "-q", "--allow-empty", "-m", "first")
    first = git.state(tmp_path)
    assert (first.dirty, first.tree) == (False, "clean")
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "q4.r0.json").write_text("{}")
    assert git.state(tmp_path) == first
    (tmp_path / "recipe.yaml").write_text("rank: 1")
    assert git.state(tmp_path).dirty
    assert git.state(tmp_path).tree != "clean"
    assert git.ancestors(tmp_path) == [first.sha]
    assert git.commit_of(tmp_path, "HEAD") == first.sha
    assert git.commit_of(tmp_path, "HEAD~1") is None
