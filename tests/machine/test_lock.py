"""A process that waits for the machine says which process holds it, and since when; the machine has one lock."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from bench.machine import lock as lock_module
from bench.machine.lock import held, machine_lock
from bench.sweep.jobs import BuildJob, Result, encode
from variants.errors import UserError
from variants.paths import ROOT

HOLDER = """
import sys
from pathlib import Path
from bench.machine.lock import held
with held(Path(sys.argv[1]), print):
    print("held", flush=True)
    sys.stdin.read()
"""
WORKER = """
import sys
from pathlib import Path
from bench.machine import lock
from bench.sweep import worker
lock.FOR_ALL_USERS = (Path(sys.argv[1]),)
sys.exit(worker.main(sys.argv[2]))
"""


def holding(lock: Path) -> subprocess.Popen[str]:
    """Start a process that holds a lock until its standard input ends."""
    command = [sys.executable, "-c", HOLDER, str(lock)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert process.stdout
    assert process.stdout.readline() == "held\n"
    return process


def test_who_waits_is_told_the_process_its_command_and_since_when(tmp_path: Path) -> None:
    lock = tmp_path / "machine.lock"
    with holding(lock) as other:
        holders: list[str] = []

        def waiting(holder: str) -> None:
            holders.append(holder)
            other.communicate("")  # now it lets go

        with held(lock, waiting):
            assert f"process {os.getpid()} (" in lock.read_text()
    assert len(holders) == 1
    assert holders[0].startswith(f"process {other.pid} (")
    assert "since " in holders[0]
    assert lock.read_text() == ""
    assert list(tmp_path.iterdir()) == [lock]


@pytest.mark.parametrize(("text", "shown"), [("", "another process"), ("\x1b[2Jx", "\\x1b[2Jx")])
def test_what_stands_in_the_file_of_a_lock_steers_no_terminal(tmp_path: Path, text: str, shown: str) -> None:
    """Every user may write it, and the holder empties it before it lets go."""
    lock = tmp_path / "machine.lock"
    with holding(lock) as other:
        lock.write_text(text)
        holders: list[str] = []

        def waiting(holder: str) -> None:
            holders.append(holder)
            other.communicate("")

        with held(lock, waiting):
            pass
    assert holders == [shown]


def test_a_free_lock_is_not_waited_for_and_one_that_was_removed_is_made_again(tmp_path: Path) -> None:
    lock, waited = tmp_path / "machine.lock", list[str]()
    for _ in range(2):
        with held(lock, waited.append):
            pass
        lock.unlink()
    assert waited == []


def test_the_lock_of_the_machine_is_open_to_every_user(tmp_path: Path) -> None:
    lock = tmp_path / "machine.lock"
    before = os.umask(0o077)
    try:
        with held(lock, print):
            assert lock.stat().st_mode & 0o777 == 0o666
    finally:
        os.umask(before)
    if os.geteuid() == 0:
        tmp_path.chmod(0o1777)
        for folder in tmp_path.parents[:4]:  # a process of a parallel run has one more than one alone
            folder.chmod(folder.stat().st_mode | 0o011)
        lock.chmod(0o444)  # as one that another user has made and guards
        pid = os.fork()
        if pid == 0:
            os.setuid(12345)
            try:
                with held(lock, print):
                    os._exit(0)
            finally:
                os._exit(1)
        assert os.waitpid(pid, 0)[1] == 0


def test_a_lock_that_cannot_be_opened_is_one_line(tmp_path: Path) -> None:
    link, folder = tmp_path / "link.lock", tmp_path / "folder.lock"
    link.symlink_to(tmp_path / "precious")
    folder.mkdir()
    for lock in (link, folder, Path("/proc/variantbench.lock")):
        with pytest.raises(UserError, match=f"^lock {lock}: [^\n]+$"), held(lock, print):
            pass
    assert not (tmp_path / "precious").exists()


@pytest.mark.parametrize("name", ["TMPDIR", "TEMP", "TMP", "XDG_RUNTIME_DIR", "XDG_CACHE_HOME", "HOME"])
def test_no_variable_moves_the_lock_of_the_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str) -> None:
    before = machine_lock()
    monkeypatch.setenv(name, str(tmp_path))
    assert machine_lock() == before
    asked = "from bench.machine.lock import machine_lock; print(machine_lock())"
    if name == "TMPDIR":
        assert subprocess.check_output([sys.executable, "-c", asked], text=True, cwd=ROOT).strip() == str(before)


def test_the_lock_lies_where_every_user_may_make_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    private, shared = tmp_path / "private", tmp_path / "shared"
    for folder, mode in ((private, 0o755), (shared, 0o1777)):
        folder.mkdir()
        folder.chmod(mode)
    monkeypatch.setattr(lock_module, "FOR_ALL_USERS", (tmp_path / "missing", private, shared))
    assert machine_lock() == shared / "variantbench.lock"


def test_two_sweeps_with_different_temporary_folders_wait_for_each_other(tmp_path: Path) -> None:
    place, elsewhere, job_file = tmp_path / "locks", tmp_path / "elsewhere", tmp_path / "job.json"
    for folder in (place, elsewhere):
        folder.mkdir()
    place.chmod(0o1777)
    out = str(tmp_path / "out.json")
    job = BuildJob("none", {"_target_": "variants.none"}, "0" * 64, None, "cpu", str(tmp_path / "cache"), out)
    job_file.write_bytes(encode(job))
    command = [sys.executable, "-c", WORKER, str(place), str(job_file)]
    with held(place / "variantbench.lock", print):
        environment = {**os.environ, "TMPDIR": str(elsewhere)}
        worker = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=ROOT, env=environment
        )
        assert worker.stdout
        what, _, _ = msgspec.json.decode(worker.stdout.readline())
        assert what.startswith(f"waiting for the machine: process {os.getpid()} (")
        assert not Path(out).exists()
    worker.communicate()
    assert msgspec.json.decode(Path(out).read_bytes(), type=Result).error is not None
