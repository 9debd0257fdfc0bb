"""The README's table of five variants is that of the shipped records: a failure prints the cells to write."""

from __future__ import annotations

import json

import pytest

from bench import cli
from bench.metrics.catalogue import metrics_of
from bench.records.selection import Wanted, select
from bench.records.store import read
from bench.report.numbers import digits, share, sized, span
from bench.stats.estimates import Estimate
from variants.paths import ROOT

VARIANTS = ("base", "q4", "finetuned", "finetuned-q8", "finetuned-q4")


def rows() -> dict[str, list[str]]:
    """Return the table's cells by variant: all but its name."""
    lines = [line for line in (ROOT / "README.md").read_text().splitlines() if line.startswith("| ")]
    start = next(at for at, line in enumerate(lines) if line.startswith("| Variant")) + 2
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[start : start + len(VARIANTS)]]
    return {row[0].replace("*", "").partition(":")[0]: row[1:] for row in cells}


def measured(variant: str) -> str:
    """Write the size, the P99 and the right answers of a variant in the newest shipped sweep."""
    selection = select(read(ROOT / "results")[0], Wanted(), ROOT / "results")
    assert selection is not None
    records = [record for record in selection.records if record.variant == variant]
    values: dict[str, Estimate] = {
        metric.name: estimate for metric in metrics_of(records) if (estimate := metric.value(records)) is not None
    }
    p99, *tasks = (values[name] for name in ("e2e_p99_ms", "accuracy hr", "accuracy general"))
    right = [f"{share(task.value)} ({100 * (task.low or 0):.0f}–{100 * (task.high or 0):.0f})" for task in tasks]
    return " | ".join([sized(values["size_bytes"].value), f"{digits(p99.value)} ms ({span(p99)})", *right])


def test_the_table_has_the_five_variants() -> None:
    assert tuple(rows()) == VARIANTS


@pytest.mark.parametrize("variant", VARIANTS)
def test_its_numbers_are_those_of_the_shipped_records(variant: str) -> None:
    assert " | ".join(rows()[variant][:4]) == measured(variant)


def test_it_ships_what_the_advice_ships(capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["advise", "--format", "json"])
    advice = json.loads(capsys.readouterr().out)
    assert [variant for variant, cells in rows().items() if cells[-1] == "**ship**"] == [advice["ship"]]
