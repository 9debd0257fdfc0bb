"""Reading a folder of records: files from elsewhere, rounds that do not belong together, values that are no numbers."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.records.store import read
from bench.selftest import raw_values, records
from tests.records.conftest import why_left_out

SOME = {name: records.VARIANTS[name] for name in ("base", "q4")}


@pytest.mark.parametrize(
    ("place", "why"),
    [
        ("other-4c/0123456789ab/q4.r0.json", f"machine: the record says {records.MACHINE}, its path other-4c"),
        (f"{records.MACHINE}/ffffffffffff/q4.r0.json", "commit: the record says 0123456789ab, its path ffffffffffff"),
        (f"{records.MACHINE}/0123456789ab-dirty/q4.r0.json", "commit: the record says 0123456789ab, its path 01234567"),
        (f"{records.MACHINE}/0123456789ab/base.r0.json", "variant: the record says q4, its path base"),
        (f"{records.MACHINE}/0123456789ab/q4.r1.json", "round: the record says 0, its path 1"),
    ],
)
def test_a_file_from_elsewhere_is_named_and_left_out(tmp_path: Path, place: str, why: str) -> None:
    path = records.write(tmp_path, records.record("q4"))
    (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
    path.rename(tmp_path / place)
    assert why_left_out(tmp_path).startswith(why)


def test_rounds_of_different_artifacts_are_all_left_out_and_those_of_other_variants_stay(tmp_path: Path) -> None:
    records.write_sweep(tmp_path, SOME, rounds=2)
    rebuilt = records.record("q4", 1)
    rebuilt["artifact"]["fingerprint"] = rebuilt["lineage"][-1]["fingerprint"] = "rebuilt"
    records.write(tmp_path, rebuilt)
    sound, left_out = read(tmp_path)
    assert {record.variant for record in sound} == {"base"}
    assert [file.path.name for file in left_out] == ["q4.r0.json", "q4.r1.json"]
    assert all(file.why.endswith("measured different ones: rebuilt / source/gguf/") for file in left_out)


def test_what_was_no_finite_number_is_null_and_no_reason_to_leave_a_record_out(tmp_path: Path) -> None:
    content = records.record("q4")
    content["measures"]["accuracy"]["hr"]["loglik"][0] = [None] * 4
    content["measures"]["accuracy"]["hr"]["picked"][0] = -1
    content["measures"]["accuracy"]["wikitext"] = {
        **raw_values.rolling(2.5),
        "value": [[None, 5], None] + [[-9.5, 5]] * 18,
    }
    records.write(tmp_path, content)
    assert read(tmp_path)[1] == []


def test_what_is_no_whole_record_beside_a_cell_is_passed_over(tmp_path: Path) -> None:
    dirty = {"commit": {"sha": records.COMMIT, "dirty": True, "tree": "changed"}}
    whole = records.write(tmp_path, {**records.record("base"), **dirty})
    records.write(tmp_path, records.record("q4"))  # of the clean state, in a folder of its own
    whole.with_name("q8.r0.json").write_text(whole.read_text()[:-20])
    whole.with_name(".q5.r0.json.tmp").write_text("{")
    assert whole.parent.name.endswith("-dirty-changed")
    assert [record.variant for record in read(tmp_path, whole.parent.name)[0]] == ["base"]
