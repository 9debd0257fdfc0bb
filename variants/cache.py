"""The layout of the cache: where artifacts, kept scores, jobs, locks and indexes lie. No other module knows it."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from variants.artifact import FINGERPRINT, Artifact, DamagedError, check_artifact, read_artifact
from variants.data.text import read_yaml
from variants.errors import UserError
from variants.paths import ROOT, resolve
from variants.step import Planned
from variants.storage import checksum

TAG = "CACHEDIR.TAG"
TAG_TEXT = """Signature: 8a477f597d28d172789f06886806bc55
# This file marks a cache of variantbench: `bench gc` removes what it made here. Backups may leave the folder out.
# See https://bford.info/cachedir/
"""
OWN = re.compile(
    r"artifacts(\.lock)?|models|scores|stages|jobs|hydra|history|bisect|unplaced|lm-eval-.+-tasks\.json"
    r"|\.?(checksums|largest_weights)\.json(\..{8}(\.tmp)?)?|\.sweep\..{8}\.tmp"
)
"""The names directly in a cache."""
UNFINISHED = re.compile(rf"\.({FINGERPRINT.pattern})\.(\d+|gc)")
"""An artifact that is being built by a process, or was, and one that is being removed."""
SCORES = re.compile(rf"\.?{FINGERPRINT.pattern}\.(sealed|npy|txt)(\.[a-z0-9_]{{8}}(\.tmp)?)?")
"""A file of kept scores, or the temporary file of one; `.npy` and `.txt` are those of older versions."""
LOCK = re.compile(rf"{FINGERPRINT.pattern}\.lock")
STAGE = re.compile(rf"{FINGERPRINT.pattern}\.sealed")
"""What the first pass measured of a cell, until the cell has its record."""
JOB = re.compile(r".+\.r\d+\..+\.[0-9a-f]{8}\.((job|out|state)\.json|out\.tmp|log)")
"""A file of a job: its cell, its stage, and the beginning of the cell's key."""
FULL_BYTES = 65536
"""A disk with less than this free is full."""


@dataclass(frozen=True)
class Cache:
    """The folder `cache_dir`: everything in it can be made again, so it is safe to delete while nothing runs."""

    root: Path

    @classmethod
    def default(cls) -> Cache:
        """Return the cache of conf/config.yaml, for what runs without a composed configuration.

        Raises UserError where that file names none.
        """
        file = ROOT / "conf" / "config.yaml"
        values = read_yaml(file)
        named = values.get("cache_dir") if isinstance(values, dict) else None
        if not isinstance(named, str):
            raise UserError(f"{file}: cache_dir: got {named!r}, allowed: a folder")
        return cls(resolve(named))

    @classmethod
    def of(cls, artifact: Artifact) -> Cache:
        """Return the cache that an artifact lies in."""
        return cls(artifact.path.parents[1])

    def create(self) -> None:
        """Make the folder, and mark it as a cache unless something else is in it too.

        Backups leave out what is marked so, and `bench gc` removes nothing from what is not.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        names = [path.name for path in self.root.iterdir()]
        if TAG not in names and all(OWN.fullmatch(name) for name in names):
            (self.root / TAG).write_text(TAG_TEXT, encoding="utf-8")
        checksum.keep(self.checksums)

    @property
    def checksums(self) -> Path:
        """The file of the checksums of sources and data, which are read once as long as they do not change."""
        return self.root / "checksums.json"

    @property
    def largest_weights(self) -> Path:
        """The file of the largest weights of sources, by their checksums."""
        return self.root / "largest_weights.json"

    @property
    def is_marked(self) -> bool:
        """Whether this tool has marked the folder as its cache; other tools mark theirs by the same file."""
        tag = self.root / TAG
        return tag.is_file() and "variantbench" in tag.read_text(encoding="utf-8", errors="replace")

    @property
    def artifacts(self) -> Path:
        """The folder of all artifacts."""
        return self.root / "artifacts"

    def artifact(self, fingerprint: str) -> Path:
        """Return where the artifact of this fingerprint is or will be."""
        return self.artifacts / fingerprint

    def model(self, digest: str) -> Path:
        """Return where the model of random weights is or will be that this digest describes."""
        return self.root / "models" / digest

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
        """Open a finished artifact, or return None where it is not built, or damaged: then it is built again."""
        try:
            return self.open(fingerprint)
        except UserError:
            return None

    def open(self, fingerprint: str) -> Artifact:
        """Open a finished artifact. Raises UserError where it is not built or damaged."""
        path = self.artifact(fingerprint)
        if not path.is_dir():
            raise UserError(f"{path}: not built; run again")
        return read_artifact(path)

    def damage(self, fingerprint: str, *, in_full: bool = False) -> str | None:
        """Return what is wrong with the files of an artifact that is there, by their checksums if `in_full`."""
        path = self.artifact(fingerprint)
        try:
            if os.path.lexists(path):
                check_artifact(path, in_full=in_full)
        except DamagedError as damaged:
            return str(damaged)
        return None

    def why_to_build(self, fingerprint: str) -> str | None:
        """Return what is wrong with an artifact or its parents, empty where it is not built, None where it is sound."""
        try:
            self.open(fingerprint)
        except DamagedError as damaged:
            return str(damaged).removeprefix(f"{self.artifacts}/")
        except UserError:
            return ""
        return None

    def discard(self, path: Path) -> None:
        """Remove what has the place of an artifact; the name goes first, half an artifact must not look like one."""
        if os.path.lexists(path):
            doomed = path.with_name(f".{path.name.lstrip('.')[:64]}.gc")
            remove(doomed)
            path.rename(doomed)
            remove(doomed)

    def missing(self, chain: Sequence[Planned]) -> list[Planned]:
        """List the steps of a chain whose artifacts are not built yet, or damaged."""
        return [
            planned
            for planned in chain
            if not self.artifact(planned.fingerprint).is_dir() or self.damage(planned.fingerprint)
        ]

    def no_room(self, error: BaseException | None = None) -> str | None:
        """Return in one line that the disk of the cache is full, None where that is not why something failed."""
        if isinstance(error, UserError) or not self.root.is_dir():
            return None
        number, place = getattr(error, "errno", None), getattr(error, "filename", None)
        says_full = number in (errno.ENOSPC, errno.EDQUOT) or "No space left" in str(error)
        elsewhere = place is not None and not Path(os.fsdecode(place)).is_relative_to(self.root)
        if (says_full and not elsewhere) or shutil.disk_usage(self.root).free < FULL_BYTES:
            return f"cache_dir={self.root}: no space left on its disk; free some, or choose another cache_dir=…"
        return None

    def scores(self, fingerprint: str) -> Path:
        """Return the folder of the scores that were kept of an artifact."""
        return self.root / "scores" / fingerprint

    def stage(self, key: str) -> Path:
        """Return where what the first pass measured of a cell is kept."""
        return self.root / "stages" / f"{key}.sealed"

    def stages(self) -> list[Path]:
        """List what is kept of all cells."""
        files = sorted((self.root / "stages").glob("*.sealed"))
        return [path for path in files if STAGE.fullmatch(path.name) and path.is_file() and not path.is_symlink()]

    def jobs(self, sweep: str) -> Path:
        """Return the folder of a sweep's job files and logs."""
        return self.root / "jobs" / sweep

    def cell_lock(self, key: str) -> Path:
        """Return the lock that a cell holds while it runs."""
        return self.root / "jobs" / f"{key}.lock"

    def cell_locks(self) -> list[Path]:
        """List the locks of all cells that ever ran; a lock file stays when its cell has ended."""
        return [path for path in sorted((self.root / "jobs").glob("*.lock")) if not path.is_symlink()]

    def locks(self) -> list[Path]:
        """List the locks of all cells and of all artifacts that were ever built."""
        locks = [*self.cell_locks(), *sorted(self.artifacts.glob("*.lock"))]
        return [path for path in locks if LOCK.fullmatch(path.name) and not path.is_symlink()]

    def job_files(self) -> list[Path]:
        """List the job files, results and logs of all sweeps, and who held the lock of a cell."""
        jobs = self.root / "jobs"
        files = [path for folder in _folders(jobs) for path in sorted(folder.iterdir()) if JOB.fullmatch(path.name)]
        return [path for path in [*files, *jobs.glob("*.holder")] if path.is_file() and not path.is_symlink()]

    @property
    def removal_lock(self) -> Path:
        """The lock that is held while artifacts are removed; each cell waits for it before it looks for its own."""
        return self.root / "artifacts.lock"

    def removable(self) -> list[Path]:
        """List the folders of artifacts, finished or not, of kept scores and of random models, each in order of names.

        What has another name than this tool gives is not among them, nor a link, nor scores with something between.
        """
        folders = [path for kind in ("artifacts", "scores", "models") for path in _folders(self.root / kind)]
        return [path for path in folders if self._is_own(path)]

    def _is_own(self, folder: Path) -> bool:
        if self.holds_scores(folder) and not all(SCORES.fullmatch(path.name) for path in folder.iterdir()):
            return False
        return bool(UNFINISHED.fullmatch(folder.name) or FINGERPRINT.fullmatch(folder.name))

    def holds_scores(self, folder: Path) -> bool:
        """Return whether one of the `removable` folders has scores in it, and not an artifact."""
        return folder.parent.name == "scores"

    def holds_model(self, folder: Path) -> bool:
        """Return whether one of the `removable` folders is a random model, which is made again in seconds."""
        return folder.parent.name == "models"

    def lock_of(self, folder: Path) -> Path:
        """Return the lock of the artifact that one of the `removable` folders is, is to become, or has scores of."""
        return self.artifact_lock(folder.name.lstrip(".").partition(".")[0])

    def unplaced(self, results: Path) -> Path:
        """Return the folder of the records that could not be written to a folder of results."""
        return self.root / "unplaced" / _digest(results)

    def history(self, results: Path) -> Path:
        """Return the folder in which `bench history` keeps its index and its charts of a folder of records."""
        return self.root / "history" / _digest(results)

    def lm_eval_names(self, version: str) -> Path:
        """Return the file of the task names of one version of lm-eval."""
        return self.root / f"lm-eval-{version}-tasks.json"

    @property
    def bisect(self) -> Path:
        """The folder in which `bench bisect` has its worktree, its records and caches of its own."""
        return self.root / "bisect"


def remove(path: Path) -> None:
    """Remove a folder with all that is in it, a link or a file, and what a link points at never."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _folders(folder: Path) -> list[Path]:
    """List the folders in a folder by name; a link is none."""
    if folder.is_symlink() or not folder.is_dir():
        return []
    return sorted(Path(entry.path) for entry in os.scandir(folder) if entry.is_dir(follow_symlinks=False))


def _digest(results: Path) -> str:
    return hashlib.sha256(str(results.resolve()).encode()).hexdigest()[:16]
