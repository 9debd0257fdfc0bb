"""What it costs to read many records: seconds and peak memory of commands over a made-up store."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from variants.paths import ROOT

COMMITS = (100, 1000)
CELLS = 36
"""Records of a commit: 12 variants, 3 rounds."""
COMMANDS = (
    ("bench list", ("list",), "3 s"),
    ("bench list --all", ("list", "--all"), ""),
    ("bench compare HEAD~1", ("compare", "HEAD~1"), "3 s"),
    ("bench history, cold", ("history",), "20 s"),
    ("bench history, with its index", ("history",), "4 s"),
)
COLUMNS = ("store", "command", "seconds", "peak MB", "promised")


def rows() -> Iterator[tuple[str, ...]]:
    """Time each command once over each size of store; yield a row of COLUMNS each."""
    for commits in COMMITS:
        with tempfile.TemporaryDirectory() as folder:
            make = [sys.executable, "-m", "bench.selftest.repository", folder, "--commits", str(commits)]
            subprocess.run(make, cwd=ROOT, check=True, capture_output=True)
            for name, arguments, promised in COMMANDS:
                seconds, peak_bytes = _cost(arguments, Path(folder))
                promise = f"{promised}, 1,500 MB" if promised and commits == max(COMMITS) else ""
                yield f"{commits * CELLS:,} records", name, f"{seconds:.2f}", f"{peak_bytes / 1e6:,.0f}", promise


def _cost(arguments: tuple[str, ...], folder: Path) -> tuple[float, int]:
    """Run a command of `bench`; return its seconds and the peak of its resident memory in bytes."""
    where = ["--results", str(folder / "results")] + (["--out", str(folder / "out")] if "history" in arguments else [])
    start = time.perf_counter()
    command = [sys.executable, "-m", "bench.cli", *arguments, *where]
    child = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert child.stderr is not None
    message = child.stderr.read()
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode not in (0, 1):
        raise RuntimeError(f"{' '.join(arguments)}: exit {child.returncode}: {message.strip()[-300:]}")
    return time.perf_counter() - start, usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
