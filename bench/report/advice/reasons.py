"""The reasons behind an advice, a topic a line: the matrix, gains and losses, how sure it is, alternatives, cost."""

from __future__ import annotations

import math
from collections.abc import Iterator

from bench.advise.advice import Advice, Judged, change_of
from bench.advise.limits import latency_metric
from bench.advise.roofline import Roofline, roofline_of
from bench.report.advice.words import decided_by, limit_text, listed, stated, units_of, value_text
from bench.report.numbers import digits, plural, points, points_span, sized, times, times_span
from bench.stats.estimates import Estimate
from bench.summary import pairs
from bench.summary.rows import BesideBase
from bench.terminal import printable

Reason = tuple[str, str]
SERVING = (
    "not measured (run a measure of load, which this version does not have: cost follows the requests a second that a "
    "machine serves within the limits, and never a latency)."
)


def reasons(advice: Advice) -> list[Reason]:
    """Return (topic, sentence) pairs in the order in which they are read."""
    topics: list[Iterator[Reason]] = [_matrix(advice)]
    if advice.ship:
        topics += [_beside(advice, advice.ship), _sure(advice, advice.ship), _alternatives(advice, advice.ship)]
    topics += [nearest_miss(advice), _dominated(advice), _quantizing(advice), _roofline(advice), _cost(advice)]
    return [(printable(title), printable(text)) for topic in topics for title, text in topic]


def _matrix(advice: Advice) -> Iterator[Reason]:
    situation = advice.situation
    row = situation.row
    tried = [one for one in advice.variants if one.row.family in row.families]
    good = [one.name for one in tried if one.status == "pass"]
    outcome = ""
    if row.families:
        outcome = ". Of such variants here: " + (f"{listed(good)} meet every limit" if len(good) > 1 else "")
        if len(good) == 1:
            outcome += f"{good[0]} meets every limit"
        elif not good:
            outcome += "none is shown to meet every limit" if tried else "none was measured"
    ship = advice.ship
    more = ""
    if row.families and ship and ship not in tried:
        more = f". The choice, {ship.name}, is another kind: {ship.row.family.name}"
    yield "Matrix", f"{row.situation} → {row.solution}{outcome}{more}."
    if situation.open and row.name != "none":
        limits = list(dict.fromkeys(limit_text(judgement.limit) for judgement in situation.open))
        yield "", f"Open for the base, so that it chose no row: {listed(limits, 'limits')}."


def _beside(advice: Advice, ship: Judged) -> Iterator[Reason]:
    base = advice.summary.by_name.get(ship.row.reference or "")
    judged = advice.of(base)
    if judged and judged is not ship:
        yield f"Against {judged.name}", _change(advice, judged, ship)
    best = advice.best
    if best and best is not ship and best is not judged:
        yield f"Against the best, {best.name}", _change(advice, best, ship)


def _change(advice: Advice, before: Judged, after: Judged) -> str:
    """Say what one variant gains and loses against another, with the intervals."""
    parts = []
    for task in advice.summary.right_or_wrong:
        if change := change_of(task, before, after, advice.summary):
            parts.append(f"{task} {points(change.difference)} pt ({points_span(change)})")
    if math.inf not in (before.size, after.size):
        parts.append(f"size {sized(before.size)} → {sized(after.size)}")
    metric = advice.summary.metric(latency_metric(advice.limits))
    faster = pairs.beside(metric, before.row, after.row) if metric else None
    if metric and faster and faster.ratio:
        parts.append(f"{metric.title} {_speed(faster, faster.ratio)}")
    return "; ".join(parts) + "."


def _speed(faster: BesideBase, ratio: Estimate) -> str:
    if ratio.low is None or ratio.high is None:
        return f"{times(ratio)} as fast, not shown: {faster.why or 'too few rounds or requests'}"
    beside = f", beside the anchor {faster.anchor}" if faster.anchor else ""
    return f"{times(ratio)} as fast ({times_span(ratio)}{'' if faster.shown else ', no difference shown'}{beside})"


def _sure(advice: Advice, ship: Judged) -> Iterator[Reason]:
    compared = [judgement for judgement in ship.judgements if judgement.why != "compared with itself"]
    if not compared:
        return
    nearest = min(compared, key=lambda judgement: judgement.room)
    n = {units_of(j.limit): j.n for j in compared if j.n and (j.limit.kind == "latency" or j.limit.is_quality)}
    counts = ", ".join(f"{count:,} {what}" for what, count in n.items())
    n_rounds = sum(not record.failed for record in ship.row.records)
    rounds = plural(n_rounds, "round")
    text = f"every limit holds with the whole of its 95 % interval ({counts or 'exact numbers'}; {rounds}). "
    yield "How sure", text + f"The nearest is {limit_text(nearest.limit)}: {decided_by(nearest)}."
    for failure in ship.row.failures:
        yield "", f"Round {failure.round + 1} of {ship.name} failed at {failure.stage}: {failure.message}."
    if n_rounds == 1 and any(j.limit.kind == "latency" for j in compared):
        yield "", "One round: how much the machine differs from round to round is not known."
    if "finetune" in ship.row.roles:
        yield "", "This checkpoint only: another seed of the fine-tune was not measured."


def _alternatives(advice: Advice, ship: Judged) -> Iterator[Reason]:
    if other := advice.runner_up:
        size = f"{sized(other.size)} against {sized(ship.size)}" if other.size < math.inf else "size not measured"
        yield "Runner-up", f"{other.name}, which meets every limit too ({size})."
    noise: dict[str, list[str]] = {}
    for one in advice.cheaper:
        limits = [limit_text(judgement.limit) for judgement in one.those("undecided", "not measured")]
        why = (
            f"{listed(limits, 'limits')} is not shown"
            if limits
            else f"nor shown to answer like {(advice.best or ship).name}"
        )
        noise.setdefault(why, []).append(f"{one.name} ({sized(one.size)})")
    differ = f"not shown to differ from {ship.name} on {advice.task}" if advice.task else "smaller"
    for why, names in noise.items():
        yield "Cheaper, in the noise", f"{listed(names)}: {differ}, {'' if why.startswith('nor') else 'but '}{why}."


def nearest_miss(advice: Advice) -> Iterator[Reason]:
    """Yield the variant that misses least, where none qualifies."""
    failed = [(len(one.those("fail")), one) for one in advice.variants if one.status == "fail"]
    if advice.exit_code == 1 and failed:
        n, one = min(failed, key=lambda pair: (pair[0], -min(j.room for j in pair[1].those("fail"))))
        missed = [f"{limit_text(j.limit)} ({value_text(j)})" for j in one.those("fail")]
        yield "Nearest", f"{one.name} misses {'only ' if n == 1 else ''}{listed(missed, 'limits')}."


def _dominated(advice: Advice) -> Iterator[Reason]:
    alive = {one.name for one in advice.variants if one.status != "fail"}  # what misses a limit is out anyway
    metric = advice.summary.metric(latency_metric(advice.limits))
    slower = f"at most {stated(metric.limit)} slower" if metric and metric.limit else "no slower"
    shown = f"shown to lose no more than the margin on any task and to be {slower}"
    winners: dict[str, list[str]] = {}
    for name, winner in advice.dominated.items():
        if name in alive:
            winners.setdefault(winner, []).append(name)
    for winner, names in winners.items():
        yield "Dominated", f"{listed(names)} by {winner}, which is smaller, and {shown}."


def _quantizing(advice: Advice) -> Iterator[Reason]:
    quantizing = advice.quantizing
    if quantizing is None:
        return
    plain, small = quantizing.plain, quantizing.quantized
    failed = [judgement for judgement in plain.those("fail") if not judgement.limit.is_quality]
    if quantizing.needed:
        yield "Quantizing", f"needed: {plain.name} misses {listed([limit_text(j.limit) for j in failed], 'limits')}."
        return
    gains = [f"size {sized(plain.size)} → {sized(small.size)}"] if math.inf not in (plain.size, small.size) else []
    faster, ratio = quantizing.faster, quantizing.faster and quantizing.faster.ratio
    if quantizing.metric and faster and ratio:
        gains.append(f"{quantizing.metric.title} {_speed(faster, ratio)}")
    gained = "; ".join(gains) or "not measured"
    lost = [limit_text(judgement.limit) for judgement in small.those("fail")]
    if quantizing.skip and lost:
        yield "Quantizing", f"skip it: {plain.name} meets every limit without, and {small.name} misses {lost[0]}."
    elif quantizing.skip:
        speed = "it is slower" if faster and ratio and faster.shown and ratio.value < 1 else "no speed-up is shown"
        yield (
            "Quantizing",
            f"no limit here needs it: {plain.name} meets all without, and {speed}. It gains "
            f"bytes alone ({gained}); skip it if {sized(plain.size)} is small enough for you.",
        )
    else:
        yield "Quantizing", f"{small.name} against {plain.name}: {gained}."


def _roofline(advice: Advice) -> Iterator[Reason]:
    """Say how much of a token's time reading the weights takes, where quantizing is a question of speed."""
    bases = [one for one in advice.variants if one.row.is_reference]
    if advice.quantizing:
        yield "Roofline", _reading(advice.quantizing.plain.name, advice.quantizing.roofline)
    elif "too slow" in advice.situation.problems and bases:
        yield "Roofline", _reading(bases[0].name, roofline_of(bases[0].row))


def _reading(name: str, line: Roofline | None) -> str:
    if line is None:
        return "not measured (it takes a size, a time per token and the memory bandwidth of the device)."
    read = f"reading {sized(line.read_bytes)} at the measured {digits(line.bandwidth_gb_s)} GB/s takes"
    text = f"{read} {digits(line.reading_ms)} ms; a token of {name} takes {digits(line.token_ms)} ms"
    if line.launch_bound:
        return f"{text}: launch-bound, so that fewer bytes make it no faster."
    if line.share >= 1:
        return f"{text}: its weights come from a cache, and bandwidth alone decides nothing."
    return f"{text}: {100 * line.share:.0f} % of it is reading weights, which quantizing can shorten."


def _cost(advice: Advice) -> Iterator[Reason]:
    yield "Cost of serving", SERVING
    ship, cost = advice.ship, advice.requirements.cost
    if ship is None or "finetune" not in ship.row.roles:
        return
    training = advice.training.get(ship.name)
    if training is None:
        yield "Cost of training", "not measured (its fine-tuning was not timed)."
        return
    took = f"{digits(training.seconds)} s of fine-tuning, measured on {training.machine}"
    if training.amount is not None:
        price = f"{cost.price_per_hour:g} {cost.currency} an hour, {cost.price_source}, {cost.price_date}"
        budget = ""
        if training.over_budget is not None:
            budget = f", {'over' if training.over_budget else 'within'} the budget of {cost.finetune_budget:g}"
        amount = f"{training.amount:.2f}" if training.amount >= 0.01 else "less than 0.01"
        yield "Cost of training", f"{amount} {training.currency} ({took}; {price}){budget}."
    elif cost.price_per_hour is None:
        yield "Cost of training", f"{took}; no price is stated (requirements.cost.price_per_hour)."
    else:
        other = f"the price that is stated is of another machine, {cost.priced_machine}"
        yield "Cost of training", f"{took}; {other} (requirements.cost.priced_machine)."
