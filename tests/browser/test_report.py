"""The report of the shipped records in a real browser: the first screen, sorting, filtering, folds, without script."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.browser.conftest import Open

LARGEST = 3_000_000
"""Bytes of the page."""
FACTORS = {"kB": 1e3, "MB": 1e6, "GB": 1e9}


def bytes_of(text: str) -> float:
    number, unit = text.split()
    return float(number) * FACTORS[unit]


def test_the_page_is_small(site: dict[str, Path]) -> None:
    assert site["report"].stat().st_size <= LARGEST


def test_decision_chart_and_table_are_on_the_first_screen(open_page: Open) -> None:
    opened = open_page("report", 1280, 800)
    for selector in ("h1", ".chips", "#chart-decision", "#decision table"):
        box = opened.page.locator(selector).first.bounding_box()
        assert box is not None, selector
        assert box["y"] + box["height"] <= 800, selector
    assert 0 < opened.page.locator(".chips li").count() <= 4
    assert len(opened.titles(opened.page.locator("#decision table"))) == 7


def test_on_a_phone_the_decision_is_on_the_first_screen_and_the_first_column_stays(open_page: Open) -> None:
    opened = open_page("report", 390, 844)
    box = opened.page.locator("h1").bounding_box()
    assert box is not None
    assert box["y"] + box["height"] <= 400
    table = opened.page.locator("#variants table")
    opened.unfold()
    first = table.locator("tbody th").first
    before = first.bounding_box()
    table.evaluate("table => { table.closest('.scroll').scrollLeft = 200; }")
    after = first.bounding_box()
    assert before is not None
    assert after is not None
    assert after["x"] == pytest.approx(before["x"], abs=2)


def test_a_column_sorts_both_ways_by_its_numbers(open_page: Open) -> None:
    opened = open_page("report")
    table = opened.page.locator("#decision table")
    heads = table.locator("thead th")
    place = next(i for i, title in enumerate(opened.titles(table)) if title.startswith("Size"))
    button = heads.nth(place).get_by_role("button")
    unsorted = opened.column(table, "Variant")
    for turn, way in ((1, "ascending"), (-1, "descending")):
        button.click()
        assert heads.nth(place).get_attribute("aria-sort") == way
        sizes = [turn * bytes_of(text) for text in opened.column(table, "Size")]
        assert sizes == sorted(sizes)
        assert sorted(opened.column(table, "Variant")) == sorted(unsorted)
    assert opened.page.locator("#decision [aria-sort]").count() == 1


def test_sorting_needs_no_mouse(open_page: Open) -> None:
    opened = open_page("report")
    head = opened.page.locator("#decision thead th").nth(1)
    head.get_by_role("button").focus()
    opened.page.keyboard.press("Enter")
    assert head.get_attribute("aria-sort") == "ascending"


def test_a_family_can_be_taken_out_and_put_back(open_page: Open) -> None:
    opened = open_page("report")
    section = opened.page.locator("#variants")
    opened.unfold()
    rows = section.locator("tbody tr:visible")
    every = rows.count()
    button = section.locator(".tools button[data-family]").first
    family = button.get_attribute("data-family")
    assert button.get_attribute("aria-pressed") == "true"
    button.click()
    assert button.get_attribute("aria-pressed") == "false"
    assert 0 < rows.count() < every
    assert family not in {row.get_attribute("data-family") for row in rows.all()}
    button.click()
    assert rows.count() == every


def test_only_what_differs_leaves_out_columns_that_are_alike(open_page: Open) -> None:
    opened = open_page("report")
    opened.unfold()
    section = opened.page.locator("#variants")
    table = section.locator("table")
    for button in section.locator(".tools button[data-family]").all():
        if button.get_attribute("data-family") != "quantized":
            button.click()
    before = table.locator("thead th:visible").count()
    section.locator(".tools button.switch").click()
    shown = table.locator("thead th:visible")
    assert 1 < shown.count() <= before
    for place in range(1, len(opened.titles(table))):
        head = table.locator("thead th").nth(place)
        cells = {row.locator("th, td").nth(place).inner_text() for row in table.locator("tbody tr:visible").all()}
        assert len(cells) > 1 or not head.is_visible()


def test_a_term_leads_to_its_definition(open_page: Open) -> None:
    opened = open_page("report")
    link = opened.page.locator("#decision thead a[href^='#term-']").first
    target = link.get_attribute("href")
    assert not opened.page.locator(f"{target}").is_visible()
    link.click()
    opened.page.locator(f"{target}").wait_for(state="visible")


def test_without_script_everything_is_there(open_page: Open) -> None:
    with_script, without = open_page("report"), open_page("report", script=False)
    for opened in (with_script, without):
        assert opened.page.locator("h1").is_visible()
        assert opened.page.locator("#decision tbody tr").first.is_visible()
    assert without.page.locator("thead button").count() == 0
    without.page.locator("details#all > summary").click()
    assert without.page.locator("#variants table").is_visible()


def test_a_trial_run_says_on_top_that_it_decides_nothing(open_page: Open) -> None:
    opened = open_page("trial")
    banner = opened.page.locator(".banner")
    assert re.search("decides nothing", banner.inner_text())
    box = banner.bounding_box()
    assert box is not None
    assert box["y"] < 200
    assert open_page("made up").page.locator(".banner").count() == 0


def test_flips_show_the_question_and_both_answers(open_page: Open) -> None:
    opened = open_page("report")
    opened.unfold()
    table = opened.page.locator("#flips table")
    if table.count() == 0:
        pytest.skip("quantizing the choice flips no question in the shipped records")
    titles = opened.titles(table)
    assert [title for title in titles if title.startswith("Answer of ")] != []
    assert opened.column(table, "Question")[0]
