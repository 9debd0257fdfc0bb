"""The layout of the cache: where artifacts, kept scores, jobs, locks and indexes lie. No other module knows it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from variants.artifact import Artifact, read_artifact
from variants.paths import ROOT, resolve
from variants.step import Planned


@dataclass(frozen=True)
class Cache:
    """The folder `cache_dir`: everything in it can be made again, so it is safe to delete while nothing runs."""

    root: Path

    @classmethod
    def default(cls) -> Cache:
        """Return the cache of conf/config.yaml, for what runs without a composed configuration."""
        import yaml

        return cls(resolve(yaml.safe_load((ROOT / "conf" / "config.yaml").read_text(encoding="utf-8"))["cache_dir"]))

    @classmethod
    def of(cls, artifact: Artifact) -> Cache:
        """Return the cache that an artifact lies in."""
        return cls(artifact.path.parents[1])

    @property
    def artifacts(self) -> Path:
        """The folder of all artifacts."""
        return self.root / "artifacts"

    def artifact(self, fingerprint: str) -> Path:
        """Return where the artifact of this fingerprint is or will be."""
        return self.artifacts / fingerprint

    def artifact_lock(self, fingerprint: str) -> Path:
        """Return the lock that a build of this artifact holds."""
        return self.artifacts / f"{fingerprint}.lock"

    def unfinished(self, fingerprint: str) -> Path:
        """Return the folder in which this process builds the artifact, until it is whole."""
        return self.artifacts / f".{fingerprint}.{os.getpid()}"

    def leftovers(self, fingerprint: str) -> list[Path]:
        """List the unfinished folders of an artifact; whoever holds its lock knows that their builds were killed."""
        return list(self.artifacts.glob(f".{fingerprint}.*"))

    def find(self, fingerprint: str) -> Artifact | None:
        """Open a finished artifact, or return None where it is not built. Raises UserError for a damaged one."""
        path = self.artifact(fingerprint)
        return read_artifact(path) if path.is_dir() else None

    def missing(self, chain: Sequence[Planned]) -> list[Planned]:
        """List the steps of a chain whose artifacts are not built yet."""
        return [planned for planned in chain if self.find(planned.fingerprint) is None]

    def scores(self, fingerprint: str) -> Path:
        """Return the folder of the scores that were kept of an artifact."""
        return self.root / "scores" / fingerprint

    def jobs(self, sweep: str) -> Path:
        """Return the folder of a sweep's job files and logs."""
        return self.root / "jobs" / sweep

    def cell_lock(self, key: str) -> Path:
        """Return the lock that a cell holds while it runs."""
        return self.root / "jobs" / f"{key}.lock"

    def cell_locks(self) -> list[Path]:
        """List the locks of all cells that ever ran; a lock file stays when its cell has ended."""
        return list((self.root / "jobs").glob("*.lock"))

    @property
    def removal_lock(self) -> Path:
        """The lock that is held while artifacts are removed; each cell waits for it before it looks for its own."""
        return self.root / "artifacts.lock"

    def removable(self) -> list[Path]:
        """List the folders of artifacts, finished or not, and then those of kept scores, each in order of names."""
        folders = [path for kind in ("artifacts", "scores") for path in sorted((self.root / kind).glob("*"))]
        return [path for path in folders if path.is_dir()]

    def holds_scores(self, folder: Path) -> bool:
        """Return whether one of the `removable` folders has scores in it, and not an artifact."""
        return folder.parent.name == "scores"

    def lock_of(self, folder: Path) -> Path:
        """Return the lock of the artifact that one of the `removable` folders is, is to become, or has scores of."""
        return self.artifact_lock(folder.name.lstrip(".").partition(".")[0])

    def history(self, results: Path) -> Path:
        """Return the folder in which `bench history` keeps its index and its charts of a folder of records."""
        return self.root / "history" / hashlib.sha256(str(results.resolve()).encode()).hexdigest()[:16]

    def lm_eval_names(self, version: str) -> Path:
        """Return the file of the task names of one version of lm-eval."""
        return self.root / f"lm-eval-{version}-tasks.json"

    @property
    def bisect(self) -> Path:
        """The folder in which `bench bisect` has its worktree, its records and caches of its own."""
        return self.root / "bisect"
