"""`bench gc`: what the cache holds for no record, and its removal."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from filelock import FileLock

from bench.cli import main
from bench.selftest import raw_values, records
from bench.sweep.garbage import find_garbage
from variants.cache import Cache

Capture = pytest.CaptureFixture[str]


class ScratchCache:
    """A cache of made-up artifacts, and a record that names some of them."""

    def __init__(self, root: Path) -> None:
        self.root, self.results = root / "cache", root / "results"
        Cache(self.root).create()
        source, kept, child, lost = (letter * 64 for letter in "abcd")
        for name, parent in ((source, None), (kept, source), (child, kept), (lost, None)):
            self.add(name, {"parent": parent, "step": {"name": f"step-{name[0]}"}})
        content = records.record("q4")
        content["lineage"][-1]["fingerprint"] = content["artifact"]["fingerprint"] = kept
        self.record = records.write(self.results, content)

    def add(self, name: str, manifest: dict[str, object]) -> Path:
        folder = self.root / "artifacts" / name
        folder.mkdir(parents=True)
        (folder / "artifact.json").write_text(json.dumps({"fingerprint": name, **manifest}))
        (folder / "weights.gguf").write_bytes(bytes(1000))
        return folder

    def names(self) -> str:
        return "".join(sorted(path.name[0] for path in (self.root / "artifacts").glob("*") if path.is_dir()))

    def gc(self, *more: str) -> int:
        return main(["gc", "--cache", str(self.root), "--results", str(self.results), *more])


@pytest.fixture
def cache(tmp_path: Path) -> ScratchCache:
    return ScratchCache(tmp_path)


def test_gc_says_what_no_record_names_and_removes_nothing_unasked(cache: ScratchCache, capsys: Capture) -> None:
    size_bytes = sum(p.stat().st_size for letter in "cd" for p in (cache.root / "artifacts" / (64 * letter)).iterdir())
    assert cache.gc() == 0
    output = capsys.readouterr().out
    assert f"names 2 folders, {size_bytes:,} bytes" in output
    assert "step-c" in output
    assert "nothing was removed" in output
    assert cache.names() == "abcd"


def test_gc_removes_it_on_request_and_keeps_what_a_record_descends_from(cache: ScratchCache, capsys: Capture) -> None:
    assert cache.gc("--yes") == 0
    assert cache.names() == "ab"  # a is the parent of b, which the record names
    output = capsys.readouterr().out
    assert output.index("names 2 folders") < output.index("removed 2 folders")
    cache.record.unlink()
    assert cache.gc("--yes") == 0
    assert cache.names() == ""


def test_gc_frees_kept_scores_with_their_artifact_and_counts_their_bytes(cache: ScratchCache, capsys: Capture) -> None:
    for letter in "bdf":  # of an artifact that is named, of one that is not, and of one that is gone
        scores = cache.root / "scores" / (64 * letter)
        scores.mkdir(parents=True)
        (scores / f"{64 * '0'}.npy").write_bytes(bytes(50))
    assert cache.gc("--yes") == 0
    assert [path.name[0] for path in (cache.root / "scores").iterdir()] == ["b"]
    output = capsys.readouterr().out
    assert output.count("50 bytes  scores") == 2
    assert "removed 4 folders" in output


def test_gc_keeps_the_base_of_a_divergence_and_says_that_its_log_probabilities_are_made_again(
    cache: ScratchCache, capsys: Capture
) -> None:
    cache.add(64 * "e", {"parent": 64 * "d", "step": {"name": "logprobs"}})
    content = records.record("q4", 1)
    content["measures"]["divergence"] = {**raw_values.divergence(0.01), "base": 64 * "d"}
    records.write(cache.results, content)
    assert cache.gc("--yes") == 0
    assert cache.names() == "abd"
    assert "logprobs: a base's log-probabilities" in capsys.readouterr().out


def test_gc_keeps_what_a_record_names_that_is_no_sound_one(cache: ScratchCache) -> None:
    cache.record.write_text(cache.record.read_text()[:-20])
    cache.gc("--yes")
    assert cache.names() == "ab"


def test_gc_never_touches_what_a_build_holds(cache: ScratchCache, capsys: Capture) -> None:
    building = cache.root / "artifacts" / f".{64 * 'e'}.{os.getpid()}"
    building.mkdir()
    (building / "half").write_bytes(bytes(10))
    with (
        FileLock(cache.root / "artifacts" / f"{64 * 'e'}.lock"),
        FileLock(cache.root / "artifacts" / f"{64 * 'd'}.lock"),
    ):
        assert cache.gc("--yes") == 0
    assert "held by a running build" in capsys.readouterr().out
    assert building.exists()
    assert cache.names() == ".abd"
    cache.gc("--yes")  # nobody holds it now: what a killed build left behind
    assert cache.names() == "ab"


def test_gc_waits_for_no_sweep_and_removes_nothing_beside_one(cache: ScratchCache, capsys: Capture) -> None:
    (cache.root / "jobs").mkdir()
    with FileLock(cache.root / "jobs" / "cell.lock"):
        assert cache.gc("--yes") == 2
    assert "a sweep is running" in capsys.readouterr().err
    assert cache.names() == "abcd"


def test_gc_without_a_folder_of_records_is_a_mistake(cache: ScratchCache, capsys: Capture) -> None:
    assert main(["gc", "--yes", "--cache", str(cache.root), "--results", str(cache.results / "typo")]) == 2
    assert "no folder" in capsys.readouterr().err
    assert len(find_garbage(Cache(cache.root), cache.results)) == 2


def test_gc_removes_only_what_this_tool_made(cache: ScratchCache, tmp_path: Path, capsys: Capture) -> None:
    artifacts, scores = cache.root / "artifacts", cache.root / "scores"
    (tmp_path / "elsewhere").mkdir()
    mine = [
        artifacts / "thesis" / "chapter1.tex",
        artifacts / (64 * "f") / "no manifest.txt",
        artifacts / (64 * "9") / "artifact.json",
        artifacts / f".{64 * 'e'}.backup" / "weights.gguf",
        scores / (64 * "e") / "notes.txt",
        scores / "mine" / f"{64 * '0'}.npy",
        tmp_path / "elsewhere" / "artifact.json",
        cache.results / "report" / ".hidden.markdown",
        cache.root / "jobs" / "sweep" / "todo.txt",
    ]
    for path in mine:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"fingerprint": "e" * 64, "step": {"name": "x"}}))
    for link in (artifacts / (64 * "e"), artifacts / f".{64 * 'e'}.7", scores / (64 * "8")):
        link.symlink_to(tmp_path / "elsewhere")
    (artifacts / (64 * "c") / "link").symlink_to(tmp_path / "elsewhere")
    assert cache.gc("--yes") == 0
    assert "removed 2 folders" in capsys.readouterr().out
    assert all(path.exists() for path in mine)


@pytest.mark.parametrize("tag", [None, "Signature: 8a477f597d28d172789f06886806bc55\n# made by cargo\n"])
def test_gc_removes_nothing_from_a_folder_that_is_not_marked_as_its_cache(
    cache: ScratchCache, capsys: Capture, tag: str | None
) -> None:
    (cache.root / "CACHEDIR.TAG").unlink()
    if tag:
        (cache.root / "CACHEDIR.TAG").write_text(tag)
    assert cache.gc("--yes") == 2
    assert "is not marked as a cache of this tool" in capsys.readouterr().err
    assert cache.names() == "abcd"


def test_a_folder_is_marked_as_a_cache_unless_something_else_is_in_it(tmp_path: Path) -> None:
    for name, content, marked in (
        ("new", (), True),
        ("of an older version", ("artifacts", "scores", "jobs", "hydra", "lm-eval-0.4.9-tasks.json"), True),
        ("home", ("artifacts", "Documents"), False),
    ):
        for entry in content:
            (tmp_path / name / entry).mkdir(parents=True)
        Cache(tmp_path / name).create()
        assert Cache(tmp_path / name).is_marked is marked
        assert (tmp_path / name / "CACHEDIR.TAG").exists() is marked


def test_gc_lists_and_removes_what_ended_and_killed_runs_left(cache: ScratchCache, capsys: Capture) -> None:
    failed = records.failed("q8", 0)
    failed["error"]["log"] = ".cache/jobs/sweep/q8.r0.measure.0123abcd.log"
    failed["error"]["reproduce"] = "python -m bench.sweep.worker .cache/jobs/sweep/q8.r0.measure.0123abcd.job.json"
    jobs = cache.root / "jobs" / "sweep"
    jobs.mkdir(parents=True)
    stages = cache.root / "stages"
    stages.mkdir()
    needed = [*(jobs / f"q8.r0.measure.0123abcd.{end}" for end in ("log", "job.json")), stages / f"{64 * '8'}.sealed"]
    failed["cell"] = 64 * "8"
    folder = records.write(cache.results, failed).parent
    old = [
        stages / f"{64 * '9'}.sealed",
        jobs / "base.r0.timed.run18f3.4567abcd.state.json",
        *(jobs / f"base.r0.q4.4567abcd.{end}" for end in ("log", "job.json", "out.json")),
        *(cache.root / "jobs" / f"{64 * '7'}.{end}" for end in ("lock", "holder")),
        cache.root / "artifacts" / f"{64 * '6'}.lock",
        jobs / ".base.r0.q4.4567abcd.out.json.abcd1234.tmp",
        folder / ".q4.r0.json.abcd1234.tmp",
        folder / ".q4.r1.json.abcd_234",
    ]
    for path in (*needed, *old):
        path.write_text("" if path.suffix == ".lock" else "x")  # filelock 3 empties the files it locks
    assert cache.gc() == 0
    listed = capsys.readouterr().out
    for line in (
        "5 bytes  job files      5 files",
        "1 bytes  first passes   1 file",
        "0 bytes  locks          2 files",
        "cut-off writes 3 files",
    ):
        assert line in listed
    assert all(path.exists() for path in old)
    assert cache.gc("--yes") == 0
    assert "removed 3 files of cut-off writes" in capsys.readouterr().out
    assert [path for path in old if path.exists()] == []
    assert all(path.exists() for path in needed)


def test_gc_takes_no_manifest_for_a_record_where_the_cache_lies_in_the_results(cache: ScratchCache) -> None:
    within = cache.results / "cache"
    cache.root.rename(within)
    cache.root = within
    assert cache.gc("--yes") == 0
    assert cache.names() == "ab"


def test_gc_keeps_what_a_record_names_that_waits_in_the_cache(cache: ScratchCache) -> None:
    waiting = Cache(cache.root).unplaced(cache.results) / cache.record.relative_to(cache.results)
    waiting.parent.mkdir(parents=True)
    cache.record.rename(waiting)
    assert cache.gc("--yes") == 0
    assert cache.names() == "ab"


def test_gc_is_not_stopped_by_odd_files_or_by_artifacts_that_descend_from_each_other(
    cache: ScratchCache, capsys: Capture
) -> None:
    os.mkfifo(cache.results / "pipe.json")
    (cache.results / "device.json").symlink_to("/dev/zero")
    for name, parent in (("e", "f"), ("f", "e")):
        cache.add(64 * name, {"parent": 64 * parent, "step": {"name": "circle"}})
    assert cache.gc("--yes") == 0
    assert cache.names() == "ab"
