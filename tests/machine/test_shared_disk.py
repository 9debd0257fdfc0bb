"""Which folders the processes of a sweep can share, on one machine and on several."""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path

import pytest

from bench.machine.shared_disk import Held, Mount, check_shared, held_here, mount_of, mounts, why_one_machine
from variants.errors import UserError

NFS = "server:/export /mnt/team\\040disk nfs4 rw,relatime,vers=4.2,local_lock=none,addr=10.0.0.1 0 0"
TABLE = f"/dev/vda1 / ext4 rw,relatime 0 0\ntmpfs /tmp tmpfs rw 0 0\n{NFS}\n"


def test_the_mount_of_a_folder_is_the_nearest_above_it_and_the_last_on_its_point() -> None:
    table = mounts(TABLE + "other:/x /mnt/team\\040disk nfs rw,nolock 0 0\n")
    assert mount_of(Path("/mnt/team disk/cache"), table) == Mount(Path("/mnt/team disk"), "nfs", ("rw", "nolock"))
    assert mount_of(Path("/mnt/team disks"), table) == Mount(Path("/"), "ext4", ("rw", "relatime"))


@pytest.mark.parametrize(
    ("kind", "options", "why"),
    [
        ("nfs4", "rw,vers=4.2,local_lock=none", ""),
        ("nfs", "rw,vers=3,local_lock=flock", "keeps locks to one machine (local_lock=flock)"),
        ("nfs", "rw,vers=3,nolock", "keeps locks to one machine (nolock)"),
        ("nfs", "rw,vers=3,local_lock=posix", ""),  # fcntl(2) stays here, flock(2) goes to the server
        ("lustre", "rw,flock,lazystatfs", ""),
        ("lustre", "rw,localflock", "keeps locks to one machine (localflock)"),
        ("cifs", "rw,nobrl", "keeps locks to one machine (nobrl)"),
        ("tmpfs", "rw", "is on this machine alone"),
        ("ext4", "rw", "is on this machine alone"),
        ("fuse.sshfs", "rw", "is on this machine alone"),
        ("ceph", "rw", ""),
        ("beegfs", "rw", ""),  # its locks are set in a file of its own: the processes of the sweep try them
    ],
)
def test_what_a_mount_says_of_its_locks_between_machines(kind: str, options: str, why: str) -> None:
    assert why_one_machine(Mount(Path("/x"), kind, tuple(options.split(",")))) == why


def test_a_normal_folder_is_shared_by_the_processes_of_one_machine_and_not_of_two(tmp_path: Path) -> None:
    table = [Mount(Path("/"), "ext4", ("rw",))]
    check_shared("cache_dir", tmp_path / "made" / "later", 1, table)
    with pytest.raises(UserError) as refused:
        check_shared("cache_dir", tmp_path, 2, table)
    assert str(refused.value) == (
        f"cache_dir={tmp_path}: its file system (ext4, mounted at /) is on this machine alone, and this sweep runs on "
        "2 machines; choose another cache_dir=…"
    )
    assert list(tmp_path.iterdir()) == []


def test_a_lock_that_two_processes_get_is_refused_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fcntl, "flock", lambda *_: None)  # what a file system does that takes locks and ignores them
    with pytest.raises(
        UserError, match=r"^results_dir=.* gives one lock to two processes; choose another results_dir=…$"
    ):
        check_shared("results_dir", tmp_path)


def test_a_file_system_without_locks_is_refused_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def flock(*_: object) -> None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))  # as Lustre without -o flock answers

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(UserError, match=r"^cache_dir=.* does not lock files \(Function not implemented\); choose"):
        check_shared("cache_dir", tmp_path)


def test_a_process_finds_out_whether_it_shares_the_folders_of_the_sweep(tmp_path: Path) -> None:
    with held_here((("cache_dir", tmp_path / "cache"), ("results_dir", tmp_path / "results"))) as held:
        assert [one.key for one in held] == ["cache_dir", "results_dir"]
        for one in held:
            one.check()
    with pytest.raises(
        UserError, match=r"^cache_dir=.* does not see what .* writes there \(No such file or directory\)"
    ):
        held[0].check()
    free = tmp_path / "free.lock"
    free.touch()
    with pytest.raises(UserError, match=r"^cache_dir=.* could take a lock that head holds; choose a folder"):
        Held("cache_dir", free, "head").check()
    assert not [path for path in tmp_path.rglob("*.lock") if path != free]
