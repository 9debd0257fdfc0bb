"""Published claims beside a sweep: what was measured of each, whether it holds, and what is not measured."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bench.advise.claims import Checked, checked
from bench.cli import main
from bench.records.questions import Claimed, Questions
from bench.selftest import records
from bench.summary.rows import Summary
from tests.advise.made_up import BOTH, TUNED_V, V, but, summary_of

SWEEP = {"f": TUNED_V, "fq": but(BOTH, mb=2.0, ms=20.0, hr=930)}

NO_TWO = "has no two values that can be compared"


def claim(metric: str, *times: float, before: str = "f", after: str = "fq") -> Claimed:
    return Claimed(title="claimed", metric=metric, times=times, before=before, after=after)


def of(claims: tuple[Claimed, ...], variants: dict[str, V] = SWEEP, **sweep: Any) -> list[Checked]:
    summary = summary_of(variants, **sweep)
    options = {"title": "t", "says": "s", "rows": [{"title": "r", "variant": "f"}]}
    asked = msgspec.convert({"domain_task": "hr", "general_task": "general", "options": options}, Questions)
    assert asked.options is not None
    asked = msgspec.structs.replace(asked, options=msgspec.structs.replace(asked.options, claims=claims))
    return checked(replace(summary, questions=asked))


def test_a_size_is_exact_and_measured_by_claimed_says_how_much_of_a_claim_is_left() -> None:
    (one,) = of((claim("size_bytes", 8),))
    assert one.measured is not None
    assert (one.measured.value, one.of_claimed, one.holds) == (4.0, (0.5, 0.5), False)
    assert of((claim("size_bytes", 4),))[0].holds is True


def test_a_range_is_compared_with_both_of_its_ends() -> None:
    (one,) = of((claim("e2e_p50_ms", 5, 10),))
    assert one.of_claimed is not None
    assert one.of_claimed == pytest.approx((0.5, 1.0), rel=0.01)


def test_what_is_better_higher_is_turned_round() -> None:
    (one,) = of((claim("tokens_per_s", 5),))
    assert one.measured is not None
    assert one.measured.value == pytest.approx(5, rel=0.01)


def test_a_share_that_is_kept_is_paired_and_open_where_its_interval_reaches_across() -> None:
    kept, lost, unsure = of((claim("accuracy", 0.95), claim("accuracy", 0.999), claim("accuracy", 0.985)))
    assert kept.measured is not None
    assert kept.measured.value == pytest.approx(930 / 940)
    assert (kept.holds, lost.holds, unsure.holds) == (True, False, None)


@pytest.mark.parametrize(
    ("one", "variants", "why"),
    [
        (claim("cost", 10), SWEEP, "cost needs a measured capacity"),
        (claim("size_bytes", 8, after="x"), SWEEP, "no x in this sweep"),
        (claim("e2e_p50_ms", 8), {"f": TUNED_V, "fq": but(BOTH, ms=None)}, f"e2e_p50_ms {NO_TWO}"),
        (claim("beauty", 8), SWEEP, f"beauty {NO_TWO}"),
    ],
)
def test_what_was_not_measured_says_why(one: Claimed, variants: dict[str, V], why: str) -> None:
    (result,) = of((one,), variants)
    assert (result.measured, result.of_claimed, result.holds, result.why) == (None, None, None, why)


def test_a_suite_without_claims_has_none() -> None:
    summary: Summary = summary_of(SWEEP)
    assert checked(summary) == []


def test_advise_prints_the_claims_of_the_suite_in_80_columns_and_as_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    records.write_sweep(tmp_path)
    main(["advise", "--results", str(tmp_path)])
    lines = capsys.readouterr().out.splitlines()
    start = lines.index("Article: claimed against measured")
    assert any(line.split()[:4] == ["8x", "smaller", "8×", "3.00×"] for line in lines[start:])
    assert any(line.strip().startswith("10x cheaper") and "not measured" in line for line in lines[start:])
    assert max(map(len, lines)) <= 80
    main(["advise", "--results", str(tmp_path), "--format", "json"])
    claims = json.loads(capsys.readouterr().out)["claims"]
    assert [one["metric"] for one in claims] == ["size_bytes", "e2e_p50_ms", "accuracy", "cost"]
    assert claims[0]["measured_of_claimed"] == [0.375, 0.375]
    assert (claims[3]["measured"], claims[3]["why"]) == (None, "cost needs a measured capacity")
