"""A scratch repository of commits with made-up records: for the history, and for what a large store costs.

`python -m bench.selftest.repository OUT --commits 1000` makes one.
"""

from __future__ import annotations

import argparse
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from bench.machine.git import ancestors, git_environment
from bench.records.file import dumps, seal
from bench.records.values import LATENCIES
from bench.selftest import raw_values, records

Slower = Callable[[int, str], float]
"""The true factor on the latencies of a commit (its place, from 0) and a variant."""


def level(place: int, variant: str) -> float:
    """Return 1: nothing changes."""
    return 1.0


TWELVE = tuple(name for name in records.VARIANTS if not name.endswith(("torch", "nf4")))
ROUND_SD = 0.015
"""How much the rounds of one variant differ on a quiet machine, as the log-sd of a factor on all its latencies."""


def make_history(root: Path, commits: int, rounds: int = 3, requests: int = 140, slower: Slower = level) -> list[str]:
    """Make a repository of that many commits, each with the records of a sweep; return the commits, oldest first."""
    shas = make_commits(root, commits)
    write_history(root / "results", shas, rounds, requests, slower=slower)
    return shas


def make_commits(root: Path, commits: int) -> list[str]:
    """Make a repository with a straight line of empty commits on `main`, an hour apart; every hundredth is tagged."""
    root.mkdir(parents=True, exist_ok=True)
    lines = []
    for number in range(commits):
        when = f"t <t@example.com> {1_700_000_000 + 3600 * number} +0000"
        lines += ["commit refs/heads/main", f"committer {when}", f"data <<END\ncommit {number}\nEND\n"]
        if number % 100 == 0:
            lines += [f"tag v{number // 100}", "from refs/heads/main", f"tagger {when}", "data 0\n"]
    for command, text in ((["init", "-q", "-b", "main"], ""), (["fast-import", "--quiet"], "\n".join(lines) + "\n")):
        git = ["git", "-C", str(root), *command]
        subprocess.run(git, input=text, text=True, check=True, env=git_environment())
    return ancestors(root, "main")[::-1]


def write_history(
    results: Path,
    shas: Sequence[str],
    rounds: int = 3,
    requests: int = 140,
    variants: Sequence[str] = TWELVE,
    slower: Slower = level,
    seed: int = 7,
) -> None:
    """Write a sweep per commit; `slower(place, variant)` is the true factor on the latencies of a commit.

    Accuracy and size stay what they are: only what a clock gives differs between commits, anew for each record.
    """
    rng = np.random.default_rng(seed)
    texts = {(name, number): _template(name, number, requests) for name in variants for number in range(rounds)}
    for place, sha in enumerate(shas):
        folder = results / records.MACHINE / sha[:12]
        folder.mkdir(parents=True, exist_ok=True)
        for (name, number), text in texts.items():
            factor = records.VARIANTS[name][3] * slower(place, name) * rng.lognormal(0, ROUND_SD)
            for key, values in raw_values.latency(rng, factor, requests).items():
                if key in LATENCIES:
                    text = text.replace(f'"@{key}"', str([round(value, 4) for value in values]).replace(" ", ""))
            text = text.replace(records.COMMIT, sha).replace(
                "@day", f"{2000 + place // 336}-{place // 28 % 12 + 1:02d}"
            )
            text = text.replace("@of", f"{place % 28 + 1:02d}")
            (folder / f"{name}.r{number}.json").write_text(seal(text), encoding="utf-8")


def _template(name: str, number: int, requests: int) -> str:
    content = records.record(name, number, requests)
    content["measures"]["latency"] |= {key: f"@{key}" for key in LATENCIES}
    content["started_at"] = f"@day-@of{content['started_at'][10:]}"
    return dumps(content) + "\n"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Make a scratch repository of commits with made-up records.")
    parser.add_argument("out", type=Path)
    parser.add_argument("--commits", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    typed = parser.parse_args()
    make_history(typed.out, typed.commits, typed.rounds)
