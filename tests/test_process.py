"""What a process may take of the machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from variants import process


def test_a_container_has_no_more_memory_than_its_own_limit_leaves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = process.available_bytes()
    monkeypatch.setattr(process, "CGROUP", tmp_path)
    (tmp_path / "memory.current").write_text("400000\n")
    (tmp_path / "memory.max").write_text("1000000\n")
    assert process.available_bytes() == 600_000
    (tmp_path / "memory.max").write_text("max\n")
    assert process.available_bytes() == pytest.approx(whole, rel=0.5)
