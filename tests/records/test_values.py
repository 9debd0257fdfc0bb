"""Raw values whose columns do not fit: the record is left out and the place is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bench.records.store import read
from bench.selftest import raw_values, records


def of_every_kind() -> dict[str, Any]:
    """Make a record with the answers to a task of each kind, and a divergence."""
    content = records.record("q4")
    content["measures"]["accuracy"] = {
        "mmlu": raw_values.answers("mmlu", 0.6, ["source", "q4"], questions=57 * 6),
        "gsm8k": raw_values.generated(0.6),
        "wikitext": raw_values.rolling(2.5),
    }
    content["measures"]["divergence"] = raw_values.divergence(0.02)
    return content


@pytest.mark.parametrize(
    ("task", "change", "why"),
    [
        ("gsm8k", {"value": [1]}, "columns of lengths [1, 50]; documents must be alike in number"),
        ("gsm8k", {"answer": ["42"]}, "columns of lengths [1, 50]; documents must be alike in number"),
        ("wikitext", {"value": [1.0, [2.0, 3]] * 10}, "neither all numbers nor all pairs"),
        ("mmlu", {"gold": None}, "neither `gold`, `picked` and `loglik`, nor `metric` and `value`"),
    ],
)
def test_columns_that_do_not_fit_leave_the_record_out(
    tmp_path: Path, task: str, change: dict[str, Any], why: str
) -> None:
    content = of_every_kind()
    content["measures"]["accuracy"][task] |= change
    records.write(tmp_path, content)
    sound, left_out = read(tmp_path)
    assert sound == []
    assert why in str(left_out[0])


def test_a_divergence_with_a_column_too_short_leaves_the_record_out(tmp_path: Path) -> None:
    content = of_every_kind()
    content["measures"]["divergence"]["same_top"] = "01"
    records.write(tmp_path, content)
    why = str(read(tmp_path)[1][0])
    assert "columns of lengths [2, 256]" in why
    assert why.endswith("at `$.measures.divergence`")
