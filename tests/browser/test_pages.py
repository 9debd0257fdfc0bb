"""Every page, in a real browser: it needs no network, complains of nothing, fits its window, and is dark if asked."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from tests.browser.conftest import Open

PAGES = ("report", "made up", "trial", "history", "comparison", "list")
A4_LANDSCAPE = (842, 595)
"""Points."""


@pytest.mark.parametrize("name", PAGES)
def test_it_loads_nothing_and_complains_of_nothing(open_page: Open, name: str) -> None:
    opened = open_page(name)
    opened.unfold()
    for button in opened.page.locator("thead button:visible").all()[:3]:
        button.click()
    assert [request for request in opened.requests if not request.startswith("file://")] == []
    assert opened.complaints == []
    assert opened.page.locator("h1").count() == 1
    assert opened.page.locator("main").count() == 1


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("name", PAGES)
def test_nothing_is_wider_than_the_window(open_page: Open, name: str, width: int) -> None:
    opened = open_page(name, width)
    for _ in range(2):
        wide = opened.ask("""[...document.querySelectorAll('main *')]
            .filter(one => one.getBoundingClientRect().right > innerWidth + 1 && !one.closest('.scroll, .long, svg'))
            .map(one => one.outerHTML.slice(0, 80))""")
        assert wide == []
        assert opened.ask("document.documentElement.scrollWidth") <= width
        opened.unfold()


@pytest.mark.parametrize("name", PAGES)
def test_it_is_dark_where_that_is_asked_for_and_light_where_not(open_page: Open, name: str) -> None:
    for dark in (False, True):
        opened = open_page(name, dark=dark)
        paper, ink = opened.colour("body", "backgroundColor"), opened.colour("h1", "color")
        assert (paper < 0.2 and ink > 0.7) if dark else (paper > 0.9 and ink < 0.3)


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("name", [name for name in PAGES if name != "made up"])
def test_axe_finds_nothing_serious(open_page: Open, name: str, dark: bool) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed: make setup")
    opened = open_page(name, dark=dark)
    opened.unfold()
    violations = axe.Axe().run(opened.page).response["violations"]
    grave = [
        f"{one['id']}: {one['help']}: {node['html'][:120]}"
        for one in violations
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"][:3]
    ]
    assert grave == []


@pytest.mark.parametrize("name", ["report", "comparison"])
def test_printed_on_a4_landscape_the_decision_is_on_page_one(open_page: Open, name: str) -> None:
    pypdf = pytest.importorskip("pypdf", reason="pypdf is not installed: make setup")
    opened = open_page(name)
    heading = opened.page.locator("h1").inner_text()
    first_row = opened.page.locator("table").first.locator("tbody th > span").first.inner_text()
    printed = pypdf.PdfReader(io.BytesIO(opened.page.pdf(prefer_css_page_size=True, print_background=True)))
    size = printed.pages[0].mediabox
    assert (float(size.width), float(size.height)) == pytest.approx(A4_LANDSCAPE, abs=1.5)
    text = "".join(printed.pages[0].extract_text().split())
    assert "".join(heading.split()) in text
    assert "".join(first_row.split()) in text


def test_pages_lead_to_each_other(open_page: Open, site: dict[str, Path]) -> None:
    opened = open_page("list")
    links = opened.ask("[...document.querySelectorAll('main a')].map(link => link.href)")
    for name in ("made up", "trial", "history", "comparison"):
        assert site[name].as_uri() in links
    opened.page.goto(site["made up"].as_uri())
    opened.page.get_by_role("link", name="History").click()
    assert opened.page.url == site["history"].as_uri()
    opened.page.get_by_role("link", name="All reports").click()
    assert opened.page.url == site["list"].as_uri()
