"""Every chart: its numbers are the summary's, its pictures the same every time, its text inert, nothing overlaps."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping
from typing import Any

import matplotlib
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from bench.advise.advice import Advice
from bench.report.charts.answers import decision as of_decision
from bench.report.charts.answers.spots import view_of
from bench.report.charts.chart import Chart
from bench.report.charts.draw import draw_all
from bench.report.charts.picture import NARROW, PANEL, WIDE, Size
from bench.report.pages.file_names import file_part
from tests.advise.made_up import BOTH, QUANT, TUNED_V, V, advice_of, but

EVIL = "<script>alert(1)</script> $x^2$ \x1b[31m"
LIMITS = {
    "latency": "e2e",
    "max_p99_ms": 150,
    "quality": {"domain": {"at_least": 0.6}},
    "title": "t",
    "target": "server",
}
SWEEP = {
    "base": V("base", ms=(140, 150, 160)),
    "q4": but(QUANT, ms=(120, 128, 135)),
    "tuned": but(TUNED_V, ms=(150, 160, 170)),
    "both": but(BOTH, hr=900, ms=(128, 130, 132)),
    "base-torch": V("control", ms=2000),
}


def drawn(variants: Mapping[str, V], **sweep: object) -> tuple[Advice, dict[str, Chart]]:
    advice = advice_of(variants, LIMITS, **sweep)
    return advice, draw_all(advice.summary, advice).charts


def table(chart: Chart) -> dict[str, dict[str, str]]:
    return {line["variant"]: line for line in csv.DictReader(io.StringIO(chart.csv))}


@pytest.fixture(scope="module")
def sweep() -> tuple[Advice, dict[str, Chart]]:
    return drawn(SWEEP)


def test_each_panel_is_a_chart_of_its_own_and_the_decision_comes_first(sweep: tuple[Advice, dict[str, Chart]]) -> None:
    names = ["decision", "accuracy-size-general", "accuracy-size-hr", "latency", "latency-transformers"]
    assert list(sweep[1]) == names
    assert all(chart.name == name for name, chart in sweep[1].items())


def test_the_numbers_of_a_chart_are_those_of_the_summary(sweep: tuple[Advice, dict[str, Chart]]) -> None:
    advice, charts = sweep
    for name, row in advice.summary.by_name.items():
        latency = table(charts["latency" if row.runtime == "llamacpp" else "latency-transformers"])[name]
        assert float(latency["p99_ms"]) == pytest.approx(row.values["e2e_p99_ms"].value, rel=1e-5)
        assert len(latency["rounds_p50_ms"].split()) == 3
        if name != "base-torch":
            right = row.values["accuracy hr"]
            line = table(charts["decision"])[name]
            assert float(line["right_percent"]) == pytest.approx(100 * right.value)
            assert float(line["right_percent_low"]) == pytest.approx(100 * (right.low or 0), rel=1e-5)
            assert float(line["e2e_p99_ms"]) == pytest.approx(row.values["e2e_p99_ms"].value, rel=1e-5)
            assert int(line["n"]) == right.n
            assert float(table(charts["accuracy-size-hr"])[name]["size_bytes"]) == row.value("size_bytes")
    assert [line["variant"] for line in table(charts["decision"]).values() if line["choice"] == "yes"] == ["both"]


def test_the_same_records_give_the_same_bytes(sweep: tuple[Advice, dict[str, Chart]]) -> None:
    assert draw_all(sweep[0].summary, sweep[0]).charts == sweep[1]


def test_a_slide_is_16_to_9_with_its_heading_and_text_that_reads(sweep: tuple[Advice, dict[str, Chart]]) -> None:
    for chart in sweep[1].values():
        assert Image.open(io.BytesIO(chart.png)).size == (1600, 900)
        width, height = map(float, re.findall(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', chart.slide)[0])
        assert width / height == pytest.approx(16 / 9)
        sizes = [float(size) for size in re.findall(r"font[^;\"]*?([\d.]+)px", chart.slide)]
        assert min(sizes) * 1600 / width >= 18
        assert chart.title.split()[0] in chart.slide


def test_a_page_has_the_heading_as_its_own_text_and_not_in_the_picture(sweep: tuple[Advice, dict[str, Chart]]) -> None:
    for chart in sweep[1].values():
        for svg, size in ((chart.wide, WIDE), (chart.narrow, NARROW)):
            assert f'viewBox="0 0 {size.width} {size.height}"' in svg
            assert f">{chart.title[:30]}" not in svg
            assert min(float(at) for at in re.findall(r"font[^;\"]*?([\d.]+)px", svg)) >= 12
    assert WIDE.width / WIDE.height == pytest.approx(16 / 9)


def test_a_dark_page_gets_other_shades_for_all_that_is_black_or_white(sweep: tuple[Advice, dict[str, Chart]]) -> None:
    for chart in sweep[1].values():
        for svg in (chart.wide, chart.narrow):
            drawing = svg.partition('class="chart-drawing">')[2]
            assert not re.search(r"#(000000|ffffff|1a1a1a)", drawing)
            assert "prefers-color-scheme:dark" in svg
        assert "var(--" not in chart.slide


def test_every_chart_says_in_words_what_it_shows(sweep: tuple[Advice, dict[str, Chart]]) -> None:
    for chart in sweep[1].values():
        assert chart.alt.startswith(chart.title)
        assert re.search(r"\d", chart.alt)
        assert "n = " in chart.subtitle


def test_text_from_data_is_text_in_every_form() -> None:
    _, charts = drawn({"base": V("base"), EVIL: but(QUANT, hr=310), "a" * 80: but(TUNED_V, ms=60)})
    for chart in charts.values():
        for text in (chart.wide, chart.narrow, chart.slide, chart.title, chart.subtitle, chart.alt):
            assert "\x1b" not in text
        assert not any("<script" in svg for svg in (chart.wide, chart.narrow, chart.slide))
        assert not any("a" * 40 in svg for svg in (chart.wide, chart.narrow))
    assert ">&lt;script&gt;" in charts["latency"].wide
    assert any("$x^2$" in chart.slide for chart in charts.values())


@pytest.mark.parametrize(
    "variants",
    [
        {"base": V("base")},
        {"base": V("base"), "q4": QUANT},
        {"base": V("base"), "q4": but(QUANT, failed="out of memory"), "tuned": TUNED_V},
        {"base": V("base", hr=None), "q4": but(QUANT, hr=None)},
        {"base": V("base", mb=None), "q4": QUANT},
        {"base": V("base", hr=1000, general=1000), "q4": but(QUANT, hr=0, general=0)},
    ],
    ids=["one", "two", "failed", "one task", "no size", "all and nothing"],
)
def test_a_sweep_of_any_shape_is_drawn(variants: Mapping[str, V]) -> None:
    for rounds in (1, 3):
        _, charts = drawn(variants, rounds=rounds)
        assert {"decision", "latency"} <= charts.keys()


def test_without_limits_or_without_a_latency_there_is_no_chart_of_a_decision() -> None:
    advice, charts = drawn({"base": V("base", ms=None), "tuned": but(TUNED_V, ms=None)})
    assert list(charts) == ["accuracy-size-general", "accuracy-size-hr"]
    assert "decision" not in draw_all(advice.summary, None).charts


@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
def test_no_text_lies_on_another_one_or_leaves_the_picture(size: Size) -> None:
    view = view_of(advice_of(SWEEP, LIMITS))
    assert view is not None
    style: Any = PANEL
    with matplotlib.rc_context(style):
        figure = Figure(figsize=(size.width / 72, size.height / 72))
        axes = figure.add_subplot()
        limits = of_decision.Bound(150, "limit: 150 ms"), of_decision.Bound(60, "limit: 60 %")
        of_decision._draw(axes, size, view, *limits)
        FigureCanvasAgg(figure).draw()  # type: ignore[no-untyped-call]
        ticks = [
            tick.label1
            for axis in (axes.xaxis, axes.yaxis)
            for tick in axis.get_major_ticks()
            if axis.get_view_interval()[0] <= tick.get_loc() <= axis.get_view_interval()[1]
        ]
        texts = [*axes.texts, *ticks, axes._left_title, axes.xaxis.label]  # type: ignore[attr-defined]
        boxes = {text.get_text(): text.get_window_extent() for text in texts}
    assert {"both", "tuned", "limit: 150 ms"} <= boxes.keys()
    for name, box in boxes.items():
        assert -1 <= box.x0 < box.x1 <= size.width + 1, name
        assert -1 <= box.y0 < box.y1 <= size.height + 1, name
        for other, theirs in boxes.items():
            assert name == other or not (
                box.x0 + 1 < theirs.x1 and theirs.x0 + 1 < box.x1 and box.y0 + 1 < theirs.y1 and theirs.y0 + 1 < box.y1
            ), f"{name!r} lies on {other!r}"


def test_names_from_data_become_safe_and_different_file_names() -> None:
    texts = ["mmlu", "a b", "a/b", "a:b", "../b", "", "a" * 300, "a" * 301, "\U00020000" * 300]
    parts = [file_part(text) for text in texts]
    assert parts[:2] == ["mmlu", "a-b"]
    assert len(set(parts)) == len(texts)
    assert all(part and "/" not in part and not part.startswith(".") for part in parts)
    assert max(len(f".accuracy-size-{part}.png.12345678.tmp".encode()) for part in parts) <= 255
