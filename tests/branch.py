"""A scratch repository with a line of measured commits: what histories are tested on."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bench.history.branch import History, history
from bench.history.series import Series
from bench.records.file import sealed
from bench.records.selection import Wanted
from bench.selftest import records, repository, scratch
from variants.cache import Cache

Change = Callable[[int, dict[str, Any]], None]


class Branch:
    """A scratch repository with a line of commits, some of them measured; a commit is known by its place."""

    def __init__(self, root: Path, commits: int) -> None:
        self.root, self.results, self.cache = root, root / "results", root / "cache"
        self.shas = repository.make_commits(root, commits)

    def git(self, *arguments: str) -> str:
        return scratch.git(self.root, *arguments)

    def measure(
        self,
        places: Sequence[int],
        slower: Callable[[int], float] = lambda place: 1.0,
        change: Change | None = None,
        variants: Sequence[str] = ("q4",),
    ) -> None:
        measured = [self.shas[place] for place in places]
        repository.write_history(
            self.results,
            measured,
            2,
            60,
            variants,
            slower=lambda at, variant: slower(places[at]) if variant == "q4" else 1,
        )
        for place in places if change else ():
            for path in self.files(place):
                content = json.loads(path.read_text())
                content.pop("sha256")
                assert change is not None
                change(place, content)
                path.write_text(sealed(content))

    def files(self, place: int) -> list[Path]:
        return sorted((self.results / records.MACHINE / self.shas[place][:12]).glob("*.json"))

    def history(self, machine: str | None = None, sweep: str | None = None, **options: Any) -> History:
        kept = Cache(self.cache).history(self.results)
        return history(self.results, kept, wanted=Wanted(machine=machine, sweep=sweep), **options)

    def series(self, metric: str, variant: str = "q4", **options: Any) -> Series:
        shown = self.history(**options).series
        return next(series for series in shown if (series.variant, series.metric.name) == (variant, metric))

    def changes(self, metric: str) -> list[tuple[int, int, str]]:
        shown = self.series(metric).changes
        return [(c.before.commit.place, c.after.commit.place, c.verdict) for c in shown]
