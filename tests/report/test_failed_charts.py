"""A chart that cannot be drawn costs itself, and nothing else: the page says which one, and why."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bench.cli import main
from bench.report.charts.style import FONTS, open_matplotlib
from bench.selftest import records, repository

FAILS = "$x_{$ cannot be drawn"


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two commits, between which the size of q4 changes."""
    root = tmp_path_factory.mktemp("charts")
    for place, sha in enumerate(repository.make_commits(root, 2)):
        for name in ("base", "q4"):
            content = records.record(name, requests=12)
            content["commit"] = {"sha": sha, "dirty": False, "tree": "clean"}
            content["measures"]["size"]["size_bytes"] += 100_000 * place
            records.write(root / "results", content)
    return root


def fail(*_: object, **__: object) -> None:
    raise ValueError(FAILS)


def test_a_chart_of_a_report_that_fails_is_named_and_all_else_is_written(
    history: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("bench.report.charts.draw.accuracy_by_subject", fail)
    monkeypatch.setattr("bench.report.charts.draw.decision", fail)
    typed = ("report", "requirements=hr-chatbot", "--results", str(history / "results"), "--out", str(tmp_path))
    assert main([*typed]) == 0
    written = {path.name for path in tmp_path.iterdir()}
    assert {"index.html", "report.md", "table.csv", "latency.svg", "accuracy-size-hr.png"} <= written
    warned = capsys.readouterr().err
    for what in ("decision", "accuracy by subject, general", "accuracy by subject, hr"):
        assert f"bench: chart not drawn: {what}: ValueError: {FAILS}\n" in warned
        for page in ("index.html", "report.md"):
            assert f"{what}: ValueError: " in text_of(tmp_path / page)


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8").replace("<b>", "").replace("</b>", "")


def test_a_chart_of_a_history_that_fails_is_named_and_all_else_is_written(
    history: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("bench.report.pages.history.history_chart", fail)
    typed = ("history", "--branch", "main", "--results", str(history / "results"), "--out", str(tmp_path / "out"))
    assert main([*typed, "--cache", str(tmp_path / "cache")]) == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"history.html", "history.csv", "history.json"}
    assert f"chart not drawn: size_bytes: ValueError: {FAILS}" in capsys.readouterr().err
    assert FAILS in text_of(tmp_path / "out" / "history.html")


def test_a_history_whose_index_cannot_be_kept_is_shown_and_says_so(
    history: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "cache").write_text("a file where the cache would be")
    typed = ("history", "--branch", "main", "--results", str(history / "results"), "--out", str(tmp_path / "out"))
    assert main([*typed, "--cache", str(tmp_path / "cache"), "--format", "html,svg"]) == 0
    assert "the next call reads all records again" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["report", "history"])
@pytest.mark.parametrize("out", ["", "file", "file/below", "file/below/that"])
def test_an_out_that_takes_no_files_is_refused_before_anything_is_drawn(
    history: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str, out: str
) -> None:
    (tmp_path / "file").write_text("")
    typed = (command, "--results", str(history / "results"), "--out", out and str(tmp_path / out))
    assert main([*typed]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.count("\n") == 1
    assert "--out" in shown.err
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_names_with_formulas_too_long_or_in_any_script_are_drawn(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("base", "q4"):
        content = records.record(name, requests=12)
        answers = content["measures"]["accuracy"].pop("hr")
        texts = ("$x_{$", "\\frac{$a$", "漢字 \U0001f600", "a" * 300)
        answers["subject"] = [texts[i % 4] for i in range(len(answers["subject"]))]
        content["measures"]["accuracy"] = {"$t_{$" + "a" * 300: answers}
        content["config"]["model"]["name"] = content["sweep"] = "$m_{$" * 30
        records.write(tmp_path / "results", content)
    typed = ("report", "requirements=hr-chatbot", "--results", str(tmp_path / "results"))
    assert main([*typed]) == 0
    assert capsys.readouterr().err == ""
    (folder,) = (path for path in (tmp_path / "results" / "report").iterdir() if path.is_dir())
    assert len(list(folder.glob("subjects-*.png"))) == 1


def test_without_a_home_that_takes_files_fonts_are_kept_in_the_cache_and_that_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("MPLCONFIGDIR", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, "")  # which also has it back at the end
    monkeypatch.setenv("HOME", "/proc/nowhere")
    open_matplotlib()
    assert os.environ["MPLCONFIGDIR"] == str(FONTS)
    warned = capsys.readouterr().err
    assert warned.startswith(f"bench: matplotlib keeps its fonts in {FONTS}, MPLCONFIGDIR sets another folder: ")
    open_matplotlib()
    assert capsys.readouterr().err == ""
