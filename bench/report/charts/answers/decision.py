"""The chart of the decision: what each variant answers against how long it takes, and which one to ship."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench.advise.advice import Advice
from bench.report.charts.answers.score import HEADER, labels_of
from bench.report.charts.answers.spots import Spot, View, view_of
from bench.report.charts.answers.title import shown_by, title
from bench.report.charts.chart import Chart
from bench.report.charts.labels import Box, Label, label, line_boxes, mark_box, note
from bench.report.charts.picture import Finding, Size, chart, frame, in_rounds, shortened
from bench.report.charts.style import BAND, INK, MUTED, PAPER, colour_of, spaced
from bench.report.metric_words import metric_in_words
from bench.report.numbers import digits, least_to_most, plural, sized

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LARGEST, SMALLEST = 420.0, 30.0
"""The area of the mark of the largest variant, in square pixels, and the least that is still seen."""
NEAR = 0.6
"""A limit is drawn where it lies within this share of the view beyond its edge."""


@dataclass(frozen=True)
class Bound:
    """A limit of the user in the units of an axis."""

    at: float
    text: str


def decision(advice: Advice) -> Chart | None:
    """Draw latency against right answers of the deciding task; None without a task or a latency."""
    view = view_of(advice)
    if view is None:
        return None
    across, upward = _latency_bound(advice, view), _quality_bound(advice, view)
    left, right = _span([end for spot in view.spots for end in (spot.ms, *spot.rounds)])
    reach = NEAR * max(right - left, 0.2 * right)
    near = across if across and left - reach <= across.at <= right + reach else None
    finding = _finding(advice, view, across if near is None else None)
    return chart(finding, lambda axes, size: _draw(axes, size, view, near, upward))


def _latency_bound(advice: Advice, view: View) -> Bound | None:
    stated = [limit.bound for limit in advice.limits if limit.metric == view.metric.name]
    return Bound(min(stated), f"limit: {digits(min(stated))} ms") if stated else None


def _quality_bound(advice: Advice, view: View) -> Bound | None:
    """Return the least share of right answers that the limits ask for, in percent."""
    stated = [limit.bound for limit in advice.limits if limit.kind == "quality" and limit.task == view.task]
    return Bound(100 * max(stated), f"limit: {100 * max(stated):.0f} %") if stated else None


def _in_words(view: View) -> str:
    """Name the latency within a sentence."""
    words = metric_in_words(view.metric.name)
    return words[0].lower() + words[1:]


def _span(values: Sequence[float]) -> tuple[float, float]:
    return min(values), max(values)


def _finding(advice: Advice, view: View, far: Bound | None) -> Finding:
    spots = (*view.spots, *view.elsewhere)
    small, large = _span([spot.score.size for spot in view.spots])
    rounds = plural(max(len(spot.rounds) for spot in spots), "round")
    subtitle = [
        f"Right answers on {view.task} (n = {least_to_most([spot.score.n for spot in spots])}, 95 % interval) against "
        f"{_in_words(view)}, ms ({rounds})",
        f"area: size, {sized(small)} to {sized(large)}" if small < large else f"size: {sized(small)}",
    ]
    if far:
        subtitle.append(f"{far.text}, outside this view")
    if view.elsewhere:
        others = ", ".join(f"{shortened(spot.name)} ({digits(spot.ms)} ms)" for spot in view.elsewhere[:3])
        more = f" and {len(view.elsewhere) - 3} more" if len(view.elsewhere) > 3 else ""
        subtitle.append(f"in another runtime, not drawn: {others}{more}")
    head = title(shown_by(advice, view.task, sum(spot.score.like_the_best is True for spot in spots)))
    lines = [
        [
            *spot.score.cells,
            spot.ms,
            in_rounds(spot.rounds),
            "yes" if spot.name == view.choice else "no",
        ]
        for spot in spots
    ]
    header = [*HEADER, view.metric.name, "rounds_ms", "choice"]
    return Finding("decision", head, "; ".join(subtitle) + ".", _alt(view, head), header, lines)


def _alt(view: View, head: str) -> str:
    sentences = [f"{head}."]
    if chosen := view.chosen:
        score = chosen.score
        sentences.append(
            f"The choice, {chosen.name}, answers {score.right:.0f} % of {view.task} ({score.low:.0f} to "
            f"{score.high:.0f}) at {digits(chosen.ms)} ms, {_in_words(view)}."
        )
    else:
        sentences.append("No variant is shown to meet the limits.")
    rights, times = _span([spot.score.right for spot in view.spots]), _span([spot.ms for spot in view.spots])
    sentences.append(
        f"{plural(len(view.spots), 'variant')} drawn: {rights[0]:.0f} to {rights[1]:.0f} % right, "
        f"{digits(times[0])} to {digits(times[1])} ms."
    )
    return " ".join(sentences)


def _draw(axes: Axes, size: Size, view: View, across: Bound | None, upward: Bound | None) -> None:
    frame(axes, 46, 12, 30, 50)
    axes.set_title(f"{shortened(view.task)} questions right, %", pad=10)
    called = f"{_in_words(view)}, ms (← faster)"
    axes.set_xlabel(called if size.narrow else f"{called}; a tick is a round")
    axes.grid(axis="y")
    _limits(axes, view, across, upward)
    biggest = max(spot.score.size for spot in view.spots) or 1.0
    taken = [
        box
        for spot in view.spots
        for box in _mark(axes, spot, max(SMALLEST, LARGEST * spot.score.size / biggest), spot is view.chosen)
    ]
    taken += _lines(axes, view, across, upward, taken)
    taken += _band(axes, view, taken, "no difference shown" if size.narrow else "not shown to differ from the best")
    names = []
    if chosen := view.chosen:
        names.append(Label(shortened(chosen.name), [chosen.at], 18 if size.narrow else 20, bold=True))
    others = [spot.score for spot in view.spots if spot is not chosen]
    names += labels_of(axes, others, {spot.name: spot.at for spot in view.spots}, 13 if size.narrow else 14)
    label(axes, names, taken)


def _limits(axes: Axes, view: View, across: Bound | None, upward: Bound | None) -> None:
    """Set the limits of both axes: all marks, and the limits of the user that are near."""
    times = [end for spot in view.spots for end in (spot.ms, *spot.rounds)] + ([across.at] if across else [])
    spaced(axes, "x", *_span(times), room=0.1)
    scores = [spot.score for spot in view.spots]
    rights = [end for score in scores for end in (score.low, score.high, score.guesses or score.low)]
    percent_axis(axes, [*rights, *([upward.at] if upward else [])])


def _beside(axes: Axes, across: Bound) -> list[Box]:
    """Write what the limit of latency is, at the top of its line, on the side with more room."""
    left, right = axes.get_xlim()
    is_left = across.at - left > right - across.at
    text = axes.annotate(
        across.text, (across.at, 1), (-5 if is_left else 5, -4), ("data", "axes fraction"),
        textcoords="offset points", ha="right" if is_left else "left", va="top", fontsize=13, color=INK,
    )  # fmt: skip
    extent = text.get_window_extent()
    return [(extent.x0, extent.y0, extent.x1, extent.y1)]


def percent_axis(axes: Axes, rights: Sequence[float]) -> None:
    """Set the limits of an axis of percent around some values, with room for labels and no tick beyond 0 and 100."""
    low, high = _span(rights)
    room = max(0.13 * (high - low), 2.0)
    axes.set_ylim(max(-6.0, low - room), min(108.0, high + room))
    axes.set_yticks([tick for tick in axes.get_yticks() if 0 <= tick <= 100 and low - room <= tick <= high + room])


def _lines(axes: Axes, view: View, across: Bound | None, upward: Bound | None, taken: Sequence[Box]) -> list[Box]:
    """Draw the limits of the user, and the line of guessing; return what their texts cover."""
    dashed: dict[str, Any] = {"color": INK, "lw": 1.3, "ls": (0, (5, 3)), "zorder": 1}
    covered: list[Box] = []
    if across:
        axes.axvline(across.at, **dashed)
        covered += line_boxes(axes, [(across.at, end) for end in axes.get_ylim()])
    if upward:
        axes.axhline(upward.at, **dashed)
        covered += note(axes, upward.text, (upward.at, upward.at), [*taken, *covered], INK)
    covered += guessing_line(axes, max(spot.score.guesses for spot in view.spots), [*taken, *covered])
    if across:
        covered += _beside(axes, across)
    return covered


def guessing_line(axes: Axes, guesses: float, taken: Sequence[Box]) -> list[Box]:
    """Draw what guessing gives, in percent, where the view has it."""
    low, high = axes.get_ylim()
    if not low < guesses < high or not guesses:
        return []
    axes.axhline(guesses, color=MUTED, lw=1, ls=":", zorder=1)
    return note(axes, f"guessing: {guesses:.0f} %", (guesses, guesses), taken, MUTED)


def _band(axes: Axes, view: View, taken: Sequence[Box], text: str) -> list[Box]:
    """Shade what is not shown to differ from the best, unless a variant that is shown to differ lies within."""
    alike = [spot.score.right for spot in view.spots if spot.score.like_the_best]
    others = [spot.score.right for spot in view.spots if spot.score.like_the_best is False]
    if len(alike) < 2 or any(min(alike) <= right <= max(alike) for right in others):
        return []
    low, high = axes.get_ylim()
    room = 0.035 * (high - low)
    axes.axhspan(min(alike) - room, max(alike) + room, color=BAND, lw=0, zorder=0)
    ends = (max(alike) + room, min(alike) - room)
    return note(axes, text, ends, taken, MUTED)


def _mark(axes: Axes, spot: Spot, area: float, is_choice: bool) -> list[Box]:
    family, right = spot.score.row.family, spot.score.right
    colour = colour_of(family)
    axes.plot([spot.ms, spot.ms], [spot.score.low, spot.score.high], color=colour, lw=1.6, alpha=0.35, zorder=2)
    lines = line_boxes(axes, [(spot.ms, spot.score.low), (spot.ms, spot.score.high)])
    if spot.rounds:
        ends = _span(spot.rounds)
        axes.plot(ends, [right] * 2, color=colour, lw=1.6, alpha=0.6, zorder=2)
        axes.plot(spot.rounds, [right] * len(spot.rounds), "|", color=colour, ms=10, mew=1.6, alpha=0.8, zorder=2)
        lines += line_boxes(axes, [(end, right) for end in ends])
    axes.scatter(*spot.at, s=area, marker=family.marker, color=colour, edgecolors=PAPER, linewidths=0.8, zorder=4)
    radius = 0.6 * area**0.5
    if is_choice:
        radius += 6
        ring: dict[str, Any] = {"marker": "o", "facecolors": "none", "edgecolors": INK, "linewidths": 2.2}
        axes.scatter(*spot.at, s=(2 * radius) ** 2, zorder=5, **ring)
    return [mark_box(axes, *spot.at, radius), *lines]
