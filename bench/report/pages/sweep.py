"""The report as one self-contained page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.records.selection import Selection
from bench.records.types import Machine, Record
from bench.report.charts.chart import Chart
from bench.report.findings import Finding
from bench.report.grid import Grid
from bench.report.numbers import plural, sized
from bench.report.pages.html import inline, rendered
from bench.summary.family import FAMILIES
from bench.summary.rows import Summary

DEFINITIONS = (
    ("TTFT", "time to first token: from the start of the request until its first output token is there."),
    ("TPOT", "time per output token: (last token − first token) / (output tokens − 1), of one request."),
    (
        "E2E, service time, closed loop",
        "from the start of the request to its last token; the next request starts when this one has ended, so "
        "there is no queue in it and it is not what users under load would see. Output length is fixed, every "
        "prompt is another one and no prompt cache helps; warm-up requests are not counted.",
    ),
    (
        "P50, P90, P99",
        "the smallest observed value that 50, 90 or 99 % of the requests do not exceed. The interval is between two "
        "order statistics of the same sample: true for any distribution, if requests are independent. Both ends of "
        "a P99 at 95 % need 368 requests; with fewer the upper end is open and “n too small” stands there.",
    ),
    (
        "Ratios of latency",
        "base ÷ variant, both in the same runtime; the interval is a bootstrap that resamples requests within "
        "each round, so it holds the noise within the rounds measured and not that between days or machines.",
    ),
    ("Bits per weight", "8 × bytes of the weight files / parameters, as measured; a label such as Q4 does not say it."),
    (
        "Accuracy",
        "the share of questions answered right: the right choice got the highest log-likelihood, or lm-eval's metric "
        "gave 1; interval: Wilson, 95 %. It counts these questions as a sample of all such questions, and a fine-tune "
        "as this one training run.",
    ),
    (
        "Micro, macro",
        "micro is the share of all questions, so a subject counts by its number of questions; macro is the mean over "
        "subjects. Published figures use one or the other. Tests between variants are on the questions, micro.",
    ),
    (
        "At chance, below chance",
        "at chance: the interval reaches down to what blind guessing gives, or always the most frequent answer (left "
        "out where the right choice stands at the same place in all questions). Below chance: all of the interval lies "
        "under blind guessing, and under what the variant's own picks would give if they were shuffled within each "
        "subject, so that no preference for a letter explains it: answers may be mixed up.",
    ),
    (
        "KL, same top token, perplexity",
        "for each token of a text, both models give the probabilities of the next one. KL is the mean of "
        "sum p log(p / q), p the base's and q the variant's, in nats; same top is the share of tokens where both "
        "find the same likeliest. Perplexity is exp of the mean negative log-likelihood of the text. Both see changes "
        "that leave the answers to questions as they are; they do not say whether a change is for the worse.",
    ),
    (
        "McNemar, gained, lost",
        "two variants answer the same questions; only those that one gets right and the other wrong show a "
        "difference. p is exact and two-sided; the interval of the difference is that of Agresti and Min (2005). A "
        "large p means that no difference was shown. It does not mean that there is none: see “detectable”.",
    ),
    (
        "Peak memory",
        "the largest resident memory of the measuring process, and of the device where it has its own.",
    ),
    (
        "Control",
        "a variant in another runtime, there to show how much of a difference is the runtime's. The same model "
        "must give the same answers in both, or the scores of neither are to be believed.",
    ),
)
FIRST = ("variants", "options", "order", "changes")
"""The tables that come before the details, by key."""


@dataclass(frozen=True)
class Headline:
    """What was compared, in one sentence and a list of facts."""

    title: str
    says: str
    facts: tuple[tuple[str, str], ...]


def headline(selection: Selection, summary: Summary) -> Headline:
    """Say what was compared: model, machine, commit, questions, requests, rounds and when."""
    newest = max(selection.records, key=lambda record: record.started_at)
    first = min(record.started_at for record in selection.records)
    model = newest.config.model.name or "unnamed model"
    rounds = len({record.round for record in selection.records})
    questions = [f"{_asked(summary, task):,} of {task}" for task in summary.tasks]
    requests = [latency.n for row in summary.rows if (latency := row.values.get("e2e_p50_ms"))]
    state = "with uncommitted changes" if selection.dirty else "clean"
    failed = sum(row.failed for row in summary.rows)
    return Headline(
        title=f"Which variant of “{model}” to ship?",
        says=f"{plural(len(summary.rows), 'variant')} of “{model}”"
        + (f" ({failed} failed)" if failed else "")
        + ", each built, measured and scored as one artifact, on one machine, in turns.",
        facts=(
            ("Model", f"{model}; sweep {selection.sweep}"),
            ("Machine", f"{selection.machine}: {_hardware(newest.machine)}"),
            ("Software", ", ".join(_software(newest))),
            ("Commit", f"{selection.sha[:12]}, {state}; chosen as {selection.why}"),
            ("Questions", ", ".join(questions) or "not measured"),
            ("Requests", f"{_from_to(requests)} a variant" if requests else "not measured"),
            ("Rounds", f"{rounds}, variants taking turns within each"),
            ("Measured", f"{first[:16].replace('T', ' ')} to {newest.started_at[:16].replace('T', ' ')} UTC"),
        ),
    )


def _asked(summary: Summary, task: str) -> int:
    return max(len(row.answers[task].question) for row in summary.rows if task in row.answers)


def _hardware(machine: Machine) -> str:
    parts = (
        machine.cpu,
        plural(machine.cores, "core") if machine.cores else "",
        f"{sized(machine.memory_bytes)} memory" if machine.memory_bytes else "",
    )
    return f"{', '.join(filter(None, parts))}; GPU: {', '.join(machine.gpus) or 'none'}"


def _software(record: Record) -> list[str]:
    engines = ("llama-cpp-python", "torch", "transformers")
    versions = [f"{name} {record.versions[name]}" for name in engines if name in record.versions]
    python = f"Python {record.machine.python or '?'}"
    return [*versions, python, *filter(None, (record.machine.os,))]


def _from_to(counts: Sequence[int]) -> str:
    low, high = min(counts), max(counts)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def page(head: Headline, findings: Sequence[Finding], grids: Sequence[Grid], charts: Mapping[str, Chart]) -> str:
    """Write the page with its charts inside; it loads nothing from anywhere."""
    known = {grid.key: grid for grid in grids}
    return rendered(
        "page.html.j2",
        head=head,
        findings=findings,
        grids=known,
        details=[grid for grid in grids if grid.key not in (*FIRST, "divergence")],
        charts=[(chart, inline(name, chart.alt, chart.wide)) for name, chart in charts.items()],
        families=FAMILIES,
        definitions=DEFINITIONS,
    )
