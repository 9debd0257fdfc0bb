"""Records read back: the tidy table, files that are no records, and which sweep is meant."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import bench
from bench.records.file import MIGRATIONS, decode, record_path, write
from bench.records.selection import Selection, Wanted, select
from bench.records.store import read
from bench.records.types import Record
from bench.records.values import LATENCIES
from bench.selftest import raw_values, records
from bench.summary import pairs
from bench.summary.summarize import summarize

SOME = {name: records.VARIANTS[name] for name in ("base", "q4")}


def commit(sha: str, dirty: bool = False) -> dict[str, Any]:
    return {"sha": sha * 40, "dirty": dirty, "tree": "changed" if dirty else "clean"}


def typed(content: dict[str, Any]) -> Record:
    return decode(json.dumps(content).encode())


def written(results: Path, content: dict[str, Any]) -> Path:
    """Write a record as the tool does, sealed."""
    record = typed(content)
    path = record_path(results, record.machine.id, record.commit, "", record.variant, record.round)
    write(record, path)
    return path


def chosen_of(results: Path, wanted: Wanted | None = None) -> Selection:
    chosen = select(read(results)[0], wanted or Wanted(), results)
    assert chosen is not None
    return chosen


def asked(**columns: Any) -> dict[str, Any]:
    return {"measures": {"accuracy": {"hr": {"question": ["a", "b"], "subject": ["", ""], **columns}}}}


def diverged(**other: Any) -> dict[str, Any]:
    return {"measures": {"divergence": {**raw_values.divergence(0.01), **other}}}


def test_the_table_has_a_row_per_cell_and_metric(tmp_path: Path) -> None:
    records.write_sweep(tmp_path, SOME, rounds=2)
    table = bench.load(tmp_path)
    assert not table.duplicated(["variant", "round", "metric", "task"]).any()
    one = table[(table.variant == "q4") & (table["round"] == 0)].set_index("metric")
    assert one.loc["size_bytes", "value"] == 2_300_000
    assert one.loc["accuracy"].task.tolist() == ["general", "hr"]
    p99 = one.loc["e2e_p99_ms"]
    assert (p99.unit, p99.n) == ("ms", 140)
    assert p99.low < p99.value
    assert table.high[table.metric == "e2e_p99_ms"].isna().all()  # 140 requests give no upper end
    assert set(table.metric[table["round"] == 1]) == set(table.metric) - {"accuracy", "accuracy_macro"}


def test_a_failed_cell_is_in_the_table_with_its_error(tmp_path: Path) -> None:
    records.write(tmp_path, records.failed("qlora"))
    table = bench.load(tmp_path)
    assert table.error.str.startswith("out of memory").all()
    assert table.metric.isna().any()


def test_what_a_failed_cell_measured_before_it_failed_is_in_the_table_beside_its_error(tmp_path: Path) -> None:
    records.write(tmp_path, {**records.record("q4"), **{key: records.failed("q4")[key] for key in ("status", "error")}})
    table = bench.load(tmp_path)
    assert set(table.status) == {"failed"}
    assert table.set_index("metric").value["size_bytes"] == 2_300_000
    assert table.metric.isna().sum() == 1


def test_peak_memory_of_two_rounds_is_the_larger_one(tmp_path: Path) -> None:
    for number, peak in enumerate((70_000_000, 100_000_000)):
        content = records.record("q4", number)
        content["measures"]["memory"] = {"peak_resident_bytes": peak}
        records.write(tmp_path, content)
    table = bench.load(tmp_path)
    peaks = table[table.metric == "peak_resident_bytes"].value
    assert peaks.tolist() == [70_000_000, 100_000_000]
    row = summarize(chosen_of(tmp_path).records).by_name["q4"]
    assert row.value("peak_resident_bytes") == peaks.max() == 100_000_000


def test_a_score_that_is_not_finite_keeps_its_row_without_a_value(tmp_path: Path) -> None:
    content = records.record("q4")
    content["measures"]["accuracy"]["wikitext"] = broken = raw_values.rolling(2.5)
    broken["value"][3] = None
    records.write(tmp_path, content)
    table = bench.load(tmp_path)
    (row,) = table[table.task == "wikitext"].to_dict("records")
    assert (row["metric"], row["n"]) == ("word_perplexity", 20)
    assert math.isnan(row["value"])


def test_tokens_per_second_beside_the_base_are_as_much_better_as_a_token_is_quicker(tmp_path: Path) -> None:
    records.write_sweep(tmp_path, SOME, rounds=2)
    summary = summarize(chosen_of(tmp_path).records)
    by_name, metrics = summary.by_name, {metric.name: metric for metric in summary.metrics}
    rates, times = (by_name["q4"].ratio(name) for name in ("tokens_per_s", "tpot_p50_ms"))
    assert rates is not None
    assert times is not None
    assert (rates.value, rates.low, rates.high) == pytest.approx((times.value, times.low, times.high))
    more = pairs.ratio(metrics["tokens_per_s"], by_name["q4"], by_name["base"])
    assert more is not None
    assert more.value == pytest.approx(times.value)
    assert more.low is not None
    assert more.low > 1


def test_no_records_make_an_empty_table_with_the_same_columns(tmp_path: Path) -> None:
    empty = list(bench.load(tmp_path).columns)
    records.write_sweep(tmp_path, SOME, rounds=1)
    assert list(bench.load(tmp_path).columns) == empty


ONE_ROLE = {"variant": {"name": "q4", "steps": ["source", "gguf"], "runtime": "llamacpp", "roles": ["source"]}}


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
            "`float` > 0.0 - at `$.measures.latency.ttft_ms[0]`",
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
        ({"measures": []}, "Expected `object`, got `array` - at `$.measures`"),
        ({"status": "done"}, "Invalid enum value 'done' - at `$.status`"),
        ({"artifact": {}}, "missing required field `fingerprint` - at `$.artifact`"),
        ({"lineage": [], "artifact": None}, "its status is ok, and it names no artifact"),
        ({"config": ONE_ROLE}, "1 roles for 2 steps - at `$.config.variant`"),
        (asked(gold=[0, 1], picked=[0, 1], loglik=[[], [-2.0]]), "length >= 1 - at `$.measures.accuracy.hr.loglik[0]`"),
    ],
)
def test_a_file_that_is_no_record_is_named_and_left_out(tmp_path: Path, change: dict[str, Any], why: str) -> None:
    good = records.write(tmp_path, records.record("base"))
    bad = good.with_name("q4.r0.json")
    bad.write_text(json.dumps({**records.record("q4"), **change}))
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
    path.write_text(re.sub(r'"ttft_ms": \[[^,]*', f'"ttft_ms": [{number}', path.read_text()))
    assert why_left_out(tmp_path) == why


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


def test_a_swapped_artifact_hash_is_named_and_left_out(tmp_path: Path) -> None:
    records.write(tmp_path, {**records.record("q4"), "artifact": {"fingerprint": "another", "kind": "gguf"}})
    assert why_left_out(tmp_path) == "artifact: its fingerprint is another, the last of its lineage source/gguf/"


def test_rounds_of_different_artifacts_are_all_left_out_and_those_of_other_variants_stay(tmp_path: Path) -> None:
    records.write_sweep(tmp_path, SOME, rounds=2)
    rebuilt = records.record("q4", 1)
    rebuilt["artifact"]["fingerprint"] = rebuilt["lineage"][-1]["fingerprint"] = "rebuilt"
    records.write(tmp_path, rebuilt)
    sound, left_out = read(tmp_path)
    assert {record.variant for record in sound} == {"base"}
    assert [file.path.name for file in left_out] == ["q4.r0.json", "q4.r1.json"]
    assert all(file.why.endswith("measured different ones: rebuilt / source/gguf/") for file in left_out)


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
    records.write(tmp_path, {**content, "variant": "q4"}).write_text(json.dumps(content))
    assert why_left_out(tmp_path) == "schema 0 is unknown, this version reads 1"

    def named(data: dict[str, Any]) -> dict[str, Any]:
        return {**data, "schema": 1, "variant": data["name"]}

    monkeypatch.setitem(MIGRATIONS, 0, named)
    assert [record.variant for record in read(tmp_path)[0]] == ["q4"]


def why_left_out(results: Path) -> str:
    sound, left_out = read(results)
    assert sound == []
    assert len(left_out) == 1
    return left_out[0].why


def test_two_uncommitted_states_of_one_commit_are_two_sweeps(tmp_path: Path) -> None:
    for tree, hour in (("aaaa", 1), ("bbbb", 2)):
        state = {"sha": records.COMMIT, "dirty": True, "tree": tree}
        started = f"2026-11-23T0{hour}:00:00+00:00"
        records.write(tmp_path, {**records.record("q4"), "commit": state, "started_at": started})
    labels = [chosen_of(tmp_path, Wanted(f"{records.COMMIT}{of}")).label for of in ("-dirty", "-dirty-aaaa")]
    assert labels == ["0123456789ab-dirty-bbbb", "0123456789ab-dirty-aaaa"]
    assert len(bench.load(tmp_path).tree.unique()) == 2


def test_head_is_chosen_before_newer_records_of_other_commits(tmp_path: Path) -> None:
    def git(*arguments: str) -> str:
        identity = ["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false"]
        command = ["git", "-C", str(tmp_path), *identity, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    git("init", "-q")
    shas = []
    for number in range(3):
        git("commit", "-q", "--allow-empty", "-m", str(number))
        shas.append(git("rev-parse", "HEAD"))
    results = tmp_path / "results"
    for when, sha in (("2026-11-24", shas[0]), ("2026-11-25", "f" * 40), ("2026-11-23", shas[1])):
        state = {"sha": sha, "dirty": False, "tree": "clean"}
        records.write(results, {**records.record("base"), "commit": state, "started_at": f"{when}T00:00:00+00:00"})
    chosen = chosen_of(results)
    assert (chosen.sha, chosen.why) == (shas[1], "the nearest commit with records, 1 before HEAD")


def test_the_state_measured_last_is_chosen_and_never_mixed(tmp_path: Path) -> None:
    for name, state, hour in (("base", commit("a"), 1), ("q4", commit("a"), 2), ("base", commit("a", True), 3)):
        content = {**records.record(name), "commit": state, "started_at": f"2026-11-23T0{hour}:00:00+00:00"}
        records.write(tmp_path, content)
    chosen = chosen_of(tmp_path)
    assert (chosen.dirty, chosen.label, len(chosen.records)) == (True, "aaaaaaaaaaaa-dirty-changed", 1)
    for wanted in (Wanted(commit="bbbb"), Wanted(machine="elsewhere")):
        assert select(read(tmp_path)[0], wanted, tmp_path) is None


def test_sweeps_of_one_commit_are_kept_apart(tmp_path: Path) -> None:
    stock = records.record("base")
    records.write(tmp_path, stock)
    other = {**stock, "sweep": "smoke-reference", "started_at": "2026-11-24T00:00:00+00:00"}
    path = records.write(tmp_path, other)
    path.rename(path.with_name("base~smoke-reference.r0.json"))
    records.write(tmp_path, stock)
    newest, asked = chosen_of(tmp_path), chosen_of(tmp_path, Wanted(sweep="embedded-reference"))
    assert (newest.sweep, asked.sweep) == ("smoke-reference", "embedded-reference")
    assert len(newest.records) == len(asked.records) == 1


def test_reading_and_reporting_import_no_runtime(tmp_path: Path) -> None:
    records.write_sweep(tmp_path, SOME, rounds=1)
    code = (
        "import sys; from pathlib import Path; import bench; from bench.report import render\n"
        "from bench.records.selection import Wanted\n"
        f"render(Path({str(tmp_path)!r}), Path({str(tmp_path / 'report')!r}), Wanted())\n"
        f"bench.load({str(tmp_path)!r})\n"
        "print(sorted({'torch', 'llama_cpp', 'lm_eval', 'variants', 'transformers'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_importing_bench_is_light() -> None:
    code = "import sys, bench, bench.records.store, bench.report\n"
    code += "print({'pandas', 'matplotlib', 'scipy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_samples_has_a_row_per_request_and_per_question(tmp_path: Path) -> None:
    records.write_sweep(tmp_path, SOME, rounds=2)
    raw = bench.samples(tmp_path)
    assert len(bench.samples(tmp_path)) == len(raw)  # asked twice: the module of that name must not take its place
    assert raw.kind.value_counts().to_dict() == {"request": 2 * 2 * 140, "question": 2 * 2 * 400}
    q4 = records.record("q4", 1)["measures"]["latency"]
    mine = raw[(raw.variant == "q4") & (raw["round"] == 1) & (raw.kind == "request")]
    assert mine.e2e_ms.tolist() == q4["e2e_ms"]
    shares = raw[raw.kind == "question"].groupby(["variant", "task"]).right.mean()
    table = bench.load(tmp_path).query("metric == 'accuracy'").set_index(["variant", "task"]).value
    assert shares.astype(float).to_dict() == pytest.approx(table.to_dict())
    assert bench.samples(tmp_path, commit="ffffffffffff").empty


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


def test_samples_have_the_values_of_every_kind_of_task(tmp_path: Path) -> None:
    content = records.record("q4", requests=3)
    content["measures"]["accuracy"] |= {"gsm8k": raw_values.generated(0.5), "wikitext": raw_values.rolling(2.5)}
    records.write(tmp_path, content)
    table = bench.samples(tmp_path)
    assert len(table) == 3 + 400 + 400 + 50 + 20
    hr, gsm8k, wikitext = (table[table.task == task] for task in ("hr", "gsm8k", "wikitext"))
    assert (hr.right == (hr.gold == hr.picked)).all()
    assert 0 < gsm8k.right.sum() == (gsm8k.answer == "42").sum()
    assert wikitext.right.isna().all()
    assert (wikitext.value < 0).all()
    assert (wikitext.weight >= 50).all()
