"""A record's file: what is no sound record is named with the place inside it; seals; older schemas."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import bench
from bench.records.file import MIGRATIONS, seal, sealed
from bench.records.store import read
from bench.records.values import LATENCIES
from bench.selftest import raw_values, records
from tests.records.conftest import why_left_out, written

ONE_ROLE = {"variant": {"name": "q4", "steps": ["source", "gguf"], "runtime": "llamacpp", "roles": ["source"]}}


def asked(**columns: Any) -> dict[str, Any]:
    return {"measures": {"accuracy": {"hr": {"question": ["a", "b"], "subject": ["", ""], **columns}}}}


def diverged(**other: Any) -> dict[str, Any]:
    return {"measures": {"divergence": {**raw_values.divergence(0.01), **other}}}


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"schema": 9}, "schema 9 is unknown"),
        ({"measures": None}, "Expected `object`, got `null` - at `$.measures`"),
        ({"commit": {}}, "missing required field `sha` - at `$.commit`"),
        (
            {"measures": {"latency": {"ttft_ms": [1.0], "tpot_ms": [], "e2e_ms": [1.0]}}},
            "requests must be alike in number",
        ),
        (
            {"measures": {"latency": {key: ["9"] for key in LATENCIES}}},
            "got `str` - at `$.measures.latency.ttft_ms[0]`",
        ),
        (
            {"measures": {"latency": {key: [0.0] for key in LATENCIES}}},
            "`float` >= 1e-06 - at `$.measures.latency.ttft_ms[0]`",
        ),
        ({"measures": {"size": {"size_bytes": "2300000"}}}, "got `str` - at `$.measures.size.size_bytes`"),
        (
            {"measures": {"memory": {"peak_resident_bytes": -1}}},
            "`int` >= 1 - at `$.measures.memory.peak_resident_bytes`",
        ),
        ({"canary": {"before": {"copy_gb_s": True}}}, "Expected `float`, got `bool` - at `$.canary[...][...]`"),
        (asked(value=[1, "0"], metric="f1"), "got `str` - at `$.measures.accuracy.hr.value[1]`"),
        (asked(value=[0.5, [1.0, 2]], metric="f1"), "`value` is neither all numbers nor all pairs"),
        (asked(value=[0.5], metric="f1"), "columns of lengths [1, 2]; documents must be alike in number"),
        (
            asked(gold=[0, 1], picked=[0, None], loglik=[[-1.0], [-2.0]]),
            "got `null` - at `$.measures.accuracy.hr.picked[1]`",
        ),
        (
            diverged(same_top="01"),
            "columns of lengths [2, 256]; tokens must be alike in number, and at least one "
            "- at `$.measures.divergence`",
        ),
        (diverged(same_top="2" * 256), "`str` matching regex '^[01]*$' - at `$.measures.divergence.same_top`"),
        (diverged(kl=["0"] * 256), "got `str` - at `$.measures.divergence.kl[0]`"),
        (diverged(window=0), "`int` >= 1 - at `$.measures.divergence.window`"),
        (diverged(base=None), "Expected `str`, got `null` - at `$.measures.divergence.base`"),
        ({"config": ONE_ROLE}, "1 roles for 2 steps - at `$.config.variant`"),
        (asked(gold=[0, 1], picked=[0, 1], loglik=[[], [-2.0]]), "length >= 1 - at `$.measures.accuracy.hr.loglik[0]`"),
        ({"measures": []}, "Expected `object`, got `array` - at `$.measures`"),
        ({"status": "done"}, "Invalid enum value 'done' - at `$.status`"),
        ({"artifact": {}}, "missing required field `fingerprint` - at `$.artifact`"),
        ({"lineage": [], "artifact": None}, "its status is ok, and it names no artifact"),
    ],
)
def test_a_file_that_is_no_record_is_named_and_left_out(tmp_path: Path, change: dict[str, Any], why: str) -> None:
    good = records.write(tmp_path, records.record("base"))
    bad = good.with_name("q4.r0.json")
    bad.write_text(sealed({**records.record("q4"), **change}))
    sound, left_out = read(tmp_path)
    assert [record.variant for record in sound] == ["base"]
    assert len(left_out) == 1
    assert left_out[0].path == bad
    assert why in left_out[0].why
    with pytest.warns(UserWarning, match=r"q4\.r0\.json"):
        bench.load(tmp_path)


def test_a_record_cut_short_is_left_out(tmp_path: Path) -> None:
    path = records.write(tmp_path, records.record("base"))
    path.write_text(path.read_text()[:1000])
    assert read(tmp_path)[0] == []
    assert [file.path for file in read(tmp_path)[1]] == [path]


@pytest.mark.parametrize(
    ("number", "why"),
    [
        *((number, f"{number} is no number") for number in ("NaN", "Infinity", "-Infinity")),
        ("1e999", "Number out of range - at `$.measures.latency.ttft_ms[0]`"),
    ],
)
def test_a_number_that_is_none_is_named_and_left_out(tmp_path: Path, number: str, why: str) -> None:
    path = records.write(tmp_path, records.record("q4"))
    text = re.sub(r'"ttft_ms": \[[^,]*', f'"ttft_ms": [{number}', path.read_text())
    path.write_text(seal("{\n" + text.split("\n", 2)[2]))  # whoever wrote it sealed it too
    assert why_left_out(tmp_path) == why


def test_a_swapped_artifact_hash_is_named_and_left_out(tmp_path: Path) -> None:
    records.write(tmp_path, {**records.record("q4"), "artifact": {"fingerprint": "another", "kind": "gguf"}})
    assert why_left_out(tmp_path) == "artifact: its fingerprint is another, the last of its lineage source/gguf/"


def test_a_record_of_the_tool_that_was_changed_by_hand_is_left_out(tmp_path: Path) -> None:
    path = written(tmp_path, records.record("q4"))
    assert [record.variant for record in read(tmp_path)[0]] == ["q4"]
    path.write_text(path.read_text().replace('"size_bytes": 2300000', '"size_bytes": 2200000'))
    assert why_left_out(tmp_path) == "changed since it was written: its content does not fit its sha256"


def test_a_record_that_git_checked_out_with_other_line_ends_is_whole(tmp_path: Path) -> None:
    path = written(tmp_path, records.record("q4"))
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert [record.variant for record in read(tmp_path)[0]] == ["q4"]


def test_older_schemas_are_migrated_by_explicit_code_and_refused_without_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = {**records.record("q4"), "schema": 0}
    content["name"] = content.pop("variant")
    records.write(tmp_path, {**content, "variant": "q4"}).write_text(sealed(content))
    assert why_left_out(tmp_path) == "schema 0 is unknown, this version reads 1"

    def named(data: dict[str, Any]) -> dict[str, Any]:
        return {**data, "schema": 1, "variant": data["name"]}

    monkeypatch.setitem(MIGRATIONS, 0, named)
    assert [record.variant for record in read(tmp_path)[0]] == ["q4"]
