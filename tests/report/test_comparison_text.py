"""A comparison as text: JSON, a comment on GitHub, Markdown, and the table of a narrow terminal."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bench.cli import main
from bench.report.comparison_text import COMMENT_CHARACTERS, as_github
from bench.selftest import records
from tests.checkout import GENERAL, Checkout, q4

Capture = pytest.CaptureFixture[str]


def test_json_holds_every_line_and_the_exit_code(checkout: Checkout, capsys: Capture) -> None:
    checkout.measure(checkout.base)
    checkout.measure(checkout.head, **q4(general=GENERAL - 0.1))
    typed = ["compare", "HEAD~1", "--results", str(checkout.results), "--format", "json"]
    assert main([*typed, "--flips"]) == 1
    output = json.loads(capsys.readouterr().out)
    line = next(line for line in output["lines"] if line["metric"] == "accuracy general")
    assert (line["verdict"], line["test"], line["n"]) == ("worse", "exact McNemar", 400)
    assert line["low"] < line["change"] < line["high"] < 0
    assert (output["exit_code"], output["head"]["commit"]) == (1, checkout.head)
    assert len(output["flips"]) == line["n"] * -line["change"] + 2 * sum(
        f["base"] != f["gold"] for f in output["flips"]
    )
    assert main([*typed, "--fail-on", "now-fails"]) == 0
    assert json.loads(capsys.readouterr().out)["flips"] is None


@pytest.mark.parametrize(("how", "code", "mark"), [({}, 0, "✅"), (q4(general=GENERAL - 0.1), 1, "❌")])
def test_a_github_comment_shows_what_matters_and_folds_the_rest(
    checkout: Checkout, capsys: Capture, how: dict[str, Any], code: int, mark: str
) -> None:
    checkout.measure(checkout.base)
    checkout.measure(checkout.head, **how)
    assert main(["compare", "HEAD~1", "--results", str(checkout.results), "--format", "github"]) == code
    output = capsys.readouterr().out
    assert output.startswith(f"<!-- variantbench compare -->\n\n### {mark} variantbench: ")
    shown, _, folded = output.partition("<details>")
    assert ("| worse |" in shown) == bool(code)
    assert "| e2e_p99_ms |" in folded
    assert output.count("<details>") == output.count("</details>") == 2


def test_a_github_comment_is_never_longer_than_github_takes(checkout: Checkout) -> None:
    for sha in (checkout.base, checkout.head):
        for i in range(60):
            content = {**records.record("q4"), "variant": f"q4-{i}-{'long' * 20}"}
            records.write(checkout.results, {**content, "commit": {"sha": sha, "dirty": False, "tree": "clean"}})
    comparison = as_github(checkout.compare(), None)
    assert len(comparison) < COMMENT_CHARACTERS
    assert "too long for a comment" in comparison


def test_markdown_holds_the_table_and_the_flips(checkout: Checkout, capsys: Capture) -> None:
    checkout.measure(checkout.base)
    checkout.measure(checkout.head, **q4(general=GENERAL - 0.1))
    assert main(["compare", "HEAD~1", "--results", str(checkout.results), "--format", "md", "--flips"]) == 1
    output = capsys.readouterr().out
    assert "| q4 | accuracy general |" in output
    assert "## Flipped questions" in output
    assert "| lost |" in output


def test_a_narrow_terminal_cuts_no_number(checkout: Checkout) -> None:
    import io

    from rich.console import Console

    from bench.report.tables.comparison import verdict_table

    checkout.measure(checkout.base)
    checkout.measure(checkout.head)
    narrow = io.StringIO()
    Console(file=narrow, width=80).print(verdict_table(checkout.compare()))
    assert "…" not in narrow.getvalue()
