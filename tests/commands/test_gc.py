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
        source, kept, child, lost = (letter * 64 for letter in "abcd")
        for name, parent in ((source, None), (kept, source), (child, kept), (lost, None)):
            self.add(name, {"parent": parent, "step": {"name": f"step-{name[0]}"}})
        content = records.record("q4")
        content["lineage"][-1]["fingerprint"] = content["artifact"]["fingerprint"] = kept
        self.record = records.write(self.results, content)

    def add(self, name: str, manifest: dict[str, object]) -> Path:
        folder = self.root / "artifacts" / name
        folder.mkdir(parents=True)
        (folder / "artifact.json").write_text(json.dumps(manifest))
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
        (scores / "chunk.npy").write_bytes(bytes(50))
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
