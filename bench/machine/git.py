"""Ask git about a checkout: its commit and state, what a revision names, and the order of the commits.

This is the one place that starts git. It asks plumbing commands alone, which no alias, pager or format of the user's
changes. Nothing that a repository configures is run: no hook, file system monitor, diff driver, signature check or
fetch, and a filter only where a bisection checks a commit out. No variable of the caller names another repository: git
sets `GIT_DIR` and its like for each hook. What git refuses is an error in its own words.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.machine.files import CODE, Content, Kind, content_of, is_code, is_record, written_by_sweeps
from bench.machine.group import end_group
from variants.errors import UserError

OVERRIDES = (
    *("core.fsmonitor=false", "core.untrackedCache=false", "core.hooksPath=/dev/null"),
    *("submodule.recurse=false", "log.showSignature=false", "gc.auto=0", "maintenance.auto=false"),
)
SETTINGS = {
    "LC_ALL": "C",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_NO_REPLACE_OBJECTS": "1",  # `git replace` and grafts show another content under the sha of a commit
    "GIT_GRAFT_FILE": os.devnull,
    "GIT_ALLOW_PROTOCOL": "none",
    "GIT_DISCOVERY_ACROSS_FILESYSTEM": "1",
}
LONGEST_REVISION = 1000
"""In characters: what is longer names no commit."""
KINDS: Mapping[str, Kind] = {"120000": "link", "160000": "repository"}
"""The modes in git's trees that are no plain file. Nothing here runs a file by its executable bit: it may differ."""


@dataclass(frozen=True)
class State:
    """The commit of a checkout (None without git) and whether files differ from it.

    `tree` is `clean`, or a digest of what differs; without git it is a digest of the project's code.
    """

    sha: str | None
    dirty: bool
    tree: str


def git_environment() -> dict[str, str]:
    """Return the variables of this process without those that git reads: they may name another repository."""
    return {name: text for name, text in os.environ.items() if not name.startswith("GIT_")}


def run_git(folder: Path, *arguments: str) -> str | None:
    """Return what a git command prints in a folder; None where the answer is no, or there is no git or no repository.

    Raises UserError with git's message where it refuses.
    """
    output = _output(folder, *arguments)
    return None if output is None else output.decode(errors="replace")


def _output(folder: Path, *arguments: str) -> bytes | None:
    if not any(os.path.lexists(place / ".git") for place in (folder, *folder.parents)):
        return None
    options = [part for override in OVERRIDES for part in ("-c", override)]
    command = ["git", "-C", str(folder), *options, *arguments]
    environment = git_environment() | SETTINGS
    pipe = subprocess.PIPE
    try:
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, env=environment, start_new_session=True
        )
    except OSError:
        return None
    with child:
        try:
            output, errors = child.communicate()
        except BaseException:
            end_group(child)  # git has children too, which would go on with a checkout
            raise
    if child.returncode == 0:
        return output
    lines = errors.decode(errors="replace").splitlines()
    starts = [place for place, line in enumerate(lines) if line.startswith(("fatal:", "error:"))]
    if starts:
        raise UserError(f"git {arguments[0]}: {' '.join(' '.join(lines[starts[-1] :]).split())}")
    return None


def project_of(folder: Path) -> Path:
    """Return the folder of the project that a folder belongs to: the nearest with its code, else the whole checkout."""
    here = folder.resolve()
    above = (here, *here.parents)
    checkouts = (place for place in above if os.path.lexists(place / ".git"))
    return next(filter(_has_code, above), None) or next(checkouts, here)


def _has_code(folder: Path) -> bool:
    return all((folder / name).is_dir() for name in CODE)


def state(folder: Path) -> State:
    """Return the state of the project that a folder belongs to.

    It covers the project's own folder: the rest of a larger repository is no part of what is measured. What a sweep
    writes is left out, as it does not change what the next one measures: `results/`, and wherever they lie records,
    the reports next to them and caches.
    """
    return _state(project_of(folder))


def _state(project: Path) -> State:
    sha = (run_git(project, "rev-parse", "--verify", "--quiet", "HEAD") or "").strip()
    committed = _committed(project) if sha else {}
    # A larger repository, such as one of settings in a home, may know nothing of the project in it.
    if not sha or (not committed and _has_code(project)):
        return State(None, True, _tree_without_git(project))
    code, (names, sparse) = _code(project), _listed(project)
    digest, dirty = hashlib.sha256(), False
    written = written_by_sweeps(names)
    if any({"", ".", ".."}.intersection(name.rstrip("/").split("/")) for name in (*committed, *names)):
        raise UserError(f"git: the index or HEAD of {project} is damaged: a file in it has no proper name")
    for name in sorted({*committed, *names, *code}):
        if not is_code(name) and (is_record(name) or f"{name}/".startswith(written)):
            continue
        now = _now(project / name, committed.get(name), len(sha))
        if now == committed.get(name) or (now is None and name in sparse and not is_code(name)):
            continue
        kind, identity = now or ("gone", "")
        digest.update(os.fsencode(name) + b"\0" + f"{kind} {identity}\0".encode())
        dirty = True
    return State(sha, dirty, digest.hexdigest()[:12] if dirty else "clean")


def _now(path: Path, committed: Content | None, digits: int) -> Content | None:
    """Return what a file is now, None where there is none. A nested repository is its commit, and how that differs."""
    if path.is_symlink() or not os.path.lexists(path / ".git"):
        return content_of(path, committed, digits)
    inner = _state(path)
    return "repository", f"{inner.sha}" if not inner.dirty else f"{inner.sha} {inner.tree}"


def _committed(project: Path) -> dict[str, Content]:
    """Return the files of HEAD in the project's folder, by their paths in it."""
    contents: dict[str, Content] = {}
    for entry in _needed(project, "ls-tree", "-r", "-z", "HEAD").split("\0")[:-1]:
        facts, _, name = entry.partition("\t")
        mode, _, identity = facts.split(" ")
        contents[name] = KINDS.get(mode, "file"), identity
    return contents


def _listed(project: Path) -> tuple[set[str], set[str]]:
    """Return the files that the index has or that nothing ignores, and those that a sparse checkout leaves away."""
    listed = _needed(project, "ls-files", "-z", "-t", "--cached", "--others", "--exclude-standard")
    entries = [(entry[0], entry[2:]) for entry in listed.split("\0")[:-1]]
    return {name for _, name in entries}, {name for tag, name in entries if tag == "S"}


def _needed(project: Path, *arguments: str) -> str:
    output = _output(project, *arguments)
    if output is None:
        raise UserError(f"git {arguments[0]} failed in {project}")
    return os.fsdecode(output)


def _code(project: Path) -> set[str]:
    """Return the files that Python or the configuration would read, whether git ignores them or not."""
    places = [*project.glob("*"), *(path for folder in CODE for path in (project / folder).rglob("*"))]
    return {name for path in places if is_code(name := path.relative_to(project).as_posix()) and path.is_file()}


def _tree_without_git(root: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(p for folder in CODE for p in (root / folder).rglob("*.[py]*")):
        if path.suffix in (".py", ".yaml") and path.is_file():  # an editor's lock is a link to nothing
            digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def commit_of(folder: Path, revision: str) -> str | None:
    """Return the sha of the commit that a revision names, None where git knows no such revision."""
    if revision.startswith("-") or not revision.isprintable() or len(revision) > LONGEST_REVISION:
        return None
    asked = ("rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
    sha = run_git(project_of(folder), *asked)
    return sha.strip() if sha else None


def ancestors(folder: Path, *of: str) -> list[str]:
    """List HEAD (or `of`, as `git rev-list` takes it) and the commits that it descends from, newest first."""
    asked = of or ("HEAD",)
    return (run_git(project_of(folder), "rev-list", "--topo-order", "--ignore-missing", *asked) or "").split()


def shallow_note(folder: Path) -> str:
    """Return a note where a clone has not all of its history, else nothing."""
    if (run_git(project_of(folder), "rev-parse", "--is-shallow-repository") or "").strip() != "true":
        return ""
    return "this clone is shallow, older commits are not in it: `git fetch --unshallow` fetches them"


def subject_of(folder: Path, sha: str) -> str:
    """Return the first line of the message of a commit."""
    asked = ("rev-list", "--no-walk", "--ignore-missing", "--encoding=UTF-8", "--format=%s", sha)
    return (run_git(project_of(folder), *asked) or "").partition("\n")[2].removesuffix("\n")
