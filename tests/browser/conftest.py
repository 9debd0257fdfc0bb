"""The pages of real and made-up sweeps in a headless Chromium: Debian's, driven by Playwright."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from bench.cli import main
from bench.selftest import records, repository
from tests.browser.opened import Opened
from variants.paths import ROOT

if TYPE_CHECKING:
    from playwright.sync_api import Browser

BINARIES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
VARIANTS = ("base", "q4", "finetuned", "finetuned-q4")
Open = Callable[..., Opened]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A browser of this machine; nothing is downloaded, and the tests are skipped where there is none."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: make setup")
    binary = next(filter(None, map(shutil.which, BINARIES)), None)
    if binary is None:
        pytest.skip("there is no Chromium here: apt-get install chromium")
    with api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=binary, args=FLAGS)
        yield started
        started.close()


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Every kind of page by name: `report` is that of the shipped records, the others are made up."""
    root = tmp_path_factory.mktemp("site")
    shas = repository.make_commits(root, 12)
    results, shipped = root / "results", root / "shipped"
    slower = {("q4", place): 1.3 for place in range(6, 12)}
    repository.write_history(results, shas, 3, 150, VARIANTS, lambda place, name: slower.get((name, place), 1.0))
    _write_trial(results, shas[-1])
    folder = ["--results", str(results)]
    assert main(["report", "--results", str(ROOT / "results"), "--out", str(shipped)]) == 0
    assert main(["report", *folder, "--sweep", "embedded-reference"]) == 0
    assert main(["report", *folder, "--sweep", "smoke-reference"]) == 0
    assert main(["history", *folder, "--sweep", "embedded-reference", "--cache", str(root / "cache")]) == 0
    assert main(["compare", shas[5], shas[6], *folder, "--sweep", "embedded-reference", "--format", "html"]) in (0, 1)
    reports = results / "report"
    (comparison,) = (reports / "embedded-reference").glob("compare-*.html")
    return {
        "report": shipped / "index.html",
        "made up": reports / "embedded-reference" / "index.html",
        "trial": reports / "smoke-reference" / "index.html",
        "history": reports / "embedded-reference" / "history.html",
        "comparison": comparison,
        "list": reports / "index.html",
    }


def _write_trial(results: Path, sha: str) -> None:
    """Write the records of a trial run beside the others: it asks the first questions alone, like the suite smoke."""
    for name in VARIANTS:
        content: dict[str, Any] = records.record(name)
        content |= {"sweep": "smoke-reference", "commit": {"sha": sha, "dirty": False, "tree": "clean"}}
        content["config"]["measures"]["accuracy"] = {"limit": 20}
        path = records.write(results / "aside", content)
        path.rename(results / records.MACHINE / sha[:12] / f"{name}~smoke-reference.r0.json")
    shutil.rmtree(results / "aside")


@pytest.fixture
def open_page(browser: Browser, site: dict[str, Path]) -> Iterator[Open]:
    """Open a page of the site; whatever it asks the network for, or complains about, fails the test at its end."""
    opened: list[Opened] = []

    def open_one(name: str, width: int = 1280, height: int = 800, dark: bool = False, script: bool = True) -> Opened:
        scheme = "dark" if dark else "light"
        page = browser.new_page(
            viewport={"width": width, "height": height},
            color_scheme=scheme,  # type: ignore[arg-type]
            java_script_enabled=script,
        )
        one = Opened(page)
        opened.append(one)
        page.goto(site[name].as_uri())
        return one

    yield open_one
    for one in opened:
        one.page.close()
    assert [request for one in opened for request in one.requests if not request.startswith(("file://", "data:"))] == []
    assert [complaint for one in opened for complaint in one.complaints] == []
