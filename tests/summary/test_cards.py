"""What a sweep on several cards, or on one that was slowed, says of its latencies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bench.metrics.identity import FROM_PYTHON
from bench.records.selection import Wanted, find
from bench.records.store import read
from bench.report.entries import change_entry
from bench.report.tables.provenance import cards_of, context
from bench.runtimes import session
from bench.selftest import records
from bench.summary import pairs
from bench.summary.summarize import summarize
from tests.report.conftest import findings_of

N = 20


def write(
    results: Path,
    name: str,
    uuid: str,
    number: int = 0,
    slowed: tuple[int, ...] = (),
    prompts: tuple[int, ...] = (),
    decoding: str | None = None,
) -> None:
    content = records.record(name, number, requests=N)
    if decoding is not None:
        content["session"] |= {"device": "cuda", **({"decoding": decoding} if decoding else {})}
        content["runtime"] = content["config"]["variant"]["runtime"] = "transformers"
    content["cards"] = [{"uuid": uuid, "name": "NVIDIA H100", "driver": "580.1"}]
    content["measures"]["latency"]["cards"] = [load(uuid, slowed)]
    if prompts:
        content["measures"]["prefill"] = {
            "prompt_tokens": [512] * N, "evaluated_tokens": [512] * N, "seconds": [0.1] * N, "warmup_prompts": 1,
            "cards": [load(uuid, prompts)],
        }  # fmt: skip
    records.write(results, content)


def load(uuid: str, slowed: tuple[int, ...]) -> dict[str, Any]:
    return {
        "uuid": uuid, "sm_mhz": [1980] * (N - 1) + [1410], "memory_mhz": [2619] * N,
        "temperature_c": [None] * N, "power_w": [300.0 + i for i in range(N)],
        "slowed_by": [["SW power cap"] if i in slowed else [] for i in range(N)],
        "other_reasons": [[]] * N,
    }  # fmt: skip


def test_a_variant_on_another_card_than_its_base_is_marked_and_has_no_ratio_of_latencies(tmp_path: Path) -> None:
    for name, uuid in (("base", "GPU-1a2b"), ("q4", "GPU-3c4d"), ("q8", "GPU-1a2b")):
        write(tmp_path, name, uuid)
    rows = summarize(read(tmp_path)[0]).by_name
    assert rows["q8"].ratio("e2e_p50_ms") is not None
    assert rows["q4"].ratio("e2e_p50_ms") is None
    why = "measured on different cards: NVIDIA H100 (GPU-1a2b) / NVIDIA H100 (GPU-3c4d)"
    why += "; measure both on one card, or base on each: it is then the anchor of both"
    assert rows["q4"].warnings == (f"latency is not comparable with base: {why}",)
    assert rows["q4"].paired("accuracy hr") is not None


def test_latencies_of_variants_that_torch_decoded_in_two_ways_are_not_compared(tmp_path: Path) -> None:
    hows = {"base": "one CUDA graph a token", "q4": "one CUDA graph a token", "q8": f"{FROM_PYTHON}: why", "q2": ""}
    for name, how in hows.items():
        write(tmp_path, name, "GPU-1a2b", decoding=how)
    rows = summarize(read(tmp_path)[0]).by_name
    assert rows["q4"].ratio("tpot_p50_ms") is not None
    for name in ("q8", "q2"):  # older records do not state it
        assert rows[name].ratio("ttft_p50_ms") is not None  # no token has been decoded yet
        assert rows[name].ratio("tpot_p50_ms") is rows[name].ratio("e2e_p50_ms") is None
        how = f"decoding: one CUDA graph a token / {FROM_PYTHON}"
        assert rows[name].warnings == (f"latency is not comparable with base: {how}",)
    assert FROM_PYTHON == session.FROM_PYTHON


def test_requests_and_prompts_that_ran_on_a_slowed_card_are_counted_over_all_rounds_and_named(tmp_path: Path) -> None:
    write(tmp_path, "base", "GPU-1a2b", 0, slowed=(3, 4))
    write(tmp_path, "base", "GPU-1a2b", 1, slowed=(19,))
    write(tmp_path, "q4", "GPU-1a2b", prompts=(0, 5))
    slowed = [(one.level, one.title, one.text) for one in findings_of(tmp_path) if "slowed by" in one.text]
    assert slowed == [
        ("note", "base", "latency: 3 of 40 requests ran while the card was slowed by: SW power cap"),
        ("note", "q4", "prefill: 2 of 20 prompts ran while the card was slowed by: SW power cap"),
    ]


@pytest.mark.parametrize(
    ("device", "uuids", "named"),
    [
        ("cuda", ("GPU-3c4d",), "NVIDIA H100"),
        ("cuda", ("GPU-1a2b", "GPU-3c4d"), "2 × NVIDIA H100"),
        ("cuda", (), "NVIDIA A10 or NVIDIA H100"),
        ("cpu", (), "2-core Test CPU"),
    ],
)
def test_the_header_of_a_report_names_what_its_records_ran_on_and_not_what_else_the_machine_has(
    device: str, uuids: tuple[str, ...], named: str, tmp_path: Path
) -> None:
    content = records.record("base", 0, requests=N)
    content["machine"]["gpus"] = ["NVIDIA A10", "NVIDIA H100", "NVIDIA H100"]
    content["session"]["device"] = device
    content["cards"] = [{"uuid": uuid, "name": "NVIDIA H100"} for uuid in uuids]
    records.write(tmp_path, content)
    selection, _ = find(tmp_path, Wanted())
    assert selection is not None
    assert context(selection)[1] == named


def test_the_report_names_cards_driver_and_what_the_cards_did(tmp_path: Path) -> None:
    write(tmp_path, "base", "GPU-1a2b")
    write(tmp_path, "q4", "GPU-3c4d")
    assert cards_of(read(tmp_path)[0]) == {
        "Cards": "NVIDIA H100 (GPU-1a2b), driver 580.1; NVIDIA H100 (GPU-3c4d), driver 580.1",
        "During timed requests": "SM clock 1,410 to 1,980 MHz; memory clock 2,619 MHz; power 300 to 319 W",
    }
    assert cards_of(read(tmp_path / "nothing")[0]) == {}


def on_cards(results: Path, ms: dict[str, dict[str, float]], names: dict[str, str] | None = None) -> None:
    """Write a round of each variant for each of its cards, whose requests take about these ms, in turn twice."""
    for variant, by_card in ms.items():
        for number, (uuid, each) in enumerate([*by_card.items(), *by_card.items()]):
            content = timed(variant, number, uuid, each * (1 + 0.002 * number))
            content["cards"][0]["name"] = (names or {}).get(uuid, "NVIDIA H100")
            records.write(results, content)


def timed(variant: str, number: int, uuid: str, ms: float) -> dict[str, Any]:
    content = records.record(variant, number, requests=N)
    content["cards"] = [{"uuid": uuid, "name": "NVIDIA H100", "driver": "580.1"}]
    content["measures"]["latency"] |= columns(ms)
    return content


def columns(ms: float) -> dict[str, list[float]]:
    each = [ms * (0.99 + 0.02 * i / N) for i in range(N)]
    return {"ttft_ms": [one / 10 for one in each], "tpot_ms": [one / 40 for one in each], "e2e_ms": each}


def test_variants_of_two_cards_are_compared_beside_the_base_that_ran_on_both(tmp_path: Path) -> None:
    """The second card is a fifth slower: of the raw times q4 would be slower than q8."""
    on_cards(tmp_path, {"base": {"GPU-1": 10, "GPU-2": 12}, "q8": {"GPU-1": 8}, "q4": {"GPU-2": 8.4}})
    summary = summarize(read(tmp_path)[0])
    rows, p50 = summary.by_name, summary.metric("e2e_p50_ms")
    assert p50 is not None
    for name, ratio in (("q8", 10 / 8), ("q4", 12 / 8.4)):
        beside = rows[name].beside_base["e2e_p50_ms"]
        assert beside.ratio is not None
        assert beside.ratio.value == pytest.approx(ratio, rel=0.01)
        assert beside.ratio.low is not None
        assert (beside.anchor, beside.shown) == ("base", True)
        text = "latency was not measured on the same cards as base's: compared beside the anchor base, which was "
        assert rows[name].warnings == (f"{text}measured on each of them",)
    pair = pairs.beside(p50, rows["q8"], rows["q4"])
    assert pair is not None
    assert pair.ratio is not None
    assert pair.ratio.value == pytest.approx((12 / 8.4) / (10 / 8), rel=0.01)
    assert pairs.every_round_shows(p50, rows["q8"], rows["q4"])
    assert "beside the anchor base" in change_entry(pair).sub
    tokens = rows["q4"].ratio("tokens_per_s")
    assert tokens is not None
    assert tokens.value == pytest.approx(12 / 8.4, rel=0.01)


def test_what_a_cell_timed_of_the_anchor_counts_as_rounds_of_the_anchor_on_its_card(tmp_path: Path) -> None:
    on_cards(tmp_path, {"base": {"GPU-1": 10}})
    for number in range(2):
        content = timed("q4", number, "GPU-2", 6)
        content["anchor"] = {"variant": "base", "latency": columns(12 * (1 + 0.002 * number))}
        records.write(tmp_path, content)
    summary = summarize(read(tmp_path)[0])
    ratio = summary.by_name["q4"].ratio("e2e_p50_ms")
    assert ratio is not None
    assert ratio.value == pytest.approx(2, rel=0.01)
    assert (ratio.low, ratio.n) != (None, 0)
    assert summary.by_name["base"].value("e2e_p50_ms") == pytest.approx(10, rel=0.02)


@pytest.mark.parametrize("base_on_each", [True, False])
def test_cards_that_two_variants_share_in_unequal_parts_are_compared_beside_the_anchor_too(
    base_on_each: bool, tmp_path: Path
) -> None:
    """The second card is a fifth slower, and q8 as fast as base on each: of the raw times it would be faster."""
    for number in range(4):
        uuid = "GPU-2" if number or not base_on_each else "GPU-1"
        records.write(tmp_path, timed("base", number, uuid, 12 if uuid == "GPU-2" else 10))
        content = timed("q8", number, "GPU-1" if number else "GPU-2", 10 if number else 12)
        content["anchor"] = {"variant": "base", "latency": columns(10 if number else 12)}
        records.write(tmp_path, content)
    beside = summarize(read(tmp_path)[0]).by_name["q8"].beside_base["e2e_p50_ms"]
    assert beside.ratio is not None
    assert beside.ratio.value == pytest.approx(1, rel=0.01)
    assert beside.anchor == "base"


def test_rounds_on_the_same_cards_in_equal_shares_need_no_anchor(tmp_path: Path) -> None:
    on_cards(tmp_path, {"base": {"GPU-1": 10, "GPU-2": 12}, "q8": {"GPU-1": 5, "GPU-2": 6}})
    beside = summarize(read(tmp_path)[0]).by_name["q8"].beside_base["e2e_p50_ms"]
    assert beside.ratio is not None
    assert beside.ratio.value == pytest.approx(2, rel=0.01)
    assert beside.anchor == ""


def test_cards_of_two_models_are_not_compared_even_beside_an_anchor(tmp_path: Path) -> None:
    on_cards(tmp_path, {"base": {"GPU-1": 10, "GPU-2": 12}, "q4": {"GPU-2": 8}}, {"GPU-2": "NVIDIA H200"})
    row = summarize(read(tmp_path)[0]).by_name["q4"]
    assert row.ratio("e2e_p50_ms") is None
    assert row.warnings[0].endswith("those of different models are not compared")
