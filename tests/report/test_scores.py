"""What the report says of scores: chance, subjects, cut prompts, tokenizers, other metrics, divergence."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

import bench
from bench.metrics.answers import subjects_of
from bench.records.selection import Wanted
from bench.report import Report, render
from bench.report.tables.accuracy import accuracy_grid, subjects_grid
from bench.report.terminal import first_lines, outcome_tables
from bench.selftest import raw_values, records
from bench.stats import proportions
from bench.summary.rows import Row, Summary
from tests.report.conftest import SHARES, mmlu_record, section, summary_of, table_of, text_of


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MMLU, a generated task, a perplexity and divergences of four variants."""
    results = tmp_path_factory.mktemp("results")
    for name in SHARES:
        records.write(results, mmlu_record(name))
    return results


@pytest.fixture(scope="module")
def report(sweep: Path) -> Report:
    return render(sweep, sweep / "report", Wanted())


@pytest.fixture(scope="module")
def summary(sweep: Path) -> Summary:
    return summary_of(sweep)


@pytest.fixture(scope="module")
def rows(summary: Summary) -> dict[str, Row]:
    return summary.by_name


def finding(report: Report, title: str) -> str:
    return next(finding.text for finding in report.findings if finding.title == title)


@pytest.mark.parametrize(("limit", "noted"), [(6, True), (None, False)])
def test_a_draw_that_weighs_all_subjects_alike_is_noted_beside_the_micro_average(
    tmp_path: Path, limit: int | None, noted: bool
) -> None:
    content = mmlu_record("base")
    content["config"]["measures"]["accuracy"] = {"limit_per_subject": limit}
    records.write(tmp_path, content)
    notes = " ".join(accuracy_grid(summary_of(tmp_path), "mmlu").notes)
    assert ("limit_per_subject drew 6 questions of every subject" in notes) == noted


def test_a_model_no_better_than_guessing_is_called_at_chance_in_words(report: Report) -> None:
    assert "q2 is at chance: " in finding(report, "No better than guessing on mmlu")
    assert "base" not in finding(report, "No better than guessing on mmlu").partition(". ")[0].split()
    lines = section(text_of(report, "report.md"), "Accuracy on mmlu").splitlines()
    assert "at chance" in next(line for line in lines if line.startswith("| q2 "))
    assert "at chance" not in next(line for line in lines if line.startswith("| q4 "))
    assert {name: row["chance_level_mmlu"] for name, row in table_of(report).items() if row["chance_level_mmlu"]} == {
        "q2": "at chance"
    }


def test_the_baselines_are_printed_beside_the_scores(report: Report, rows: dict[str, Row]) -> None:
    gold = rows["base"].answers["mmlu"].gold
    assert gold is not None
    majority = max(gold.count(letter) for letter in range(4)) / len(gold)
    guess = f"Guessing gives 25.0 %, always the most frequent answer {100 * majority:.1f} %."
    assert guess in section(text_of(report, "report.md"), "Accuracy on mmlu")
    assert "Guessing" not in section(text_of(report, "report.md"), "Accuracy on gsm8k")


def test_cut_prompts_are_counted_by_variant_and_task(report: Report) -> None:
    assert finding(report, "Prompts of mmlu were cut to fit the context").startswith("q4 37 of 342.")
    assert (table_of(report)["q4"]["cut_prompts_mmlu"], table_of(report)["base"]["cut_prompts_mmlu"]) == ("37", "0")
    assert "| 37 of 342 |" in text_of(report, "report.md")


def test_a_tokenizer_that_differs_is_shown_with_its_example(report: Report) -> None:
    text = finding(report, "Tokenizers differ on mmlu")
    assert text.startswith("q4: the GGUF's tokenizer and the source's differ on 3 of 1,200 texts, for example")
    assert "'naïve café': [1, 5, 9] against [1, 5, 8, 7]" in text


def test_micro_and_macro_averages_are_side_by_side(report: Report, rows: dict[str, Row]) -> None:
    macro = rows["q4"].value("accuracy_macro mmlu")
    assert macro is not None
    shares = [hits / n for hits, n in subjects_of(rows["q4"].answers["mmlu"]).values()]
    assert len(shares) == 57
    assert macro == pytest.approx(sum(shares) / 57)
    assert float(table_of(report)["q4"]["accuracy_macro_mmlu"]) == pytest.approx(macro, abs=1e-6)
    assert "accuracy_macro gsm8k" not in rows["q4"].values


def test_every_subject_has_its_share_and_its_n_in_a_folded_table(report: Report, rows: dict[str, Row]) -> None:
    (grid,) = subjects_grid(list(rows.values()), "mmlu")
    assert len(grid.lines) == 57
    line = next(line for line in grid.lines if line.entries[0].text == "abstract algebra")
    assert line.entries[1].text == "6"
    right = proportions.wilson(*subjects_of(rows["base"].answers["mmlu"])["abstract_algebra"])
    place = grid.columns.index("base")
    assert line.entries[place].text == f"{100 * right.value:.1f} %"
    folded = text_of(report, "index.html").split('<details id="by-subject">')[1].split("</details>")[0]
    assert '<section id="subjects-mmlu">' in folded
    assert subjects_grid(list(rows.values()), "gsm8k") == []


def test_generated_answers_are_paired_like_any_other(report: Report, rows: dict[str, Row]) -> None:
    pair = rows["q2"].paired("accuracy gsm8k")
    assert pair is not None
    before, after = raw_values.generated(0.62)["value"], raw_values.generated(0.26)["value"]
    assert pair.lost == sum(a > b for a, b in zip(before, after, strict=True)) > 0
    assert float(table_of(report)["q2"]["accuracy_gsm8k_difference"]) == pytest.approx(pair.difference, abs=1e-6)


def test_a_perplexity_has_a_table_of_its_own_and_its_interval(report: Report) -> None:
    text = section(text_of(report, "report.md"), "Other tasks")
    assert "| Variant | wikitext: word_perplexity |" in text
    row = table_of(report)["base"]
    low, value, high = (float(row[f"perplexity_wikitext{end}"]) for end in ("_low", "", "_high"))
    assert low < value < high
    assert "wikitext" not in section(text_of(report, "report.md"), "All variants")


def test_divergence_is_shown_with_interval_floor_and_perplexity(report: Report) -> None:
    text = section(text_of(report, "report.md"), "Divergence from the base")
    line = next(line for line in text.splitlines() if line.startswith("| q4 "))
    assert "256 (8 windows)" in line
    assert "2.0e−6" in line
    row = table_of(report)["q4"]
    assert float(row["kl_mean_low"]) < float(row["kl_mean"]) < float(row["kl_mean_high"])
    assert float(row["kl_p99"]) > float(row["kl_mean"])
    assert float(row["kl_rounding_floor"]) == 2e-6
    assert 0 < float(row["same_top_share"]) < 1
    assert table_of(report)["base"]["kl_mean"] == ""
    assert ">q4</text>" in text_of(report, "divergence.svg")


def test_how_the_answers_were_scored_is_a_table(report: Report) -> None:
    text = text_of(report, "report.md")
    lines = [line for line in text.splitlines() if line.startswith("| mmlu (")]
    cells = "| 1,368 | 54,720 | 13,680 | {} of 342 |"
    assert lines == [f"| mmlu (base, q2, base-torch) {cells.format(0)}", f"| mmlu (q4) {cells.format(37)}"]
    alike = "Asked ÷ evaluated: 4.00×; Few-shot: 0; Chat template: none; Scorer: 1; Context: 512; "
    assert f"Alike in all rows: {alike}Engine: (batch tokens 2,048, kv type f16)." in text


def test_bench_load_has_rows_for_all_of_it(sweep: Path) -> None:
    table = bench.load(sweep)
    q4 = table[table.variant == "q4"].set_index(["metric", "task"])
    assert q4.loc[("accuracy_macro", "mmlu"), "unit"] == "share"
    assert q4.loc[("accuracy", "gsm8k"), "n"] == 50
    assert ("accuracy_macro", "gsm8k") not in q4.index
    perplexity = table[(table.variant == "q4") & (table.metric == "word_perplexity")]
    assert (perplexity.low < perplexity.value).all()
    assert (perplexity.value < perplexity.high).all()
    alone = table[(table.variant == "q4") & table.task.isna()].set_index("metric")
    assert (alone.loc["kl_mean", "unit"], alone.loc["kl_mean", "n"]) == ("nat", 8)
    assert {"kl_mean", "kl_p99", "same_top_share", "perplexity"} <= set(alone.index)
    assert not table.duplicated(["variant", "round", "metric", "task"]).any()


def test_the_terminal_ends_with_the_words_too(report: Report) -> None:
    from rich.console import Console

    assert report.outcome is not None
    console = Console(width=160, file=io.StringIO())
    with console.capture() as captured:
        console.print(*outcome_tables(report.outcome, 160))
    shown = captured.get()
    assert "at chance" in shown
    assert "37 of 342 (mmlu)" in shown
    first = [line for _, line in first_lines(report.findings)]
    assert any(line.startswith("Prompts of mmlu were cut to fit the context") for line in first)
    assert not any("Runtime control" in line for line in first)  # it passed
