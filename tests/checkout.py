"""A scratch repository of two commits and the records of one variant at each: what comparisons are tested on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.compare.comparison import Comparison, compare
from bench.compare.verdict import Verdict, VerdictLine
from bench.selftest import records, scratch

Change = Callable[[dict[str, Any]], None]


STEPS, RUNTIME, SIZE, TPOT, GENERAL, HR = records.VARIANTS["q4"]


class Checkout:
    """A scratch repository of two commits, whose records lie in its results/."""

    def __init__(self, root: Path) -> None:
        self.root, self.results = root, root / "results"
        self.git("init", "-q")
        self.base, self.head = (self._commit(name) for name in ("base", "head"))

    def git(self, *arguments: str) -> str:
        return scratch.git(self.root, *arguments)

    def _commit(self, message: str) -> str:
        self.git("commit", "-q", "--allow-empty", "-m", message)
        return self.git("rev-parse", "HEAD")

    def measure(self, sha: str, change: Change | None = None, dirty: bool = False, **how: Any) -> None:
        """Write the records of q4 at a commit, changed by `change`; `how` is for the generator."""
        for number in range(3):
            content = records.record("q4", number, **how)
            content["commit"] = {"sha": sha, "dirty": dirty, "tree": "changed" if dirty else "clean"}
            if change:
                change(content)
            records.write(self.results, content)

    def compare(self, base: str = "HEAD~1", head: str | None = None, **options: Any) -> Comparison:
        return compare(self.results, base, head, **options)

    def lines(self) -> dict[str, VerdictLine]:
        """Compare, and return the line of each metric."""
        return {line.metric: line for line in self.compare().lines}

    def verdicts(self) -> dict[str, Verdict]:
        return {metric: line.verdict for metric, line in self.lines().items()}


def q4(size: int = SIZE, tpot: float = TPOT, general: float = GENERAL, hr: float = HR) -> dict[str, Any]:
    return {"spec": (STEPS, RUNTIME, size, tpot, general, hr)}


def scaled(content: dict[str, Any], factor: float) -> None:
    latency = content["measures"]["latency"]
    for name in ("ttft_ms", "tpot_ms", "e2e_ms"):
        latency[name] = [factor * value for value in latency[name]]


def failing(content: dict[str, Any]) -> None:
    fields = records.failed("q4", content["round"])
    content.update({key: fields[key] for key in ("status", "measures", "lineage", "artifact", "session", "error")})


def set_in(*path: str, value: Any) -> Change:
    def change(content: dict[str, Any]) -> None:
        node = content
        for key in path[:-1]:
            if key not in node:
                return
            node = node[key]
        node[path[-1]] = value

    return change
