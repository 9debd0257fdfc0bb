"""A process that waits for the machine says which process holds it, and since when."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from bench.machine.lock import held
from variants.paths import ROOT

HOLDER = """
import sys
from pathlib import Path
from bench.machine.lock import held
with held(Path(sys.argv[1]), print):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_who_waits_is_told_the_process_its_command_and_since_when(tmp_path: Path) -> None:
    lock = tmp_path / "machine.lock"
    command = [sys.executable, "-c", HOLDER, str(lock)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as other:
        assert other.stdin
        assert other.stdout
        assert other.stdout.readline() == "held\n"
        holders: list[str] = []

        def waiting(holder: str) -> None:
            holders.append(holder)
            other.communicate("")  # now it lets go

        with held(lock, waiting):
            assert lock.with_suffix(".holder").exists()
    assert len(holders) == 1
    assert holders[0].startswith(f"process {other.pid} (")
    assert "since " in holders[0]
    assert not lock.with_suffix(".holder").exists()


def test_who_waits_for_a_holder_that_just_let_go_is_told_of_another_process(tmp_path: Path) -> None:
    """The holder removes its file before it lets go of the lock."""
    lock = tmp_path / "machine.lock"
    command = [sys.executable, "-c", HOLDER, str(lock)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as other:
        assert other.stdout
        assert other.stdout.readline() == "held\n"
        lock.with_suffix(".holder").unlink()
        told: list[str] = []

        def waiting(holder: str) -> None:
            told.append(holder)
            other.communicate("")

        with held(lock, waiting):
            pass
    assert told == ["another process"]


def test_a_free_lock_is_not_waited_for(tmp_path: Path) -> None:
    waited: list[str] = []
    with held(tmp_path / "machine.lock", waited.append):
        pass
    assert waited == []
