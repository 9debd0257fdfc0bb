"""`bench advise`: what it prints, what it refuses in one line, and that text from data stays text."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from bench.advise.cost import training_of
from bench.advise.named import FOLDER, chosen, names
from bench.advise.requirements import Cost, requirements_of
from bench.cli import main
from bench.commands.arguments import override
from bench.report.advice.answer import sentence
from bench.report.advice.data import data_of
from bench.report.advice.next_steps import next_steps
from bench.report.advice.reasons import reasons
from bench.report.advice.rule import rule
from bench.selftest import records
from bench.sweep.plan.conf import names as names_in_conf
from bench.sweep.plan.request import parse
from tests.advise.made_up import BASE, BOTH, TUNED_V, V, advice_of, but

TRAINED = {"machine": "test-cpu-2c", "currency": "", "amount": None, "over_budget": None}
PRICE = {"price_per_hour": 3.6, "currency": "USD", "price_date": "2026-05", "price_source": "x", "priced_machine": "y"}


@pytest.fixture
def results(tmp_path: Path) -> Path:
    records.write_sweep(tmp_path)
    return tmp_path


def run(results: Path, *arguments: str) -> int:
    return main(["advise", *arguments, "--results", str(results)])


def test_the_answer_comes_first_and_every_line_fits_80_columns(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(results, "requirements.not_forgotten=null") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("Ship finetuned-q8: it answers like the full fine-tune")
    assert max(map(len, lines)) <= 80
    text = "\n".join(lines)
    places = [text.index(part) for part in ("Variant", "Matrix", "The rule", "Measure next")]
    assert places == sorted(places)


def test_json_has_every_number(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(results, "--format", "json", "requirements.max_p99_ms=1") == 1
    data = json.loads(capsys.readouterr().out)
    assert (data["exit_code"], data["ship"], data["matrix"]["row"]) == (1, None, "both")
    latency = data["variants"][0]["limits"][0]
    assert (latency["status"], latency["bound"], latency["n"]) == ("fail", 1.0, 420)
    assert data["cost"]["serving"] is None


@pytest.mark.parametrize(
    ("argument", "complaint"),
    [
        ("requirements=realtme", "requirements: no 'realtme' in conf/requirements; did you mean realtime?"),
        ("requirements.max_p99_s=3", "requirements.max_p99_s: unknown key; did you mean max_p99_ms?"),
        ("requirements.quality.hr.atleast=1", "requirements.quality.hr.atleast: unknown key; did you mean at_least?"),
        ("requirements.max_p99_ms=0.2s", "requirements.max_p99_ms: got '0.2s', allowed: a number above 0, in millisec"),
        ("requirements.max_size_gb=-1", "requirements.max_size_gb: got -1, allowed: a number above 0, in gigabytes"),
        ("requirements.max_p99_ms=nan", "requirements.max_p99_ms: got nan, allowed: a number above 0"),
        ("requirements.quality.hr.at_least=60", "requirements.quality.hr.at_least: got 60, allowed: a share"),
        ("requirements.quality.hr.keeps=0.9", "requirements.quality.hr: keeps and of go together"),
        ("requirements.max_p50_ms=300", "requirements: contradictory limits: E2E P50 300 ms above its P99 200 ms"),
        (
            "requirements.max_ttft_p99_ms=300",
            "requirements: contradictory limits: max_ttft_p99_ms 300 above max_p99_ms",
        ),
        ("requirements.cost.price_source=null", "requirements.cost: price_per_hour without price_source"),
        ("requirements.cost=3", "requirements.cost: got 3, allowed: keys with values"),
        (
            "requirements.cost.price_per_hour=free",
            "requirements.cost.price_per_hour: got 'free', allowed: a number",
        ),
        ("requirements.cost.users=1.5", "requirements.cost.users: got 1.5, allowed: a whole number from 1, or null"),
        (
            "requirements.cost.price_date=2026-13",
            "requirements.cost.price_date: got '2026-13', allowed: a month",
        ),
        ("requirements.cost.utilization=30", "requirements.cost.utilization: got 30, allowed: a share above 0"),
        ("requirements.not_forgotten=general", "requirements.not_forgotten: got 'general', allowed: keys with values"),
        ("requirements.not_forgotten.task=null", "requirements.not_forgotten.task: got None, allowed: text"),
        ("requirements.quality=0.9", "requirements.quality: got 0.9, allowed: keys with values"),
        ("requirements.quality.domain.of=null", "requirements.quality.domain: keeps and of go together"),
        (
            "requirements.max_p99_ms.x=3",
            "requirements.max_p99_ms: got {'x': 3}, allowed: a number above 0",
        ),
        ("requirements.max_p99_ms=", "requirements.max_p99_ms: got '', allowed: a number above 0, in milliseconds"),
        ("requirements.target=laptop", "requirements.target: got 'laptop', allowed: server, phone"),
        ("requirements=null", "requirements: got None, allowed: batch, edge-phone, hr-chatbot, realtime"),
        ("requirements=[hr-chatbot]", "requirements: got ['hr-chatbot'], allowed: batch, edge-phone"),
        (
            "requirements=../hr-chatbot",
            "requirements: no '../hr-chatbot' in conf/requirements; did you mean hr",
        ),
        ("requirements.max_p99_ms", "'requirements.max_p99_ms': not a valid override; allowed: requirements=NAME"),
        ("requirements.latency=all", "requirements.latency: got 'all', allowed: e2e, ttft, tpot"),
        ("suite=smoke", "'suite=smoke': no requirement; allowed: requirements=NAME"),
        ("+requirements.x=1", "'+requirements.x=1': no requirement; allowed: requirements=NAME"),
    ],
)
def test_a_mistake_is_one_line_and_exits_2(
    results: Path, capsys: pytest.CaptureFixture[str], argument: str, complaint: str
) -> None:
    assert run(results, argument) == 2
    output = capsys.readouterr()
    assert output.err.startswith(f"bench: {complaint}")
    assert (output.out, output.err.count("\n")) == ("", 1)


def test_limits_that_contradict_each_other_and_limits_that_are_none_are_refused() -> None:
    for node in ({"max_size_gb": 3, "max_memory_gb": 2}, {"title": "x"}, {}):
        with pytest.raises(Exception, match=r"contradictory limits|no limit is set"):
            requirements_of(node)


@pytest.mark.parametrize("name", names())
def test_every_preset_is_sound_and_names_the_source_of_every_number(name: str) -> None:
    path = FOLDER / f"{name}.yaml"
    requirements_of(yaml.safe_load(path.read_text()))
    numbered = [line for line in path.read_text().splitlines() if re.match(r"\s*\w+: [\d.]+\s", line + " ")]
    assert not [line for line in numbered if "#" not in line]


def test_every_suite_that_asks_questions_names_requirements_and_they_move_no_name_of_a_sweep() -> None:
    for suite in names_in_conf("suite"):
        stated = yaml.safe_load((FOLDER.parent / "suite" / f"{suite}.yaml").read_text())["suite"]
        assert stated.get("requirements") in (names() if "accuracy" in stated.get("measures", ["accuracy"]) else [None])
    assert parse(["suite.requirements=batch"]).suffix == ""


def test_a_key_is_changed_and_null_removes_a_limit() -> None:
    typed = [override(text) for text in ("requirements.max_p99_ms=null", "requirements.quality.hr.at_least=0.9")]
    name, requirements = chosen(typed, "hr-chatbot")
    assert (name, requirements.max_p99_ms) == ("hr-chatbot, changed", None)
    assert requirements.quality["hr"].at_least == 0.9


def test_a_task_that_no_variant_was_asked_is_named_with_those_that_were(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(results, "requirements.quality.hrr.at_least=0.5", "requirements.not_forgotten=null") == 2
    text = " ".join(capsys.readouterr().out.split())
    assert "hrr ≥ 50 % is not measured of finetuned" in text
    assert "no task hrr in this sweep, but general and hr" in text


EVIL = "<script>alert(1)</script>\x1b[31m\x1b]0;x\x07\n[bold]"


@pytest.mark.parametrize(
    ("variants", "node", "name"),
    [
        ({EVIL: BASE}, {"max_p99_ms": 200}, "mine"),
        ({"b": BASE, EVIL: TUNED_V, "x": BOTH}, {"quality": {"hr": {"keeps": 0.98, "of": EVIL}}}, "mine"),
        ({"b": but(BASE, failed=EVIL)}, {"max_p99_ms": 200}, "mine"),
        ({"b": BASE}, {"quality": {EVIL: {"at_least": 0.5}}}, EVIL),
    ],
)
def test_markup_and_escape_codes_print_as_text(
    variants: dict[str, V], node: dict[str, Any], name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from dataclasses import replace
    from types import SimpleNamespace

    from bench.commands.advise import _print

    advice = replace(advice_of(variants, node), name=name)
    texts = [
        sentence(advice),
        *(text for reason in reasons(advice) for text in reason),
        *rule(advice),
        *next_steps(advice),
    ]
    assert not [letter for text in texts for letter in text if not letter.isprintable()]
    selection = SimpleNamespace(sweep=EVIL, machine="m", label="l", why="asked for")
    _print(advice, selection)  # type: ignore[arg-type]
    printed = capsys.readouterr().out
    assert "<script>" in printed
    assert "\x1b" not in printed
    assert "\x1b" not in json.dumps(data_of(advice))


def test_training_costs_its_measured_seconds_only_on_the_machine_that_is_priced() -> None:
    row = advice_of({"f": TUNED_V}, {"max_p99_ms": 200}).variants[0].row
    other = training_of(row, Cost(**PRICE))  # type: ignore[arg-type]
    assert other is not None
    assert (other.seconds, other.amount) == (70.0, None)
    priced = training_of(row, Cost(**{**PRICE, "priced_machine": "Test-CPU-2c", "finetune_budget": 0.05}))  # type: ignore[arg-type]
    assert priced is not None
    assert priced.amount == pytest.approx(0.07)
    assert priced.over_budget


def test_serving_is_never_priced_from_a_latency() -> None:
    advice = advice_of({"b": BASE}, {"max_p99_ms": 200, "cost": PRICE})
    (serving,) = [text for topic, text in reasons(advice) if topic == "Cost of serving"]
    assert serving.startswith("not measured (run a measure of load")
    assert data_of(advice)["cost"] == {"serving": None, "training": {"b": {**TRAINED, "seconds": 0.0}}}


def test_training_is_priced_in_the_text_with_its_seconds_and_its_price() -> None:
    price = {**PRICE, "priced_machine": "test-cpu-2c", "finetune_budget": 500}
    advice = advice_of({"f": TUNED_V}, {"max_p99_ms": 200, "cost": price})
    assert dict(reasons(advice))["Cost of training"] == (
        "0.07 USD (70.0 s of fine-tuning, measured on test-cpu-2c; 3.6 USD an hour, x, 2026-05), "
        "within the budget of 500."
    )


def test_a_sweep_ends_with_the_answer_by_the_limits_of_its_run_as_its_report_does(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from types import SimpleNamespace

    from bench.commands.run import conclude
    from bench.records.store import read

    first = read(results)[0][0]
    suite = SimpleNamespace(requirements="batch")  # the file of the suite names another
    settings = SimpleNamespace(results=results, sweep=first.sweep, suite=suite, spans_machines=False)
    commit = SimpleNamespace(sha=first.sha)
    cell = SimpleNamespace(key=first.cell, settings=settings, commit=commit, machine=first.machine)
    assert conclude([cell], [first]) == 0  # type: ignore[list-item]
    answer = "Ship base: it alone is shown to meet every limit"
    assert capsys.readouterr().out.splitlines()[-1] == f"{answer}."
    assert answer in (results / "report" / first.sweep / "report.md").read_text()
