"""The tables of one task: what changed from the base, each subject, and how the answers were scored."""

from __future__ import annotations

from collections.abc import Sequence

from bench.metrics.accuracy import answers_of
from bench.metrics.answers import right, subjects_of
from bench.metrics.chance import guessing
from bench.metrics.metric import Metric
from bench.records.values import Answers
from bench.report.entries import named, tone_of, value_entry
from bench.report.glossary import HOLM
from bench.report.grid import ITSELF, NOT_MEASURED, Entry, Grid, Line
from bench.report.numbers import digits, p_value, percent_span, plural, points, points_span, share, span
from bench.stats.proportions import wilson
from bench.summary.rows import Row, Summary


def task_grids(summary: Summary) -> list[Grid]:
    """Return all tables of all tasks."""
    grids: list[Grid] = []
    for task in summary.right_or_wrong:
        grids += [accuracy_grid(summary, task), *subjects_grid(summary.rows, task)]
    return [*grids, *scores_grid(summary), *scoring_grid(summary)]


def accuracy_grid(summary: Summary, task: str) -> Grid:
    """Make the table of one task with what changed from the base, question by question."""
    accuracy, macro = _metric(summary, f"accuracy {task}"), _metric(summary, f"accuracy_macro {task}")
    with_macro = summary.measured(macro.name)
    asked = [row.answers[task] for row in summary.rows if task in row.answers]
    columns = ["Variant", "Right", *(["Macro"] if with_macro else []), "Count"]
    columns += ["Points to base", "Gained", "Lost", "McNemar", "Holm", "Detectable"]
    shown = [accuracy, *([macro] if with_macro else [])]
    notes = [HOLM]
    if with_macro:
        subjects = plural(max(len(subjects_of(answers)) for answers in asked), "subject")
        notes.append(
            f"Right is the micro average, over questions: it alone is tested. Macro is the mean of {subjects}, each "
            "counting the same; its interval is that of a stratified sample."
        )
        notes += _drawn_alike(summary.rows, task)
    guess = guessing(asked[0])
    return Grid(
        key=f"accuracy-{task}",
        title=f"Accuracy on {task}",
        says=(f"{guess.capitalize()}. " if guess else "")
        + "Gained and lost are questions whose answer turned right or wrong.",
        columns=tuple(columns),
        lines=tuple(Line((named(row), *_accuracy_entries(row, task, shown)), row.family) for row in summary.rows),
        notes=tuple(notes),
    )


def _metric(summary: Summary, name: str) -> Metric:
    return next(metric for metric in summary.metrics if metric.name == name)


def _drawn_alike(rows: Sequence[Row], task: str) -> list[str]:
    """Return a note where the same number of questions of every subject was drawn."""
    asked = [row for row in rows if task in row.answers]
    counts = {n for row in asked for _, n in subjects_of(row.answers[task]).values()}
    measures = [record.config.measures.get("accuracy") or {} for row in asked for record in row.records]
    if len(counts) > 1 or not any(measure.get("limit_per_subject") for measure in measures):
        return []
    return [
        f"limit_per_subject drew {plural(min(counts), 'question')} of every subject: Right weighs all subjects alike "
        "here, which it does not on the whole task."
    ]


def _accuracy_entries(row: Row, task: str, shown: Sequence[Metric]) -> list[Entry]:
    answers = row.answers.get(task)
    entries = [value_entry(row, [metric]) for metric in shown]
    if answers is None:
        return [*entries, *[NOT_MEASURED] * 7]
    is_right = right(answers)
    entries.append(Entry(f"{sum(is_right):,} of {len(is_right):,}"))
    beside = row.beside_base.get(shown[0].name)
    if beside is None or beside.paired is None:
        return [*entries, *[ITSELF if row.is_reference else NOT_MEASURED] * 6]
    paired = beside.paired
    return [
        *entries,
        Entry(points(paired.difference), points_span(paired), tone_of(paired)),
        Entry(str(paired.gained)),
        Entry(str(paired.lost)),
        Entry(p_value(paired.p)),
        NOT_MEASURED if beside.p_holm is None else Entry(p_value(beside.p_holm)),
        Entry(points(paired.detectable).removeprefix("+")),
    ]


def subjects_grid(rows: Sequence[Row], task: str) -> list[Grid]:
    """Make the table of one task's subjects, a column per variant; none where there is only one subject."""
    shown = {row.variant: subjects_of(row.answers[task]) for row in rows if task in row.answers}
    subjects = sorted({subject for counts in shown.values() for subject in counts})
    if len(subjects) < 2:
        return []
    lines = []
    for subject in subjects:
        counts = [of_variant.get(subject) for of_variant in shown.values()]
        asked = sorted({count[1] for count in counts if count})
        entries = [Entry(subject.replace("_", " ")), Entry(" or ".join(f"{n:,}" for n in asked))]
        for count in counts:
            accuracy = wilson(*count) if count else None
            entries.append(Entry(share(accuracy.value), percent_span(accuracy)) if accuracy else NOT_MEASURED)
        lines.append(Line(tuple(entries)))
    return [
        Grid(
            key=f"subjects-{task}",
            title=f"{task}: each of {len(subjects)} subjects",
            says="Share right, with its Wilson 95 % interval.",
            columns=("Subject", "n", *shown),
            lines=tuple(lines),
            folded=True,
        )
    ]


def score_of(summary: Summary, task: str) -> Metric | None:
    """Return the metric of a task whose documents are not right or wrong, None where they are."""
    return next((metric for metric in summary.metrics if metric.task == task and metric.test == "documents"), None)


def scores_grid(summary: Summary) -> list[Grid]:
    """Make the table of the tasks whose documents are not right or wrong, none where there is no such task."""
    metrics = [metric for task in summary.tasks if (metric := score_of(summary, task))]
    if not metrics:
        return []
    records = [record for row in summary.rows for record in row.records]
    return [
        Grid(
            key="scores",
            title="Other tasks",
            says="As lm-eval gives it, by the task's own metric. Small print: 95 % interval, Student's over documents.",
            columns=("Variant", *(f"{metric.task}: {metric.called(records)}" for metric in metrics)),
            lines=tuple(
                Line((named(row), *(_score_entry(row, metric) for metric in metrics)), row.family)
                for row in summary.rows
            ),
        )
    ]


def _score_entry(row: Row, metric: Metric) -> Entry:
    score = row.values.get(metric.name)
    if score is None:
        return NOT_MEASURED
    return Entry(digits(score.value), f"{span(score)},\n{plural(score.n, 'document')}")


def scoring_grid(summary: Summary) -> list[Grid]:
    """Make the table of how the answers were scored, a line per task and way; none where no record states it."""
    lines = []
    for task in summary.tasks:
        alike: dict[tuple[Entry, ...], list[str]] = {}
        for row in summary.rows:
            answers = answers_of(row.records, task)
            if answers is not None and answers.scoring:
                alike.setdefault(tuple(_scoring(answers)), []).append(row.variant)
        lines += [Line((Entry(task, _in_lines(variants)), *entries)) for entries, variants in alike.items()]
    if not lines:
        return []
    columns = ("Task, variants", "Requests", "Tokens asked", "Evaluated", "Asked ÷ evaluated", "Cut prompts")
    return [
        Grid(
            key="scoring",
            title="How the answers were scored",
            says="Requests share their beginnings, so fewer tokens are evaluated than are asked; nothing else may be "
            "left out. A prompt that does not fit the context loses its beginning and is counted here. Variants that "
            "were scored otherwise than others have a line of their own.",
            columns=(*columns, "Few-shot", "Chat template", "Scorer", "Context", "Engine"),
            lines=tuple(lines),
            folded=True,
        )
    ]


def _in_lines(names: Sequence[str], per_line: int = 5) -> str:
    return ",\n".join(", ".join(names[i : i + per_line]) for i in range(0, len(names), per_line))


def _scoring(answers: Answers) -> list[Entry]:
    stated = dict(answers.scoring or {})
    requests, asked, evaluated, n_ctx = (
        stated.pop(key, None) for key in ("requests", "tokens", "evaluated_tokens", "n_ctx")
    )
    n, cut, template = len(answers.question), answers.truncated, answers.chat_template
    engine = [f"{name.replace('_', ' ')} {_fact(value)}" for name, value in stated.items()]
    return [
        _stated(requests),
        _stated(asked),
        _stated(evaluated),
        _reused(asked, evaluated),
        NOT_MEASURED if cut is None else Entry(f"{cut:,} of {n:,}", tone="chance" if cut else ""),
        _stated(answers.num_fewshot),
        Entry(template[:12] if template else "none"),
        _stated(answers.scorer),
        _stated(n_ctx),
        Entry("", _in_lines(engine, 2)),
    ]


def _reused(asked: object, evaluated: object) -> Entry:
    """Return how many times more tokens were asked for than were evaluated."""
    if not isinstance(asked, int) or not isinstance(evaluated, int) or asked < 1 or evaluated < 1:
        return NOT_MEASURED
    return Entry(f"{asked / evaluated:.2f}×")


def _fact(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _stated(value: object) -> Entry:
    return NOT_MEASURED if value is None else Entry(_fact(value))
