"""Kill sweeps and bisections at random moments, fill their disks, and count what that loses.

`python -m bench.selftest kills` does it 200 times; it takes most of an hour on two cores.
"""

from __future__ import annotations

import random
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from bench.records import store
from bench.records.schema import parse
from bench.selftest.scratch import copy_project, git, make_tiny_model
from bench.selftest.trial import Strike, Trial, any_strike, reaping
from bench.sweep.stage import read
from variants.cache import Cache
from variants.paths import ROOT

RUNS, BISECTIONS, FULL_DISKS = 170, 20, 10
"""How many strikes of each kind the self-test makes."""
STRIKES = 6
"""After so many strikes a command is left to end, so that every trial also shows a whole resumption."""
DETERMINISTIC = ("size", "accuracy")
COLUMNS = ("struck", "of", "times", "lost or changed", "another result", "orphans", "stale locks", "left behind")
FEW = ("latency.requests=4", "latency.warmup_requests=1", "latency.output_tokens=4", "accuracy.limit=6")


@dataclass
class Tally:
    """How often something was struck, and what that did."""

    times: int = 0
    lost: int = 0
    other_results: int = 0
    orphans: int = 0
    stale_locks: int = 0
    leftovers: int = 0

    @property
    def harmless(self) -> bool:
        """Say whether all is as if nothing had happened."""
        return not (self.lost or self.other_results or self.orphans or self.stale_locks or self.leftovers)


Tallies = dict[tuple[str, str], Tally]
"""A tally by what happened and to which command."""


def rows(seed: int = 0) -> Iterator[list[str]]:
    """Yield the rows of the table: a row for each kind of strike."""
    tallies: Tallies = {}
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name, reaping():
        folder = Path(name)
        model = make_tiny_model(folder / "model")
        strike_many(tallies, lambda place: sweep_trial(model, place), folder / "runs", RUNS, seed)
        strike_many(tallies, lambda place: bisect_trial(model, place), folder / "bisections", BISECTIONS, seed)
        fill_many(tallies, model, folder / "disks", FULL_DISKS, seed)
    for (struck, of), tally in sorted(tallies.items()):
        yield [struck, of, *(str(value) for value in vars(tally).values())]


def strike_many(
    tallies: Tallies,
    make: Callable[[Path], Trial],
    folder: Path,
    strikes: int,
    seed: int,
    draw: Callable[[random.Random], Strike] = any_strike,
    earliest: float = 0.0,
) -> None:
    """Strike trials until there were so many strikes, and add to the tallies; `make` makes a trial in a new folder.

    A strike comes within the seconds that an undisturbed trial takes, and not before the share `earliest` of them. The
    machine may be faster by then than it was for the first one: the seconds are those of the last trial that ended
    before its strike.
    """
    rng = random.Random(seed)
    undisturbed = make(folder / "undisturbed")
    seconds = undisturbed.end()
    expected = undisturbed.outcome()
    done = 0
    while done < strikes:
        place = folder / f"{done}"
        most = min(STRIKES, strikes - done)
        struck, took = _strike_one(tallies, make(place), expected, most, (earliest * seconds, seconds), rng, draw)
        done, seconds = done + struck, seconds if struck else took
        shutil.rmtree(place, ignore_errors=True)


def _strike_one(
    tallies: Tallies,
    trial: Trial,
    expected: object,
    most: int,
    between: tuple[float, float],
    rng: random.Random,
    draw: Callable[[random.Random], Strike],
) -> tuple[int, float]:
    """Strike one trial at most so many times, let it end, and check what is left.

    Returns the number of strikes, and the seconds until the last of them or, where there was none, until the end.
    """
    kept: Mapping[str, bytes] = {}
    tally, done, began = Tally(), 0, time.monotonic()
    while done < most:
        strike = draw(rng)
        orphans = trial.strike(strike, rng.uniform(*between), rng)
        if orphans is None:
            break
        tally, done = tallies.setdefault((str(strike), trial.command[0]), Tally()), done + 1
        tally.times += 1
        tally.orphans += orphans
        now = trial.kept()
        tally.lost += sum(now.get(name) != content for name, content in kept.items())
        kept = now
    took = time.monotonic() - began
    _check(tally, trial, expected, kept)
    return done, took


def _check(tally: Tally, trial: Trial, expected: object, kept: Mapping[str, bytes]) -> None:
    try:
        trial.end()
        tally.other_results += trial.outcome() != expected
    except RuntimeError:
        tally.other_results += 1
    now = trial.kept()
    tally.lost += sum(now.get(name) != content for name, content in kept.items())
    tally.stale_locks += len(trial.stale_locks())
    tally.leftovers += len(trial.leftovers())


def sweep_trial(model: Path, place: Path, *more: str) -> Trial:
    """Return the trial of a sweep of base and q4, or as `more` says, with records and cache in `place`."""
    place.mkdir(parents=True)
    results, cache = place / "results", place / "cache"
    places = [f"results_dir={results}", f"cache_dir={cache}"]
    command = ["run", "suite=smoke", f"model={model}", "variant=base,q4", "device=cpu", *FEW, *places, *more]
    return Trial(
        command,
        ROOT,
        (results, cache),
        place / "log",
        kept=lambda: kept_of(results, cache),
        outcome=lambda: outcome(results),
    )


def kept_of(results: Path, cache: Path) -> dict[str, bytes]:
    """Return what no strike may take away: the `ok` records, and what the first pass has measured of each cell.

    The latter is in the cache until the record of the cell has it.
    """
    files = [path for path in results.glob("*/*/*.r*.json") if not _failed(path)]
    stages = {path.stem: read(path) for path in Cache(cache).stages()}
    measured = {cell: stage.result.measures for cell, stage in stages.items() if stage and not stage.error}
    measured |= {record.cell: record.measures for record in map(parse, files)}
    kept = {str(path): path.read_bytes() for path in files}
    for cell, measures in measured.items():
        first = [msgspec.json.decode(measures[name]) for name in DETERMINISTIC if name in measures]
        kept[f"first pass of {cell}"] = msgspec.json.encode(first)
    return kept


def _failed(record: Path) -> bool:
    try:
        return parse(record).failed
    except ValueError:  # half a record: the outcome names it
        return True


def outcome(results: Path) -> dict[str, object]:
    """Return what no clock decides of the records in a folder: status, artifact, size and answers."""
    sound, left_out = store.read(results)
    return {str(one): "left out" for one in left_out} | {
        f"{record.variant} of round {record.round}": (
            record.status,
            record.artifact,
            *(bytes(record.measures.get(name, b"")) for name in DETERMINISTIC),
        )
        for record in sound
    }


def bisect_trial(model: Path, place: Path) -> Trial:
    """Return the trial of a bisection over three commits of a copy of this project, the second of which adds bytes."""
    root = place / "checkout"
    root.mkdir(parents=True)
    copy_project(root)
    git(root, "init", "-q", "-b", "main")
    steps = root / "conf" / "steps" / "default.yaml"
    for number in range(3):
        if number == 1:
            steps.write_text(steps.read_text().replace("type: Q4_K_M", "type: Q5_K_M"))
        (root / "NOTES").write_text(f"{number}\n")
        git(root, "add", "-A")
        git(root, "commit", "-q", "-m", f"change {number}")
    command = ["bisect", "size_bytes", "q4", "HEAD~2", "HEAD", "--", f"model={model}", "device=cpu", *FEW]
    log = place / "log"
    return Trial(
        command,
        root,
        (root / ".cache",),
        log,
        kept=lambda: _checkout(root),
        outcome=lambda: [line.split()[4:] for line in log.read_text().splitlines() if line.startswith("first bad")],
    )


def _checkout(root: Path) -> dict[str, bytes]:
    """Return everything of the user's that a bisection might touch, by name."""
    asked = (("status", "--porcelain", "--branch"), ("for-each-ref",), ("ls-files", "-s"))
    state = {" ".join(arguments): git(root, *arguments).encode() for arguments in asked}
    return {**state, "HEAD": (root / ".git" / "HEAD").read_bytes()}


def fill_many(tallies: Tallies, model: Path, folder: Path, fillings: int, seed: int) -> None:
    """Sweep with too little room for the cache, then for the records; then give more room and sweep again.

    Where this process may not mount a file system of its own, the table has no such row.
    """
    rng = random.Random(seed)
    undisturbed = sweep_trial(model, folder / "undisturbed")
    undisturbed.end()
    expected = undisturbed.outcome()
    needed = sum(path.stat().st_size for path in (folder / "undisturbed" / "cache").rglob("*") if path.is_file())
    for number in range(fillings):
        which = ("cache", "results")[number % 2]
        size_bytes = rng.randrange(needed // 10, needed) if which == "cache" else 4096
        trial = sweep_trial(model, folder / f"{number}")
        with small_disk(folder / f"{number}" / which, size_bytes) as enlarge:
            if enlarge is None:
                return
            tally = tallies.setdefault((f"full disk, {which}", "run"), Tally())
            tally.times += 1
            trial.start().wait()
            kept = trial.kept()
            enlarge()
            _check(tally, trial, expected, kept)


@contextmanager
def small_disk(place: Path, size_bytes: int) -> Iterator[Callable[[], None] | None]:
    """Mount a file system of a few bytes at `place` and yield what enlarges it, or None where mounting is refused."""
    place.mkdir(parents=True)
    if not _mount("-t", "tmpfs", "-o", f"size={size_bytes}", "none", str(place)):
        yield None
        return
    try:
        yield lambda: _require(_mount("-o", "remount,size=1g", str(place)))
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=False)


def _mount(*arguments: str) -> bool:
    try:
        return subprocess.run(["mount", *arguments], capture_output=True).returncode == 0
    except OSError:
        return False


def _require(done: bool) -> None:
    if not done:
        raise RuntimeError("the small file system could not be enlarged")
