"""Whether a folder can be shared by the processes of a sweep, on one machine or on several: its locks must exclude.

Locks are flock(2), by `filelock` too. Many network file systems keep them to one machine, and some take them and do
nothing: two processes would then build the same artifact at once, and each would believe itself alone. What a mount
promises is looked up; what it does is tried.
"""

from __future__ import annotations

import fcntl
import os
import re
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from bench.files import remove_leftovers, scratch
from variants.child import start
from variants.errors import UserError

MOUNTS = Path("/proc/self/mounts")
ONE_MACHINE = frozenset(
    {
        *("tmpfs", "ramfs", "devtmpfs", "ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "f2fs", "jfs", "reiserfs"),
        *("overlay", "aufs", "squashfs", "vfat", "exfat", "ntfs", "ntfs3", "bcachefs", "fuse.sshfs"),
    }
)
"""File systems whose files, or at least whose locks, exist on one machine alone."""
LOCAL_LOCKS = (
    # nfs(5): with local_lock=all or flock, and in version 3 with nolock, flock(2) is not sent to the server
    (re.compile(r"nfs4?"), re.compile(r"local_lock=(?:all|flock)|nolock")),
    (re.compile(r"lustre"), re.compile(r"localflock|noflock")),  # mount.lustre(8)
    (re.compile(r"cifs|smb3?"), re.compile(r"nobrl|nolock")),  # mount.cifs(8)
    (re.compile(r"gfs2|ocfs2"), re.compile(r"localflocks|lockproto=lock_nolock")),
)
"""By kind of file system, the mount options that keep its locks to one machine."""
CHILD = """
import fcntl, sys
with open(sys.argv[1], "r+") as file:  # NFS locks only what may be written
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.exit(0)
sys.exit(1)
"""
"""Ends with 0 where another process holds the lock of a file, with 1 where it could take it."""


class NotSharedError(UserError):
    """A job's machine does not share a folder with `bench run`: no job of the sweep can be believed."""


@dataclass(frozen=True)
class Mount:
    """A line of /proc/mounts."""

    point: Path
    kind: str
    options: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.kind}, mounted at {self.point}"


def mounts(text: str | None = None) -> list[Mount]:
    r"""Return the mounts of this machine, or those in a text like /proc/mounts, in which a space is `\040`."""
    if text is None:
        text = MOUNTS.read_text(errors="replace") if MOUNTS.exists() else ""
    lines = [line.split() for line in text.splitlines()]
    return [
        Mount(
            Path(re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), line[1])), line[2], (*line[3].split(","),)
        )
        for line in lines
        if len(line) >= 4
    ]


def mount_of(folder: Path, among: Sequence[Mount]) -> Mount | None:
    """Return the mount that a folder lies in; of two on the same point the later one covers the other."""
    covering = [mount for mount in reversed(among) if folder.is_relative_to(mount.point)]
    return max(covering, key=lambda mount: len(mount.point.parts), default=None)


def why_one_machine(mount: Mount) -> str:
    """Return why processes on two machines could not lock each other out there, empty where nothing says so."""
    if mount.kind in ONE_MACHINE:
        return "is on this machine alone"
    for kind, options in LOCAL_LOCKS:
        local = next((option for option in mount.options if options.fullmatch(option)), None)
        if kind.fullmatch(mount.kind) and local:
            return f"keeps locks to one machine ({local})"
    return ""


def why_not_locked(folder: Path) -> str:
    """Return why two processes of this machine could not share a folder that exists, empty where they can.

    A child tries to take the lock that this process holds, and a file is renamed onto another.
    """
    try:
        remove_leftovers(folder)  # of a run that was killed just here
        with scratch(folder / "locks") as (handle, first), scratch(folder / "locks") as (_, second):
            os.write(handle, b"new")
            first.replace(second)
            if first.exists() or second.read_bytes() != b"new":
                return "does not replace a file by another"
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            child = [sys.executable, "-I", "-S", "-c", CHILD, str(second)]
            tried = subprocess.run(child, capture_output=True, **start())
    except OSError as error:
        return f"does not lock files ({error.strerror})"
    return "" if tried.returncode == 0 else "gives one lock to two processes"


def check_shared(key: str, folder: Path, machines: int = 1, among: Sequence[Mount] | None = None) -> None:
    """Raise UserError where the processes of a sweep could not share a folder, in one line.

    `key` is where the user wrote the folder, `machines` on how many the sweep runs.
    """
    there = next(path for path in (folder, *folder.parents) if path.exists())
    mount = mount_of(there.resolve(), mounts() if among is None else among)
    why = why_not_locked(there)
    if not why and machines > 1 and mount is not None:
        why = why_one_machine(mount)
    if why:
        where = f" ({mount})" if mount else ""
        several = f", and this sweep runs on {machines} machines" if machines > 1 else ""
        raise UserError(f"{key}={folder}: its file system{where} {why}{several}; choose another {key}=…")


@contextmanager
def held_here(folders: Sequence[tuple[str, Path]]) -> Iterator[tuple[Held, ...]]:
    """Hold the lock of a new file in each folder while a sweep runs: its processes elsewhere look for it."""
    with ExitStack() as open_files:
        held = []
        for key, folder in folders:
            folder.mkdir(parents=True, exist_ok=True)
            file = open_files.enter_context(tempfile.NamedTemporaryFile(dir=folder, prefix=".sweep.", suffix=".tmp"))
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            held.append(Held(key, Path(file.name), socket.gethostname()))
        yield tuple(held)


@dataclass(frozen=True)
class Held:
    """A file whose lock `bench run` holds on its machine while its sweep runs."""

    key: str
    file: Path
    host: str

    def check(self) -> None:
        """Raise UserError where this process sees no such file, or could take its lock: the folder is not shared."""
        here, folder = socket.gethostname(), self.file.parent
        cure = f"choose a folder of a file system that {self.host} and {here} share as {self.key}=…"
        try:
            handle = os.open(self.file, os.O_RDWR)  # NFS locks only what may be written
        except OSError as error:
            raise NotSharedError(
                f"{self.key}={folder}: {here} does not see what {self.host} writes there ({error.strerror}); {cure}"
            ) from None
        try:
            with suppress(BlockingIOError):
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                raise NotSharedError(f"{self.key}={folder}: {here} could take a lock that {self.host} holds; {cure}")
        except OSError as error:
            raise NotSharedError(f"{self.key}={folder}: {here} cannot lock there ({error.strerror}); {cure}") from None
        finally:
            os.close(handle)
