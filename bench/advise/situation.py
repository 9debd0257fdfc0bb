"""The row of the decision matrix that applies: what the base of a sweep lacks, and what the article does about it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from bench.advise.judgement import Judgement
from bench.advise.requirements import Requirements
from bench.summary.family import BOTH, FINETUNED, QLORA, QUANTIZED, Family

Problem = Literal["too slow", "does not fit", "wrong answers"]
Name = Literal["slow", "big", "wrong", "both", "phone", "training memory", "none", "open"]


@dataclass(frozen=True)
class MatrixRow:
    """A row of the matrix: the situation and the solution in words, and the families of variants that are one."""

    name: Name
    situation: str
    solution: str
    families: tuple[Family, ...] = ()


MATRIX = (
    MatrixRow("phone", "it must run on a phone", "fine-tune a small model, then quantize to Q4", (BOTH, QLORA)),
    MatrixRow("training memory", "training is short of memory", "QLoRA: quantize, then fine-tune", (QLORA,)),
    MatrixRow("both", "wrong answers, and too slow or too big", "fine-tune, then quantize", (BOTH,)),
    MatrixRow("wrong", "wrong domain or tone", "fine-tune", (FINETUNED,)),
    MatrixRow("big", "does not fit", "quantize (Q4), else take a smaller model", (QUANTIZED,)),
    MatrixRow("slow", "too slow", "quantize (Q4 or Q5)", (QUANTIZED,)),
    MatrixRow("none", "the base meets every limit", "optimize only what it gains you"),
    MatrixRow("open", "what the base lacks is not decided", "measure more before choosing"),
)
"""The article's matrix in the order in which a row is looked for: the first that applies is taken."""


@dataclass(frozen=True)
class Situation:
    """The row that applies; the problems shown of the base, and the limits that are open for it."""

    row: MatrixRow
    problems: tuple[Problem, ...]
    open: tuple[Judgement, ...]


def situation_of(
    requirements: Requirements, base: Sequence[Judgement] | None, finetunes: Iterable[Sequence[Judgement]]
) -> Situation:
    """Find the row by what is shown of the base (None: no base was measured) and of the 16-bit fine-tunes.

    Only a limit that the base is shown to miss is a problem: an open one never chooses a row.
    """
    judgements = tuple(base or ())
    failed = [judgement.limit for judgement in judgements if judgement.status == "fail"]
    still_open = tuple(j for j in judgements if j.status in ("undecided", "not measured"))
    problems: list[Problem] = []
    if any(limit.kind == "latency" for limit in failed):
        problems.append("too slow")
    if any(limit.kind in ("size", "memory") for limit in failed):
        problems.append("does not fit")
    if any(limit.is_quality for limit in failed):
        problems.append("wrong answers")
    trained = [[j.status for j in one if j.limit.kind == "training memory"] for one in finetunes]
    short = any("fail" in statuses for statuses in trained)
    name = _name(requirements, problems, short, unknown=not judgements or bool(still_open))
    return Situation(next(row for row in MATRIX if row.name == name), tuple(problems), still_open)


def _name(requirements: Requirements, problems: Sequence[Problem], short: bool, unknown: bool) -> Name:
    wrong = "wrong answers" in problems
    if requirements.target == "phone":
        return "phone"
    if short and wrong:
        return "training memory"
    if wrong:
        return "both" if len(problems) > 1 else "wrong"
    if problems:
        return "big" if "does not fit" in problems else "slow"
    return "open" if unknown else "none"
