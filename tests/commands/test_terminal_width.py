"""Every verb in a real pseudo-terminal: no line is wider than it, no word is cut, and nothing is left out with dots."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.cells import cell_len

from bench.cli import EXAMPLES
from bench.records.listing import folders
from tests.sweep.conftest import arguments
from variants.cache import Cache
from variants.paths import ROOT

ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b\][^\x07]*\x07")
WIDTHS, WIDE = (80, 120), 400


def in_terminal(columns: int, *command: str, rc: tuple[int, ...] = (0,)) -> str:
    """Run a command on a terminal of this width; return what it wrote, without colours."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    environment = {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "LINES", "NO_COLOR")}
    process = subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, cwd=ROOT, env={**environment, "TERM": "xterm-256color"}
    )
    os.close(theirs)
    written = b"".join(iter(lambda: read(ours), b""))
    os.close(ours)
    assert process.wait() in rc, written.decode()
    return ESCAPES.sub("", written.decode()).replace("\r\n", "\n").replace("\r", "\n")


def read(handle: int) -> bytes:
    try:
        return os.read(handle, 65536)
    except OSError:  # how Linux says that the other end is closed
        return b""


def bench(columns: int, *arguments: str, rc: tuple[int, ...] = (0,)) -> str:
    return in_terminal(columns, sys.executable, "-m", "bench.cli", *arguments, rc=rc)


def assert_fits(narrow: str, wide: str, columns: int) -> None:
    """Assert that lines fit, unless one word such as a path is wider, and that each word is one of a wide terminal."""
    overlong = [line for line in narrow.splitlines() if cell_len(line) > columns and " " in line.strip()]
    assert not overlong, "\n".join(overlong)
    cut = {word for word in set(narrow.split()) - set(wide.split()) if word.strip("─")}
    assert not cut, (cut, narrow)


def verbs(out: Path) -> Iterator[tuple[str, list[str], tuple[int, ...]]]:
    """Yield each verb over the shipped records: a name, what is typed, and the exit codes that are right."""
    measured = folders(ROOT / "results")
    newest, before = [folder.name for folder in measured if folder.parent == measured[0].parent][:2]
    places = ["--out", str(out / "report")]
    yield "report", ["report", *places, "--format", "csv"], (0,)  # all formats print the same
    yield "advise", ["advise"], (0, 1, 2)
    yield "compare", ["compare", before, newest], (0, 1, 2)
    yield "compare --all --flips", ["compare", before, newest, "--all", "--flips"], (0, 1, 2)
    yield "history", ["history", "--cache", str(out / "cache"), *places, "--format", "csv"], (0,)
    yield "list", ["list"], (0,)
    yield "list --long", ["list", "--long"], (0,)
    yield "list --names", ["list", "--names"], (0,)
    yield "gc", ["gc", "--cache", str(out / "cache")], (0,)


NAMES = [name for name, _, _ in verbs(Path())]


@pytest.mark.parametrize("name", [name for name, _, _ in verbs(Path())])
def test_a_verb_fits_the_terminal_and_cuts_no_word(tmp_path: Path, name: str) -> None:
    Cache(tmp_path / "cache").create()
    typed, rc = next((typed, rc) for verb, typed, rc in verbs(tmp_path) if verb == name)
    wide = bench(WIDE, *typed, rc=rc)
    for columns in WIDTHS:
        assert_fits(bench(columns, *typed, rc=rc), wide, columns)


@pytest.mark.parametrize("command", EXAMPLES)
def test_help_fits_the_terminal(command: str) -> None:
    typed = [*filter(None, [command]), "--help"]
    wide = bench(WIDE, *typed)
    for columns in WIDTHS:
        assert_fits(bench(columns, *typed), wide, columns)


def test_doctor_fits_the_terminal_and_prints_nothing_but_its_lines() -> None:
    text = bench(WIDTHS[0], "doctor", rc=(0, 1))
    assert_fits(text, text, WIDTHS[0])
    *lines, conclusion = text.splitlines()
    assert conclusion.startswith("the embedded suite can")
    assert all(line.startswith(("✓ ", "! ", "✗ ", " " * 16)) for line in lines), text


def test_a_sweep_fits_the_terminal_while_it_runs_and_at_its_end(tmp_path: Path, tiny_model: Path, cache: Path) -> None:
    typed = [*arguments(tiny_model, tmp_path / "results", cache), "variant=base"]
    live = bench(WIDTHS[0], *typed)
    assert_fits(live, live, WIDTHS[0])
    assert "1/1 base, round 1 of 1" in live
    assert "the time left is not known yet" in live
    wide = bench(WIDE, *typed)
    for columns in WIDTHS:
        assert_fits(bench(columns, *typed), wide, columns)


def test_the_evidence_of_a_bisection_fits_the_terminal() -> None:
    # Without the bisection, which builds for minutes.
    script = (
        "from bench.commands.bisect import Evidence, _print, _print_environment\n"
        "from bench.compare.verdict import VerdictLine\n"
        "_print_environment('HEAD~30', 'HEAD')\n"
        "line = VerdictLine('q4', 'changed', 'size_bytes', 'worse', base=7e6, head=8e6, change=8 / 7, test='exact')\n"
        "_print(Evidence('0' * 40, 'bad', line, 'a long reason ' * 9))\n"
    )
    wide = in_terminal(WIDE, sys.executable, "-c", script)
    for columns in WIDTHS:
        assert_fits(in_terminal(columns, sys.executable, "-c", script), wide, columns)
