"""What a process may take of the machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from variants import process


def test_a_container_has_no_more_memory_than_its_own_limit_leaves_pages_of_files_not_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(process, "CGROUP", tmp_path)
    (tmp_path / "meminfo").write_text("MemTotal: 9000 kB\nMemAvailable: 5000 kB\n")
    assert process.available_bytes() == 5000 * 1024
    (tmp_path / "memory.max").write_text("1000000\n")
    (tmp_path / "memory.current").write_text("900000\n")
    (tmp_path / "memory.stat").write_text("anon 400000\nactive_file 200000\ninactive_file 300000\n")
    assert process.available_bytes() == 600_000
    (tmp_path / "memory.max").write_text("max\n")
    assert process.available_bytes() == 5000 * 1024
