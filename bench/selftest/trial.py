"""One command that is struck at a random moment, again and again, and at last left to end."""

from __future__ import annotations

import ctypes
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
from filelock import FileLock, Timeout

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
VICTIMS = ("parent", "child", "group")
GRACE_SECONDS = 10.0
"""So long may children outlive their parent; what lives longer is an orphan."""
PR_SET_CHILD_SUBREAPER = 36
OWN = (".gitignore", ".git", ".hydra", ".lock")
"""Hidden names that are no temporaries."""


@dataclass(frozen=True)
class Strike:
    """What happens to whom: a signal, or (None) no more memory than is in use."""

    signal: signal.Signals | None
    victim: str

    def __str__(self) -> str:
        return f"{self.signal.name if self.signal else 'no more memory'}, {self.victim}"

    def hit(self, leader: subprocess.Popen[bytes], rng: random.Random) -> bool:
        """Hit the command, any of its descendants, or its whole group, as a terminal that closes does.

        Returns whether it did: the victim may end at that moment.
        """
        try:
            family = psutil.Process(leader.pid).children(recursive=True)
            child = rng.choice(family) if family else psutil.Process(leader.pid)
            victim = psutil.Process(leader.pid) if self.victim == "parent" else child
            if self.signal is None:
                in_use = victim.memory_info().vms
                victim.rlimit(psutil.RLIMIT_AS, (in_use, in_use))
            elif self.victim == "group":
                os.killpg(leader.pid, self.signal)
            else:
                victim.send_signal(self.signal)
        except (psutil.Error, ProcessLookupError):
            return False
        return True


def any_strike(rng: random.Random) -> Strike:
    """Draw one of the signals, or a lack of memory, and a victim; a group has no memory of its own."""
    drawn = rng.choice((*SIGNALS, None))
    return Strike(drawn, rng.choice(VICTIMS if drawn else VICTIMS[:2]))


@dataclass(frozen=True)
class Trial:
    """A command of `bench` that writes to `places` alone, and what must hold of it.

    `kept` returns what no strike may take away or change once it is there, by name; `outcome` returns what must in the
    end be as if nothing had happened.
    """

    command: Sequence[str]
    folder: Path
    places: Sequence[Path]
    log: Path
    kept: Callable[[], Mapping[str, bytes]]
    outcome: Callable[[], object]

    def start(self) -> subprocess.Popen[bytes]:
        """Start the command as the leader of a group of its own, as a shell in a terminal does."""
        with self.log.open("wb") as stream:
            return subprocess.Popen(
                [sys.executable, "-m", "bench.cli", *self.command],
                cwd=self.folder,
                env={**os.environ, "PYTHONPATH": str(self.folder)},
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                start_new_session=True,
                # A shell's background jobs ignore interrupts; a command that is typed does not.
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
            )

    def end(self) -> float:
        """Run the command undisturbed; return the seconds it took. Raises RuntimeError where it fails."""
        started = time.monotonic()
        if code := self.start().wait():
            raise RuntimeError(f"bench {' '.join(self.command)}: exit {code} undisturbed, see {self.log}")
        return time.monotonic() - started

    def strike(self, strike: Strike, after_seconds: float, rng: random.Random) -> int | None:
        """Start the command and strike it; return the number of orphans, or None where it ended with nobody struck."""
        before = set(psutil.Process().children(recursive=True))
        leader = self.start()
        try:
            leader.wait(after_seconds)
            return None
        except subprocess.TimeoutExpired:
            struck = strike.hit(leader, rng)
        leader.wait()
        if not struck:
            return None
        left = [child for child in psutil.Process().children(recursive=True) if child not in before]
        orphans = psutil.wait_procs(left, timeout=GRACE_SECONDS)[1]
        for orphan in orphans:
            orphan.kill()
        psutil.wait_procs(orphans)
        return len(orphans)

    def stale_locks(self) -> list[Path]:
        """List the lock files that cannot be taken although nothing runs, and the names of holders that are gone."""
        files = [path for place in self.places for path in place.rglob("*")]
        return [path for path in files if path.suffix == ".holder" or (path.suffix == ".lock" and _is_held(path))]

    def leftovers(self) -> list[Path]:
        """List what is half written: temporaries, and hidden files and folders that are not this tool's own."""
        files = [path.relative_to(place) for place in self.places for path in place.rglob("*")]
        return [path for path in files if path.suffix == ".tmp" or (_is_hidden(path) and not _is_own(path))]


def _is_hidden(path: Path) -> bool:
    return path.name.startswith(".")


def _is_own(path: Path) -> bool:
    return any(part in OWN for part in path.parts)


def _is_held(lock: Path) -> bool:
    try:
        with FileLock(lock, timeout=0):
            return False
    except Timeout:
        return True


@contextmanager
def reaping() -> Iterator[None]:
    """Have the kernel hand orphans to this process, which else would not see them (Linux, prctl(2))."""
    libc = ctypes.CDLL(None)
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1)
    try:
        yield
    finally:
        libc.prctl(PR_SET_CHILD_SUBREAPER, 0)
