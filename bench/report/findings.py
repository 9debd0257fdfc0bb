"""What a reader must know before any number: failed controls, failed cells, scores no better than guessing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

from bench.metrics import answers as columns
from bench.metrics.canary import medians, readings
from bench.metrics.chance import chance_level, guessing
from bench.records.selection import Selection
from bench.records.types import Record
from bench.records.values import Answers
from bench.report.numbers import percent, plural, share
from bench.report.speed.random_weights import UNSCORED, random_shapes
from bench.stats.estimates import Estimate
from bench.summary import parity
from bench.summary.rows import Failure, Row, Summary

CANARY_DRIFT = 0.10


@dataclass(frozen=True)
class Finding:
    """One line for the top of the report; `bad` means: do not decide from these numbers before this is solved."""

    level: Literal["bad", "note", "good"]
    title: str
    text: str
    command: str = ""


@dataclass(frozen=True)
class Control:
    """The same model in two runtimes, on one task: how often both give the same answer."""

    a: str
    b: str
    task: str
    agreement: parity.Agreement


def findings(
    selection: Selection, summary: Summary, left_out: Sequence[str], not_drawn: Sequence[str] = ()
) -> list[Finding]:
    """List everything that a reader must know up front, the worst first.

    `left_out` and `not_drawn` have a line for each file and each chart that is missing, and why.
    """
    rows = summary.rows
    everything = [
        *_runtime_controls(rows),
        *_failures(rows),
        *_requests(selection.records),
        *_one_sweep(selection),
        *(Finding("note", "Random weights", line) for line in random_shapes(selection.records)),
        *_scoring(summary),
        *_canary(selection.records),
        *(Finding("note", "Left out", line) for line in left_out),
        *(Finding("note", "Chart not drawn", line) for line in not_drawn),
        *_warnings(rows),
    ]
    return sorted(everything, key=lambda finding: ("bad", "note", "good").index(finding.level))


def _warnings(rows: Sequence[Row]) -> Iterable[Finding]:
    # Variants share artifacts, so that one warning of a step comes with every variant built on it.
    warned: dict[str, list[str]] = {}
    for row in rows:
        for line in (one for one in row.warnings if one != UNSCORED):  # the line of the random weights says it
            warned.setdefault(line, []).append(row.variant)
    for line, variants in warned.items():
        yield Finding("note", ", ".join(variants), line)


def controls(rows: Sequence[Row]) -> list[Control]:
    """Compare the answers of every two variants that are the same model in different runtimes."""
    compared = []
    for a, b in combinations(rows, 2):
        if a.runtime != b.runtime and _model(a) == _model(b):
            tasks = parity.parity(a.records, b.records)
            compared += [Control(a.variant, b.variant, task, agreement) for task, agreement in tasks.items()]
    return sorted(compared, key=lambda control: (control.a, control.b, control.task))


def _model(row: Row) -> tuple[str, ...]:
    return next((model for record in row.records if (model := parity.model(record))), (row.variant,))


def _suspects(rows: Sequence[Row], *variants: str) -> str:
    """Name what two runtimes that disagree compute in: 16-bit formats alone can move an answer that is a near tie."""
    records = [row.records[0] for name in variants for row in rows if row.variant == name]
    formats = [str((record.session or {}).get("dtype", "not stated")) for record in records]
    return f"One of the runtimes scores wrongly, or their number formats ({'; '.join(formats)}) differ that much"


def _runtime_controls(rows: Sequence[Row]) -> Iterable[Finding]:
    compared = controls(rows)
    if not compared and any(row.answers for row in rows):
        text = "no model was scored in two runtimes, so an error of one of them would not show"
        yield Finding("note", "Runtime control", f"Not measured: {text}. Add a control, such as the base in another.")
    pairs: dict[tuple[str, str], list[Control]] = {}
    for control in compared:
        pairs.setdefault((control.a, control.b), []).append(control)
    agreeing = []
    for (a, b), mine in pairs.items():
        if all(control.agreement.holds for control in mine):
            agreeing.append(_controlled(a, b, mine))
        else:
            text = f"{_suspects(rows, a, b)}: do not read accuracies across them."
            yield Finding("bad", "Runtime control", f"{_controlled(a, b, mine)} {text}")
    if agreeing:
        yield Finding("good", "Runtime control", " ".join(agreeing))


def _controlled(a: str, b: str, mine: Sequence[Control]) -> str:
    differences = (control.agreement.largest_difference for control in mine)
    largest = max((one for one in differences if one is not None), default=None)
    return (
        f"{a} and {b} are the same model in two runtimes. They pick the same answer on "
        f"{'; '.join(_same(control) for control in mine)}; the bound is {share(parity.SAME_ANSWERS)}."
        + ("" if largest is None else f" Largest difference of a log-likelihood: {largest:.3g} nats.")
    )


def _same(control: Control) -> str:
    n, same = control.agreement.n, control.agreement.same
    if same is None:
        apart = control.agreement.apart
        scores = "" if apart is None else f", and the scores differ by {apart:.2g} of the first"
        return f"{control.task}: no answers to compare{scores}"
    return f"{control.task}: {same:,} of {n:,} ({share(same / n)})"


def _failures(rows: Sequence[Row]) -> Iterable[Finding]:
    for row in rows:
        alike: dict[tuple[str, str], list[Failure]] = {}
        for failure in row.failures:
            alike.setdefault((failure.stage, failure.message), []).append(failure)
        for (stage, message), failures in alike.items():
            which = f"{'Rounds' if len(failures) > 1 else 'Round'} {', '.join(str(f.round + 1) for f in failures)}"
            text = f"{which} failed at {stage}: {message.rstrip('.')}."
            yield Finding("bad", row.variant, text, failures[0].reproduce)


def _requests(records: Sequence[Record]) -> Iterable[Finding]:
    for record in records:
        if record.latency is None:
            continue
        sent, evaluated = record.latency.prompt_tokens, record.latency.evaluated_tokens
        if sent and evaluated and sent != evaluated:
            reused = sum(a != b for a, b in zip(sent, evaluated, strict=False))
            text = f"{reused} of {len(sent)} requests evaluated another number of prompt tokens than was sent"
            doing = "a prompt cache was at work. Do not read its latencies."
            yield Finding("bad", record.variant, f"Round {record.round + 1}: {text}; {doing}")


def _one_sweep(selection: Selection) -> Iterable[Finding]:
    if selection.dirty:
        text = "these files differ from the commit, which alone does not bring the numbers back"
        yield Finding("note", "Uncommitted changes", f"Measured at {selection.label}: {text}.")
    if any(fields.get("trust_tasks") for record in selection.records for fields in record.config.measures.values()):
        text = "task YAMLs by path were allowed to run code: trust the numbers as far as you trust those files"
        yield Finding("note", "Trusted tasks", f"Measured with accuracy.trust_tasks=true: {text}.")
    for kind, n in selection.mixed.items():
        text = f"the records of this commit come from {n} different {kind}"
        yield Finding("bad", "Mixed records", f"In one table, yet {text}; run the sweep again to have one.")


def _scoring(summary: Summary) -> Iterable[Finding]:
    for task in summary.tasks:
        asked = [(row, row.answers[task]) for row in summary.rows if task in row.answers]
        for row, answers in asked:
            n = len(answers.question)
            if broken := columns.not_finite(answers):
                text = f"{task}: a log-likelihood or value is not a finite number on {plural(broken, 'question')}"
                yield Finding("bad", row.variant, f"{text} of {n:,}; such a choice or document never counts as right.")
            if tied := columns.ties(answers):
                text = f"{task}: all choices scored the same on {plural(tied, 'question')}"
                yield Finding("bad", row.variant, f"{text} of {n:,}; the scorer is broken.")
            if contradicted := columns.not_likeliest(answers):
                text = f"{task}: the stated answer is not the likeliest choice on {plural(contradicted, 'question')}"
                yield Finding("bad", row.variant, f"{text} of {n:,}; the record contradicts itself: do not use it.")
        if without := [row.variant for row, answers in asked if answers.without_system]:
            text = "the chat template refuses a system message, so the task's description was left out, as in lm-eval"
            yield Finding("note", f"Prompts of {task}", f"{', '.join(without)}: {text}.")
        yield from _repeated(task, asked)
        yield from _guessing(summary.rows, task)
        yield from _cut(task, asked)
        yield from _prompts(task, asked)
        yield from _right_answers(task, asked)
        yield from _tokenizers(task, asked)


def _repeated(task: str, asked: Sequence[tuple[Row, Answers]]) -> Iterable[Finding]:
    """Say that a question was asked more than once: an interval counts each time as another question."""
    n, different = len(asked[0][1].question), len(set(asked[0][1].question))
    if different < n:
        text = f"{n:,} questions, of which {different:,} are different: intervals and tests count a repeated one again"
        level: Literal["bad", "note"] = "bad" if different < 0.99 * n else "note"
        yield Finding(level, f"Repeated questions in {task}", f"{text}, and so look surer than they are.")


def _guessing(rows: Sequence[Row], task: str) -> Iterable[Finding]:
    low = [
        (row, accuracy, level)
        for row in rows
        if (accuracy := row.values.get(f"accuracy {task}")) and (level := chance_level(row.answers[task]))
    ]
    if not low:
        return
    row, accuracy, _ = low[0]
    alike: dict[str, list[tuple[Row, Estimate]]] = {}
    for one, estimate, level in low:
        alike.setdefault(level, []).append((one, estimate))
    listed = "; ".join(_guessers(level, group) for level, group in alike.items())
    yield Finding(
        "note",
        f"No better than guessing on {task}",
        f"{listed}. {guessing(row.answers[task]).capitalize()}; n = {accuracy.n:,}. Read nothing into differences "
        f"between these on {task}; where they are to show a loss, ask an easier task.",
    )


def _guessers(level: str, group: Sequence[tuple[Row, Estimate]]) -> str:
    """Name the variants of one level; of several the range of their shares, of one its interval."""
    if len(group) == 1:
        row, estimate = group[0]
        return f"{row.variant} is {level}: {percent(estimate)}"
    shares = sorted(estimate.value for _, estimate in group)
    ends = dict.fromkeys((share(shares[0]), share(shares[-1])))
    return f"{', '.join(row.variant for row, _ in group)} are {level}: {' to '.join(ends)}"


def _cut(task: str, asked: Sequence[tuple[Row, Answers]]) -> Iterable[Finding]:
    cut = [(row.variant, answers.truncated, len(answers.question)) for row, answers in asked if answers.truncated]
    if cut:
        listed = ", ".join(f"{variant} {count:,} of {n:,}" for variant, count, n in cut)
        text = "They lost their beginning, so these variants were asked something else than a longer context would ask"
        yield Finding("note", f"Prompts of {task} were cut to fit the context", f"{listed}. {text}.")


def _prompts(task: str, asked: Sequence[tuple[Row, Answers]]) -> Iterable[Finding]:
    """Name the variants that were asked in other words than the first, and why."""
    others: dict[str, list[str]] = {}
    for row, answers in asked[1:]:
        if cause := columns.prompt_difference(asked[0][1], answers):
            others.setdefault(cause, []).append(row.variant)
    for cause, variants in others.items():
        text = f"{', '.join(variants)} were asked in other words than {asked[0][0].variant}, because of {cause}"
        yield Finding("bad", f"Prompts of {task} differ between variants", f"{text}. Their answers are not compared.")


def _right_answers(task: str, asked: Sequence[tuple[Row, Answers]]) -> Iterable[Finding]:
    """Name the variants whose records state other right answers to the same questions than the first."""
    for row, answers in asked[1:]:
        if others := columns.same_questions_other_answers(asked[0][1], answers):
            text = f"another answer is right than for {asked[0][0].variant} on {plural(others, 'question')}"
            yield Finding("bad", row.variant, f"{task}: {text} of the same; one of the two records is wrong.")


def _tokenizers(task: str, asked: Sequence[tuple[Row, Answers]]) -> Iterable[Finding]:
    differing: dict[str, list[tuple[Row, Answers]]] = {}
    for row, answers in asked:
        if difference := columns.tokenizer_difference(answers):
            differing.setdefault(difference, []).append((row, answers))
    for difference, alike in differing.items():
        seen = alike[0][1].tokenizer
        many = seen is not None and seen.different > (1 - parity.SAME_ANSWERS) * seen.compared
        text = "The model was trained on the source's tokens, so these scores are the GGUF's and not the model's"
        variants = ", ".join(row.variant for row, _ in alike)
        yield Finding(
            "bad" if many else "note",
            f"Tokenizers differ on {task}",
            f"{variants}: {difference}." + (f" {text}." if many else ""),
        )


def _canary(records: Sequence[Record]) -> Iterable[Finding]:
    drifted = []
    for name, middle in medians(records).items():
        drifts = [
            (value / middle - 1, record)
            for record, reading, value in readings(records)
            if reading == name and abs(value / middle - 1) > CANARY_DRIFT
        ]
        if drifts:
            worst, record = max(drifts, key=lambda drift: abs(drift[0]))
            touched = len({(record.variant, record.round) for _, record in drifts})
            drifted.append(
                f"{name} was more than {CANARY_DRIFT:.0%} off its median ({middle:.3g}) beside {touched} of "
                f"{plural(len(records), 'cell')}, at worst {worst:+.0%} beside {record.variant}, "
                f"round {record.round + 1}"
            )
    if drifted:
        text = "Latencies of those cells say as much about the machine as about the variant: do not rank by them, and"
        yield Finding("note", "The machine drifted", f"{'; '.join(drifted)}. {text} repeat on a quiet machine.")
