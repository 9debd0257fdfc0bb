"""What a user types: names that must not move, and values of any text."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.sweep.plan.compose import compose
from bench.sweep.plan.request import keys, parse


@pytest.mark.parametrize(
    ("arguments", "sweep"),
    [
        ([], "embedded-reference"),
        (["variant=base,q4", "results_dir=x"], "embedded-reference"),
        (["suite=smoke"], "smoke-reference"),
        (["steps.q4.type=Q8_0"], "embedded-reference-3177d1"),
        (["device=cpu"], "embedded-reference-2ae462"),
        (["model=org/Name-7B"], "embedded-name-7b-e5efce"),
        (["model=org/name", "model.revision=12345e67"], "embedded-name-2bbd0e"),
        (["suite.rounds=1", "suite=smoke"], "smoke-reference-6e65f8"),
    ],
)
def test_the_name_of_a_sweep_is_that_of_earlier_versions(arguments: list[str], sweep: str) -> None:
    assert parse(arguments).sweep == sweep


@pytest.mark.parametrize("typed", ["variant=base,q4", "variant=[base,q4]", "variant=base, q4", "variant='base',q4"])
def test_variants_are_a_list_however_it_is_written(typed: str) -> None:
    assert parse([typed]).variants == ("base", "q4")


@pytest.mark.parametrize("name", ["a, (b)", "it's", 'with "quotes"', "größe", "1234", "null", "back\\slash", "a=b"])
def test_a_model_folder_may_have_any_name(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    folder.mkdir()
    request = parse([f"model={folder}"])
    settings = compose(request, "base", 0, check=True)
    assert settings.model.path == str(folder)
    assert settings.sweep == request.sweep
    assert settings.overrides == request.overrides


@pytest.mark.parametrize("text", ["it's {question}", 'say "{question}"', "a=b, [{question}]", "{question}\\'"])
def test_a_quoted_value_reaches_the_measure_and_the_record_as_it_was_typed(text: str) -> None:
    quoted = text.replace("\\", "\\\\").replace("'", "\\'")
    settings = compose(parse([f"latency.prompt='{quoted}'"]), "base", 0, check=True)
    assert settings.measures["latency"]["prompt"] == text
    assert settings.overrides == (f"latency.prompt='{quoted}'",)


def test_the_keys_of_overrides_are_known_without_their_values() -> None:
    assert keys(["suite.measures=[size,latency]", "latency.prompt='a=b {question}'"]) == {
        "suite.measures",
        "latency.prompt",
    }
