"""A report of a sweep that asked nothing: what fewer bits give in size and speed, beside what is claimed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from bench.advise.advice import advise
from bench.advise.requirements import requirements_of
from bench.advise.roofline import roofline_of
from bench.records.questions import Claimed, Options, Questions
from bench.records.selection import Wanted, find
from bench.records.store import read
from bench.report.advice.chips import chips
from bench.report.grid import NOT_MEASURED
from bench.report.speed.answer import speed_screen
from bench.report.speed.random_weights import random_shapes
from bench.report.speed.tables import roofline_grids, speed_grid
from bench.report.tables.provenance import commands, context, machine_grid
from bench.report.terminal import grid_tables, outcome_grid
from bench.selftest import records
from bench.summary.rows import Summary
from bench.summary.summarize import summarize

QUESTIONS = Questions(
    options=Options(
        "Fewer bits",
        "",
        claims=(
            Claimed("8x smaller", "size_bytes", (8,), "f32", "q4"),
            Claimed("7-8x faster", "e2e_p50_ms", (7, 8), "f32", "q4"),
        ),
    )
)
SPECS = {
    "f32": (("source", "gguf"), "llamacpp", 26_000_000, 4.0, 0.5, 0.5),
    "base": (("source", "gguf"), "llamacpp", 13_000_000, 2.0, 0.5, 0.5),
    "q4": (("source", "gguf", "q4"), "llamacpp", 4_000_000, 1.0, 0.5, 0.5),
}  # fmt: skip
TYPES = {"f32": {"F32": 39}, "base": {"F16": 30, "F32": 9}, "q4": {"Q4_K": 30, "F32": 9}}


def made(name: str, number: int, on_gpu: bool) -> dict[str, Any]:
    """Make a record that timed prompts too, with random weights, and nothing was asked."""
    record = records.record(name, number, spec=SPECS[name])
    size, tpot = SPECS[name][2], SPECS[name][3]
    record["measures"].pop("accuracy", None)
    record["measures"]["size"] |= {"tensor_types": TYPES[name], "read_bytes": size - 10**6, "kv_values": 1000}
    record["measures"]["prefill"] = {
        "prompt_tokens": [512, 2048] * 5,
        "evaluated_tokens": [512, 2048] * 5,
        "seconds": [0.0512 * tpot, 0.2048 * tpot] * 5,
    }
    record["config"] |= {"model": {"name": "random-1b", "shape": {"like": "Llama 3.2 1B"}}, "suite": "speed"}
    record["config"]["runtime"] = {"kv_type": "f16"}
    readings = {"copy_gb_s": 10.0, "matmul_gflops": 50.0} | ({"device_copy_gb_s": 100.0} if on_gpu else {})
    record["canary"] = {"before": readings, "after": readings}
    record["session"] = {**record["session"], "device": "cuda" if on_gpu else "cpu"}
    return record


def summary_of(folder: Path, on_gpu: bool = False) -> Summary:
    for name in SPECS:
        for number in range(3):
            records.write(folder, made(name, number, on_gpu))
    kept, unsound = read(folder)
    assert not unsound
    return summarize(kept, {"speed": QUESTIONS})


@pytest.fixture
def summary(tmp_path: Path) -> Summary:
    return summary_of(tmp_path)


def test_the_first_screen_says_what_the_claims_first_change_gives_and_what_it_gives_against_16_bits(
    summary: Summary,
) -> None:
    screen = speed_screen(summary)
    assert screen is not None
    assert screen.heading.startswith("q4 against f32 (32 bits): 6.50 times smaller, and a request is ")
    assert " times as fast (" in screen.heading
    assert screen.evidence[0].startswith("Against base (16 bits): 3.25 times smaller, and a request is ")
    assert screen.evidence[1] == "Smallest: q4, shortest median request: q4."
    assert screen.chips[0].text == "Accuracy: not measured (random weights)"
    assert len(screen.chips) == 2


def test_the_table_has_size_speed_memory_and_prefill_of_each_length(summary: Summary) -> None:
    grid = speed_grid(summary)
    assert grid.columns == (
        "Variant", "Size", "TPOT P50, ms", "TTFT P50, ms", "E2E P99, ms", "Peak memory",
        "Prefill of 512 tokens, tokens/s", "Prefill of 2,048 tokens, tokens/s", "Share of bandwidth",
    )  # fmt: skip
    cells = {line.entries[0].text: [entry.text for entry in line.entries] for line in grid.lines}
    assert cells["f32"][6:8] == ["2,500", "2,500"]
    assert cells["q4"][6:8] == ["10,000", "10,000"]


def test_the_terminal_shows_it_in_one_table_of_80_columns(summary: Summary) -> None:
    assert len(grid_tables(outcome_grid(summary), 80)) == 1


def test_the_share_counts_weights_and_cache_at_the_bandwidth_of_the_memory_that_served(tmp_path: Path) -> None:
    for on_gpu, bandwidth in ((False, 10.0), (True, 100.0)):
        row = summary_of(tmp_path / str(on_gpu), on_gpu).by_name["base"]
        line = roofline_of(row)
        assert line is not None
        latencies = [one.latency for one in row.records if one.latency]
        before = [n + (one.output_tokens or 0) / 2 for one in latencies for n in one.prompt_tokens]
        assert line.weight_bytes == 12_000_000
        assert line.kv_bytes == pytest.approx(2 * 1000 * sum(before) / len(before))
        assert line.bandwidth_gb_s == bandwidth
        assert line.share == pytest.approx(line.read_bytes / (1e6 * bandwidth) / line.token_ms)


def test_a_share_above_100_percent_says_so_on_its_value_in_the_terminal_too(tmp_path: Path) -> None:
    for name, bandwidth in (("f32", 10.0), ("base", 1.0)):
        record = made(name, 0, on_gpu=False)
        record["canary"] = {"before": {"copy_gb_s": bandwidth}, "after": None}
        records.write(tmp_path, record)
    summary = summarize(read(tmp_path)[0])
    shares = {line.entries[0].text: line.entries[-1] for line in speed_grid(summary).lines}
    assert (shares["f32"].sub, shares["f32"].tone) == ("", "")
    assert int(shares["base"].text.removesuffix(" %")) > 100
    assert shares["base"].sub == "above 100 %: cached,\nor read faster than copied"
    printed = Console(width=200)
    with printed.capture() as captured:
        for table in grid_tables(outcome_grid(summary), 200):
            printed.print(table)
    assert captured.get().split().count("cached") == 1


def test_a_card_whose_bandwidth_was_not_measured_has_no_share(tmp_path: Path) -> None:
    for name in SPECS:
        record = made(name, 0, on_gpu=True)
        record["canary"] = {"before": {"copy_gb_s": 10.0}, "after": None}
        records.write(tmp_path, record)
    summary = summarize(read(tmp_path)[0])
    assert roofline_grids(summary) == []
    assert {line.entries[-1] for line in speed_grid(summary).lines} == {NOT_MEASURED}


def test_of_one_round_no_speed_is_said_to_be_shown(tmp_path: Path) -> None:
    for name in SPECS:
        records.write(tmp_path, made(name, 0, on_gpu=False))
    screen = speed_screen(summarize(read(tmp_path)[0], {"speed": QUESTIONS}))
    assert screen is not None
    assert "a request is not shown to be faster or slower (" in screen.heading
    assert screen.heading.endswith("times, one round)")


def test_times_of_two_cards_are_not_compared_and_the_first_screen_says_so(tmp_path: Path) -> None:
    for name in SPECS:
        for number in range(2):
            card = {"uuid": "GPU-1" if name == "f32" else "GPU-2", "name": "NVIDIA H100"}
            records.write(tmp_path, made(name, number, on_gpu=True) | {"cards": [card]})
    screen = speed_screen(summarize(read(tmp_path)[0], {"speed": QUESTIONS}))
    assert screen is not None
    assert screen.heading == "q4 against f32 (32 bits): 6.50 times smaller"
    assert "Speed: f32 and q4 are not compared: measured on different cards" in [chip.text for chip in screen.chips]


def test_the_shortest_request_is_named_however_its_tokens_were_decoded_and_the_ratio_is_not(tmp_path: Path) -> None:
    for name in SPECS:
        for number in range(2):
            record = made(name, number, on_gpu=True)
            record["runtime"] = record["config"]["variant"]["runtime"] = "transformers"
            record["session"] |= {} if name == "f32" else {"decoding": "one CUDA graph a token"}
            records.write(tmp_path, record)
    screen = speed_screen(summarize(read(tmp_path)[0], {"speed": QUESTIONS}))
    assert screen is not None
    assert screen.heading == "q4 against f32 (32 bits): 6.50 times smaller"
    assert "Smallest: q4, shortest median request: q4." in screen.evidence


def test_limits_on_accuracy_are_open_for_random_weights_and_the_first_screen_says_why(tmp_path: Path) -> None:
    advice = advise(summary_of(tmp_path), requirements_of({"quality": {"hr": {"at_least": 0.5}}}), "mine")
    assert advice.exit_code == 2
    assert chips(advice)[0].text == "Accuracy: not measured (random weights)"


@pytest.mark.parametrize(
    ("typed", "shape"),
    [
        (["model=random-1b"], "Llama 3.2 1B"),
        (["model.shape.layers=1", "model.shape.ffn=256"], "Llama 3.2 1B, but with layers=1, ffn=256"),
    ],
)
def test_a_shape_is_the_published_ones_and_what_was_changed_of_it(tmp_path: Path, typed: list[str], shape: str) -> None:
    record = made("q4", 0, on_gpu=False)
    record["config"]["overrides"] = typed
    records.write(tmp_path, record)
    [line] = random_shapes(read(tmp_path)[0])
    assert line.startswith(f"random-1b has random weights in the shape of {shape}: its size, ")


def test_a_sweep_that_asked_a_task_has_no_such_screen(tmp_path: Path) -> None:
    records.write_sweep(tmp_path, {"base": SPECS["base"]})
    assert speed_screen(summarize(read(tmp_path)[0])) is None


@pytest.mark.parametrize(("suite", "judged"), [("speed", False), ("embedded", True)])
def test_the_commands_name_the_suite_once_and_advise_where_limits_are_stated_and_missing_rounds_are_counted(
    tmp_path: Path, suite: str, judged: bool
) -> None:
    for number in range(2):
        record = made("q4", number, on_gpu=False)
        record["config"] |= {"suite": suite, "overrides": [f"suite={suite}", "model=random-8b", "suite.rounds=3"]}
        records.write(tmp_path, record)
    selection, _ = find(tmp_path, Wanted())
    assert selection is not None
    summary = summarize(selection.records)
    printed = commands(selection, summary, None)
    assert printed[1] == f"bench run suite={suite} model=random-8b suite.rounds=3"
    assert [line.startswith("bench advise") for line in printed[2:]] == [False, True][: 1 + judged]
    assert context(selection)[-1] == "2 of 3 rounds asked"
    stated = {line.entries[0].text: line.entries[1].text for line in machine_grid(selection, summary).lines}
    assert stated["Rounds"].startswith("2 of 3 asked, ")
