"""The history of a branch: git's order, what breaks a series, where its level changed, and the index behind it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.cli import main
from bench.history.branch import History, branch_commits, history
from bench.history.series import Series
from bench.records import store
from bench.records.selection import Wanted
from bench.report.charts.history import history_chart
from bench.selftest import raw_values, records, repository
from bench.stats.changepoints import find_shifts, splits_of
from variants.cache import Cache
from variants.errors import UserError

Change = Callable[[int, dict[str, Any]], None]


class Branch:
    """A scratch repository with a line of commits, some of them measured; a commit is known by its place."""

    def __init__(self, root: Path, commits: int) -> None:
        self.root, self.results, self.cache = root, root / "results", root / "cache"
        self.shas = repository.make_commits(root, commits)

    def git(self, *arguments: str) -> str:
        identity = ["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false"]
        done = subprocess.run(["git", "-C", str(self.root), *identity, *arguments], check=True, capture_output=True)
        return done.stdout.decode().strip()

    def measure(
        self,
        places: Sequence[int],
        slower: Callable[[int], float] = lambda place: 1.0,
        change: Change | None = None,
        variants: Sequence[str] = ("q4",),
    ) -> None:
        measured = [self.shas[place] for place in places]
        repository.write_history(
            self.results,
            measured,
            2,
            60,
            variants,
            slower=lambda at, variant: slower(places[at]) if variant == "q4" else 1,
        )
        for place in places if change else ():
            for path in self.files(place):
                content = json.loads(path.read_text())
                content.pop("sha256")
                assert change is not None
                change(place, content)
                path.write_text(json.dumps(content))

    def files(self, place: int) -> list[Path]:
        return sorted((self.results / records.MACHINE / self.shas[place][:12]).glob("*.json"))

    def history(self, machine: str | None = None, sweep: str | None = None, **options: Any) -> History:
        kept = Cache(self.cache).history(self.results)
        return history(self.results, kept, wanted=Wanted(machine=machine, sweep=sweep), **options)

    def series(self, metric: str, variant: str = "q4", **options: Any) -> Series:
        shown = self.history(**options).series
        return next(series for series in shown if (series.variant, series.metric.name) == (variant, metric))

    def changes(self, metric: str) -> list[tuple[int, int, bool]]:
        shown = self.series(metric).changes
        return [(c.before.commit.place, c.after.commit.place, c.better) for c in shown]


@pytest.fixture
def branch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Branch:
    made = Branch(tmp_path, 30)
    monkeypatch.setattr(Cache, "default", lambda: Cache(made.cache))
    return made


def test_points_are_in_gits_order_and_not_in_that_of_records_or_files(branch: Branch) -> None:
    def late_first(place: int, content: dict[str, Any]) -> None:
        content["started_at"] = f"2026-01-{30 - place:02d}T00:00:00+00:00"

    branch.measure([9, 4, 0], change=late_first)
    assert [point.commit.place for point in branch.series("size_bytes").points] == [0, 4, 9]


def test_a_merged_branch_is_one_step_and_its_own_commits_are_named(branch: Branch) -> None:
    main_line = branch.shas[-1]
    branch.git("checkout", "-q", "-b", "side", main_line)
    branch.git("commit", "-q", "--allow-empty", "-m", "aside")
    aside = branch.git("rev-parse", "HEAD")
    branch.git("checkout", "-q", "main")
    branch.git("merge", "-q", "--no-ff", "-m", "merge", "side")
    branch.shas += [aside, branch.git("rev-parse", "HEAD")]
    branch.measure([29, 30, 31])
    shown = branch.history()
    assert [commit.sha for commit in shown.commits] == [main_line, branch.shas[31]]
    assert any("1 commit with records not on this branch" in note and aside[:12] in note for note in shown.notes)
    assert [point.commit.sha for point in branch.series("size_bytes", branch="side").points] == [main_line, aside]


def test_releases_are_named_on_the_axis_and_the_page(branch: Branch) -> None:
    branch.git("tag", "v1.0", branch.shas[3])
    branch.git("tag", "-a", "-m", "release", "v2.0", branch.shas[8])
    branch.measure(range(12), slower=lambda place: 1 + place / 100)
    assert [(c.place, c.tags) for c in branch_commits(branch.results, "main") if c.tags] == [
        (0, ("v0",)),
        (3, ("v1.0",)),
        (8, ("v2.0",)),
    ]
    assert main(["history", "--results", str(branch.results)]) == 0
    svg = (branch.results / "report" / "history-e2e_p50_ms.svg").read_text()
    assert ">v1.0<" in svg
    assert ">v2.0<" in svg
    assert "Releases" in (branch.results / "report" / "history.html").read_text()


def test_a_planted_change_is_found_with_the_commits_it_may_be_in(branch: Branch) -> None:
    places = [0, 2, 4, 6, 8, 10, 14, 16, 18, 20, 22, 24]
    branch.measure(places, slower=lambda place: 1.15 if place >= 12 else 1.0)
    assert branch.changes("e2e_p50_ms") == [(10, 14, False)]
    (change,) = branch.series("e2e_p50_ms").changes
    assert change.commits == 4
    assert change.change == pytest.approx(1.15, abs=0.03)
    assert change.low is not None
    assert change.high is not None
    assert 1.05 < change.low < change.change < change.high < 1.25
    assert change.bisect == f"bench bisect e2e_p50_ms q4 {branch.shas[10][:12]} {branch.shas[14][:12]}"
    assert branch.changes("size_bytes") == branch.changes("accuracy hr") == []


def test_a_change_between_neighbours_names_the_commit_and_needs_no_bisect(branch: Branch) -> None:
    branch.measure(range(12), slower=lambda place: 0.8 if place >= 6 else 1.0)
    (change,) = branch.series("tpot_p50_ms").changes
    assert (change.commits, change.better, change.bisect) == (1, True, "")
    assert change.after.commit.sha == branch.shas[6]


def test_every_byte_of_a_size_is_a_change(branch: Branch) -> None:
    def larger(place: int, content: dict[str, Any]) -> None:
        if "size" in content["measures"]:
            content["measures"]["size"]["size_bytes"] += place >= 5

    branch.measure([3, 4, 5], change=larger)
    assert branch.changes("size_bytes") == [(4, 5, False)]


def test_a_loss_of_accuracy_is_found_by_the_answers_of_neighbours(branch: Branch) -> None:
    def forgets(place: int, content: dict[str, Any]) -> None:
        answers = content["measures"].get("accuracy", {}).get("hr")
        if answers and place >= 5:
            step = 10 if place < 8 else 9  # a tenth of the answers, then a few more: no change by themselves
            answers["picked"] = [
                (gold + 1) % 4 if i % step == 0 else picked
                for i, (gold, picked) in enumerate(zip(answers["gold"], answers["picked"], strict=True))
            ]

    branch.measure([3, 4, 5, 6, 8], change=forgets, variants=("finetuned", "q4"))
    changes = branch.series("accuracy hr", "finetuned").changes
    assert [(c.before.commit.place, c.after.commit.place) for c in changes] == [(4, 5)]
    assert changes[0].change == pytest.approx(-0.09, abs=0.015)
    assert changes[0].p is not None
    assert changes[0].p < 0.001


def test_flat_noise_has_no_change_points_but_in_one_page_of_twenty() -> None:
    rng = np.random.default_rng(3)
    series, n = 36, 24
    splits = series * splits_of(n)
    alarms = 0
    for page in range(60):
        noise = rng.normal(0, 0.06, (series, n)) if page % 2 else 0.06 * rng.standard_t(3, (series, n)) / 3**0.5
        alarms += any(find_shifts(row.tolist(), [1.0] * n, 0.0488, splits) for row in noise)
    assert alarms <= 6  # of 60, 3 expected at most: P(more than 6) is 3 in 100


def test_one_or_two_slow_commits_are_no_change_and_a_fixed_regression_is_two() -> None:
    quiet = np.random.default_rng(1).normal(0, 0.01, 40)
    spike, fixed = quiet.copy(), quiet.copy()
    spike[20:22] += 0.5
    fixed[15:21] += 0.2
    splits = 36 * splits_of(40)
    assert find_shifts(spike.tolist(), [1.0] * 40, 0.05, splits) == []
    assert [shift.place for shift in find_shifts(fixed.tolist(), [1.0] * 40, 0.05, splits)] == [15, 21]


def test_a_change_smaller_than_what_matters_is_none() -> None:
    values = [0.0, 0.001] * 10 + [0.04, 0.041] * 10
    assert find_shifts(values, [1.0] * 40, 0.05, splits_of(40)) == []
    assert [shift.place for shift in find_shifts(values, [1.0] * 40, 0.03, splits_of(40))] == [20]


@pytest.mark.parametrize(
    ("metric", "change", "why"),
    [
        ("e2e_p50_ms", lambda c: c["measures"].get("latency", {}).update(output_tokens=64), "output_tokens: 32 / 64"),
        (
            "accuracy hr",
            lambda c: "accuracy" in c["measures"] and c["measures"]["accuracy"]["hr"].update(version=2),
            "hr version: 1 / 2",
        ),
        (
            "accuracy hr",
            lambda c: "accuracy" in c["measures"] and c["measures"]["accuracy"]["hr"].update(truncated=3),
            "hr truncated: 0 / 3",
        ),
        ("size_bytes", lambda c: c["lineage"][0].update(fingerprint="another"), "model: source / another"),
    ],
)
def test_another_workload_task_or_model_breaks_the_series(
    branch: Branch, metric: str, change: Callable[[dict[str, Any]], Any], why: str
) -> None:
    branch.measure(range(16), lambda p: 1.5 if p >= 8 else 1.0, lambda p, content: change(content) if p >= 8 else None)
    series = branch.series(metric)
    assert [len(stretch) for stretch in series.stretches] == [8, 8]
    assert why in series.breaks[0]
    assert series.changes == ()
    assert len(branch.series("tpot_p50_ms" if metric == "accuracy hr" else "accuracy general").changes) == (
        1 if metric == "accuracy hr" else 0
    )


def test_generated_answers_are_an_accuracy_and_a_perplexity_is_compared_over_the_same_documents(
    branch: Branch,
) -> None:
    def ask(place: int, content: dict[str, Any]) -> None:
        if content["round"] == 0:
            text = raw_values.rolling(2.5 if place < 3 else 2.6)
            content["measures"]["accuracy"] = {
                "gsm8k": raw_values.generated(0.9 if place < 2 else 0.3),
                "wikitext": text,
            }

    branch.measure(range(4), change=ask)
    (change,) = branch.series("accuracy gsm8k").changes
    assert (change.before.commit.place, change.better) == (1, False)
    (change,) = branch.series("perplexity wikitext").changes
    ends = [point.value.value for point in (change.before, change.after)]
    assert (change.before.commit.place, change.better) == (2, False)
    assert change.change == pytest.approx(ends[1] / ends[0], rel=1e-5)
    assert change.low is not None
    assert change.high is not None
    assert 1 < change.low < change.change < change.high
    assert change.p is not None
    assert change.p < 0.001


@pytest.mark.parametrize(
    ("after", "changes"), [(0.02, []), (0.0201, []), (0.03, [(1, 2, False)]), (0.015, [(1, 2, True)])]
)
def test_a_divergence_changes_where_its_windows_do_beyond_the_limit(
    branch: Branch, after: float, changes: list[tuple[int, int, bool]]
) -> None:
    def diverge(place: int, content: dict[str, Any]) -> None:
        content["measures"]["divergence"] = raw_values.divergence(0.02 if place < 2 else after)

    branch.measure(range(4), change=diverge)
    assert branch.changes("kl_mean") == changes
    assert len(branch.series("perplexity").points) == 4


def test_divergences_over_another_text_break_the_series(branch: Branch) -> None:
    def diverge(place: int, content: dict[str, Any]) -> None:
        text = {} if place < 2 else {"text": "another"}
        content["measures"]["divergence"] = {**raw_values.divergence(0.02 if place < 2 else 0.03), **text}

    branch.measure(range(4), change=diverge)
    series = branch.series("kl_mean")
    assert (series.breaks, series.changes) == (("divergence text: 7e577e577e57 / another",), ())


def test_a_series_breaks_though_the_commit_in_between_does_not_say(branch: Branch) -> None:
    def prompts(place: int, content: dict[str, Any]) -> None:
        if place == 1:  # only the first round was measured
            content["measures"].pop("latency") if content["round"] else None
        if place == 2 and content["round"] == 1:
            content["measures"]["latency"]["prompt_tokens"] = [1] * 60

    branch.measure(range(3), change=prompts)
    series = branch.series("e2e_p50_ms")
    assert [len(stretch) for stretch in series.stretches] == [2, 1]
    assert series.breaks[0].startswith("prompt tokens of round 1: ")


def test_the_peak_of_memory_is_that_of_the_largest_round(branch: Branch) -> None:
    def peaks(place: int, content: dict[str, Any]) -> None:
        content["measures"]["memory"]["peak_resident_bytes"] = (70_000_000, 100_000_000)[content["round"]]

    branch.measure([0, 1], change=peaks)
    assert [point.value.value for point in branch.series("peak_resident_bytes").points] == [100_000_000] * 2


def test_what_a_failed_cell_measured_before_it_failed_counts(branch: Branch) -> None:
    def fails(place: int, content: dict[str, Any]) -> None:
        if place == 1 and content["round"] == 1:
            content |= {"status": "failed", "error": {"stage": "measure", "message": "killed"}}
            content["measures"] = {"latency": content["measures"]["latency"]}
            content["measures"]["latency"]["e2e_ms"] = [500.0] * 60

    branch.measure([0, 1], change=fails)
    before, after = branch.series("e2e_p99_ms").points
    assert (before.value.n, after.value.n, after.value.value) == (120, 120, 500.0)
    assert [commit.place for commit in branch.history().failures["q4"]] == [1]


def test_tokens_per_second_change_where_a_token_takes_longer_the_other_way_round(branch: Branch) -> None:
    branch.measure(range(12), slower=lambda place: 1.25 if place >= 6 else 1.0)
    (slower,), (fewer,) = (branch.series(name).changes for name in ("tpot_p50_ms", "tokens_per_s"))
    assert slower.change == pytest.approx(1 / fewer.change)
    assert slower.better == fewer.better
    assert (slower.before.commit.place, fewer.before.commit.place, fewer.better) == (5, 5, False)


def test_metrics_are_chosen_by_name_kind_or_measure(branch: Branch) -> None:
    branch.measure(range(2), variants=("finetuned", "q4"))

    def names(*metrics: str) -> list[str]:
        return list(dict.fromkeys(series.metric.name for series in branch.history(metrics=metrics).series))

    assert names("memory", "accuracy hr") == ["peak_resident_bytes", "accuracy hr"]
    assert names("accuracy") == ["accuracy general", "accuracy hr"]
    assert len(names("latency")) == 7


def test_uncommitted_states_are_no_part_of_a_history_and_a_note_counts_them(branch: Branch) -> None:
    branch.measure([0, 1, 2])
    clean = branch.files(2)[0].parent
    clean.rename(clean.with_name(f"{clean.name}-dirty-abc"))
    shown = branch.history()
    assert shown.measured == 2
    assert "1 uncommitted state with records: not part of a history" in shown.notes


def test_a_failed_commit_is_no_point_and_is_listed_as_a_failure(branch: Branch) -> None:
    def fails(place: int, content: dict[str, Any]) -> None:
        if place == 1:
            fields = records.failed("q4", content["round"])
            content.update(
                {key: fields[key] for key in ("status", "measures", "lineage", "artifact", "session", "error")}
            )

    branch.measure([0, 1, 2], change=fails)
    assert [point.commit.place for point in branch.series("size_bytes").points] == [0, 2]
    assert [commit.place for commit in branch.history().failures["q4"]] == [1]


def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the list to which every commit whose records are opened is added."""
    opened: list[str] = []
    real = store.read

    def counted(path: Path, label: str = "*") -> Any:
        opened.append(label)
        return real(path, label)

    monkeypatch.setattr(store, "read", counted)
    return opened


def test_the_index_reads_a_commit_again_only_where_a_record_changed(
    branch: Branch, monkeypatch: pytest.MonkeyPatch
) -> None:
    branch.measure([0, 1, 2])
    before = branch.history()
    opened = reads(monkeypatch)
    assert branch.history() == before
    assert opened == []
    path = branch.files(1)[0]
    content = json.loads(path.read_text())
    content.pop("sha256", None)
    content["measures"]["size"]["size_bytes"] += 1
    path.write_text(json.dumps(content))
    assert [point.value.value for point in branch.series("size_bytes").points] == [2_300_000, 2_300_001, 2_300_000]
    assert opened == [branch.shas[1][:12]]
    for gone in branch.files(2):
        gone.unlink()
    assert [point.commit.place for point in branch.series("size_bytes").points] == [0, 1]


@pytest.mark.parametrize("content", ["", "{", "[]", '{"version": "old", "commits": {}}', '{"version": 1}', "\x00\xff"])
def test_a_broken_index_is_built_anew(branch: Branch, content: str) -> None:
    branch.measure([0, 1])
    before = branch.history()
    (index,) = branch.cache.glob("history/*/index.json")
    index.write_text(content, encoding="latin-1")
    assert branch.history() == before
    assert json.loads(index.read_text())["commits"].keys() == {sha[:12] for sha in branch.shas[:2]}


def test_an_index_whose_inside_is_broken_is_built_anew(branch: Branch) -> None:
    branch.measure([0, 1])
    before = branch.history()
    (index,) = branch.cache.glob("history/*/index.json")
    content = json.loads(index.read_text())
    content["shared"] = []
    index.write_text(json.dumps(content))
    assert branch.history() == before


def test_a_chart_is_drawn_again_only_where_what_it_shows_has_changed(
    branch: Branch, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[str] = []

    def counted(name: str, *content: Any) -> str:
        drawn.append(name)
        return history_chart(name, *content)

    def charts() -> dict[str, str]:
        drawn.clear()
        assert main(["history", "--results", str(branch.results), "--metric", "e2e_p50_ms,e2e_p99_ms"]) == 0
        return {path.name: path.read_text() for path in (branch.results / "report").glob("*.svg")}

    monkeypatch.setattr("bench.report.pages.history.history_chart", counted)
    branch.measure(range(5))
    first = charts()
    assert sorted(drawn) == ["e2e_p50_ms", "e2e_p99_ms"]
    assert charts() == first
    assert drawn == []
    (kept,) = branch.cache.glob("history/*/history-e2e_p50_ms.svg")
    kept.write_text(kept.read_text()[:20])
    assert charts() == first
    assert drawn == ["e2e_p50_ms"]
    branch.git("tag", "v9.9", branch.shas[4])
    assert all(">v9.9<" in svg for svg in charts().values())
    assert sorted(drawn) == ["e2e_p50_ms", "e2e_p99_ms"]


def test_a_file_left_out_is_named_again_from_the_index(branch: Branch) -> None:
    branch.measure([0, 1])
    branch.files(1)[0].write_text('{"schema": 1, "measures": ')
    first, again = branch.history().left_out, branch.history().left_out
    assert len(first) == 1
    assert str(branch.files(1)[0]) in first[0]
    assert again == first


def test_the_machine_is_that_of_the_newest_commit_and_others_are_named(branch: Branch) -> None:
    branch.measure([0, 1, 2, 3])
    branch.measure([4], change=lambda place, content: content["machine"].update(id="other"))
    folder = branch.files(4)[0].parent
    (branch.results / "other").mkdir()
    folder.rename(branch.results / "other" / folder.name)
    shown = branch.history()
    assert (shown.machine, shown.measured) == ("other", 1)
    assert any(f"{records.MACHINE} (4 commits)" in note for note in shown.notes)
    assert branch.history(machine=records.MACHINE).measured == 4


def test_mistakes_are_one_line_with_what_is_allowed(branch: Branch) -> None:
    with pytest.raises(UserError, match="no records under"):
        branch.history()
    branch.measure([0, 1])
    for options, complaint in (
        ({"machine": "nonesuch"}, f"--machine: got 'nonesuch', allowed: {records.MACHINE}"),
        ({"sweep": "nonesuch"}, "no records of committed states"),
        ({"variants": ["q9"]}, "--variant: got 'q9', allowed: q4"),
        ({"metrics": ["speed"]}, "--metric: got 'speed', allowed: size_bytes"),
        ({"branch": "nonesuch"}, "--branch: git knows no commits of 'nonesuch'"),
    ):
        with pytest.raises(UserError, match=complaint):
            branch.history(**options)


def test_the_command_writes_the_page_the_charts_and_the_points(
    branch: Branch, capsys: pytest.CaptureFixture[str]
) -> None:
    branch.measure(range(12), slower=lambda place: 1.2 if place >= 6 else 1.0, variants=("q4", "q8"))
    arguments = ["history", "--results", str(branch.results), "--variant", "q4", "--metric", "e2e_p50_ms,accuracy hr"]
    assert main(arguments) == 0
    output = capsys.readouterr().out
    assert "main: 12 of 12 commits measured" in output
    assert "2 series, 0 breaks: 1 changes for the worse, 0 for the better" in output
    written = branch.results / "report"
    assert {path.name for path in written.iterdir()} == {"history.html", "history.csv", "history-e2e_p50_ms.svg"}
    page = (written / "history.html").read_text()
    assert 'id="chart-history-e2e_p50_ms"' in page
    assert "constant over 12 commits" in page
    assert branch.shas[6][:12] in page
    lines = (written / "history.csv").read_text().splitlines()
    assert len(lines) == 1 + 2 * 12
    assert main([*arguments, "--format", "pdf"]) == 2
    assert "--format: got 'pdf', allowed: html, svg, csv" in capsys.readouterr().err


def test_all_pages_of_the_report_link_to_each_other(branch: Branch, capsys: pytest.CaptureFixture[str]) -> None:
    branch.measure(range(3))
    results = ["--results", str(branch.results)]
    assert main(["report", *results]) == 0
    index = branch.results / "report" / "index.html"
    assert "history.html" not in index.read_text()
    assert main(["history", *results]) == 0
    assert '<a href="history.html">' in index.read_text()
    assert '<a href="index.html">' in (branch.results / "report" / "history.html").read_text()
    assert main(["report", *results]) == 0
    assert index.read_text().count('<a href="history.html">') == 1
    capsys.readouterr()


def test_a_history_imports_no_runtime(branch: Branch) -> None:
    branch.measure([0, 1])
    code = (
        "import sys; from pathlib import Path; from bench.history.branch import history\n"
        f"history(Path({str(branch.results)!r}), Path({str(branch.cache)!r}))\n"
        "print(sorted({'torch', 'llama_cpp', 'lm_eval', 'transformers', 'pandas'} & set(sys.modules)),"
        "sorted({one for one in sys.modules if one.startswith('variants.')} - {'variants.errors', 'variants.paths'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[] []"
