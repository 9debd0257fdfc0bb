"""The sweeps in results/ as the heads of their records state them."""

from __future__ import annotations

from pathlib import Path

from bench.records.listing import choices, folders, n_records, stored
from bench.selftest import records, repository


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


def test_the_sweeps_of_a_folder_are_apart_and_count_their_failures(tmp_path: Path) -> None:
    records.write_sweep(tmp_path, {"base": records.VARIANTS["base"]}, rounds=2)
    path = records.write(
        tmp_path, {**records.failed("q4"), "sweep": "smoke", "started_at": "2026-12-01T00:00:00+00:00"}
    )
    path.rename(path.with_name("q4~smoke.r0.json"))
    (folder,) = folders(tmp_path)
    (newest, older), left_out = stored(folder)
    assert left_out == []
    assert (newest.sweep, newest.cells, newest.failed) == ("smoke", 1, {"q4": 1})
    assert (older.sweep, older.cells, older.failed, older.variants) == ("embedded-reference", 2, {}, ["base"])
    assert (older.machine, older.label, n_records(folder)) == (records.MACHINE, records.COMMIT[:12], 3)


def test_a_head_whose_place_is_not_its_own_and_a_file_cut_short_are_left_out(tmp_path: Path) -> None:
    moved, cut = (records.write(tmp_path, records.record(name)) for name in ("q4", "q8"))
    moved.rename(moved.with_name("q5.r0.json"))
    cut.write_text(cut.read_text()[:-9])
    sweeps, left_out = stored(cut.parent)
    assert sweeps == []
    whys = {file.path.name: file.why for file in left_out}
    assert whys["q5.r0.json"] == "variant: the record says q4, its path q5: a file from elsewhere"
    assert whys["q8.r0.json"].startswith("not JSON, perhaps cut short")


def test_the_newest_commits_are_named_to_choose_from_and_the_rest_counted(tmp_path: Path) -> None:
    shas = repository.make_history(tmp_path, 3, rounds=1, requests=5)
    results = tmp_path / "results"
    named = [f"{sha[:12]} (embedded-reference)" for sha in reversed(shas)]
    assert choices(results) == ", ".join(named)
    assert choices(results, most=2) == f"{named[0]}, {named[1]} and 1 more"
    assert choices(tmp_path / "nowhere") == "none, it is empty"
