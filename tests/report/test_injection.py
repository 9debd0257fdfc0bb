"""Text from data is text everywhere: no tag, no table cell and no escape code of it takes effect in any output."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
import warnings
from collections.abc import Mapping
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from bench.cli import main
from bench.records.selection import Wanted
from bench.report import render
from bench.selftest import records, repository

TAG = "<script>alert(1)</script>"
ESCAPES = "\x1b[31m\x1b]0;owned\x07\x1b[2J\x9b31m\u202e"
TEXT = f'{TAG}{ESCAPES} | "quoted" & $x_{{$'
NAME = f"q4-{TAG}".replace("/", "_") + ESCAPES
"""What a variant is called: its record lies in a file of that name, which can have no slash."""
CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]")
Outputs = Mapping[str, str]


class Tags(HTMLParser):
    """Collects the tags of a page, and the texts outside its scripts and styles."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.scripts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        (self.scripts if self.tags and self.tags[-1][0] == "script" else self.texts).append(data)


def poisoned(content: dict[str, Any], digests: list[str], task: Path) -> dict[str, Any]:
    """Put the text wherever a record has one that is shown."""
    renamed = {"q4": NAME}
    content["variant"] = content["config"]["variant"]["name"] = renamed.get(content["variant"], content["variant"])
    content["config"]["model"]["name"] = TEXT
    content["config"]["measures"]["accuracy"]["tasks"] = [str(task)]
    content["warnings"] = [f"step q4: {TEXT}"]
    content["machine"] |= {"cpu": TEXT, "os": TEXT}
    content["session"] = content["session"] and {**content["session"], "note": TEXT}
    for answers in content["measures"].get("accuracy", {}).values():
        answers["question"] = digests
        answers["subject"] = [f"{subject}{TAG}" for subject in answers["subject"]]
    if content["error"]:
        content["error"] |= {"message": TEXT, "step": TEXT, "log": TEXT, "reproduce": f"python -m {TEXT}"}
    return content


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """Two commits whose records are poisoned: of q4 some answers flip, finetuned-q4 fails, size and speed change."""
    root = tmp_path_factory.mktemp("poisoned")
    rows = [
        {"subject": "s", "question": f"{TEXT} {i}", "choices": [TEXT, "b", "c", "d"], "answer": 0} for i in range(400)
    ]
    digests = [hashlib.sha256(json.dumps(row, indent=2, ensure_ascii=False).encode()).hexdigest()[:12] for row in rows]
    (root / "rows.jsonl").write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    task = root / "mine.yaml"
    task.write_text(
        "task: general\ndataset_path: json\noutput_type: multiple_choice\n"
        "dataset_kwargs:\n  data_files:\n    test: rows.jsonl\n"
    )
    shas = repository.make_commits(root, 3)
    for place, sha in enumerate(shas[1:]):
        for number in range(3):
            for name in ("base", "q4", "finetuned", "finetuned-q4"):
                fails = place and name == "finetuned-q4"
                content = records.failed(name, number) if fails else records.record(name, number)
                content["commit"] = {"sha": sha, "dirty": False, "tree": "clean"}
                if place and "size" in content["measures"]:
                    content["measures"]["size"]["size_bytes"] *= 2
                for answers in content["measures"].get("accuracy", {}).values():
                    if place and name == "q4":
                        answers["picked"] = [
                            3 - pick if i % 9 == 0 else pick for i, pick in enumerate(answers["picked"])
                        ]
                records.write(root / "results", poisoned(content, digests, task))
    return root, shas


@pytest.fixture(scope="module")
def files(world: tuple[Path, list[str]]) -> dict[str, str]:
    """Everything that the commands write, by the path of the file."""
    root, shas = world
    results = ["--results", str(root / "results")]
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.filterwarnings("error", message="Glyph")  # a warning of matplotlib's prints the character as it is
        patch.setattr("bench.advise.named.FOLDER", requirements(root))
        assert main(["report", *results, "--commit", shas[2], "requirements=poisoned"]) == 0
        assert main(["compare", shas[1], shas[2], *results, "--format", "html"]) == 1
        assert main(["history", *results, "--branch", "main", "--cache", str(root / "cache")]) == 0
    written = [path for path in (root / "results" / "report").rglob("*.*") if path.suffix != ".png"]
    return {str(path.relative_to(root / "results" / "report")): path.read_text() for path in written}


def requirements(root: Path) -> Path:
    """Write requirements whose title, and whose source of the price, are poisoned."""
    import yaml

    from bench.advise.named import load

    folder = root / "requirements"
    folder.mkdir(exist_ok=True)
    node = {**load("hr-chatbot"), "title": TEXT}
    (folder / "poisoned.yaml").write_text(yaml.safe_dump(node))
    return folder


def of_kind(files: Outputs, *suffixes: str) -> dict[str, str]:
    found = {name: text for name, text in files.items() if name.endswith(suffixes)}
    assert found
    return found


def test_no_file_holds_a_control_character(files: Outputs) -> None:
    assert {name: found for name, text in files.items() if (found := CONTROL.findall(text))} == {}


def test_no_tag_of_the_data_is_one_on_a_page(files: Outputs) -> None:
    pages = of_kind(files, ".html")
    assert {Path(name).name.partition("-")[0] for name in pages} == {"index.html", "history.html", "compare"}
    for name, page in pages.items():
        parsed = Tags(page)
        assert sum(tag == "script" for tag, _ in parsed.tags) == 1, name
        assert not any("alert" in script for script in parsed.scripts), name
        assert not [key for _, attributes in parsed.tags for key in attributes if key.startswith("on")], name
        assert any("<script>alert(1)" in text for text in parsed.texts), f"{name}: shown as text"


@pytest.mark.parametrize("page", ["report", "comparison"])
def test_a_question_its_choices_and_an_error_are_shown_as_they_are(files: Outputs, page: str) -> None:
    name = "index.html" if page == "report" else "compare-"
    (text,) = (text for path, text in of_kind(files, ".html").items() if path.split("/")[1:] and name in path)
    shown = "".join(Tags(text).texts)
    assert f'{TAG}\\x1b[31m\\x1b]0;owned\\x07\\x1b[2J\\x9b31m\\u202e | "quoted" & $x_{{$' in shown
    if page == "comparison":
        assert f"A {TAG}\\x1b[31m" in shown
        assert "now fails" in shown


def test_no_tag_and_no_column_of_the_data_is_one_in_markdown(files: Outputs) -> None:
    ((_, text),) = of_kind(files, ".md").items()
    allowed = {"details", "/details", "summary", "/summary"}
    outside_code = re.sub(r"``.*?``|`[^`]*`", "", text)
    assert set(re.findall(r"<(/?\w+)", outside_code)) <= allowed
    for table in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        columns = {len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}
        assert len(columns) == 1, table[:200]


def test_a_picture_is_sound_and_shows_names_as_text(files: Outputs) -> None:
    for name, picture in of_kind(files, ".svg").items():
        root = ElementTree.fromstring(picture)
        assert not [one for one in root.iter() if one.tag.endswith("script")], name
    assert any("&lt;script" in picture for picture in of_kind(files, ".svg").values())


def test_a_table_of_values_keeps_the_text_in_one_cell(files: Outputs) -> None:
    (table,) = (text for name, text in files.items() if name.endswith("/table.csv"))
    rows = list(csv.DictReader(io.StringIO(table)))
    assert {len(row) for row in rows} == {len(rows[0])}
    assert any(row["variant"].startswith("q4-<script>alert(1)") for row in rows)
    assert any(TAG in row["error"] for row in rows)


@pytest.mark.parametrize("begins", ["=", "+", "-", "@"])
def test_no_text_of_the_data_is_a_formula_in_a_spreadsheet(tmp_path: Path, begins: str) -> None:
    named = {**records.record("q4"), "variant": f"{begins}cmd", "warnings": [f"{begins}1+1"]}
    named["config"]["variant"]["name"] = named["variant"]
    for content in (records.record("base"), named):
        records.write(tmp_path, content)
    report = render(tmp_path, tmp_path / "out", Wanted())
    tables = {path.name: path.read_text() for path in report.files if path.suffix == ".csv"}
    assert {"table.csv", "latency.csv", "accuracy-size-hr.csv"} <= tables.keys()
    for name, table in tables.items():
        assert f"'{begins}cmd" in {line["variant"] for line in csv.DictReader(io.StringIO(table))}, name
    (line,) = (line for line in csv.DictReader(io.StringIO(tables["table.csv"])) if line["warnings"])
    assert line["warnings"] == f"'{begins}1+1"
    assert float(line["accuracy_hr_difference_low"]) < 0  # a number with its sign is none


def printed(capsys: pytest.CaptureFixture[str], *typed: str) -> str:
    main(list(typed))
    shown = capsys.readouterr()
    return shown.out + shown.err


@pytest.mark.parametrize(
    "command",
    [
        ("report",),
        ("advise", "requirements=poisoned"),
        ("advise", "requirements=poisoned", "--format", "json"),
        ("compare", "BASE", "HEAD", "--flips"),
        ("compare", "BASE", "HEAD", "--flips", "--format", "md"),
        ("compare", "BASE", "HEAD", "--flips", "--format", "github"),
        ("compare", "BASE", "HEAD", "--flips", "--format", "json"),
        ("history", "--branch", "main", "--cache", "CACHE"),
        ("history", "--branch", "main", "--cache", "CACHE", "--variant", NAME + "?"),
        ("list",),
    ],
)
def test_no_escape_code_reaches_the_terminal(
    world: tuple[Path, list[str]],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    command: tuple[str, ...],
) -> None:
    root, shas = world
    monkeypatch.setattr("bench.advise.named.FOLDER", requirements(root))
    places = {"BASE": shas[1], "HEAD": shas[2], "CACHE": str(root / "cache")}
    text = printed(capsys, *(places.get(part, part) for part in command), "--results", str(root / "results"))
    assert text
    assert CONTROL.findall(text) == []
    if command[-1] == "json":
        json.loads(text)


def test_no_tag_of_the_data_is_one_in_a_comment(
    world: tuple[Path, list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    root, shas = world
    typed = ("compare", shas[1], shas[2], "--results", str(root / "results"), "--flips", "--format", "github")
    text = printed(capsys, *typed)
    assert set(re.findall(r"<(/?\w+)", text)) == {"details", "/details", "summary", "/summary"}
    assert "&lt;script>alert(1)&lt;/script>" in text


def test_a_terminal_gets_the_styles_of_the_program_and_none_of_the_data(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from rich.text import Text

    from bench.terminal import console

    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    console().print(Text(TEXT, style="bold"), soft_wrap=True)
    shown = capsys.readouterr().out
    assert shown.startswith("\x1b[1m<script>")
    assert CONTROL.findall(re.sub(r"\x1b\[[01]m", "", shown)) == []
    assert "\\x1b]0;owned" in shown
