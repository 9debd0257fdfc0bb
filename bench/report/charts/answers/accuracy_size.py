"""Right answers against size: what each byte buys."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from bench.report.charts.answers.decision import guessing_line, percent_axis
from bench.report.charts.answers.score import HEADER, Score, labels_of, score_of
from bench.report.charts.chart import Chart
from bench.report.charts.labels import label, line_boxes, mark_box
from bench.report.charts.picture import Finding, Size, chart, frame, shortened
from bench.report.charts.style import MUTED, PAPER, colour_of, is_wide, spaced
from bench.report.numbers import least_to_most, plural, sized
from bench.report.pages.file_names import file_part
from bench.summary import pairs
from bench.summary.family import CONTROL
from bench.summary.pairs import pareto
from bench.summary.rows import Summary

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def accuracy_against_size(summary: Summary, task: str) -> Chart | None:
    """Draw size against right answers with their interval, and the Pareto front; None without either.

    Controls are left out: they are the same models in an engine that is not to be shipped.
    """
    metric = next((metric for metric in summary.metrics if metric.name == f"accuracy {task}"), None)
    answered = [row for row in summary.rows if metric and metric.name in row.values and row.family != CONTROL]
    if metric is None or not answered:
        return None
    best = max(answered, key=lambda row: row.values[metric.name].value)
    scored = (score_of(row, task, best, lambda before, after: pairs.paired(metric, before, after)) for row in answered)
    scores = [score for score in scored if score]
    if not scores:
        return None
    head = title(task, scores)
    n = least_to_most([score.n for score in scores])
    sizes = [score.size for score in scores]
    scale = " (log scale)" if is_wide(min(sizes), max(sizes)) else ""
    subtitle = (
        f"Right answers on {task} with 95 % interval (n = {n}) against size on disk{scale}, "
        f"{plural(len(scores), 'variant')} without controls; dashed: the Pareto front of these points."
    )
    finding = Finding(
        f"accuracy-size-{file_part(task)}", head, subtitle, _alt(task, head, scores), HEADER,
        [score.cells for score in scores],
    )  # fmt: skip
    return chart(finding, lambda axes, size: _draw(axes, size, task, scores))


def title(task: str, scores: Sequence[Score]) -> str:
    """Say which is the smallest variant that is not shown to differ from the best: one of several that do as well."""
    smallest = min(scores, key=lambda score: (score.size, -score.right))
    if all(score.chance for score in scores):
        return f"No variant is shown to do better than guessing on {task}"
    if len(scores) == 1:
        return f"{smallest.name} answers {smallest.right:.0f} % of {task} in {sized(smallest.size)}"
    best = max(scores, key=lambda score: score.right)
    alike = [score for score in scores if score.like_the_best]
    least = min(alike, key=lambda score: (score.size, -score.right), default=best)
    if len(alike) == len(scores):
        return f"No variant is shown to differ from the best on {task}, the smallest, {least.name}, included"
    if least.name == best.name:
        lesser = [score.like_the_best for score in scores if score.size < best.size]
        if lesser and not any(like is None for like in lesser):
            return f"{best.name} answers the most of {task}: every smaller variant is shown to answer less"
        return f"{best.name} answers the most of {task}: {best.right:.0f} % in {sized(best.size)}"
    if least.size <= smallest.size:
        return f"The smallest, {least.name}, is not shown to differ from the best on {task}"
    return (
        f"{least.name} is the smallest that is not shown to differ from the best on {task}: "
        f"{sized(least.size)}, {best.name} has {sized(best.size)}"
    )


def _alt(task: str, head: str, scores: Sequence[Score]) -> str:
    texts = [
        f"{score.name} {score.right:.1f} % ({score.low:.1f} to {score.high:.1f}) in {sized(score.size)}"
        for score in sorted(scores, key=lambda score: (-score.right, score.size))
    ]
    shown = texts if len(texts) < 5 else [texts[0], texts[len(texts) // 2], texts[-1]]
    return f"{head}. Right answers on {task}, of {len(texts)} variants: {'; '.join(shown)}."


def _draw(axes: Axes, size: Size, task: str, scores: Sequence[Score]) -> None:
    from matplotlib.ticker import FuncFormatter

    frame(axes, 46, 12, 30, 50)
    axes.set_title(f"{shortened(task)} questions right, %", pad=10)
    axes.grid(axis="y")
    sizes = [score.size for score in scores]
    spaced(axes, "x", min(sizes), max(sizes), room=0.12)
    scale, unit = next((one for one in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")) if max(sizes) >= one[0]), (1.0, "B"))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value / scale:.3g}"))
    axes.set_xlabel(f"size on disk, {unit}")
    percent_axis(axes, [end for score in scores for end in (score.low, score.high)])
    front = pareto([(score.size, score.right) for score in scores])
    axes.plot(*zip(*front, strict=True), color=MUTED, lw=1.4, ls=(0, (5, 3)), zorder=1)
    taken = line_boxes(axes, front)
    for score in scores:
        family, colour = score.row.family, colour_of(score.row.family)
        axes.plot([score.size] * 2, [score.low, score.high], color=colour, lw=1.6, alpha=0.4, zorder=2)
        axes.plot(score.size, score.right, marker=family.marker, ms=10, color=colour, mec=PAPER, mew=0.8, zorder=3)
        taken += [mark_box(axes, score.size, score.right, 6)]
        taken += line_boxes(axes, [(score.size, score.low), (score.size, score.high)])
    taken += guessing_line(axes, max(score.guesses for score in scores), taken)
    places = {score.name: (score.size, score.right) for score in scores}
    label(axes, labels_of(axes, scores, places, 13, reach=0.2 if size.narrow else 0.08), taken)
