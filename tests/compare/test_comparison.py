"""Two revisions compared: each verdict, each exit code, and what is missing in one line."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.cli import main
from bench.compare.comparison import Comparison, compare
from bench.compare.effects import Effect
from bench.compare.verdict import Verdict, VerdictLine, judge, needed_n
from bench.records.selection import Wanted
from bench.selftest import records
from bench.stats.estimates import least_n, percentile_ranks
from bench.stats.proportions import mcnemar
from variants.errors import UserError

Change = Callable[[dict[str, Any]], None]
LATENCIES = (*(f"{name}_p{q}_ms" for name in ("ttft", "tpot", "e2e") for q in (50, 99)), "tokens_per_s")
MACHINE_BOUND = (*LATENCIES, "peak_resident_bytes")
STEPS, RUNTIME, SIZE, TPOT, GENERAL, HR = records.VARIANTS["q4"]


class Checkout:
    """A scratch repository of two commits, whose records lie in its results/."""

    def __init__(self, root: Path) -> None:
        self.root, self.results = root, root / "results"
        self._git("init", "-q")
        self.base, self.head = (self._commit(name) for name in ("base", "head"))

    def _git(self, *arguments: str) -> str:
        identity = ["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false"]
        command = ["git", "-C", str(self.root), *identity, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    def _commit(self, message: str) -> str:
        self._git("commit", "-q", "--allow-empty", "-m", message)
        return self._git("rev-parse", "HEAD")

    def measure(self, sha: str, change: Change | None = None, dirty: bool = False, **how: Any) -> None:
        """Write the records of q4 at a commit, changed by `change`; `how` is for the generator."""
        for number in range(3):
            content = records.record("q4", number, **how)
            content["commit"] = {"sha": sha, "dirty": dirty, "tree": "changed" if dirty else "clean"}
            if change:
                change(content)
            records.write(self.results, content)

    def compare(self, base: str = "HEAD~1", head: str | None = None, **options: Any) -> Comparison:
        return compare(self.results, base, head, **options)

    def lines(self) -> dict[str, VerdictLine]:
        """Compare, and return the line of each metric."""
        return {line.metric: line for line in self.compare().lines}

    def verdicts(self) -> dict[str, Verdict]:
        return {metric: line.verdict for metric, line in self.lines().items()}


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def q4(size: int = SIZE, tpot: float = TPOT, general: float = GENERAL, hr: float = HR) -> dict[str, Any]:
    return {"spec": (STEPS, RUNTIME, size, tpot, general, hr)}


def scaled(content: dict[str, Any], factor: float) -> None:
    latency = content["measures"]["latency"]
    for name in ("ttft_ms", "tpot_ms", "e2e_ms"):
        latency[name] = [factor * value for value in latency[name]]


def failing(content: dict[str, Any]) -> None:
    fields = records.failed("q4", content["round"])
    content.update({key: fields[key] for key in ("status", "measures", "lineage", "artifact", "session", "error")})


def set_in(*path: str, value: Any) -> Change:
    def change(content: dict[str, Any]) -> None:
        node = content
        for key in path[:-1]:
            if key not in node:
                return
            node = node[key]
        node[path[-1]] = value

    return change


@pytest.mark.parametrize(
    ("how", "metric", "verdict"),
    [
        (q4(), "size_bytes", "same"),
        (q4(size=SIZE + 1), "size_bytes", "worse"),
        (q4(size=SIZE - 1), "size_bytes", "better"),
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


def test_a_p99_of_few_requests_is_undecided_and_says_how_many_it_needs(checkout: Checkout) -> None:
    checkout.measure(checkout.base, requests=122)
    checkout.measure(checkout.head, requests=122)
    line = checkout.lines()["e2e_p99_ms"]
    assert (line.n, line.low is None or line.high is None, line.verdict) == (366, True, "undecided")
    assert line.why == "n too small: a P99 needs 368 requests on each side"


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
    assert run.why.startswith("round 2 failed at build lora")


def test_failures_on_both_sides_are_not_comparable(checkout: Checkout) -> None:
    checkout.measure(checkout.base, failing)
    checkout.measure(checkout.head, failing)
    comparison = checkout.compare()
    assert [(line.metric, line.verdict) for line in comparison.lines] == [("run", "not comparable")]
    assert comparison.exit_code == 2


@pytest.mark.parametrize(
    ("change", "metrics", "why"),
    [
        (set_in("machine", "id", value="other-2c"), MACHINE_BOUND, f"machine: {records.MACHINE} / other-2c"),
        (set_in("session", "device", value="cuda"), MACHINE_BOUND, "device: cpu / cuda"),
        (set_in("measures", "latency", "output_tokens", value=8), MACHINE_BOUND, "output_tokens: 32 / 8"),
        (set_in("measures", "latency", "prompt_tokens", value=[1] * 140), MACHINE_BOUND, "prompt tokens of round 0"),
        (set_in("measures", "accuracy", "hr", "version", value=2), ("accuracy hr",), "hr version: 1 / 2"),
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


def test_another_artifact_under_the_same_name_is_reported_as_changed_and_still_compared(checkout: Checkout) -> None:
    def rebuilt(content: dict[str, Any]) -> None:
        content["artifact"]["fingerprint"] = content["lineage"][-1]["fingerprint"] = "another"

    checkout.measure(checkout.base)
    checkout.measure(checkout.head, rebuilt, **q4(size=SIZE + 1000))
    lines = checkout.lines()
    assert {line.artifact for line in lines.values()} == {"changed"}
    assert lines["size_bytes"].verdict == "worse"
    checkout.measure(checkout.head)
    assert {line.artifact for line in checkout.compare().lines} == {"same"}


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


def test_a_named_commit_is_its_clean_state_and_head_by_default_its_newest(checkout: Checkout) -> None:
    checkout.measure(checkout.head)
    checkout.measure(checkout.head, dirty=True, change=set_in("started_at", value="2026-11-24T00:00:00+00:00"))
    comparison = checkout.compare("HEAD")
    assert (comparison.base.dirty, comparison.head.dirty) == (False, True)
    again = checkout.compare(f"{checkout.head[:12]}-dirty", "HEAD")
    assert (again.base.dirty, again.head.dirty) == (True, False)


def test_the_base_is_of_the_sweep_and_machine_of_the_head(checkout: Checkout) -> None:
    late = "2026-11-24T00:00:00+00:00"
    checkout.measure(checkout.base)
    checkout.measure(checkout.base, lambda c: (c["machine"].update(id="other"), c.update(started_at=late))[0])
    checkout.measure(checkout.head)
    assert checkout.compare().base.machine == records.MACHINE
    with pytest.raises(UserError, match=r"no records for HEAD \(.*sweep smoke"):
        checkout.compare(wanted=Wanted(sweep="smoke"))


def effect(value: float, low: float | None, high: float | None, limit: float = 0.05, doubt: str = "") -> Effect:
    return Effect(value, low, high, 0.01, limit, "t over rounds", 600, 3, "rounds", "rounds", doubt)


@pytest.mark.parametrize(
    ("change", "p", "verdict"),
    [
        (effect(0.06, 0.001, 0.12), 0.049, "worse"),
        (effect(0.06, 0.001, 0.12), 0.051, "undecided"),
        (effect(0.049, 0.04, 0.06), 0.001, "undecided"),
        (effect(0.03, 0.01, 0.05), 0.001, "same"),
        (effect(-0.06, -0.12, -0.001), 0.01, "better"),
        (effect(0.0, -0.06, 0.06), 1.0, "undecided"),
        (effect(0.7, 0.4, None), 0.001, "undecided"),
        (effect(0.06, 0.001, 0.12, doubt="one slow round"), 0.01, "undecided"),
    ],
)
def test_a_change_is_worse_only_beyond_chance_and_the_limit_and_same_only_when_shown(
    change: Effect, p: float, verdict: Verdict
) -> None:
    assert judge(change, p) == verdict


@pytest.mark.parametrize(
    ("change", "needed"),
    [
        (effect(0.01, -0.07, 0.09), 12),  # 3 rounds, half a width of 0.08, 0.04 of room: 3 * 2^2
        (effect(0.10, -0.10, 0.30), 12),  # beyond the limit: 0 has to be out of it
        (effect(0.05, -0.03, 0.13), None),  # at the limit no n decides
        (effect(0.7, 0.4, None), None),
    ],
)
def test_the_n_that_would_decide_follows_from_the_width_of_the_interval(change: Effect, needed: int | None) -> None:
    assert needed_n(change, family=1) == needed


def test_least_n_is_where_an_interval_of_the_percentile_begins() -> None:
    for share in (0.5, 0.9, 0.99):
        assert None not in percentile_ranks(least_n(share), share)
        assert None in percentile_ranks(least_n(share) - 1, share)


@pytest.mark.parametrize(
    ("factor", "unsound", "code", "conclusion"),
    [
        (1.0, False, 0, "no regression"),
        (1.2, False, 1, "REGRESSION"),
        (1.0, True, 2, "could not compare everything: 1 record left out"),
        (1.2, True, 1, "REGRESSION"),
    ],
)
def test_the_command_prints_a_table_and_a_summary_line(
    checkout: Checkout, capsys: pytest.CaptureFixture[str], factor: float, unsound: bool, code: int, conclusion: str
) -> None:
    checkout.measure(checkout.base)
    checkout.measure(checkout.head, lambda content: scaled(content, factor))
    if unsound:
        broken = checkout.results / records.MACHINE / checkout.head[:12] / "q8.r0.json"
        broken.write_text(json.dumps({"schema": 9}))
    assert main(["compare", "HEAD~1", "--results", str(checkout.results)]) == code
    output = capsys.readouterr()
    assert "e2e_p99_ms" in output.out
    assert output.out.splitlines()[-1].endswith(conclusion)
    assert output.out.splitlines()[-1].startswith(f"{checkout.base[:12]} → {checkout.head[:12]}, ")
    assert ("q8.r0.json: schema 9 is unknown" in output.err) == unsound


def test_what_cannot_be_compared_is_one_line_and_exit_code_2(
    checkout: Checkout, capsys: pytest.CaptureFixture[str]
) -> None:
    def complaint(*arguments: str) -> str:
        assert main(["compare", *arguments, "--results", str(checkout.results)]) == 2
        output = capsys.readouterr()
        assert output.out == ""
        assert len(output.err.splitlines()) == 1
        return output.err

    assert "run `make bench`" in complaint("HEAD~1")
    checkout.measure(checkout.base)
    choice = f"choose one of: {checkout.base[:12]} (embedded-reference)"
    assert choice in complaint("HEAD~1")  # HEAD has none, and an older commit does not stand in for it
    assert f"unknown revision 'nonesuch': {choice}" in complaint("HEAD~1", "nonesuch")
    assert "both sides are the records of" in complaint("HEAD~1", "HEAD~1")


def test_a_report_of_nothing_is_one_line_and_exit_code_2(
    checkout: Checkout, capsys: pytest.CaptureFixture[str]
) -> None:
    results = ["--results", str(checkout.results)]
    assert main(["report", *results]) == 2
    assert "no records under" in capsys.readouterr().err
    checkout.measure(checkout.head)
    assert main(["report", *results, "--commit", "abc123"]) == 2
    assert "no records for --commit abc123" in capsys.readouterr().err
    assert main(["report", *results, "--format", "md,pdf"]) == 2
    assert "--format: got 'pdf', allowed: md, html, csv, svg" in capsys.readouterr().err
    assert not (checkout.results / "report").exists()


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
