"""`bench compare`: its table, its last line, its exit code, and mistakes in one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.cli import main
from bench.selftest import records
from tests.checkout import Checkout, scaled


@pytest.mark.parametrize(
    ("factor", "unsound", "code", "conclusion"),
    [
        (1.0, False, 0, "no regression"),
        (1.2, False, 1, "REGRESSION"),
        (1.0, True, 2, "could not compare everything: 1 record left out"),
        (1.2, True, 1, "REGRESSION"),
    ],
)
def test_the_command_prints_a_table_and_a_summary_line(
    checkout: Checkout, capsys: pytest.CaptureFixture[str], factor: float, unsound: bool, code: int, conclusion: str
) -> None:
    checkout.measure(checkout.base)
    checkout.measure(checkout.head, lambda content: scaled(content, factor))
    if unsound:
        broken = checkout.results / records.MACHINE / checkout.head[:12] / "q8.r0.json"
        broken.write_text(json.dumps({"schema": 9}))
    assert main(["compare", "HEAD~1", "--results", str(checkout.results)]) == code
    output = capsys.readouterr()
    assert ("e2e_p99_ms" in output.out) == (factor > 1)  # what is the same stands behind --all
    assert output.out.splitlines()[-1].endswith(conclusion)
    assert output.out.splitlines()[-1].startswith(f"{checkout.base[:12]} → {checkout.head[:12]}, ")
    assert ("q8.r0.json: schema 9 is unknown" in output.err) == unsound


def test_what_is_the_same_is_counted_and_shown_on_request(
    checkout: Checkout, capsys: pytest.CaptureFixture[str]
) -> None:
    checkout.measure(checkout.base)
    checkout.measure(checkout.head, lambda content: scaled(content, 1.2))
    compare = ["compare", "HEAD~1", "--results", str(checkout.results)]
    assert main(compare) == 1
    short = capsys.readouterr().out
    assert short.startswith("q4: 7 worse, 6 same\n")
    assert "accuracy general" not in short
    assert main([*compare, "--all"]) == 1
    long = capsys.readouterr().out
    assert "accuracy general" in long
    assert "Holm's families" in long


def test_a_page_is_one_line_that_says_where_it_is(checkout: Checkout, capsys: pytest.CaptureFixture[str]) -> None:
    checkout.measure(checkout.base)
    checkout.measure(checkout.head)
    assert main(["compare", "HEAD~1", "--results", str(checkout.results), "--format", "html"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("page: ")
    assert Path(line.removeprefix("page: ")).is_file()


def test_what_cannot_be_compared_is_one_line_and_exit_code_2(
    checkout: Checkout, capsys: pytest.CaptureFixture[str]
) -> None:
    def complaint(*arguments: str) -> str:
        assert main(["compare", *arguments, "--results", str(checkout.results)]) == 2
        output = capsys.readouterr()
        assert output.out == ""
        assert len(output.err.splitlines()) == 1
        return output.err

    assert "run `make bench`" in complaint("HEAD~1")
    checkout.measure(checkout.base)
    choice = f"choose one of: {checkout.base[:12]} (embedded-reference)"
    assert choice in complaint("HEAD~1")  # HEAD has none, and HEAD~1 is the other side
    assert f"unknown revision 'nonesuch': {choice}" in complaint("HEAD~1", "nonesuch")
    assert "both sides are the records of" in complaint("HEAD~1", "HEAD~1")


Capture = pytest.CaptureFixture[str]


@pytest.mark.parametrize(
    ("typed", "complaint"),
    [
        (["--fail-on", ","], "--fail-on: got nothing, allowed: verdicts"),
        (["--fail-on", "bad"], "--fail-on: got 'bad', allowed: worse, now-fails"),
        (["--metric", "speed"], "--metric: got 'speed', allowed: artifact, tensor_types, size_bytes"),
        (["--threshold", "e2e_p50_ms"], "--threshold: got 'e2e_p50_ms', allowed: METRIC=SHARE"),
        (["--threshold", "e2e_p50_ms=5"], "--threshold: got 'e2e_p50_ms=5', allowed: METRIC=SHARE"),
        (["--threshold", "speed=0.1"], "--threshold: got 'speed=0.1', allowed: METRIC=SHARE"),
    ],
)
def test_a_mistyped_option_is_one_line_and_exit_code_2(
    checkout: Checkout, capsys: Capture, typed: list[str], complaint: str
) -> None:
    assert main(["compare", "HEAD~1", "--results", str(checkout.results), *typed]) == 2
    output = capsys.readouterr()
    assert (output.out, len(output.err.splitlines())) == ("", 1)
    assert complaint in output.err
