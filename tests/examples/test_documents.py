"""README.md and the README of each room: every command exists, every link leads somewhere, every example is read."""

from __future__ import annotations

import argparse
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from bench import cli
from bench.sweep.plan.compose import compose
from bench.sweep.plan.conf import names
from bench.sweep.plan.request import parse
from variants.data.rows import read_rows
from variants.paths import ROOT

ROOMS = sorted(path for top in ("bench", "variants") for path in (ROOT / top).rglob("README.md"))
DOCUMENTS = (ROOT / "README.md", *ROOMS, ROOT / "results" / "README.md")
README_LINES = 130


def blocks(document: Path, language: str) -> list[str]:
    """Return the fenced blocks of a language, those inside lists too."""
    return re.findall(rf"^ *```{language}\n(.*?)^ *```$", document.read_text(), re.DOTALL | re.MULTILINE)


def commands(program: str) -> Iterator[tuple[str, list[str]]]:
    """Yield where a command is printed, and its arguments."""
    for document in DOCUMENTS:
        for line in "".join(blocks(document, "sh")).splitlines():
            words = shlex.split(line, comments=True)
            if words and words[0] == program:
                yield f"{document.relative_to(ROOT)}: {' '.join(words)}", words[1:]


def parametrized(program: str) -> pytest.MarkDecorator:
    found = list(commands(program))
    assert found
    return pytest.mark.parametrize("arguments", [words for _, words in found], ids=[name for name, _ in found])


@parametrized("bench")
def test_every_printed_command_is_one_that_bench_takes(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    accepted: list[argparse.Namespace] = []
    monkeypatch.setattr(cli, "_dispatch", accepted.append)  # parsed by the command line's own parser, and not run
    cli.main(arguments)
    (parsed,) = accepted
    if parsed.command in ("run", "bisect"):
        for folder in ("model", "mmlu/dev", "mmlu/test"):
            (tmp_path / folder).mkdir(parents=True)
        typed = [argument.replace("/path/to", str(tmp_path)) for argument in parsed.overrides]
        compose(parse(typed), "base", 0, check=True)


@pytest.mark.parametrize("typed", [words for _, words in commands("bench") if words[0] == "advise"], ids=" ".join)
def test_every_printed_advice_is_given_on_the_shipped_records(
    typed: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(typed) in (0, 1, 2)
    output = capsys.readouterr()
    assert output.err == ""  # a mistake in the requirements is exit code 2 as well
    assert output.out


@parametrized("make")
def test_every_printed_make_command_has_a_target_and_a_suite(arguments: list[str]) -> None:
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    variables = dict(argument.split("=", 1) for argument in arguments if "=" in argument)
    assert {argument for argument in arguments if "=" not in argument} <= set(targets)
    assert variables.keys() <= {"SUITE", "MODEL", "ARGS"}
    assert variables.get("SUITE", "embedded") in names("suite")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_command_named_in_a_sentence_has_the_flags_named_with_it(
    document: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prose = re.sub(r"```.*?```", "", document.read_text(), flags=re.DOTALL)
    for verb, rest in re.findall(r"`bench\s+([a-z]+)([^`]*)`", prose):
        with pytest.raises(SystemExit) as left:
            cli.main([verb, "--help"])
        assert left.value.code == 0, verb
        assert set(re.findall(r"--[a-z-]+", rest)) <= set(re.findall(r"--[a-z-]+", capsys.readouterr().out))


def anchors(document: Path) -> set[str]:
    """Return the anchors of a document's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"```.*?```", "", document.read_text(), flags=re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_relative_link_leads_to_a_file_and_a_heading(document: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", document.read_text()):
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        file = document.parent / name if name else document
        assert file.exists(), f"{document.relative_to(ROOT)} links to {link}"
        assert not anchor or anchor in anchors(file), f"{document.relative_to(ROOT)} links to {link}"


def test_the_readme_can_be_read_by_a_newcomer() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= README_LINES


def test_the_readme_s_row_of_data_is_read(tmp_path: Path) -> None:
    (block,) = blocks(ROOT / "README.md", "json")
    (tmp_path / "rows.jsonl").write_text(block)
    (row,) = read_rows(tmp_path / "rows.jsonl")
    assert row.choices[row.answer] == "25 days"


def test_the_readme_s_variant_is_made_of_steps_that_exist() -> None:
    (block,) = blocks(ROOT / "README.md", "yaml")
    variant = yaml.safe_load(block)
    steps = yaml.safe_load((ROOT / "conf/steps/default.yaml").read_text())
    assert variant["name"] not in names("variant")
    assert set(variant["steps"]) <= steps.keys()
    assert variant["runtime"] in names("runtime")
