"""The tables of one task: what changed against the base, each subject, and how the answers were scored."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bench.metrics.accuracy import Accuracy, Score
from bench.metrics.answers import guessing
from bench.records.schema import Answers
from bench.report.grid import ITSELF, NOT_MEASURED, Entry, Grid, Line
from bench.report.numbers import digits, p_value, percent_span, plural, points, points_span, share, span
from bench.report.tables.overview import accuracy_entry, named
from bench.stats.proportions import wilson
from bench.summary.rows import Row, all_tasks_of, tasks_of


def task_grids(rows: Sequence[Row]) -> list[Grid]:
    """Return all tables of all tasks."""
    grids: list[Grid] = []
    for task in tasks_of(rows):
        grids += [accuracy_grid(rows, task), *subjects_grid(rows, task)]
    return [*grids, *scores_grid(rows), *scoring_grid(rows)]


def accuracy_grid(rows: Sequence[Row], task: str) -> Grid:
    """Make the table of one task with what changed against the base, question by question."""
    asked = [found for row in rows if (found := row.accuracy.get(task))]
    macro = any(found.macro for found in asked)
    lines = [_accuracy_line(row, row.accuracy.get(task), macro) for row in rows]
    columns = ["Variant", "Right", *(["Macro"] if macro else []), "Count"]
    columns += ["Points to base", "Gained", "Lost", "McNemar", "Holm", "Detectable"]
    notes = [
        "Holm: p adjusted for all comparisons with a base, over all tasks; other p on this page are not. "
        "Detectable: the smallest true difference, in points, that a test on this many questions finds 4 times "
        "in 5. Where no difference is shown, none was ruled out."
    ]
    if macro:
        subjects = plural(max(len(found.subjects) for found in asked), "subject")
        notes.append(
            f"Right is the micro average, over questions: it alone is tested. Macro is the mean of {subjects}, each "
            "counting the same; its interval is that of a stratified sample."
        )
        notes += _drawn_alike(rows, task)
    return Grid(
        key=f"accuracy-{task}",
        title=f"Accuracy on {task}",
        says=_guess(asked[0]) + "Gained and lost are questions whose answer turned right or wrong.",
        columns=tuple(columns),
        lines=tuple(lines),
        notes=tuple(notes),
    )


def _drawn_alike(rows: Sequence[Row], task: str) -> list[str]:
    """Say that a draw took as many questions of every subject, where it did."""
    asked = [row for row in rows if task in row.accuracy]
    counts = {n for row in asked for _, n in row.accuracy[task].subjects.values()}
    measures = [record.data["config"].get("measures") or {} for row in asked for record in row.records]
    if len(counts) > 1 or not any((found.get("accuracy") or {}).get("limit_per_subject") for found in measures):
        return []
    return [
        f"limit_per_subject drew {plural(min(counts), 'question')} of every subject: Right weighs all subjects alike "
        "here, which it does not on the whole task."
    ]


def _guess(found: Accuracy) -> str:
    said = guessing(found.answers)
    return f"{said.capitalize()}. " if said else ""


def _accuracy_line(row: Row, found: Accuracy | None, macro: bool) -> Line:
    entries = [named(row), accuracy_entry(found)]
    if found is None:
        return Line((*entries, *[NOT_MEASURED] * (7 + macro)), row.family)
    if macro:
        mean = found.macro
        entries.append(Entry(share(mean.value), percent_span(mean)) if mean else NOT_MEASURED)
    entries.append(Entry(f"{found.correct:,} of {found.n:,}"))
    pair = found.against
    if pair is None:
        entries += [ITSELF if row.is_reference else NOT_MEASURED] * 6
    else:
        entries.append(Entry(points(pair.difference), points_span(pair)))
        entries += [Entry(str(pair.gained)), Entry(str(pair.lost)), Entry(p_value(pair.p))]
        entries.append(NOT_MEASURED if found.p_holm is None else Entry(p_value(found.p_holm)))
        entries.append(Entry(points(pair.detectable).removeprefix("+")))
    return Line(tuple(entries), row.family)


def subjects_grid(rows: Sequence[Row], task: str) -> list[Grid]:
    """Make the table of one task's subjects, a column per variant; none where there is only one subject."""
    shown = [(row, row.accuracy[task]) for row in rows if task in row.accuracy]
    subjects = sorted({subject for _, found in shown for subject in found.subjects})
    if len(subjects) < 2:
        return []
    lines = []
    for subject in subjects:
        counts = [found.subjects.get(subject) for _, found in shown]
        asked = sorted({n for count in counts if count for n in [count[1]]})
        entries = [Entry(subject.replace("_", " ")), Entry(" or ".join(f"{n:,}" for n in asked))]
        for count in counts:
            right = wilson(*count) if count else None
            entries.append(Entry(share(right.value), percent_span(right)) if right else NOT_MEASURED)
        lines.append(Line(tuple(entries)))
    return [
        Grid(
            key=f"subjects-{task}",
            title=f"{task}: each of {len(subjects)} subjects",
            says="Share right, with its Wilson 95 % interval.",
            columns=("Subject", "n", *(row.variant for row, _ in shown)),
            lines=tuple(lines),
            folded=True,
        )
    ]


def scores_grid(rows: Sequence[Row]) -> list[Grid]:
    """Make the table of the tasks whose documents are not right or wrong, none where there is no such task."""
    tasks = [task for task in all_tasks_of(rows) if any(task in row.scores for row in rows)]
    if not tasks:
        return []
    metrics = {task: next(row.scores[task].metric for row in rows if task in row.scores) for task in tasks}
    return [
        Grid(
            key="scores",
            title="Other tasks",
            says="As lm-eval gives it, by the task's own metric. Small print: 95 % interval, Student's over documents.",
            columns=("Variant", *(f"{task}: {metric}" for task, metric in metrics.items())),
            lines=tuple(
                Line((named(row), *(_score_entry(row.scores.get(task)) for task in tasks)), row.family) for row in rows
            ),
        )
    ]


def _score_entry(score: Score | None) -> Entry:
    if score is None or score.found is None:
        return NOT_MEASURED
    return Entry(digits(score.found.value), f"{span(score.found)},\n{plural(score.n, 'document')}")


def scoring_grid(rows: Sequence[Row]) -> list[Grid]:
    """Make the table of how the answers were scored, a line per task and way; none where no record says so."""
    lines = []
    for task in all_tasks_of(rows):
        alike: dict[tuple[Entry, ...], list[str]] = {}
        for row in rows:
            answers = row.answers.get(task)
            if answers is not None and answers.get("scoring"):
                alike.setdefault(tuple(_scoring(answers)), []).append(row.variant)
        lines += [Line((Entry(task, _in_lines(variants)), *said)) for said, variants in alike.items()]
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
    told = dict(answers["scoring"])
    requests, asked, evaluated, n_ctx = (told.pop(k, None) for k in ("requests", "tokens", "evaluated_tokens", "n_ctx"))
    n, cut, template = len(answers["question"]), answers.get("truncated"), answers.get("chat_template")
    engine = [f"{name.replace('_', ' ')} {_fact(value)}" for name, value in told.items()]
    return [
        _count(requests),
        _count(asked),
        _count(evaluated),
        Entry(f"{asked / evaluated:.2f}×") if asked and evaluated else NOT_MEASURED,
        NOT_MEASURED if cut is None else Entry(f"{cut:,} of {n:,}", tone="chance" if cut else ""),
        _said(answers.get("num_fewshot")),
        Entry(template[:12] if template else "none"),
        _said(answers.get("scorer")),
        _count(n_ctx),
        Entry("", _in_lines(engine, 2)),
    ]


def _fact(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _count(value: int | None) -> Entry:
    return NOT_MEASURED if value is None else Entry(f"{value:,}")


def _said(value: Any) -> Entry:
    return NOT_MEASURED if value is None else Entry(str(value))
