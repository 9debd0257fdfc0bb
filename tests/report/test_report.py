"""The report of made-up sweeps: what its tables say, what it warns of, and that it is the same every time."""

from __future__ import annotations

import csv
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bench.commands.report import stated_questions
from bench.metrics.answers import right
from bench.metrics.chance import chance_level
from bench.metrics.identity import machine
from bench.metrics.metric import Metric
from bench.records.file import decode
from bench.records.selection import Wanted, select
from bench.records.store import read
from bench.records.values import Answers
from bench.report import Report, render
from bench.report.charts.labels import place
from bench.report.findings import Finding, controls
from bench.report.grid import Entry
from bench.report.table_csv import comma_separated
from bench.report.tables.overview import overview_grid
from bench.report.tables.trade_offs import changes_grid
from bench.selftest import raw_values, records
from bench.stats import estimates, proportions
from bench.stats.estimates import Estimate
from bench.summary.family import family_of, native_runtime
from bench.summary.pairs import pareto
from bench.summary.rows import Row, Summary
from bench.summary.summarize import summarize
from variants.paths import ROOT

CODE = (".py", ".j2")
FEW = ("base", "q4", "finetuned", "finetuned-q4", "base-torch", "qlora")
SOME = {name: records.VARIANTS[name] for name in FEW}


def render_all(results: Path, out: Path) -> Report:
    """Render as `bench report` does: with the questions of this checkout's suites."""
    return render(results, out, Wanted(), stated=stated_questions())


def summary_of(results: Path) -> Summary:
    chosen = select(read(results)[0], Wanted(), results)
    assert chosen is not None
    return summarize(chosen.records, stated_questions())


def rows_of(results: Path) -> dict[str, Row]:
    return summary_of(results).by_name


def findings_of(results: Path) -> tuple[Finding, ...]:
    return render(results, results / "report", Wanted(), ("csv",)).findings


def text_of(report: Report) -> str:
    return next(file for file in report.files if file.name == "report.md").read_text()


def table_of(report: Report) -> dict[str, dict[str, str]]:
    path = next(file for file in report.files if file.name == "table.csv")
    with path.open(newline="") as file:
        return {line["variant"]: line for line in csv.DictReader(file)}


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole sweep with a failed variant, a failed round, a warning and a variant nobody has heard of."""
    results = tmp_path_factory.mktemp("results")
    unheard = ((*records.TUNED, "q3"), "llamacpp", 2_000_000, 0.82, 0.80, 0.85)
    records.write_sweep(results, {**records.VARIANTS, "finetuned-q3": unheard})
    for number in range(3):
        records.write(results, records.failed("qlora", number))
    records.write(results, records.failed("finetuned-q5", 2))
    warned = {**records.record("q2"), "warnings": ["step q2: 3 tensors fell back to Q5_0"]}
    records.write(results, warned)
    return results


@pytest.fixture(scope="module")
def report(sweep: Path) -> Report:
    return render_all(sweep, sweep / "report")


def test_it_writes_a_page_a_text_a_table_and_the_charts(report: Report) -> None:
    names = {file.name for file in report.files}
    charts = {"accuracy-size.svg", "latency.svg", "subjects.svg", "change.svg"}
    assert names == {"index.html", "report.md", "table.csv", *charts}
    assert str(report).endswith("index.html")
    assert not [file for file in report.files[0].parent.iterdir() if file.name not in names]


def test_rendering_twice_gives_the_same_bytes(sweep: Path, report: Report, tmp_path: Path) -> None:
    again = render_all(sweep, tmp_path)
    assert {f.name: f.read_bytes() for f in again.files} == {f.name: f.read_bytes() for f in report.files}


def test_the_page_is_self_contained_and_small(report: Report) -> None:
    page = next(file for file in report.files if file.name == "index.html").read_text()
    assert len(page) < 1_500_000
    assert page.count("<svg ") == 4
    assert not re.search(r'(src|href)="(?!#)|@import|url\((?!#)', page)
    ids = re.findall(r'\bid="([^"]*)"', page)
    assert len(ids) == len(set(ids)) or not [i for i in ids if ids.count(i) > 1 and f"#{i}" in page]
    assert "out of memory after 3 of 100 steps &lt;killed&gt; | signal 9" in page


def test_charts_keep_their_text_as_text_of_at_least_11_points(report: Report) -> None:
    for file in (file for file in report.files if file.suffix == ".svg"):
        svg = file.read_text()
        assert ">finetuned-q3</text>" in svg
        assert min(float(size) for size in re.findall(r"font[^;]*?([\d.]+)px", svg)) >= 11
        assert "<image" not in svg


def test_csv_states_what_the_records_hold(sweep: Path, report: Report) -> None:
    table = table_of(report)
    assert len(table) == 16
    q4 = table["q4"]
    assert float(q4["size_bytes_better_than_base"]) == pytest.approx(3)
    cells = [record.latency.e2e_ms for record in read(sweep)[0] if record.variant == "q4" and record.latency]
    pooled = [value for cell in cells for value in cell]
    expected = estimates.percentile_estimate(pooled, 0.99)
    assert float(q4["e2e_p99_ms"]) == pytest.approx(expected.value, rel=1e-5)
    assert float(q4["e2e_p99_ms_high"]) == pytest.approx(float(str(expected.high)), rel=1e-5)
    assert int(q4["e2e_p99_ms_n"]) == 420
    sides = (raw_values.answers("hr", 0.31, ["source"]), raw_values.answers("hr", 0.30, ["source", "q4"]))
    base, quantized = (msgspec.convert(side, Answers) for side in sides)
    pair = proportions.paired_difference(right(base), right(quantized))
    assert float(q4["accuracy_hr_difference"]) == pytest.approx(pair.difference, abs=1e-6)
    counts = (int(q4["accuracy_hr_difference_gained"]), int(q4["accuracy_hr_difference_lost"]))
    assert counts == (pair.gained, pair.lost)
    assert float(q4["accuracy_hr_difference_p_holm"]) >= float(q4["accuracy_hr_difference_p"])
    assert float(q4["accuracy_hr_difference_detectable"]) == pytest.approx(pair.detectable, rel=1e-5)


def test_ratios_are_against_the_base_of_the_same_runtime(report: Report) -> None:
    table = table_of(report)
    assert {table[name]["base"] for name in ("q4", "finetuned", "qlora-q4", "base")} == {"base"}
    assert {table[name]["base"] for name in ("nf4", "finetuned-torch", "qlora")} == {"base-torch"}
    slower = float(table["nf4"]["e2e_p50_ms_better_than_base"])
    assert 0.4 < slower < 0.5
    assert float(table["nf4"]["tokens_per_s_better_than_base"]) == pytest.approx(
        float(table["nf4"]["tpot_p50_ms_better_than_base"]), rel=1e-5
    )
    assert table["base"]["e2e_p50_ms_better_than_base"] == ""


def test_a_failed_variant_is_a_row_with_its_command(report: Report) -> None:
    assert table_of(report)["qlora"]["status"] == "failed"
    assert table_of(report)["finetuned-q5"]["status"] == "partly failed"
    text = text_of(report)
    assert "`python -m bench.sweep.worker build .cache/cells/qlora.json`" in text
    line = next(line for line in text.splitlines() if line.startswith("| qlora "))
    assert line.count("not measured") == 13
    bad = [finding for finding in report.findings if finding.level == "bad"]
    assert [finding.title for finding in bad] == ["finetuned-q5", "qlora"]
    assert bad[1].text.startswith("Rounds 0, 1, 2 failed at build lora: MemoryError")


def test_too_few_requests_for_a_p99_are_said_so(report: Report) -> None:
    line = next(line for line in text_of(report).splitlines() if line.startswith("| finetuned-q5 "))
    assert "n too small" in line
    assert table_of(report)["finetuned-q5"]["e2e_p99_ms_high"] == ""


def test_a_variant_nobody_has_heard_of_has_its_family(sweep: Path) -> None:
    assert rows_of(sweep)["finetuned-q3"].family.name == "fine-tuned + quantized"


def test_families_of_the_stock_variants(sweep: Path) -> None:
    families = {row.variant: row.family.name for row in rows_of(sweep).values()}
    assert {name for name, family in families.items() if family == "control"} == {
        "base-torch",
        "finetuned-torch",
        "nf4",
    }
    assert {name for name, family in families.items() if family == "QLoRA"} == {"qlora", "qlora-q4"}
    assert families["base"] == "base"
    assert families["q2"] == "quantized"
    assert families["finetuned"] == "fine-tuned"


@pytest.mark.parametrize(
    ("name", "target", "role"),
    [
        ("q4", "variants.steps.quantize.Quantize", "quantize"),
        ("small", "variants.steps.quantize.Quantize", "quantize"),
        ("int8", "variants.steps.int8.Int8", "quantize"),
        ("nf4", "variants.steps.nf4.Nf4", "quantize"),
        ("lora", "variants.steps.lora.Lora", "finetune"),
        ("tune-again", "variants.steps.lora.Lora", "finetune"),
        ("merge", "variants.steps.merge.Merge", "merge"),
        ("gguf", "variants.steps.gguf.Gguf", "convert"),
        ("source", "variants.steps.source.Source", "source"),
        ("train", "variants.steps.constrain.Constrain", "other"),
    ],
)
def test_a_step_of_a_record_of_before_is_known_by_its_class(name: str, target: str, role: str) -> None:
    content = records.record("base")
    content["config"] |= {"variant": {"name": "x", "steps": [name], "runtime": "llamacpp"}}
    content["config"]["steps"] = {name: {"_target_": target}}
    assert decode(json.dumps(content).encode()).roles == (role,)


def test_a_role_that_is_stated_is_believed() -> None:
    content = records.record("base")
    stated = {"name": "x", "steps": ["lora"], "runtime": "llamacpp", "roles": ["quantize"]}
    content["config"] |= {"variant": stated, "steps": {"lora": {"_target_": "variants.steps.lora.Lora"}}}
    assert decode(json.dumps(content).encode()).roles == ("quantize",)


def test_without_llama_cpp_the_only_runtime_is_no_control() -> None:
    native = native_runtime(["transformers"])
    assert family_of(["other"], "transformers", native).name == "base"


def test_the_runtime_control_passes_and_is_stated(report: Report) -> None:
    passed = [finding.text for finding in report.findings if finding.level == "good"]
    assert len(passed) == 2
    assert "base and base-torch are the same model" in passed[0]
    assert "general: 400 of 400 (100.0 %); hr: 400 of 400 (100.0 %)" in passed[0]


def test_a_runtime_that_scores_otherwise_is_a_problem(tmp_path: Path) -> None:
    records.write_sweep(tmp_path, {name: SOME[name] for name in ("base", "base-torch")}, rounds=1)
    broken = records.record("base-torch")
    answers = broken["measures"]["accuracy"]["hr"]
    for i in range(5):
        answers["picked"][i] = (answers["picked"][i] + 1) % 4
    answers["loglik"][7][2] += 2.5
    records.write(tmp_path, broken)
    agreements = {control.task: control.agreement for control in controls(summary_of(tmp_path).rows)}
    assert (agreements["hr"].same, agreements["general"].same) == (395, 400)
    assert agreements["hr"].largest_difference == pytest.approx(2.5)
    assert "One of the runtimes scores wrongly" in findings_of(tmp_path)[0].text


def test_an_accuracy_at_chance_is_noted(tmp_path: Path) -> None:
    chance = (("source", "gguf", "q2"), "llamacpp", 1_000_000, 0.5, 0.0, 0.27)
    records.write_sweep(tmp_path, {"base": SOME["base"], "q2": chance}, rounds=1)
    noted = next(f for f in findings_of(tmp_path) if f.title == "No better than guessing on hr")
    assert "q2" in noted.text
    assert chance_level(rows_of(tmp_path)["base"].answers["general"]) == ""


def test_choices_that_all_score_the_same_are_a_problem(tmp_path: Path) -> None:
    content = records.record("base")
    content["measures"]["accuracy"]["hr"]["loglik"] = [[-1.0] * 4] * 400
    records.write(tmp_path, content)
    assert "all choices scored the same on 400 questions" in findings_of(tmp_path)[0].text


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"canary": {"before": {"copy_gb_s": 4.0}, "after": {"copy_gb_s": 9.0}}}, "at worst -5"),
        ({"warnings": ["only 3 of 4 layers are on the GPU"]}, "only 3 of 4 layers"),
        ({"commit": {"sha": records.COMMIT, "dirty": False, "tree": "otherwise"}}, "different working trees"),
    ],
)
def test_what_a_record_says_of_itself_is_repeated(tmp_path: Path, change: dict[str, Any], expected: str) -> None:
    records.write_sweep(tmp_path, {name: SOME[name] for name in ("base", "q4")}, rounds=2)
    records.write(tmp_path, {**records.record("q4", 1), **change})
    assert any(expected in finding.text for finding in findings_of(tmp_path))


def test_a_prompt_cache_at_work_is_a_problem(tmp_path: Path) -> None:
    content = records.record("base")
    content["measures"]["latency"]["evaluated_tokens"] = [1] * 140
    records.write(tmp_path, content)
    assert "a prompt cache was at work" in findings_of(tmp_path)[0].text


def test_uncommitted_changes_are_said_on_top(tmp_path: Path) -> None:
    state = {"sha": records.COMMIT, "dirty": True, "tree": "abc"}
    records.write_sweep(tmp_path, {"base": SOME["base"]}, rounds=1, commit=state)
    text = text_of(render(tmp_path, tmp_path / "out", Wanted()))
    assert "with uncommitted changes" in text
    assert "0123456789ab-dirty" in text


def test_other_questions_are_never_compared(tmp_path: Path) -> None:
    records.write_sweep(tmp_path, SOME, rounds=1)
    content = records.record("q4")
    content["measures"]["accuracy"]["hr"]["prompt_sha256"] = "another prompt"
    records.write(tmp_path, content)
    q4 = rows_of(tmp_path)["q4"]
    assert q4.paired("accuracy hr") is None
    assert q4.paired("accuracy general") is not None


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


def test_what_was_not_measured_is_said_and_nothing_breaks(tmp_path: Path) -> None:
    records.write_sweep(tmp_path, {name: SOME[name] for name in ("base", "q4")}, rounds=1, measures={})
    report = render_all(tmp_path, tmp_path / "out")
    assert {file.name for file in report.files} == {"index.html", "report.md", "table.csv"}
    text = text_of(report)
    assert "| q4 (quantized · llamacpp) | not measured |" in text
    assert "What finetuned-q4 keeps of finetuned: not measured." in text


def test_the_article_is_quoted_as_a_claim_beside_what_was_measured(report: Report) -> None:
    text = text_of(report)
    line = next(line for line in text.splitlines() if line.startswith("| Quantize only (q4) |"))
    assert line.startswith("| Quantize only (q4) | 2.30 MB (3.00× smaller) |")
    assert line.endswith("| *6.5 GB (8× smaller)* | *20 ms (7.5× faster)* | *59 % (−1 points)* |")
    assert "not measured here" in text


def test_a_format_that_is_not_known_is_refused(sweep: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="format: got pdf; allowed: md, html, csv, svg"):
        render(sweep, tmp_path, Wanted(), ("pdf",))


def test_nothing_is_written_without_records(tmp_path: Path) -> None:
    report = render(tmp_path, tmp_path / "out", Wanted())
    assert (report.files, report.selection) == ((), None)
    assert not (tmp_path / "out").exists()


def test_pareto_front_keeps_what_nothing_beats() -> None:
    points = [(1.0, 50.0), (2.0, 90.0), (2.0, 80.0), (3.0, 70.0), (4.0, 91.0)]
    assert pareto(points) == [(1.0, 50.0), (2.0, 90.0), (4.0, 91.0)]


def test_labels_are_placed_without_overlap_and_inside() -> None:
    taken: list[tuple[float, float, float, float]] = []
    for _ in range(6):
        box = place((200, 200), (80, 14), taken, (0, 0, 400, 400))
        assert all(box[0] >= t[2] or box[2] <= t[0] or box[1] >= t[3] or box[3] <= t[1] for t in taken)
        assert 0 <= box[0] < box[2] <= 400
        taken.append(box)


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


def test_a_suite_without_questions_has_no_tables_of_questions(tmp_path: Path) -> None:
    content = records.record("base")
    content["config"]["suite"] = "of my own"
    records.write(tmp_path, content)
    text = text_of(render_all(tmp_path, tmp_path / "out"))
    asked = stated_questions()["embedded"]
    assert asked.options is not None
    assert asked.order is not None
    assert asked.changes is not None
    for title in (asked.options.title, asked.order.title, asked.changes.title, "Article"):
        assert title not in text
    assert "## All variants" in text


def test_questions_that_a_record_states_are_shown_in_its_words(tmp_path: Path) -> None:
    for name in ("base", "q2"):
        content = records.record(name)
        content["config"]["questions"] = {
            "domain_task": "general",
            "options": {
                "title": "Is the smallest one good enough?",
                "says": "On what it knew before.",
                "rows": [{"title": "As it is", "variant": "base"}, {"title": "Small", "variant": "q2"}],
                "kept": {"before": "base", "after": "q2"},
            },
        }
        records.write(tmp_path, content)
    report = render(tmp_path, tmp_path / "out", Wanted())
    options = text_of(report).split("## Is the smallest one good enough?")[1].split("\n## ")[0]
    assert "| Option | Size | E2E P50, ms | E2E P99, ms | general: right |" in options
    assert "| Small (q2) | 1.70 MB (4.06× smaller) |" in options
    assert "q2 keeps 67.7 % of what base gets right on general" in options
    page = next(file for file in report.files if file.name == "index.html").read_text()
    assert "Is the smallest one good enough?" in page
    assert 'id="order"' not in page


def test_the_code_of_the_report_names_no_variant_no_task_and_no_article() -> None:
    sources = "\n".join(path.read_text() for path in (ROOT / "bench" / "report").rglob("*.*") if path.suffix in CODE)
    variants = {path.stem for path in (ROOT / "conf" / "variant").glob("*.yaml")} - {"base"}  # a word of its own
    names = "|".join(sorted(re.escape(name) for name in variants))
    assert re.findall(rf"(?<![\w.-])(?:{names}|(?i:hr|articles?))(?![\w-])", sources) == []


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


def overview(report: Report) -> dict[str, dict[str, str]]:
    """Return the table of all variants by variant and column."""
    section = text_of(report).split("## All variants")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| ")]
    titles, _, *cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    rows = [dict(zip(titles, row, strict=False)) for row in cells]
    return {row["Variant"].split()[0]: row for row in rows}
