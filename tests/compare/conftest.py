"""Changes of a record that several tests of comparisons make."""

from __future__ import annotations

from typing import Any

from bench.selftest import raw_values


def rebuilt(content: dict[str, Any]) -> None:
    """Another recipe, and so another artifact."""
    content["config"]["steps"]["q4"]["type"] = "Q4_K_S"
    content["artifact"]["fingerprint"] = content["lineage"][-1]["fingerprint"] = "another"


def diverging(mean: float, **other: Any) -> Any:
    """Give a record the divergence of 20 windows of 8 tokens whose KL has this mean; `other` replaces its keys."""

    def change(content: dict[str, Any]) -> None:
        kl = [mean + 0.0001 * ((7 * i) % 5 - 2) for i in range(160)]
        fields = {**raw_values.divergence(mean, windows=20, window=8), "kl": kl, **other}
        content["measures"]["divergence"] = fields

    return change


def asking(task: str, answers: dict[str, Any]) -> Any:
    """Give a record's first round the answers to one more task."""

    def change(content: dict[str, Any]) -> None:
        if content["round"] == 0:
            content["measures"]["accuracy"][task] = answers

    return change


def f1(add: float, n: int = 50, higher_is_better: bool | None = True) -> dict[str, Any]:
    """Make a task whose documents have a number between 0 and 1 that is better the higher it is."""
    values = [round(0.5 + 0.02 * ((7 * i) % 11 - 5) + add * (1 + 0.2 * ((3 * i) % 5 - 2)), 4) for i in range(n)]
    way = {"higher_is_better": higher_is_better}
    return {**raw_values.asked("squad", n), **way, "subject": [""] * n, "metric": "f1", "value": values}
