"""The tables of a report where something was not measured, failed, or cannot be compared."""

from __future__ import annotations

import csv
import re
from dataclasses import replace
from pathlib import Path

from bench.metrics.identity import machine
from bench.metrics.metric import Metric
from bench.records.selection import Wanted
from bench.report import render
from bench.report.grid import Entry
from bench.report.table_csv import comma_separated
from bench.report.tables.overview import overview_grid
from bench.report.tables.trade_offs import changes_grid
from bench.selftest import raw_values, records
from bench.stats.estimates import Estimate
from bench.summary.rows import Summary
from tests.report.conftest import (
    SOME,
    findings_of,
    overview,
    render_all,
    rows_of,
    section,
    summary_of,
    table_of,
    text_of,
)


def test_another_model_is_never_compared(tmp_path: Path) -> None:
    records.write_sweep(tmp_path, SOME, rounds=1)
    content = records.record("q4")
    content["lineage"][0]["fingerprint"] = "another source"
    records.write(tmp_path, content)
    q4 = rows_of(tmp_path)["q4"]
    assert q4.beside_base == {}
    why = "is not comparable with base: model: source / another sour"
    assert {f"size {why}", f"latency {why}"} <= set(q4.warnings)
    assert any(finding.title == "Mixed records" for finding in findings_of(tmp_path))
    summary = summary_of(tmp_path)
    assert summary.questions is not None
    assert summary.questions.changes is not None
    changes = changes_grid(summary, summary.questions.changes)
    alone = next(line for line in changes.lines if line.entries[0].text == "Quantization alone")
    assert {entry.text for entry in alone.entries[1:]} == {"not measured"}


def test_what_was_not_measured_is_shown_as_such_and_nothing_breaks(tmp_path: Path) -> None:
    records.write_sweep(tmp_path, {name: SOME[name] for name in ("base", "q4")}, rounds=1, measures={})
    report = render_all(tmp_path, tmp_path / "out")
    assert {file.name for file in report.files} == {"index.html", "report.md", "table.csv"}
    text = text_of(report)
    assert "| q4 (quantized · llamacpp) | not measured |" in text
    assert "8x smaller: " in text
    assert "not measured (no finetuned and no finetuned-q4 in this sweep)." in text


def test_peak_memory_of_two_rounds_is_the_larger_one_in_the_table_and_in_the_csv(tmp_path: Path) -> None:
    for number, peak in enumerate((70_000_000, 100_000_000)):
        content = records.record("q4", number)
        content["measures"]["memory"] = {"peak_resident_bytes": peak, "peak_device_bytes": peak // 2}
        records.write(tmp_path, content)
    report = render(tmp_path, tmp_path / "out", Wanted())
    assert overview(report)["q4"]["Peak memory"] == "100 MB"
    assert overview(report)["q4"]["Peak device memory"] == "50.0 MB"
    assert table_of(report)["q4"]["peak_resident_bytes"] == "100000000"


def test_what_a_failed_cell_measured_before_it_failed_is_shown(tmp_path: Path) -> None:
    records.write(tmp_path, records.record("base"))
    failure = {key: records.failed("q4")[key] for key in ("status", "error")}
    records.write(tmp_path, {**records.record("q4"), **failure})
    report = render(tmp_path, tmp_path / "out", Wanted())
    q4 = table_of(report)["q4"]
    assert (q4["status"], q4["size_bytes"]) == ("failed", "2300000")
    assert overview(report)["q4"]["Size"] == "2.30 MB"
    assert overview(report)["q4"]["Smaller than base"] == "3.00×"
    assert report.findings[0].title == "q4"


def test_a_metric_of_an_added_measure_has_a_column_in_the_overview_and_in_the_csv(tmp_path: Path) -> None:
    records.write_sweep(tmp_path, {name: SOME[name] for name in ("base", "q4")}, rounds=1, measures={})
    opened = {"base": Estimate(0.5, 0.25, 1.0, 7), "q4": Estimate(0.25, 0.2, 0.3, 7)}
    metric = Metric("open_seconds", "Time to open", "s", "open", lambda rounds: opened[rounds[0].variant], machine)
    rows = summary_of(tmp_path).rows
    summary = Summary((metric,), tuple(replace(row, values={metric.name: opened[row.variant]}) for row in rows))
    grid = overview_grid(summary)
    assert grid.columns == ("Variant", "Time to open, s")
    assert [line.entries[1] for line in grid.lines] == [Entry("0.50", "0.25–1.00"), Entry("0.25", "0.20–0.30")]
    row = next(csv.DictReader(comma_separated(summary).splitlines()))
    assert {key: value for key, value in row.items() if key.startswith("open_seconds")} == {
        "open_seconds": "0.5",
        "open_seconds_low": "0.25",
        "open_seconds_high": "1.0",
        "open_seconds_n": "7",
    }


def test_records_without_the_newer_columns_still_render(tmp_path: Path) -> None:
    newer = ("truncated", "scorer", "num_fewshot", "chat_template", "tokenizer", "scoring")
    for name in ("base", "q4"):
        content = records.record(name)
        for answers in content["measures"]["accuracy"].values():
            for key in newer:
                del answers[key]
        records.write(tmp_path, content)
    report = render(tmp_path, tmp_path / "out", Wanted())
    text = text_of(report, "report.md")
    assert "How the answers were scored" not in text
    assert "Divergence" not in text.split("## How to read this")[0]
    assert table_of(report)["q4"]["cut_prompts_hr"] == ""


def test_a_divergence_near_the_rounding_floor_is_reported_as_at_the_floor(tmp_path: Path) -> None:
    for name, kl in (("base", None), ("q8", 2e-6), ("q4", 0.02)):
        content = records.record(name)
        if kl:
            content["measures"]["divergence"] = raw_values.divergence(kl)
        records.write(tmp_path, content)
    text = section(text_of(render(tmp_path, tmp_path / "out", Wanted())), "Divergence from the base")
    near = {line.split()[1]: "at the floor" in line for line in text.splitlines() if line.startswith("| q")}
    assert near == {"q8": True, "q4": False}


def test_a_quantized_fine_tune_is_shown_from_its_parent_too_and_what_has_none_says_none(tmp_path: Path) -> None:
    for name in ("base", "finetuned", "finetuned-q4", "qlora-q4"):
        content = records.record(name)
        steps = [made["fingerprint"] for made in content["lineage"]]
        fields = raw_values.divergence(0.4)
        if name.endswith("q4"):
            near = {"parent_kl": [kl / 100 for kl in fields["kl"]], "parent_same_top": "1" * 255 + "0"}
            fields |= {"parent": steps[-2], **near}
        content["measures"]["divergence"] = fields
        records.write(tmp_path, content)
    report = render(tmp_path, tmp_path / "out", Wanted())
    text = section(text_of(report, "report.md"), "Divergence from the base")
    parents = {line.split()[1]: line.split("|")[2].strip() for line in text.splitlines() if line.startswith("| ")}
    assert (parents["base"], parents["finetuned"]) == ("none", "none")
    assert (parents["finetuned-q4"], parents["qlora-q4"]) == ("finetuned", "before q4")
    q4 = table_of(report)["finetuned-q4"]
    assert float(q4["parent_kl_mean"]) < float(q4["kl_mean"]) / 50
    assert float(q4["parent_same_top_share"]) > 0.99
    assert table_of(report)["finetuned"]["parent_kl_mean"] == ""


def test_a_change_of_speed_is_called_shown_only_where_every_round_shows_it(tmp_path: Path) -> None:
    for rounds, sure in ((1, r"\(one round, no difference shown\)"), (3, r"\([\d.]+–[\d.]+\)")):
        results = tmp_path / str(rounds)
        records.write_sweep(results, SOME, rounds=rounds)
        summary = summary_of(results)
        assert summary.questions is not None
        assert summary.questions.changes is not None
        says = changes_grid(summary, summary.questions.changes).says
        assert re.search(rf"Runtime and the precision it computes in: [\d.]+× as fast {sure}", says), says
