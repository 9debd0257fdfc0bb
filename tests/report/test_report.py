"""The report of made-up sweeps: what its tables say, what it warns of, and that it is the same every time."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import Any

import pytest

from bench.metrics.answers import right
from bench.records.selection import select
from bench.records.store import read
from bench.report import Report, render
from bench.report.charts.accuracy_size import pareto
from bench.report.charts.labels import place
from bench.report.findings import Finding, controls
from bench.report.tables.trade_offs import runtime_grid
from bench.selftest import records
from bench.stats import estimates, proportions
from bench.summary.family import family_of, native_runtime, step_role
from bench.summary.rows import Row, build_rows

FEW = ("base", "q4", "finetuned", "finetuned-q4", "base-torch", "qlora")
SOME = {name: records.VARIANTS[name] for name in FEW}


def rows_of(results: Path) -> dict[str, Row]:
    chosen = select(read(results)[0])
    assert chosen is not None
    return {row.variant: row for row in build_rows(chosen.records)}


def findings_of(results: Path) -> tuple[Finding, ...]:
    return render(results, results / "report", formats=("csv",)).findings


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
    return render(sweep, sweep / "report")


def test_it_writes_a_page_a_text_a_table_and_the_charts(report: Report) -> None:
    names = {file.name for file in report.files}
    charts = {"accuracy-size.svg", "latency.svg", "subjects.svg", "change.svg"}
    assert names == {"index.html", "report.md", "table.csv", *charts}
    assert str(report).endswith("index.html")
    assert not [file for file in report.files[0].parent.iterdir() if file.name not in names]


def test_rendering_twice_gives_the_same_bytes(sweep: Path, report: Report, tmp_path: Path) -> None:
    again = render(sweep, tmp_path)
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
    assert float(q4["size_base_over_variant"]) == pytest.approx(3)
    cells = [record.measures["latency"]["e2e_ms"] for record in read(sweep)[0] if record.variant == "q4"]
    pooled = [value for cell in cells for value in cell]
    expected = estimates.percentile_estimate(pooled, 0.99)
    assert float(q4["e2e_ms_p99"]) == pytest.approx(expected.value, rel=1e-5)
    assert float(q4["e2e_ms_p99_high"]) == pytest.approx(float(str(expected.high)), rel=1e-5)
    assert int(q4["e2e_ms_n"]) == 420
    base, quantized = (records.answers("hr", 0.31, ["source"]), records.answers("hr", 0.30, ["source", "q4"]))
    pair = proportions.paired_difference(right(base), right(quantized))
    assert float(q4["hr_difference"]) == pytest.approx(pair.difference, abs=1e-6)
    assert (int(q4["hr_difference_gained"]), int(q4["hr_difference_lost"])) == (pair.gained, pair.lost)
    assert float(q4["hr_difference_p_holm"]) >= float(q4["hr_difference_p"])


def test_ratios_are_against_the_base_of_the_same_runtime(report: Report) -> None:
    table = table_of(report)
    assert {table[name]["base"] for name in ("q4", "finetuned", "qlora-q4", "base")} == {"base"}
    assert {table[name]["base"] for name in ("nf4", "finetuned-torch", "qlora")} == {"base-torch"}
    slower = float(table["nf4"]["e2e_ms_p50_base_over_variant"])
    assert 0.4 < slower < 0.5
    assert table["base"]["e2e_ms_p50_base_over_variant"] == ""


def test_a_failed_variant_is_a_row_with_its_command(report: Report) -> None:
    assert table_of(report)["qlora"]["status"] == "failed"
    assert table_of(report)["finetuned-q5"]["status"] == "partly failed"
    text = next(file for file in report.files if file.name == "report.md").read_text()
    assert "`python -m bench.sweep.worker build .cache/cells/qlora.json`" in text
    line = next(line for line in text.splitlines() if line.startswith("| qlora "))
    assert line.count("not measured") == 13
    bad = [finding for finding in report.findings if finding.level == "bad"]
    assert [finding.title for finding in bad] == ["finetuned-q5", "qlora"]
    assert bad[1].text.startswith("Rounds 0, 1, 2 failed at build lora: MemoryError")


def test_too_few_requests_for_a_p99_are_said_so(report: Report) -> None:
    text = next(file for file in report.files if file.name == "report.md").read_text()
    line = next(line for line in text.splitlines() if line.startswith("| finetuned-q5 "))
    assert "n too small" in line
    assert table_of(report)["finetuned-q5"]["e2e_ms_p99_high"] == ""


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
        ("iq2", "", "quantize"),
        ("int8", "", "quantize"),
        ("lora", "variants.steps.lora.Finetune", "finetune"),
        ("tune-again", "variants.steps.lora.Lora", "finetune"),
        ("merge", "variants.steps.merge.Merge", "other"),
        ("gguf", "variants.steps.gguf.Gguf", "convert"),
        ("source", "variants.steps.source.Source", "other"),
    ],
)
def test_a_step_is_known_by_its_class(name: str, target: str, role: str) -> None:
    assert step_role(name, {"_target_": target} if target else {}) == role


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
    control = {c.task: c.found for c in controls(list(rows_of(tmp_path).values()))}
    assert (control["hr"]["same"], control["general"]["same"]) == (395, 400)
    assert control["hr"]["largest_difference"] == pytest.approx(2.5)
    assert "One of the runtimes scores wrongly" in findings_of(tmp_path)[0].text


def test_an_accuracy_at_chance_is_noted(tmp_path: Path) -> None:
    chance = (("source", "gguf", "q2"), "llamacpp", 1_000_000, 0.5, 0.0, 0.27)
    records.write_sweep(tmp_path, {"base": SOME["base"], "q2": chance}, rounds=1)
    noted = next(f for f in findings_of(tmp_path) if f.title == "No better than guessing on hr")
    assert "q2" in noted.text
    assert rows_of(tmp_path)["base"].accuracy["general"].at_chance is False


def test_choices_that_all_score_the_same_are_a_problem(tmp_path: Path) -> None:
    content = records.record("base")
    content["measures"]["accuracy"]["hr"]["loglik"] = [[-1.0] * 4] * 400
    records.write(tmp_path, content)
    assert "all choices scored the same on 400 questions" in findings_of(tmp_path)[0].text


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"canary": {"before": {"copy_gb_s": 4.0}, "after": {"copy_gb_s": 9.0}}}, "at worst -5"),
        ({"warnings": ["only 3 of 4 layers are on the GPU"]}, "only 3 of 4 layers"),
        ({"commit": {"sha": records.COMMIT, "dirty": False, "tree": "otherwise"}}, "different working trees"),
    ],
)
def test_what_a_record_says_of_itself_is_repeated(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    records.write_sweep(tmp_path, {name: SOME[name] for name in ("base", "q4")}, rounds=2)
    records.write(tmp_path, {**records.record("q4", 1), **change})
    assert any(said in finding.text for finding in findings_of(tmp_path))


def test_a_prompt_cache_at_work_is_a_problem(tmp_path: Path) -> None:
    content = records.record("base")
    content["measures"]["latency"]["evaluated_tokens"] = [1] * 140
    records.write(tmp_path, content)
    assert "a prompt cache was at work" in findings_of(tmp_path)[0].text


def test_uncommitted_changes_are_said_on_top(tmp_path: Path) -> None:
    state = {"sha": records.COMMIT, "dirty": True, "tree": "abc"}
    records.write_sweep(tmp_path, {"base": SOME["base"]}, rounds=1, commit=state)
    text = next(f for f in render(tmp_path, tmp_path / "out").files if f.name == "report.md").read_text()
    assert "with uncommitted changes" in text
    assert "0123456789ab-dirty" in text


def test_other_questions_are_never_compared(tmp_path: Path) -> None:
    records.write_sweep(tmp_path, SOME, rounds=1)
    content = records.record("q4")
    content["measures"]["accuracy"]["hr"]["prompt_sha256"] = "another prompt"
    records.write(tmp_path, content)
    q4 = rows_of(tmp_path)["q4"]
    assert q4.accuracy["hr"].against is None
    assert q4.accuracy["general"].against is not None


def test_another_model_is_never_compared(tmp_path: Path) -> None:
    records.write_sweep(tmp_path, SOME, rounds=1)
    content = records.record("q4")
    content["lineage"][0]["fingerprint"] = "another source"
    records.write(tmp_path, content)
    q4 = rows_of(tmp_path)["q4"]
    assert (q4.smaller, q4.accuracy["hr"].against, q4.latency["e2e_ms"].faster_p50) == (None, None, None)
    assert "not comparable with base" in q4.warnings
    assert any(finding.title == "Mixed records" for finding in findings_of(tmp_path))
    runtime = runtime_grid(list(rows_of(tmp_path).values()))
    alone = next(line for line in runtime.lines if line.entries[0].text == "Quantization alone")
    assert {entry.text for entry in alone.entries[1:]} == {"not measured"}


def test_what_was_not_measured_is_said_and_nothing_breaks(tmp_path: Path) -> None:
    records.write_sweep(tmp_path, {name: SOME[name] for name in ("base", "q4")}, rounds=1, measures={})
    report = render(tmp_path, tmp_path / "out")
    assert {file.name for file in report.files} == {"index.html", "report.md", "table.csv"}
    text = next(file for file in report.files if file.name == "report.md").read_text()
    assert "| q4 (quantized · llamacpp) | not measured |" in text
    assert "What finetuned-q4 keeps of finetuned: not measured." in text


def test_the_article_is_quoted_as_a_claim_beside_what_was_measured(report: Report) -> None:
    text = next(file for file in report.files if file.name == "report.md").read_text()
    line = next(line for line in text.splitlines() if line.startswith("| Quantize only (q4) |"))
    assert line.startswith("| Quantize only (q4) | 2.30 MB (3.00× smaller) |")
    assert line.endswith("| *6.5 GB (8× smaller)* | *20 ms (7.5× faster)* | *59 % (−1 points)* |")
    assert "not measured here" in text


def test_a_format_that_is_not_known_is_refused(sweep: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="format: got pdf; allowed: md, html, csv, svg"):
        render(sweep, tmp_path, formats=("pdf",))


def test_nothing_is_written_without_records(tmp_path: Path) -> None:
    report = render(tmp_path, tmp_path / "out")
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
