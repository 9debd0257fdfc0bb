"""What results/ holds and what the cache holds for nothing: `bench list` and `bench gc`, and a comparison's formats."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from bench.cli import main
from bench.records.listing import folders, stored
from bench.report.comparison_text import COMMENT_CHARACTERS, as_github
from bench.selftest import raw_values, records, repository
from bench.sweep.garbage import find_garbage
from tests.compare.test_comparison import GENERAL, Checkout, checkout, failing, q4
from variants.cache import Cache

__all__ = ["checkout"]

Capture = pytest.CaptureFixture[str]


def test_list_shows_commits_in_gits_order_with_cells_and_failures(checkout: Checkout, capsys: Capture) -> None:
    early = "2020-01-01T00:00:00+00:00"
    checkout.measure(checkout.base, lambda c: c.update(started_at="2026-12-01T00:00:00+00:00"))

    def last_fails(content: dict[str, Any]) -> None:
        content.update(started_at=early)
        if content["round"] == 2:
            failing(content)

    checkout.measure(checkout.head, last_fails)
    checkout.measure("e" * 40)  # a commit that this repository does not know
    assert main(["list", "--results", str(checkout.results)]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    shown = [row for row in rows if records.MACHINE in row]
    assert [row[0] for row in shown] == [checkout.head[:12], checkout.base[:12], "e" * 12]
    assert shown[0] == [
        *(checkout.head[:12], records.MACHINE, "embedded-reference", "2020-01-01", "00:00", "3", "q4", "1", "q4"),
    ]
    assert shown[1][5:] == ["3", "–", "q4"]


def test_list_shows_the_newest_commits_and_counts_the_rest(tmp_path: Path, capsys: Capture) -> None:
    shas = repository.make_history(tmp_path, 5, rounds=1, requests=5)
    assert main(["list", "--results", str(tmp_path / "results"), "--limit", "2"]) == 0
    output = capsys.readouterr().out
    assert [sha[:12] in output for sha in shas] == [False, False, False, True, True]
    assert "and 3 more commits with 36 records" in output
    assert main(["list", "--results", str(tmp_path / "results"), "--all"]) == 0
    assert all(sha[:12] in capsys.readouterr().out for sha in shas[:1])


@pytest.mark.parametrize(
    ("spoil", "complaint", "at_once"),
    [
        (lambda text: text[:-50], "not JSON, perhaps cut short", True),
        (lambda text: text.replace('"schema": 1', '"schema": 7'), "schema 7 is unknown", True),
        (lambda text: text.replace('"id": "test-cpu-2c"', '"id": "other"'), "machine: the record says other", True),
        (lambda text: text.replace('"e2e_ms": [', '"e2e_ms": [NaN, '), "NaN is no number", False),
    ],
)
def test_list_names_what_is_no_sound_record(
    checkout: Checkout, capsys: Capture, spoil: object, complaint: str, at_once: bool
) -> None:
    checkout.measure(checkout.head)
    path = checkout.results / records.MACHINE / checkout.head[:12] / "q4.r1.json"
    path.write_text(spoil(path.read_text()))  # type: ignore[operator]
    results = ["--results", str(checkout.results)]
    assert main(["list", *results]) == int(at_once)
    assert bool(re.search(complaint, capsys.readouterr().err)) == at_once
    assert main(["list", "--check", *results]) == 1
    output = capsys.readouterr().err
    assert re.search(complaint, output)
    assert len(output.splitlines()) == 1
    assert str(path) in output


def test_list_of_nothing_says_so(tmp_path: Path, capsys: Capture) -> None:
    assert main(["list", "--results", str(tmp_path)]) == 0
    assert "no records under" in capsys.readouterr().out


def test_the_names_that_overrides_take_are_listed(capsys: Capture) -> None:
    assert main(["list", "--names"]) == 0
    output = capsys.readouterr().out
    assert "finetuned-q4" in output
    assert "lora" in output


def test_heads_of_records_say_what_the_records_do(tmp_path: Path) -> None:
    shas = repository.make_history(tmp_path, 2, rounds=2, requests=5)
    newest = folders(tmp_path / "results")[0]
    (sweep,), left_out = stored(newest)
    assert (newest.name, sweep.cells, sorted(sweep.variants), left_out) == (
        shas[1][:12],
        24,
        sorted(repository.TWELVE),
        [],
    )


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


def test_gc_keeps_the_base_of_a_divergence_and_says_that_its_log_probabilities_are_made_anew(
    cache: ScratchCache, capsys: Capture
) -> None:
    cache.add(64 * "e", {"parent": 64 * "d", "step": {"name": "logprobs"}})
    content = records.record("q4", 1)
    content["measures"]["divergence"] = {**raw_values.divergence(0.01), "base": 64 * "d"}
    records.write(cache.results, content)
    assert cache.gc("--yes") == 0
    assert cache.names() == "abd"
    assert "logprobs is what a base made of the text" in capsys.readouterr().out


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


def test_json_holds_every_line_and_the_exit_code(checkout: Checkout, capsys: Capture) -> None:
    checkout.measure(checkout.base)
    checkout.measure(checkout.head, **q4(general=GENERAL - 0.1))
    typed = ["compare", "HEAD~1", "--results", str(checkout.results), "--format", "json"]
    assert main([*typed, "--flips"]) == 1
    output = json.loads(capsys.readouterr().out)
    line = next(line for line in output["lines"] if line["metric"] == "accuracy general")
    assert (line["verdict"], line["test"], line["n"]) == ("worse", "exact McNemar", 400)
    assert line["low"] < line["change"] < line["high"] < 0
    assert (output["exit_code"], output["head"]["commit"]) == (1, checkout.head)
    assert len(output["flips"]) == line["n"] * -line["change"] + 2 * sum(
        f["base"] != f["gold"] for f in output["flips"]
    )
    assert main([*typed, "--fail-on", "now-fails"]) == 0
    assert json.loads(capsys.readouterr().out)["flips"] is None


@pytest.mark.parametrize(("how", "code", "mark"), [({}, 0, "✅"), (q4(general=GENERAL - 0.1), 1, "❌")])
def test_a_github_comment_shows_what_matters_and_folds_the_rest(
    checkout: Checkout, capsys: Capture, how: dict[str, Any], code: int, mark: str
) -> None:
    checkout.measure(checkout.base)
    checkout.measure(checkout.head, **how)
    assert main(["compare", "HEAD~1", "--results", str(checkout.results), "--format", "github"]) == code
    output = capsys.readouterr().out
    assert output.startswith(f"<!-- variantbench compare -->\n\n### {mark} variantbench: ")
    shown, _, folded = output.partition("<details>")
    assert ("| worse |" in shown) == bool(code)
    assert "| e2e_p99_ms |" in folded
    assert output.count("<details>") == output.count("</details>") == 2


def test_a_github_comment_is_never_longer_than_github_takes(checkout: Checkout) -> None:
    for sha in (checkout.base, checkout.head):
        for i in range(60):
            content = {**records.record("q4"), "variant": f"q4-{i}-{'long' * 20}"}
            records.write(checkout.results, {**content, "commit": {"sha": sha, "dirty": False, "tree": "clean"}})
    comparison = as_github(checkout.compare(), None)
    assert len(comparison) < COMMENT_CHARACTERS
    assert "too long for a comment" in comparison


def test_markdown_holds_the_table_and_the_flips(checkout: Checkout, capsys: Capture) -> None:
    checkout.measure(checkout.base)
    checkout.measure(checkout.head, **q4(general=GENERAL - 0.1))
    assert main(["compare", "HEAD~1", "--results", str(checkout.results), "--format", "md", "--flips"]) == 1
    output = capsys.readouterr().out
    assert "| q4 | accuracy general |" in output
    assert "## Flipped questions" in output
    assert "| lost |" in output


@pytest.mark.parametrize(
    ("typed", "complaint"),
    [
        (["--fail-on", "bad"], "--fail-on: got 'bad', allowed: worse, now-fails"),
        (["--metric", "speed"], "--metric: got 'speed', allowed: artifact, tensor_types, size_bytes"),
        (["--threshold", "e2e_p50_ms"], "--threshold: got 'e2e_p50_ms', allowed: METRIC=SHARE"),
        (["--threshold", "e2e_p50_ms=5"], "--threshold: got 'e2e_p50_ms=5', allowed: METRIC=SHARE"),
        (["--threshold", "speed=0.1"], "--threshold: got 'speed=0.1', allowed: METRIC=SHARE"),
    ],
)
def test_a_mistyped_option_is_one_line_and_exit_code_2(
    checkout: Checkout, capsys: Capture, typed: list[str], complaint: str
) -> None:
    assert main(["compare", "HEAD~1", "--results", str(checkout.results), *typed]) == 2
    output = capsys.readouterr()
    assert (output.out, len(output.err.splitlines())) == ("", 1)
    assert complaint in output.err


def test_a_narrow_terminal_cuts_no_number(checkout: Checkout) -> None:
    import io

    from rich.console import Console

    from bench.report.tables.comparison import verdict_table

    checkout.measure(checkout.base)
    checkout.measure(checkout.head)
    narrow = io.StringIO()
    Console(file=narrow, width=80).print(verdict_table(checkout.compare()))
    assert "…" not in narrow.getvalue()
