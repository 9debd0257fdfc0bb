"""Type a command line in this process, in a place of its own, and see how it ends."""

from __future__ import annotations

import io
import os
import random
import shutil
import signal
import traceback
from collections.abc import Iterable, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pytest

from bench.cli import main
from variants.paths import ROOT

LONGEST_SECONDS = 120
"""A line that takes longer hangs; on a busy machine the slowest takes some seconds."""


class Planned(BaseException):
    """A line came so far that something would be built, measured or fetched."""


class Hung(BaseException):
    """A line took longer than any should."""


@dataclass(frozen=True)
class Ending:
    """How a command line ended: its exit code, or `planned`; what it wrote to standard error, and which files."""

    line: Sequence[str]
    code: int | str
    errors: str
    written: frozenset[str]

    @property
    def sound(self) -> bool:
        """Say whether the line ended well, or in one line of complaint with nothing written."""
        if self.code in (0, 1, "planned"):
            return True
        one_line = self.errors.startswith("bench: ") and self.errors.count("\n") == 1
        return self.code == 2 and one_line and not self.written

    def __str__(self) -> str:
        words = [word if len(word) < 80 else f"{word[:80]}…" for word in self.line]
        return f"{words} -> {self.code}: {self.errors[-400:]!r} {sorted(self.written)}"


def typed(line: Sequence[str], place: Path) -> Ending:
    """Type a line; `place` is the folder with its results and its cache."""
    before, out, errors = files_of(place), io.StringIO(), io.StringIO()
    code: int | str
    previous = signal.signal(signal.SIGALRM, _hang)
    signal.alarm(LONGEST_SECONDS)
    try:
        with redirect_stdout(out), redirect_stderr(errors):
            code = main(line)
    except Planned:
        code = "planned"
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else f"exit {stop.code}"
    except BaseException:
        code = "traceback"
        errors.write(traceback.format_exc())
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, previous)
    return Ending(line, code, errors.getvalue(), files_of(place) - before)


def files_of(place: Path) -> frozenset[str]:
    """Return the files and folders of a place, and those at the top of the checkout and of the disk."""
    top = {str(path) for folder in (ROOT, Path("/"), Path.cwd()) for path in folder.iterdir()}
    return frozenset(top | {str(path) for path in place.rglob("*")})


def _hang(*_: object) -> None:
    raise Hung


(ROOT / ".cache").mkdir(exist_ok=True)  # made before any line is typed: another test process may make it
T = TypeVar("T")


def drawn(seed: int, n: int, inputs: Iterable[T]) -> list[T]:
    """Draw some of the inputs of a grammar, the same ones in every run; another FUZZ_SEED draws others."""
    return random.Random(seed + int(os.environ.get("FUZZ_SEED", "0"))).sample(list(inputs), n)


def run_line(place: Path, *overrides: str) -> list[str]:
    places = [f"results_dir={place / 'results'}", f"cache_dir={place / 'cache'}"]
    return ["run", "suite=smoke", "variant=base", *places, *overrides]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with results/ and cache/, in which lines end where something would be built, measured or fetched."""

    def stop(*_: object, **__: object) -> None:
        raise Planned

    for what in ("bench.commands.run.fetch_data", "bench.commands.run.run_pass", "bench.commands.bisect.worktree"):
        monkeypatch.setattr(what, stop)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    (tmp_path / "results").mkdir()
    (tmp_path / "cache").mkdir()
    return tmp_path


@pytest.fixture
def conf(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of conf/ that the commands read in its stead."""
    folder = tmp_path_factory.mktemp("checkout") / "conf"
    shutil.copytree(ROOT / "conf", folder)
    for module in ("plan.conf", "plan.compose", "plan.cell", "passes", "launchers"):
        monkeypatch.setattr(f"bench.sweep.{module}.CONF", folder)
    monkeypatch.setattr("bench.commands.list.CONF", folder)
    monkeypatch.setattr("bench.advise.named.FOLDER", folder / "requirements")
    monkeypatch.setattr("bench.advise.named.SUITES", folder / "suite")
    return folder
