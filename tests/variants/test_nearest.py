"""The names that an error suggests."""

from __future__ import annotations

import pytest

from variants.configure import nearest, similar

KEYS = ["latency.requests", "latency.warmup_requests", "load.requests", "steps.lora.rank", "device"]


@pytest.mark.parametrize(
    ("typed", "hint"),
    [
        ("latency.request", "did you mean latency.requests, load.requests or latency.warmup_requests?"),
        ("rank", "did you mean steps.lora.rank?"),
        ("lora.Rank", "did you mean steps.lora.rank?"),
        ("Device", "did you mean device?"),
        ("zzz", "there are: device, latency.requests, latency.warmup_requests, load.requests, steps.lora.rank"),
    ],
)
def test_a_key_is_found_by_all_of_it_or_by_its_last_part(typed: str, hint: str) -> None:
    assert nearest(typed, KEYS) == hint


def test_five_names_are_shown_at_most() -> None:
    many = [f"variant{number}" for number in range(10, 40)]
    assert nearest("variant1", many).count("variant") == 5
    assert nearest("qqqq", many) == f"the nearest are: {', '.join(many[:5])}"


def test_behind_a_list_of_what_is_allowed_a_name_that_is_not_near_is_not_guessed() -> None:
    assert similar("tabel", ["table", "json"]) == "; did you mean table?"
    assert similar("xml", ["table", "json"]) == ""
