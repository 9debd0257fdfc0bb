"""What a process may take of the machine."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from variants import process
from variants.paths import ROOT


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
    assert process.memory_bytes() == 1_000_000
    (tmp_path / "memory.max").write_text("max\n")
    assert process.available_bytes() == 5000 * 1024
    assert process.memory_bytes() == process.machine_bytes()


def test_a_child_counts_for_a_build_and_not_for_the_process_that_serves() -> None:
    script = """
import subprocess, sys
from variants.process import own_peak_resident_bytes, peak_resident_bytes
subprocess.run([sys.executable, "-c", "bytearray(b'1') * 300_000_000"], check=True)
print(own_peak_resident_bytes() < 200_000_000 < peak_resident_bytes())
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"
