"""Metrics: what raw values of several rounds come to, once for every table, verdict and series."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest

from bench.metrics.catalogue import kinds, metrics_of, templates
from bench.metrics.metric import Clusters, Marks, Metric, Rounds, difference, identity_of
from bench.records.store import read
from bench.records.types import Record
from bench.selftest import raw_values
from bench.selftest import records as made_up
from variants.paths import ROOT

if TYPE_CHECKING:
    import pandas as pd


LATENCY = made_up.record("q4")["measures"]["latency"]


def typed(content: dict[str, object]) -> Record:
    return msgspec.json.decode(msgspec.json.encode(content), type=Record)


def rounds(n: int = 2, **changes: dict[str, object]) -> list[Record]:
    contents = [made_up.record("q4", number) for number in range(n)]
    for content in contents:
        content["measures"] |= changes
    return [typed(content) for content in contents]


def metric(name: str, of: list[Record]) -> Metric:
    return next(one for one in metrics_of(of) if one.name == name)


def peaks(*megabytes: int) -> list[Record]:
    contents = [made_up.record("q4", number) for number in range(len(megabytes))]
    for content, peak in zip(contents, megabytes, strict=True):
        content["measures"]["memory"]["peak_resident_bytes"] = peak * 1_000_000
    return [typed(content) for content in contents]


def test_the_peak_memory_of_several_rounds_is_the_largest() -> None:
    of = peaks(70, 100)
    peak = metric("peak_resident_bytes", of)
    value = peak.value(of)
    assert value is not None
    assert value.value == 100_000_000
    sample = peak.sample(of) if peak.sample else None
    assert isinstance(sample, Rounds)
    assert (sample.blocks, sample.q) == ([[70_000_000], [100_000_000]], 1.0)


def test_what_a_failed_cell_measured_before_it_failed_counts() -> None:
    contents = [made_up.record("q4", number) for number in range(2)]
    contents[1] |= {"status": "failed", "error": made_up.failed("q4")["error"]}
    of = [typed(content) for content in contents]
    estimate = metric("e2e_p50_ms", of).value(of)
    assert estimate is not None
    assert estimate.n == 280


def test_tokens_per_second_are_the_reciprocal_of_the_usual_time_per_token() -> None:
    of = rounds()
    tpot, speed = (metric(name, of).value(of) for name in ("tpot_p50_ms", "tokens_per_s"))
    assert tpot is not None
    assert speed is not None
    assert speed.value == pytest.approx(1000 / tpot.value)
    assert speed.low == pytest.approx(1000 / (tpot.high or 0))
    assert metric("tokens_per_s", of).better == "higher"


def test_two_filters_of_one_metric_are_different_things() -> None:
    sides = []
    for name in ("exact_match,strict-match", "exact_match,flexible-extract"):
        of = rounds(accuracy={"gsm8k": {**raw_values.generated(0.5), "metric": name}})
        sides.append(identity_of(metric("accuracy gsm8k", of), of))
    differing = "gsm8k metric: exact_match,strict-match / exact_match,flexible-extract"
    assert difference(sides[0], sides[1]) == differing


def test_requests_of_a_record_that_does_not_state_their_prompts_are_not_kept_apart() -> None:
    silent = {key: value for key, value in LATENCY.items() if key != "prompt_tokens"}
    sides = [rounds(latency=latency) for latency in (LATENCY, silent)]
    identities = [identity_of(metric("e2e_p50_ms", of), of) for of in sides]
    assert not difference(identities[0], identities[1])


def test_every_test_has_the_sample_that_it_takes() -> None:
    of = rounds(divergence=raw_values.divergence(0.01))
    takes = {"rounds": Rounds, "questions": Marks, "documents": Clusters, "windows": Clusters}
    for one in metrics_of(of):
        if one.test in takes and one.value(of) is not None:
            assert one.sample is not None
            assert isinstance(one.sample(of), takes[one.test]), one.name
    assert {"ttft_p50_ms", "ttft_p99_ms", "tpot_p50_ms", "tpot_p99_ms", "tokens_per_s", "kl_mean"} <= set(kinds())


def test_names_are_unique_and_a_direction_is_stated_where_there_is_a_test() -> None:
    names = [one.name for one in templates() if one.tasks is None]
    assert len(names) == len(set(names))
    assert all(one.better for one in templates() if one.test and one.kind != "score")


def test_a_task_has_metrics_of_its_own_in_the_order_asked() -> None:
    of = rounds(accuracy={"gsm8k": raw_values.generated(0.5), "wikitext": raw_values.rolling(2.5)})
    names = [one.name for one in metrics_of(of) if one.task]
    assert names == ["accuracy gsm8k", "accuracy_macro gsm8k", "perplexity wikitext"]
    assert metric("perplexity wikitext", of).called(of) == "word_perplexity"


def test_rounds_that_only_one_side_has_do_not_keep_two_values_apart() -> None:
    before, after = rounds(2), rounds(3)
    latency = metric("e2e_p50_ms", before)
    assert difference(identity_of(latency, before), identity_of(latency, after)) == ""


def test_latencies_that_were_timed_in_other_company_are_those_of_different_things() -> None:
    def timed_in(**company: object) -> dict[str, str]:
        of = [typed({**made_up.record("q4"), **company})]
        return identity_of(metric("e2e_p50_ms", of), of)

    alone, older = timed_in(company={"timed": {"machine": "alone", "cores": 16}}), timed_in()
    beside = timed_in(company={"timed": {"machine": "shared", "cores": 8}})
    assert difference(alone, beside) == "timed: alone / one job a GPU, on 8 cores"
    assert difference(older, beside) == ""


def test_rounds_that_share_cards_unequally_are_those_of_different_things() -> None:
    def on(*uuids: str) -> list[Record]:
        cards = [[{"uuid": uuid, "name": "H100"}] for uuid in uuids]
        return [typed({**made_up.record("q4", number), "cards": card}) for number, card in enumerate(cards)]

    sides = on("1", "1", "1", "2"), on("1", "2", "2", "2"), on("2", "1"), on("1", "1", "2", "2")
    latency = metric("e2e_p50_ms", sides[0])
    few, many, equal, twice = (identity_of(latency, of) for of in sides)
    cards = "H100 (1) in {} of the rounds | H100 (2) in {} of the rounds"
    both = f"{cards.format('3/4', '1/4')} / {cards.format('1/4', '3/4')}"
    assert difference(few, many) == f"measured on different cards: {both}"
    assert difference(equal, twice) == ""


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"machine": {**made_up.machine(), "id": "other"}}, "machine: test-cpu-2c / other"),
        ({"session": {"device": "cuda"}}, "device: cpu / cuda"),
        (
            {"measures": {"latency": {**made_up.record("q4")["measures"]["latency"], "output_tokens": 8}}},
            "output_tokens",
        ),
    ],
)
def test_what_makes_two_values_those_of_different_things_is_named(change: dict[str, object], named: str) -> None:
    content = made_up.record("q4")
    of, other = [typed(content)], [typed({**content, **change})]
    latency = metric("e2e_p50_ms", of)
    assert named in difference(identity_of(latency, of), identity_of(latency, other))


def test_the_shipped_records_read_as_they_did_before_metrics_had_one_home() -> None:
    """Numbers of the tidy table, taken from the code before: percentiles, shares and divergences of one variant."""
    shipped, left_out = read(Path(ROOT / "results"), "8d9894a99606")
    if not shipped:
        pytest.skip("the shipped records of 8d9894a99606 are not in results/")
    assert not left_out
    first = [record for record in shipped if (record.variant, record.round) == ("q4", 0)]
    values = {one.name: value.value for one in metrics_of(first) if (value := one.value(first))}
    for name, expected in SHIPPED_Q4.items():
        assert values[name] == pytest.approx(expected, rel=1e-12), name


def test_the_tidy_table_of_all_shipped_records_is_the_one_of_before() -> None:
    """One digest over every value and interval of the 92 records that were there before metrics had one home."""
    import bench

    table = bench.load(ROOT / "results")
    table = table[table.commit.str[:12].isin(["8d9894a99606", "96a03c75a206", "a82a0d17d4f0"])]
    table = table[
        table.metric.isin({name.partition(" ")[0] for name in SHIPPED_Q4} | {"build_seconds", "measure_seconds"})
    ]
    if len(table) != 1550:
        pytest.skip("not all of the 92 records are in results/")
    assert digest_of(table) == TIDY


def digest_of(table: pd.DataFrame) -> str:
    keys = ["machine", "commit", "sweep", "variant", "round", "metric", "task", "unit"]
    rows = table.sort_values(keys)[[*keys, "value", "low", "high"]].itertuples(index=False)
    text = "\n".join(" ".join(f"{cell:.10g}" if isinstance(cell, float) else str(cell) for cell in row) for row in rows)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


TIDY = "7e07cda2970ad2ab"
SHIPPED_Q4: dict[str, float] = {
    "size_bytes": 2539488.0,
    "n_parameters": 3934464.0,
    "bits_per_weight": 5.1636,
    "peak_resident_bytes": 75264000.0,
    "ttft_p50_ms": 1.2739,
    "ttft_p90_ms": 1.5384,
    "ttft_p99_ms": 1.9242,
    "tpot_p50_ms": 0.1943,
    "tpot_p90_ms": 0.2229,
    "tpot_p99_ms": 0.2593,
    "e2e_p50_ms": 7.3492,
    "e2e_p90_ms": 8.3348,
    "e2e_p99_ms": 9.678,
    "accuracy general": 0.8891050583657587,
    "accuracy_macro general": 0.8880602443371698,
    "accuracy hr": 0.25,
    "accuracy_macro hr": 0.24554612054612057,
    "kl_mean": 0.007210066017986133,
    "kl_p99": 0.07121,
    "same_top_share": 0.962890625,
    "perplexity": 1512.509304765088,
}
