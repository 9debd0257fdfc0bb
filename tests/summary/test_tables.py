"""The tidy tables: `bench.load` has a row per cell and metric, `bench.samples` one per request and question."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import bench
from bench.records.selection import Wanted, select
from bench.records.store import read
from bench.selftest import raw_values, records
from bench.summary.summarize import summarize
from tests.checkout import Change, Checkout
from variants.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

SOME = {name: records.VARIANTS[name] for name in ("base", "q4")}


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
    row = summarize(read(tmp_path)[0]).by_name["q4"]
    assert row.value("peak_resident_bytes") == peaks.max() == 100_000_000


def test_no_records_make_an_empty_table_with_the_same_columns(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match=f"no records under {tmp_path}: run `make bench`"):
        empty = list(bench.load(tmp_path).columns)
    records.write_sweep(tmp_path, SOME, rounds=1)
    assert list(bench.load(tmp_path).columns) == empty


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
    with pytest.raises(UserError, match="unknown revision 'ffffffffffff': choose one of: 0123456789ab"):
        bench.samples(tmp_path, commit="ffffffffffff")


def test_the_table_is_in_the_order_of_time_and_knows_the_newest_sweep(checkout: Checkout) -> None:
    def at(hour: int, **other: Any) -> Change:
        return lambda content: content.update(started_at=f"2026-10-24T{hour:02}:00:00+00:00", **other)

    checkout.measure(checkout.head, at(10))
    checkout.measure(checkout.head, at(11), dirty=True)
    checkout.measure(checkout.base, at(12))  # an older commit that was measured again
    table = bench.load(checkout.results)
    assert table.started_at.is_monotonic_increasing
    assert set(bench.samples(checkout.results)["commit"][-1:]) == {checkout.base}
    newest = table[table.newest]
    assert set(zip(newest.commit, newest.tree, strict=True)) == {(checkout.head, "changed")}
    selection = select(read(checkout.results)[0], Wanted(), checkout.results)
    assert selection is not None
    assert len(newest) == len(table[(table.commit == selection.sha) & (table.tree == "changed")])


@pytest.mark.parametrize("function", [bench.load, bench.samples])
def test_a_revision_is_what_git_takes_it_for(checkout: Checkout, function: Callable[..., pd.DataFrame]) -> None:
    checkout.measure(checkout.base)
    checkout.measure(checkout.base, dirty=True)
    with pytest.warns(UserWarning, match=f"no records of HEAD under .*: choose one of: {checkout.base[:12]}"):
        assert function(checkout.results, commit="HEAD").empty
    checkout.measure(checkout.head)
    for revision, sha in (("HEAD", checkout.head), ("HEAD~1", checkout.base), (checkout.base, checkout.base)):
        assert set(function(checkout.results, commit=revision).commit) == {sha}
    assert set(function(checkout.results, commit="HEAD~1").tree) == {"clean", "changed"}
    assert set(function(checkout.results, commit="HEAD~1-dirty").tree) == {"changed"}
    with pytest.raises(UserError, match="unknown revision 'v9'") as error:
        function(checkout.results, commit="v9")
    assert "\n" not in str(error.value)


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


def test_reading_and_reporting_import_no_runtime(tmp_path: Path) -> None:
    records.write_sweep(tmp_path, SOME, rounds=1)
    code = (
        "import sys; from pathlib import Path; import bench; from bench.report import render\n"
        "from bench.records.selection import Wanted\n"
        f"render(Path({str(tmp_path)!r}), Path({str(tmp_path / 'report')!r}), Wanted())\n"
        f"bench.load({str(tmp_path)!r})\n"
        "loaded = {name for name in sys.modules if name.split('.')[0] in"
        " ('torch', 'llama_cpp', 'lm_eval', 'variants', 'transformers')}\n"
        "leaves = {'variants', 'variants.data', 'variants.data.text', 'variants.errors', 'variants.paths'}\n"
        "print(sorted(loaded - leaves))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_importing_bench_is_light() -> None:
    code = "import sys, bench, bench.records.store, bench.report\n"
    code += "print({'pandas', 'matplotlib', 'scipy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_a_score_that_is_not_finite_keeps_its_row_without_a_value(tmp_path: Path) -> None:
    content = records.record("q4")
    content["measures"]["accuracy"]["wikitext"] = broken = raw_values.rolling(2.5)
    broken["value"][3] = None
    records.write(tmp_path, content)
    table = bench.load(tmp_path)
    (row,) = table[table.task == "wikitext"].to_dict("records")
    assert (row["metric"], row["n"]) == ("word_perplexity", 20)
    assert math.isnan(row["value"])
