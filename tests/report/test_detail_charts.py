"""Charts of details: divergence by bits from the model before quantizing, and right answers by subject."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path

import pytest

from bench.report.charts.answers.subjects import changes, title
from bench.report.charts.chart import Chart
from bench.report.charts.draw import draw_all
from bench.selftest import raw_values, records
from bench.summary.rows import Summary
from tests.report.conftest import SHARES, mmlu_record, summary_of


def lines(chart: Chart) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(chart.csv)))


def quantizations(results: Path, from_base: Mapping[str, float], from_parent: Mapping[str, float]) -> Chart | None:
    """Draw the divergences of quantized variants; those of an older record have none from a parent."""
    for name, kl in from_base.items():
        content = records.record(name)
        fields = raw_values.divergence(kl)
        if name in from_parent:
            share = from_parent[name] / kl
            fields |= {
                "parent": "before",
                "parent_kl": [share * value for value in fields["kl"]],
                "parent_same_top": "1" * 256,
            }
        content["measures"]["divergence"] = fields
        records.write(results, content)
    return draw_all(summary_of(results), None).charts.get("divergence")


def test_a_quantized_fine_tune_stands_at_its_distance_from_the_fine_tune_and_not_from_the_base(tmp_path: Path) -> None:
    from_parent = {"finetuned-q4": 0.01, "finetuned-q2": 0.2}
    chart = quantizations(tmp_path, {"finetuned": 0.8, "finetuned-q4": 0.8, "finetuned-q2": 0.7}, from_parent)
    assert chart is not None
    drawn = {line["variant"]: float(line["kl_nats"]) for line in lines(chart)}
    values = summary_of(tmp_path).by_name
    assert drawn == {name: pytest.approx(values[name].value("parent_kl_mean"), rel=1e-5) for name in from_parent}
    assert drawn["finetuned-q2"] > 5 * drawn["finetuned-q4"]
    assert chart.title.startswith("The fewer bits, the farther from the unquantized model: from 0.0")


def test_an_older_record_shows_what_was_never_fine_tuned_at_its_distance_from_the_base(tmp_path: Path) -> None:
    chart = quantizations(tmp_path, {"q4": 0.02, "q2": 0.4, "finetuned-q4": 0.9}, {})
    assert chart is not None
    assert {line["variant"] for line in lines(chart)} == {"q4", "q2"}
    assert ">q4</text>" in chart.wide


def test_bits_that_are_not_shown_to_matter_are_not_said_to(tmp_path: Path) -> None:
    chart = quantizations(tmp_path, {"q4": 0.400, "q2": 0.401}, {})
    assert chart is not None
    assert chart.title.startswith("Quantized variants lie apart from their unquantized model: from ")


def test_without_a_quantized_variant_there_is_no_chart_of_divergence(tmp_path: Path) -> None:
    assert quantizations(tmp_path, {"base": 1e-9, "finetuned": 0.8}, {}) is None


@pytest.fixture(scope="module")
def mmlu(tmp_path_factory: pytest.TempPathFactory) -> Summary:
    results = tmp_path_factory.mktemp("results")
    for name in SHARES:
        records.write(results, mmlu_record(name))
    return summary_of(results)


def test_of_57_subjects_those_with_the_largest_changes_are_drawn_and_all_are_in_the_numbers(mmlu: Summary) -> None:
    charts = draw_all(mmlu, None).charts
    assert [name for name in charts if name.startswith("subjects")] == ["subjects-mmlu"]
    chart = charts["subjects-mmlu"]
    assert "the 12 of 57 subjects with the largest changes" in chart.subtitle
    assert len(lines(chart)) == 57
    by_size = sorted(lines(chart), key=lambda line: -abs(float(line["points"])))
    largest = by_size[0]["subject"].replace("_", " ")[:15]
    assert f">{largest}" in chart.wide
    assert f">{largest}" in chart.narrow


def test_a_change_on_a_subject_is_called_shown_only_after_adjusting_for_all_that_were_looked_at(mmlu: Summary) -> None:
    cells = changes(mmlu, "mmlu")
    assert len(cells) == 57
    assert all(cell.p_holm >= cell.change.p for cell in cells.values())
    unadjusted = [cell for cell in cells.values() if cell.change.p < 0.05]
    shown = [cell for cell in cells.values() if cell.is_shown]
    assert len(unadjusted) > len(shown) == 0
    assert title("mmlu", cells, 57) == "On no subject of mmlu is a variant shown to differ from its base"


def test_the_points_of_a_subject_are_those_of_its_questions(mmlu: Summary) -> None:
    cells = changes(mmlu, "mmlu")
    base, q2 = (mmlu.by_name[name].answers["mmlu"] for name in ("base", "q2"))
    places = [i for i, subject in enumerate(q2.subject) if subject == "anatomy"]
    picked, gold = (q2.picked or (), base.picked or ()), q2.gold or ()
    hits = [sum(side[i] == gold[i] for i in places) for side in picked]
    assert cells["q2", "anatomy"].change.difference == pytest.approx((hits[0] - hits[1]) / len(places))
