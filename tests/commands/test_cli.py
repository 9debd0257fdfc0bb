"""The command line: its help, its version, and what a stranger mistypes."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from bench.cli import EXAMPLES, main
from tests.checkout import Checkout
from variants.paths import ROOT

Capture = pytest.CaptureFixture[str]
COMMANDS = [name for name in EXAMPLES if name]


def help_of(capsys: Capture, *typed: str) -> str:
    with pytest.raises(SystemExit) as stop:
        main([*typed])
    assert stop.value.code == 0
    return capsys.readouterr().out


def test_bench_alone_shows_its_help(capsys: Capture) -> None:
    assert help_of(capsys) == help_of(capsys, "--help")


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_every_help_ends_in_two_examples_that_name_their_command(capsys: Capture, command: str) -> None:
    text = help_of(capsys, *filter(None, [command]), "--help")
    examples = text.partition("\nexamples:\n")[2].splitlines()
    assert len(examples) == 2
    assert all(line.startswith(f"  bench {command}".rstrip()) for line in examples)


def test_every_command_has_examples(capsys: Capture) -> None:
    listed = re.findall(r"^    (\w+) ", help_of(capsys, "--help"), re.MULTILINE)
    assert listed == COMMANDS


def test_the_version_is_that_of_the_package(capsys: Capture) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"bench {version('variantbench')}\n"


def test_help_needs_no_heavy_library() -> None:
    script = "import sys; from bench.cli import main; sys.argv[1:] = ['--help']\ntry: main()\nexcept SystemExit: pass\n"
    script += "print('heavy:', *sorted({'torch', 'numpy', 'pandas', 'hydra', 'rich', 'msgspec'} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "heavy:"


@pytest.mark.parametrize(
    ("typed", "complaint"),
    [
        ("compar HEAD~1", "COMMAND: got 'compar', allowed: run, report, compare, .*; did you mean compare?"),
        ("frobnicate", "COMMAND: got 'frobnicate', allowed: run, report, "),
        ("--verbose", "bench: got --verbose, allowed: --version"),
        ("report --formt md", "report: got --formt, allowed: .*; did you mean --format"),
        ("report --format pdf", "--format: got 'pdf', allowed: md, html, csv, svg"),
        ("report --open --format md", "--open: .* --format md does not write"),
        ("report --commit", "--commit: expected one argument; see `bench report --help`"),
        ("report --commit nowhere", "unknown revision 'nowhere': choose one of: "),
        ("compare", "the following arguments are required: BASE; see `bench compare --help`"),
        ("compare HEAD~1 --format xls", "--format: got 'xls', allowed: table, html, md, json, github"),
        ("compare a b c", "compare: got c, allowed: "),
        (
            "compare HEAD~1 --metric e2e_p90_ms",
            "--metric: got 'e2e_p90_ms', allowed: .*; did you mean e2e_p50_ms or e2e_p99_ms?",
        ),
        (
            "compare HEAD~1 --fail-on wrose",
            "--fail-on: got 'wrose', allowed: worse, now-fails, .*; did you mean worse?",
        ),
        ("list --limit few", "--limit: got 'few', allowed: a whole number"),
        ("list --limit 0", "--limit: got 0, allowed: 1 and more"),
        ("doctor --fix", "doctor: got --fix, allowed: KEY=VALUE, such as suite=smoke$"),
        ("doctor rank=8", "rank: unknown key; did you mean steps.lora.rank?"),
        ("run smoke", "'smoke': an override is KEY=VALUE"),
        ("run --suite smoke", "run: got --suite, allowed: KEY=VALUE, such as suite=smoke, and --open"),
        ("run suite=smok", "suite: no 'smok' in conf/suite; did you mean smoke?"),
        ("run rank=8", "rank: unknown key; did you mean steps.lora.rank?"),
        ("run variant=Q4", "variant: no 'Q4' in conf/variant; did you mean q4"),
        (
            "run model=qwen",
            "model=qwen: no such name .*; there are: hub, local, .*random-125m, .*reference",
        ),
        ("advise requirements=realtme", "no 'realtme' in conf/requirements; did you mean realtime?"),
        ("history --branch nowhere", "nowhere"),
        ("bisect size_byte q4 HEAD~1 HEAD", "METRIC: got 'size_byte', allowed: .*; did you mean size_bytes"),
    ],
)
def test_a_mistake_is_one_line_with_what_is_allowed_and_exit_code_2(
    capsys: Capture, typed: str, complaint: str
) -> None:
    assert main(typed.split()) == 2
    output = capsys.readouterr()
    assert (output.out, len(output.err.splitlines())) == ("", 1)
    assert re.search(complaint.replace("?", r"\?"), output.err), output.err


def test_overrides_may_stand_behind_an_option(capsys: Capture) -> None:
    assert main(["run", "device=cpu", "--open", "suite=smok"]) == 2
    assert "no 'smok' in conf/suite" in capsys.readouterr().err


@pytest.mark.parametrize("command", [["report", "--format", "md"], ["advise"]], ids=" ".join)
def test_a_commit_is_any_git_revision(capsys: Capture, checkout: Checkout, command: list[str]) -> None:
    for sha in (checkout.base, checkout.head):
        checkout.measure(sha)
    main([*command, "--commit", "HEAD~1", "--results", str(checkout.results)])
    output = capsys.readouterr()
    written = output.out + "".join(file.read_text() for file in checkout.results.glob("report/*/report.md"))
    assert (checkout.base[:12] in written, checkout.head[:12] in written, output.err) == (True, False, "")


def opened(tmp_path: Path, checkout: Checkout, **environment: str) -> tuple[str, list[str]]:
    """Run `bench report --open` in a process; return what it printed, and the addresses that a browser got."""
    checkout.measure(checkout.head)
    log, browser = tmp_path / "addresses", tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" >> {log}\n')
    browser.chmod(0o755)
    kept = {key: value for key, value in os.environ.items() if key not in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")}
    named = {key: value.format(browser=browser) for key, value in environment.items()}
    command = [sys.executable, "-m", "bench.cli", "report", "--results", str(checkout.results), "--open"]
    done = subprocess.run(command, cwd=ROOT, env={**kept, **named}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout, log.read_text().splitlines() if log.exists() else []


def test_open_hands_the_page_to_the_browser(tmp_path: Path, checkout: Checkout) -> None:
    printed, addresses = opened(tmp_path, checkout, BROWSER="{browser}")
    page = Path(printed.strip().removeprefix("report: "))
    assert page.is_file()
    assert addresses == [page.as_uri()]


def test_open_says_in_one_line_that_there_is_no_display(tmp_path: Path, checkout: Checkout) -> None:
    printed, addresses = opened(tmp_path, checkout)
    report, why = printed.splitlines()
    assert report.startswith("report: ")
    assert why == "not opened: this machine has no display; open the file above in a browser"
    assert addresses == []
