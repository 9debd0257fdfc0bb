"""What keeps two numbers from being compared: another model, machine, workload, task or text; and what does not."""

from __future__ import annotations

from typing import Any

import pytest

from bench.selftest import raw_values, records
from tests.checkout import Change, Checkout, failing, set_in
from tests.compare.conftest import asking, diverging, f1

LATENCIES = (*(f"{name}_p{q}_ms" for name in ("ttft", "tpot", "e2e") for q in (50, 99)), "tokens_per_s")
MACHINE_BOUND = (*LATENCIES, "peak_resident_bytes")


@pytest.mark.parametrize(
    ("change", "metrics", "why"),
    [
        (set_in("machine", "id", value="other-2c"), MACHINE_BOUND, f"machine: {records.MACHINE} / other-2c"),
        (set_in("session", "device", value="cuda"), MACHINE_BOUND, "device: cpu / cuda"),
        (set_in("measures", "latency", "output_tokens", value=8), MACHINE_BOUND, "output_tokens: 32 / 8"),
        (set_in("measures", "latency", "prompt_tokens", value=[1] * 140), MACHINE_BOUND, "requests of round 1"),
        (set_in("measures", "latency", "loop", value="open"), MACHINE_BOUND, "loop: closed / open"),
        (set_in("config", "variant", "runtime", value="other"), MACHINE_BOUND, "runtime: llamacpp / other"),
        *(
            (set_in("config", "measures", "latency", key, value=2), MACHINE_BOUND, f"latency.{key}: not stated / 2")
            for key in ("prompts", "prompt", "seed")
        ),
        (set_in("measures", "accuracy", "hr", "version", value=2), ("accuracy hr",), "hr version: 1 / 2"),
        (set_in("measures", "accuracy", "hr", "gold", value=[0] * 400), ("accuracy hr",), "hr questions: 400 ("),
        (
            set_in("measures", "accuracy", "hr", "prompt_sha256", value="other words"),
            ("accuracy hr",),
            "hr prompts: prompts of h / other words",
        ),
        (
            set_in("measures", "accuracy", "hr", "question", value=["hr-999", *[f"hr-{i:03d}" for i in range(1, 400)]]),
            ("accuracy hr",),
            "hr questions: 400 (",
        ),
    ],
)  # fmt: skip
def test_what_is_not_the_same_thing_is_not_comparable(
    checkout: Checkout, change: Change, metrics: tuple[str, ...], why: str
) -> None:
    checkout.measure(checkout.base)
    checkout.measure(checkout.head, change)
    lines = checkout.compare().lines
    assert {line.metric for line in lines if line.verdict == "not comparable"} == set(metrics)
    assert all(line.why.startswith(why) and line.change is None for line in lines if line.metric in metrics)
    assert {line.verdict for line in lines if line.metric not in metrics} == {"same"}


def test_a_round_that_asked_fewer_of_the_same_requests_is_comparable_and_says_where_they_are_too_few(
    checkout: Checkout,
) -> None:
    def fewer(content: dict[str, Any]) -> None:
        latency = content["measures"]["latency"]
        content["measures"]["latency"] = {
            key: value[:50] if isinstance(value, list) else value for key, value in latency.items()
        }

    checkout.measure(checkout.base)
    checkout.measure(checkout.head, fewer)
    lines = checkout.lines()
    assert {name for name, line in lines.items() if line.verdict == "not comparable"} == set()
    assert lines["e2e_p50_ms"].low is not None
    assert (lines["e2e_p99_ms"].verdict, lines["e2e_p99_ms"].low) == ("undecided", None)
    assert lines["e2e_p99_ms"].why == "n too small: a P99 needs 368 requests on each side"


def test_fewer_requests_in_another_order_are_not_comparable(checkout: Checkout) -> None:
    def reordered(content: dict[str, Any]) -> None:
        latency = content["measures"]["latency"]
        for key, value in latency.items():
            latency[key] = value[50:100] if isinstance(value, list) else value

    checkout.measure(checkout.base)
    checkout.measure(checkout.head, reordered)
    line = checkout.lines()["e2e_p50_ms"]
    assert (line.verdict, line.why.partition(":")[0]) == ("not comparable", "requests of round 1, 1 to 25")


@pytest.mark.parametrize(
    ("path", "value", "why"),
    [
        (("lineage",), "other model", "model content: source / other model"),
        (("config", "model"), {"name": "reference", "revision": "abc"}, "model revision: None / abc"),
        (("config", "model"), {"name": "reference", "id": "org/other"}, "model id: None / org/other"),
        (("config", "model"), {"name": "other"}, "model name: reference / other"),
    ],
)
def test_another_model_is_not_comparable_in_any_metric(
    checkout: Checkout, path: tuple[str, ...], value: Any, why: str
) -> None:
    def moved(content: dict[str, Any]) -> None:
        content["lineage"][0]["fingerprint"] = "other model"
        if path != ("lineage",):
            set_in(*path, value=value)(content)

    checkout.measure(checkout.base)
    checkout.measure(checkout.head, moved)
    lines = checkout.lines()
    assert {line.verdict for metric, line in lines.items() if metric != "artifact"} == {"not comparable"}
    assert lines["size_bytes"].why.startswith(why)
    assert checkout.compare().exit_code == 2


@pytest.mark.parametrize(
    ("key", "value", "why"),
    [
        ("scorer", "2", "hr scorer: 1 / 2"),
        ("scorer", None, "hr scorer: 1 / not stated"),
        ("version", 2, "hr version: 1 / 2"),
        ("num_fewshot", 5, "hr num_fewshot: 0 / 5"),
        ("chat_template", "c0ffee", "hr chat_template: not stated / c0ffee"),
        ("truncated", 7, "hr truncated: 0 / 7"),
    ],
)
def test_answers_to_something_else_are_not_comparable_and_what_is_not_stated_is_no_guess(
    checkout: Checkout, key: str, value: Any, why: str
) -> None:
    checkout.measure(checkout.base)
    checkout.measure(checkout.head, set_in("measures", "accuracy", "hr", key, value=value))
    line = checkout.lines()["accuracy hr"]
    assert (line.verdict, line.why) == ("not comparable", why)


@pytest.mark.parametrize(
    ("task", "base", "head", "why"),
    [
        ("squad", f1(0, higher_is_better=None), f1(0, higher_is_better=None), "squad f1, which is better: not stated"),
        ("squad", f1(0), {**f1(0), "value": [None, *f1(0)["value"][1:]]}, "documents without a finite number: 0 / 1"),
        (
            "wikitext",
            raw_values.rolling(2.5),
            raw_values.rolling(2.5, "byte_perplexity"),
            "metric: word_perplexity / byte_perplexity",
        ),
    ],
)
def test_numbers_without_a_direction_a_value_or_one_metric_are_not_comparable(
    checkout: Checkout, task: str, base: dict[str, Any], head: dict[str, Any], why: str
) -> None:
    checkout.measure(checkout.base, asking(task, base))
    checkout.measure(checkout.head, asking(task, head))
    (line,) = (line for metric, line in checkout.lines().items() if metric.endswith(task))
    assert line.verdict == "not comparable"
    assert why in line.why


def test_documents_of_another_weight_are_not_comparable(checkout: Checkout) -> None:
    heavier = raw_values.rolling(2.5)
    heavier["value"][3][1] += 1
    checkout.measure(checkout.base, asking("wikitext", raw_values.rolling(2.5)))
    checkout.measure(checkout.head, asking("wikitext", heavier))
    line = checkout.lines()["perplexity wikitext"]
    assert line.verdict == "not comparable"
    assert line.why.startswith("wikitext weights: ")


def test_numbers_that_are_better_in_opposite_directions_have_no_verdict(checkout: Checkout) -> None:
    checkout.measure(checkout.base, asking("squad", f1(0.0)))
    checkout.measure(checkout.head, asking("squad", f1(0.0, higher_is_better=False)))
    lines = [line for line in checkout.compare().lines if line.metric == "score squad"]
    assert {line.verdict for line in lines} == {"not comparable"}


def test_divergences_from_other_bases_are_not_comparable(checkout: Checkout) -> None:
    checkout.measure(checkout.base, diverging(0.02))
    checkout.measure(checkout.head, diverging(0.02, base="another"))
    assert checkout.lines()["kl_mean"].why == "divergence base: artifact-bas / another"


def test_the_loss_by_quantization_is_compared_though_the_model_before_it_is_another(checkout: Checkout) -> None:
    def parent(name: str, mean: float) -> dict[str, Any]:
        kl = [mean + 0.0001 * ((7 * i) % 5 - 2) for i in range(160)]
        return {"parent": name, "parent_kl": kl, "parent_same_top": "1" * 160}

    checkout.measure(checkout.base, diverging(0.4, **parent("tuned", 0.02)))
    checkout.measure(checkout.head, diverging(0.4, **parent("tuned again", 0.03)))
    lines = checkout.lines()
    assert (lines["parent_kl_mean"].verdict, lines["kl_mean"].verdict) == ("worse", "same")
    assert lines["parent_kl_mean"].change == pytest.approx(0.01, rel=0.01)


def test_divergences_over_another_number_or_window_of_tokens_are_not_comparable(checkout: Checkout) -> None:
    fewer = raw_values.divergence(0.02, windows=10, window=8)
    checkout.measure(checkout.base, diverging(0.02))
    checkout.measure(checkout.head, diverging(0.02, window=4))
    assert checkout.lines()["kl_mean"].why == "divergence window: 8 / 4"
    checkout.measure(checkout.head, diverging(0.02, **fewer))
    assert checkout.lines()["kl_mean"].why == "divergence tokens: 160 / 80"


def test_a_divergence_that_has_become_no_number_is_not_comparable(checkout: Checkout) -> None:
    checkout.measure(checkout.base, diverging(0.01))
    checkout.measure(checkout.head, diverging(0.01, kl=[None] + [0.01] * 159))
    line = checkout.lines()["kl_mean"]
    assert (line.verdict, line.why) == ("not comparable", "tokens without a finite number: 0 / 1")


def test_divergences_over_another_text_are_not_comparable(checkout: Checkout) -> None:
    checkout.measure(checkout.base, diverging(0.02))
    checkout.measure(checkout.head, diverging(0.02, text="another"))
    assert checkout.lines()["kl_mean"].why == "divergence text: 7e577e577e57 / another"


def test_numbers_on_both_sides_are_compared_though_a_round_of_one_failed_before_it_had_any(checkout: Checkout) -> None:
    checkout.measure(checkout.base)
    checkout.measure(checkout.head, lambda content: failing(content) if content["round"] == 2 else None)
    verdicts = {metric: line.verdict for metric, line in checkout.lines().items() if metric != "run"}
    assert set(verdicts.values()) <= {"same", "undecided"}
    assert verdicts["peak_resident_bytes"] == "same"


def on_card(uuid: str) -> Change:
    return set_in("cards", value=[{"uuid": uuid, "name": "NVIDIA H100"}])


def test_latencies_of_two_cards_of_one_model_are_not_comparable_and_all_else_is(checkout: Checkout) -> None:
    checkout.measure(checkout.base, on_card("GPU-1a2b"))
    checkout.measure(checkout.head, on_card("GPU-3c4d"))
    lines = checkout.compare().lines
    refused = {line.metric: line.why for line in lines if line.verdict == "not comparable"}
    why = "measured on different cards: NVIDIA H100 (GPU-1a2b) / NVIDIA H100 (GPU-3c4d)"
    assert refused == dict.fromkeys(LATENCIES, f"{why}; device=cuda:N measures both on one")
    assert {line.verdict for line in lines if line.metric not in refused} == {"same"}


@pytest.mark.parametrize(
    ("cards", "verdict"), [("aba", "same"), ("baa", "same"), ("bba", "not comparable"), ("aaa", "not comparable")]
)
def test_rounds_in_equal_shares_of_the_same_cards_are_comparable_in_whichever_order_they_ran_on_them(
    checkout: Checkout, cards: str, verdict: str
) -> None:
    def in_turn(uuids: str) -> Change:
        return lambda content: on_card(f"GPU-{uuids[content['round']]}")(content)

    checkout.measure(checkout.base, in_turn("aab"))
    checkout.measure(checkout.head, in_turn(cards))
    assert {line.verdict for line in checkout.compare().lines if line.metric in LATENCIES} == {verdict}


@pytest.mark.parametrize("before", [on_card("GPU-1a2b"), None])
def test_latencies_of_one_card_are_comparable_as_are_those_of_a_record_that_names_none(
    checkout: Checkout, before: Change | None
) -> None:
    checkout.measure(checkout.base, before)
    checkout.measure(checkout.head, on_card("GPU-1a2b"))
    assert set(checkout.verdicts().values()) == {"same"}


def test_a_model_on_one_card_and_one_split_over_several_are_not_comparable_where_both_say_so(
    checkout: Checkout,
) -> None:
    checkout.measure(checkout.base, set_in("config", "runtime", "split", value="none"))
    checkout.measure(checkout.head, set_in("config", "runtime", "split", value="layers"))
    why = {line.metric: line.why for line in checkout.compare().lines if line.verdict == "not comparable"}
    assert why == dict.fromkeys(MACHINE_BOUND, "split: none / layers")
    checkout.measure(checkout.base)
    assert set(checkout.verdicts().values()) == {"same"}


def test_memory_of_a_process_and_of_a_whole_card_are_not_comparable(checkout: Checkout) -> None:
    def using(owner: str) -> Change:
        return set_in(
            "measures", "memory", value={"peak_resident_bytes": 1, "peak_device_bytes": 2, "device_memory_of": owner}
        )

    checkout.measure(checkout.base, using("card"))
    checkout.measure(checkout.head, using("process"))
    lines = checkout.lines()
    assert lines["peak_device_bytes"].why == "device memory of: card / process"
    assert lines["peak_resident_bytes"].verdict == "same"
