"""A comparison as text: JSON, a comment on GitHub, Markdown, and the table of a narrow terminal."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from bench.cli import main
from bench.compare.comparison import Comparison
from bench.report.comparison_text import COMMENT_CHARACTERS, as_github, as_markdown
from bench.report.pages.comparison import comparison_page
from bench.report.tables.comparison import outcome
from bench.selftest import records
from tests.checkout import GENERAL, TPOT, Checkout, q4, scaled

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
    assert output.startswith(f"<!-- variantbench compare -->\n\n### {mark} ")
    shown, _, folded = output.partition("<details>")
    assert ("| q4 | Accuracy, general | worse |" in shown) == bool(code)
    assert "| q4 | Time of a request, P99 | same |" in folded
    assert not re.search("[0-9a-f]{12}", shown.replace("-", ""))
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
    assert "| q4 | Accuracy, general | worse |" in output
    assert "## Flipped questions" in output
    assert "| lost |" in output


def conclusion(checkout: Checkout, rounds: int, factor: float = 1.0, **options: Any) -> tuple[str, Comparison]:
    """Compare two sweeps of q4 and base whose rounds differ by up to 40 %."""
    for sha in (checkout.base, checkout.head):
        for name in ("base", "q4"):
            for number in range(rounds):
                content = {**records.record(name, number), "commit": {"sha": sha, "dirty": False, "tree": "clean"}}
                scaled(content, (1.4 if number % 2 else 1.0) * (factor if sha == checkout.head else 1.0))
                records.write(checkout.results, content)
    comparison = checkout.compare(**options)
    return outcome(comparison), comparison


def test_what_was_not_decided_is_no_regression_that_was_ruled_out(checkout: Checkout, capsys: Capture) -> None:
    text, comparison = conclusion(checkout, rounds=2)
    latencies = [line for line in comparison.lines if line.measure == "latency"]
    assert {line.verdict for line in latencies} == {"undecided"}
    few = r"nothing proven worse; 14 of 14 latencies undecided: 2 rounds are too few \(about (\d+) would decide\)"
    matched = re.fullmatch(few, text)
    assert matched
    assert int(matched[1]) > 2
    assert comparison.exit_code == 0
    title, _, rest = text.partition("; ")
    assert as_github(comparison, None).splitlines()[2] == f"### 🟡 {title.capitalize()}"
    for written in (as_github(comparison, None), as_markdown(comparison, None), comparison_page(comparison, [])):
        assert rest in written
    assert main(["compare", "HEAD~1", "--results", str(checkout.results)]) == 0
    assert capsys.readouterr().out.splitlines()[-1].endswith(text)


def test_one_round_says_why_no_number_would_do(checkout: Checkout) -> None:
    text, _ = conclusion(checkout, rounds=1)
    assert "14 of 14 latencies undecided: one round on a side: it takes two to show how much rounds differ" in text


def test_where_all_that_was_tested_is_the_same_or_better_there_is_no_regression(checkout: Checkout) -> None:
    checkout.measure(checkout.base)
    checkout.measure(checkout.head)
    assert outcome(checkout.compare()) == "no regression"


def test_a_regression_that_is_let_through_is_not_called_unproven(checkout: Checkout) -> None:
    checkout.measure(checkout.base)
    checkout.measure(checkout.head, **q4(tpot=1.2 * TPOT, general=GENERAL - 0.002))
    text = outcome(checkout.compare(fail_on=("now fails",)))
    assert text.startswith("worse is let through; 1 of 2 scores of tasks undecided: 400 questions are too few (about ")
