"""`bench report` where there is nothing to report."""

from __future__ import annotations

import pytest

from bench.cli import main
from tests.checkout import Checkout


def test_a_report_of_nothing_is_one_line_and_exit_code_2(
    checkout: Checkout, capsys: pytest.CaptureFixture[str]
) -> None:
    results = ["--results", str(checkout.results)]
    assert main(["report", *results]) == 2
    assert "no records under" in capsys.readouterr().err
    checkout.measure(checkout.head)
    assert main(["report", *results, "--commit", "abc123"]) == 2
    assert "unknown revision 'abc123': choose one of: " in capsys.readouterr().err
    assert main(["report", *results, "--commit", "HEAD~1", "--machine", "m"]) == 2
    asked = "no records for --commit HEAD~1, --machine m under "
    assert capsys.readouterr().err.startswith(f"bench: {asked}")
    assert main(["report", *results, "--format", "md,pdf"]) == 2
    assert "--format: got 'pdf', allowed: md, html, csv, svg" in capsys.readouterr().err
    assert not (checkout.results / "report").exists()
