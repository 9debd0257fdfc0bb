"""The report of a made-up sweep: its files, its page, its tables, and that it is the same every time."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from bench.metrics.answers import right
from bench.records.selection import Wanted
from bench.records.store import read
from bench.records.values import Answers
from bench.report import Report, render
from bench.selftest import raw_values, records
from bench.stats import estimates, proportions
from tests.report.conftest import render_all, table_of, text_of

KINDS = (".svg", "-narrow.svg", ".png", ".csv")


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
    drawn = ("decision", "accuracy-size-general", "accuracy-size-hr", "latency", "latency-transformers", "subjects-hr")
    charts = {f"{name}{kind}" for name in (*drawn, "subjects-general") for kind in KINDS}
    assert names == {"index.html", "report.md", "table.csv", *charts}
    assert report.page is not None
    assert report.page.name == "index.html"
    assert [file.name for file in report.files[0].parent.iterdir() if file.name not in names] == ["index.json"]


def test_rendering_twice_gives_the_same_bytes(sweep: Path, report: Report, tmp_path: Path) -> None:
    again = render_all(sweep, tmp_path)
    assert {f.name: f.read_bytes() for f in again.files} == {f.name: f.read_bytes() for f in report.files}


def test_the_page_is_self_contained_and_small(report: Report) -> None:
    page = next(file for file in report.files if file.name == "index.html").read_text()
    assert len(page) < 1_500_000
    assert page.count("<svg ") == 14  # a wide and a narrow one of each chart
    beside = {file.name for file in report.files}
    linked = set(re.findall(r'(?:src|href)="([^"#]+)"', page))
    assert linked <= beside
    assert not re.search(r"@import|url\((?!#)", page)
    ids = re.findall(r'\bid="([^"]*)"', page)
    assert len(ids) == len(set(ids)) or not [i for i in ids if ids.count(i) > 1 and f"#{i}" in page]
    assert "out of memory after 3 of 100 steps &lt;killed&gt; | signal 9" in page


def test_charts_keep_their_text_as_text_of_at_least_18_pixels_on_a_slide(report: Report) -> None:
    for file in (file for file in report.files if file.suffix == ".svg"):
        svg = file.read_text()
        assert min(float(size) for size in re.findall(r"font[^;]*?([\d.]+)px", svg)) * 1600 / 800 >= 18
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
    line = next(line for line in text.splitlines() if line.startswith("| qlora (QLoRA"))
    assert line.count("not measured") == line.count("|") - 2
    bad = [finding for finding in report.findings if finding.level == "bad"]
    assert [finding.title for finding in bad] == ["finetuned-q5", "qlora"]
    assert bad[1].text.startswith("Rounds 1, 2, 3 failed at build lora: MemoryError")


def test_too_few_requests_for_a_p99_are_reported(report: Report) -> None:
    line = next(line for line in text_of(report).splitlines() if line.startswith("| finetuned-q5 "))
    assert "n too small" in line
    assert table_of(report)["finetuned-q5"]["e2e_p99_ms_high"] == ""


def test_the_runtime_control_passes_and_is_stated(report: Report) -> None:
    passed = [finding.text for finding in report.findings if finding.level == "good"]
    assert len(passed) == 1
    assert "finetuned and finetuned-torch are the same model" in passed[0]
    assert "base and base-torch are the same model" in passed[0]
    assert "general: 400 of 400 (100.0 %); hr: 400 of 400 (100.0 %)" in passed[0]


def test_the_article_is_quoted_as_a_claim_beside_what_was_measured(report: Report) -> None:
    text = text_of(report)
    lines = text.splitlines()
    place = next(i for i, line in enumerate(lines) if line.startswith("| Quantize only (q4) | 2.30 MB |"))
    assert lines[place].endswith("| not measured |")
    assert (
        lines[place + 1] == "| *Article (Quantize only)* | *6.5 GB* | *20* | *59 %* | *&#36;0.05 per user and month* |"
    )
    assert "not measured here" in text


def test_a_format_that_is_not_known_is_refused(sweep: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="format: got pdf; allowed: md, html, csv, svg"):
        render(sweep, tmp_path, Wanted(), ("pdf",))


def test_nothing_is_written_without_records(tmp_path: Path) -> None:
    report = render(tmp_path, tmp_path / "out", Wanted())
    assert (report.files, report.selection, report.page) == ((), None, None)
    assert not (tmp_path / "out").exists()
