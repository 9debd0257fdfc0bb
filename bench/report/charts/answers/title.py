"""The finding of the decision's chart in one sentence: what fine-tuning does to the task, and what quantizing does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bench.advise.advice import Advice, Judged, accuracy_of, change_of
from bench.advise.judgement import unquantized
from bench.metrics.chance import chance_level
from bench.stats.proportions import Paired, shown_to_lose
from bench.summary import pairs


@dataclass(frozen=True)
class Shown:
    """What a sweep shows of one task.

    `more` and `less` count the fine-tuned variants shown to answer more or less of it than their base, of `compared`.
    `only_tuned` says that all others guess and no fine-tuned one does. `losing` names the quantized variants shown to
    answer less than the same model unquantized, after Holm, of `quantized`; where only the fine-tuned ones do better
    than guessing it counts those alone, as others have nothing to lose.
    """

    task: str
    variants: int
    like_the_best: int
    all_guess: bool = False
    only_tuned: bool = False
    compared: int = 0
    more: int = 0
    less: int = 0
    quantized: int = 0
    losing: tuple[str, ...] = ()


def title(shown: Shown) -> str:
    """Say what a sweep shows, and no more: what no interval shows is called not shown."""
    if shown.all_guess:
        return f"On {shown.task} no variant is shown to do better than guessing"
    parts = [part for part in (_tuning(shown), _quantizing(shown)) if part]
    if parts:
        sentence = "; ".join(parts)
        return sentence[0].upper() + sentence[1:]
    if shown.variants == 1:
        return f"One variant answered {shown.task}: there is nothing to choose from"
    if shown.like_the_best == shown.variants:
        return f"On {shown.task} none of {shown.variants} variants is shown to differ from the best"
    return f"On {shown.task} {shown.like_the_best} of {shown.variants} variants are not shown to differ from the best"


def _tuning(shown: Shown) -> str:
    task, n = shown.task, shown.compared
    if shown.only_tuned:
        return f"only fine-tuning learns {task}"
    if not n:
        return ""
    if shown.more == n:
        return f"fine-tuning raises {task}"
    if shown.less == n:
        return f"fine-tuning loses answers on {task}"
    if not shown.more and not shown.less:
        return f"fine-tuning is not shown to change {task}"
    if shown.more and shown.less:
        verb = "is" if shown.more == 1 else "are"
        return f"on {task} {shown.more} of {n} fine-tuned variants {verb} shown to answer more, {shown.less} less"
    way, count = ("more", shown.more) if shown.more else ("less", shown.less)
    return f"{count} of {n} fine-tuned variants {'is' if count == 1 else 'are'} shown to answer {way} of {task}"


def _quantizing(shown: Shown) -> str:
    n, losing = shown.quantized, shown.losing
    if not n:
        return ""
    where = "" if shown.compared or shown.only_tuned else f" on {shown.task}"
    it = " it" if shown.only_tuned else ""
    if not losing:
        return f"quantizing{it} costs nothing we could measure{where}"
    if len(losing) == n:
        return f"quantizing{it} is shown to cost right answers{where}"
    if len(losing) == 1:
        return f"of {n} quantized variants only {losing[0]} is shown to lose by it{where}"
    return f"{len(losing)} of {n} quantized variants are shown to lose by it{where}"


def shown_by(advice: Advice, task: str, like_the_best: int) -> Shown:
    """Return what the variants of a sweep show of a task."""
    variants = [one for one in advice.variants if task in one.row.answers]
    guess = {one.name: chance_level(one.row.answers[task]) != "" for one in variants}
    tuned = [one for one in variants if "finetune" in one.row.roles]
    plain = [one for one in variants if one not in tuned]
    only_tuned = bool(tuned and plain) and all(guess[one.name] for one in plain)
    only_tuned = only_tuned and not any(guess[one.name] for one in tuned)
    bases = {one.name: one for one in (*advice.variants, *advice.controls)}
    changes = [
        change
        for one in tuned
        if (base := bases.get(one.row.reference or "")) and (change := change_of(task, base, one, advice.summary))
    ]
    lost = _by_quantizing(advice, task, tuned if only_tuned else variants)
    shown = shown_to_lose([change for _, change in lost])
    return Shown(
        task=task,
        variants=len(variants),
        like_the_best=like_the_best,
        all_guess=all(guess.values()),
        only_tuned=only_tuned,
        compared=len(changes),
        more=sum(change.low > 0 for change in changes),
        less=sum(change.high < 0 for change in changes),
        quantized=len(lost),
        losing=tuple(name for (name, _), loses in zip(lost, shown, strict=True) if loses),
    )


def _by_quantizing(advice: Advice, task: str, variants: Sequence[Judged]) -> list[tuple[str, Paired]]:
    """Return the change of each quantized variant from the same model unquantized, where the sweep has both."""
    changes = []
    for one in variants:
        parent = unquantized(one.row, advice.summary.rows)
        metric = accuracy_of(task, advice.summary)
        if parent and metric and (change := pairs.paired(metric, parent, one.row)):
            changes.append((one.name, change))
    return changes
