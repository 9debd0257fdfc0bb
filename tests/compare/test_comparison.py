"""Two revisions compared: each verdict, each exit code, drift of the machine, and records that are left out."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from bench.compare.verdict import VERDICTS, Verdict
from bench.selftest import records
from bench.stats.proportions import mcnemar
from tests.checkout import GENERAL, SIZE, TPOT, Change, Checkout, failing, q4, scaled, set_in
from tests.compare.conftest import rebuilt
from variants.errors import UserError


@pytest.mark.parametrize(
    ("how", "metric", "verdict"),
    [
        (q4(), "size_bytes", "same"),
        (q4(size=SIZE + 1), "size_bytes", "changed"),
        (q4(size=SIZE - 128), "size_bytes", "changed"),
        (q4(size=SIZE + SIZE // 1000), "size_bytes", "changed"),
        (q4(size=SIZE + SIZE // 1000 + 1), "size_bytes", "worse"),
        (q4(size=SIZE - SIZE // 1000 - 1), "size_bytes", "better"),
        (q4(), "e2e_p50_ms", "same"),
        (q4(tpot=1.2 * TPOT), "e2e_p50_ms", "worse"),
        (q4(tpot=0.8 * TPOT), "e2e_p50_ms", "better"),
        (q4(tpot=1.049 * TPOT), "e2e_p50_ms", "undecided"),
        (q4(), "e2e_p99_ms", "same"),
        (q4(tpot=1.2 * TPOT), "e2e_p99_ms", "worse"),
        (q4(tpot=0.8 * TPOT), "e2e_p99_ms", "better"),
        (q4(tpot=1.09 * TPOT), "e2e_p99_ms", "undecided"),
        (q4(), "accuracy general", "same"),
        (q4(general=GENERAL - 0.1), "accuracy general", "worse"),
        (q4(general=GENERAL + 0.1), "accuracy general", "better"),
        (q4(general=GENERAL - 0.004), "accuracy general", "undecided"),
    ],
)
def test_each_metric_has_its_verdict(checkout: Checkout, how: dict[str, Any], metric: str, verdict: Verdict) -> None:
    checkout.measure(checkout.base)
    checkout.measure(checkout.head, **how)
    verdicts = checkout.verdicts()
    assert verdicts[metric] == verdict
    latencies = {"ttft", "tpot", "e2e", "tokens"}  # a slower token is a slower request
    moved = latencies if metric.startswith("e2e") else {metric.split("_")[0]}
    for other, other_verdict in verdicts.items():
        assert other_verdict == "same" or other.split("_")[0] in moved, other


def test_new_and_gone_variants_are_lines_of_their_own(checkout: Checkout) -> None:
    checkout.measure(checkout.base)
    checkout.measure(checkout.head, change=set_in("variant", value="q4-mine"))
    comparison = checkout.compare()
    assert {(line.variant, line.verdict, line.artifact) for line in comparison.lines} == {
        ("q4-mine", "new", ""),
        ("q4", "gone", ""),
    }
    assert comparison.exit_code == 2


@pytest.mark.parametrize(("sides", "verdict"), [((None, failing), "now fails"), ((failing, None), "fixed")])
def test_a_failure_on_one_side_alone(
    checkout: Checkout, sides: tuple[Change | None, Change | None], verdict: Verdict
) -> None:
    checkout.measure(checkout.base, sides[0])
    checkout.measure(checkout.head, sides[1])
    comparison = checkout.compare()
    assert {line.verdict for line in comparison.lines} == {verdict}
    assert "out of memory" in comparison.lines[0].why
    assert comparison.exit_code == (1 if verdict == "now fails" else 0)


def test_one_failed_round_is_reported_though_every_metric_has_a_number(checkout: Checkout) -> None:
    checkout.measure(checkout.base)
    checkout.measure(checkout.head, lambda content: failing(content) if content["round"] == 2 else None)
    comparison = checkout.compare()
    run = next(line for line in comparison.lines if line.metric == "run")
    assert (run.verdict, comparison.exit_code) == ("now fails", 1)
    assert run.why.startswith("round 3 failed at build lora")


def test_failures_on_both_sides_are_not_comparable(checkout: Checkout) -> None:
    checkout.measure(checkout.base, failing)
    checkout.measure(checkout.head, failing)
    comparison = checkout.compare()
    assert [(line.metric, line.verdict) for line in comparison.lines] == [("run", "not comparable")]
    assert comparison.exit_code == 2


def test_p_is_adjusted_for_every_accuracy_in_the_table(checkout: Checkout) -> None:
    checkout.measure(checkout.base)
    checkout.measure(checkout.head, **q4(general=GENERAL - 0.02))
    comparison = checkout.compare()
    p = {line.metric: line.p for line in comparison.lines}
    answers = [records.record("q4", **how)["measures"]["accuracy"]["general"] for how in (q4(), q4(general=0.88))]
    marks = [[picked == gold for picked, gold in zip(a["picked"], a["gold"], strict=True)] for a in answers]
    lost, gained = (sum(x > y for x, y in zip(*pair, strict=True)) for pair in (marks, marks[::-1]))
    assert lost > gained
    assert comparison.families["accuracy"] == 1  # without a flip no test of hr can reject
    assert p["accuracy general"] == pytest.approx(mcnemar(gained, lost))
    assert p["accuracy hr"] == 1.0


@pytest.mark.parametrize(
    ("before", "after", "fail_on", "code"),
    [
        ({}, q4(size=SIZE + 10_000), ("worse", "now fails"), 1),
        ({}, q4(size=SIZE + 10_000), ("now fails",), 0),
        ({}, q4(size=SIZE - 10_000), ("worse", "now fails"), 0),
        ({}, q4(size=SIZE - 10_000), ("better",), 1),
        ({}, q4(size=SIZE + 128), ("worse", "now fails"), 0),
        ({}, q4(size=SIZE + 128), ("changed",), 1),
        ({}, {"change": failing}, ("worse", "now fails"), 1),
        ({}, {"change": failing}, ("worse",), 0),
        ({"change": failing}, {}, ("worse", "now fails"), 0),
        ({"change": failing}, {}, ("fixed",), 1),
        ({"change": failing}, {"change": failing}, ("worse", "now fails"), 2),
        ({"change": failing}, {"change": failing}, ("not comparable",), 1),
        ({}, {"change": set_in("variant", value="q5")}, ("worse", "now fails"), 2),
        ({}, {"change": set_in("variant", value="q5")}, ("gone",), 1),
        ({}, {"change": rebuilt}, ("worse", "now fails"), 0),
        ({}, {"change": rebuilt}, ("changed",), 1),
    ],
)
def test_the_exit_code_follows_from_the_verdicts_it_is_to_fail_on(
    checkout: Checkout, before: dict[str, Any], after: dict[str, Any], fail_on: tuple[str, ...], code: int
) -> None:
    assert set(fail_on) <= set(VERDICTS)
    checkout.measure(checkout.base, **before)
    checkout.measure(checkout.head, **after)
    assert checkout.compare(fail_on=fail_on).exit_code == code


@pytest.mark.parametrize("side", ["base", "head"])
def test_a_record_that_is_left_out_makes_its_variant_not_comparable_and_the_exit_code_2(
    checkout: Checkout, side: str
) -> None:
    for sha in (checkout.base, checkout.head):
        checkout.measure(sha)
        content = {**records.record("base"), "commit": {"sha": sha, "dirty": False, "tree": "clean"}}
        records.write(checkout.results, content)
    path = checkout.results / records.MACHINE / getattr(checkout, side)[:12] / "q4.r1.json"
    path.write_text(path.read_text()[:-100])
    comparison = checkout.compare()
    mine = [line for line in comparison.lines if line.variant == "q4"]
    assert [(line.metric, line.verdict) for line in mine] == [("record", "not comparable")]
    assert str(path) in mine[0].why
    assert {line.verdict for line in comparison.lines if line.variant == "base"} <= {"same", "undecided"}
    assert (comparison.exit_code, len(comparison.left_out)) == (2, 1)


def test_only_the_records_of_the_two_commits_are_read(checkout: Checkout) -> None:
    checkout.measure(checkout.base)
    checkout.measure(checkout.head)
    elsewhere = checkout.results / records.MACHINE / "ffffffffffff" / "q4.r0.json"
    elsewhere.parent.mkdir()
    elsewhere.write_text("{")
    assert (checkout.compare().left_out, checkout.compare().exit_code) == ((), 0)


def test_drift_of_the_canary_is_shown_and_normalized_out_on_request(checkout: Checkout) -> None:
    def slow_machine(content: dict[str, Any]) -> None:
        scaled(content, 1.25)
        for reading in content["canary"].values():
            reading["copy_gb_s"] *= 0.8

    checkout.measure(checkout.base)
    checkout.measure(checkout.head, slow_machine)
    plain, normalized = checkout.compare(), checkout.compare(normalize=True)
    drift = {canary.name: canary.change for canary in plain.drift}
    assert drift["copy_gb_s"] == pytest.approx(-0.2, abs=0.02)
    assert {line.metric: line.verdict for line in plain.lines}["e2e_p50_ms"] == "worse"
    assert {line.metric: line.verdict for line in normalized.lines}["e2e_p50_ms"] == "same"
    assert any(note.startswith("normalized: latencies of the head are divided by 1.2") for note in normalized.notes)


def test_nothing_is_normalized_by_a_canary_that_is_not_there(checkout: Checkout) -> None:
    checkout.measure(checkout.base, set_in("canary", value=None))
    checkout.measure(checkout.head)
    assert checkout.compare().drift == ()
    with pytest.raises(UserError, match="--normalize: no copy_gb_s beside the records of both sides"):
        checkout.compare(normalize=True)


def test_latencies_of_a_gpu_are_normalized_by_the_bandwidth_of_the_card_and_of_nothing_else(checkout: Checkout) -> None:
    def on_gpu(content: dict[str, Any], card_gb_s: float | None = 3000.0, cpu_gb_s: float = 9.0) -> None:
        content["session"]["device"] = "cuda"
        reading = {"copy_gb_s": cpu_gb_s} | ({"device_copy_gb_s": card_gb_s} if card_gb_s else {})
        content["canary"] = {"before": reading, "after": reading}

    checkout.measure(checkout.base, on_gpu)
    checkout.measure(checkout.head, lambda content: on_gpu(content, cpu_gb_s=4.5))
    assert checkout.compare(normalize=True).notes == (
        "normalized: latencies of the head are divided by 1.000 (device_copy_gb_s)",
    )
    checkout.measure(checkout.head, lambda content: on_gpu(content, card_gb_s=2400.0))
    assert "divided by 1.250 (device_copy_gb_s)" in checkout.compare(normalize=True).notes[0]
    checkout.measure(checkout.head, lambda content: on_gpu(content, card_gb_s=None))
    with pytest.raises(UserError, match=r"--normalize: no device_copy_gb_s \(the bandwidth of the GPU itself\) beside"):
        checkout.compare(normalize=True)


def test_comparing_imports_no_runtime(checkout: Checkout) -> None:
    checkout.measure(checkout.base)
    checkout.measure(checkout.head)
    code = (
        "import sys; from pathlib import Path; from bench.compare.comparison import compare\n"
        "import bench.report.tables.comparison\n"
        f"compare(Path({str(checkout.results)!r}), 'HEAD~1')\n"
        "print(sorted({'torch', 'llama_cpp', 'lm_eval', 'transformers', 'pandas'} & set(sys.modules)),"
        "sorted({one for one in sys.modules if one.startswith('variants.')} - {'variants.errors', 'variants.paths'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[] []"
