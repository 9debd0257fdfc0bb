"""Accuracy by subject, each variant minus the base of its runtime."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bench.metrics.answers import subjects_of
from bench.report.charts.style import INK, WIDTH
from bench.summary.rows import Row, Summary

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LINE, TIGHT_LINE = 0.4, 0.27  # inches per subject, where there are few and where there are many
MANY = 20


def accuracy_by_subject(summary: Summary) -> Figure | None:
    """Draw a heat map per task: a line per subject, a column per variant, points gained or lost in the cell."""
    from matplotlib.figure import Figure

    rows = summary.rows
    tasks = [task for task in summary.right_or_wrong if _compared(rows, task) and len(_subjects(rows, task)) > 1]
    if not tasks:
        return None
    shown = [row for row in rows if any(row in _compared(rows, task) for task in tasks)]
    heights = [(1 + n) * (LINE if n <= MANY else TIGHT_LINE) for n in (len(_subjects(rows, task)) for task in tasks)]
    figure = Figure(figsize=(WIDTH, 0.8 + sum(heights) + 1.8 * len(tasks)), layout="constrained")
    figure.get_layout_engine().set(h_pad=0.14)  # type: ignore[call-arg,union-attr]
    panels = figure.subplots(len(tasks), 1, squeeze=False, height_ratios=heights)[:, 0]
    for axes, task in zip(panels, tasks, strict=True):
        _panel(axes, summary, shown, task)
    return figure


def _compared(rows: Sequence[Row], task: str) -> list[Row]:
    return [row for row in rows if row.paired(f"accuracy {task}")]


def _subjects(rows: Sequence[Row], task: str) -> list[str]:
    return sorted({subject for row in rows if task in row.answers for subject in row.answers[task].subject})


def differences(summary: Summary, shown: Sequence[Row], task: str) -> NDArray[np.float64]:
    """Return points of each shown variant minus its base: all questions, then by subject; nan is not measured."""
    subjects = _subjects(summary.rows, task)
    table = np.full((1 + len(subjects), len(shown)), np.nan)
    for column, row in enumerate(shown):
        paired = row.paired(f"accuracy {task}")
        if paired is None or row.reference is None:
            continue
        mine = subjects_of(row.answers[task])
        base = subjects_of(summary.by_name[row.reference].answers[task])
        table[0, column] = 100 * paired.difference
        for line, subject in enumerate(subjects, 1):
            if subject in mine:
                (hits, n), (base_hits, _) = mine[subject], base[subject]
                table[line, column] = 100 * (hits - base_hits) / n
    return table


def _panel(axes: Axes, summary: Summary, shown: Sequence[Row], task: str) -> None:
    table = differences(summary, shown, task)
    asked = (row.answers[task] for row in summary.rows if task in row.answers)
    longest = max(asked, key=lambda answers: len(answers.question))
    counts = subjects_of(longest)
    reach = max(5.0, float(np.nanmax(np.abs(table))))
    edges = [np.arange(length + 1) - 0.5 for length in reversed(table.shape)]
    mesh = axes.pcolormesh(*edges, table, cmap="PuOr_r", vmin=-reach, vmax=reach, edgecolors="white", lw=1.5)
    axes.invert_yaxis()
    shades = mesh.to_rgba(table)[..., :3] @ (0.299, 0.587, 0.114)
    for (line, column), value in np.ndenumerate(table):
        missing = bool(np.isnan(value))
        text = "–" if missing else "0" if abs(value) <= 0.5 else f"{value:+.0f}".replace("-", "−")
        dark = not missing and shades[line, column] < 0.55
        weight = "bold" if line == 0 else "normal"
        axes.text(column, line, text, ha="center", va="center", weight=weight, color="white" if dark else INK)
    labels = [f"all (n = {len(longest.question):,})"]
    subjects = _subjects(summary.rows, task)
    labels += [f"{subject.replace('_', ' ')} ({counts.get(subject, (0, 0))[1]})" for subject in subjects]
    axes.set_yticks(range(len(labels)), labels)
    axes.get_yticklabels()[0].set_fontweight("bold")
    axes.set_xticks(range(len(shown)), [row.variant for row in shown])
    axes.tick_params(length=0)
    for tick in axes.get_xticklabels():
        tick.set(rotation=35, ha="right", rotation_mode="anchor")
    if len(subjects) > MANY:
        _name_above(axes, shown)
    axes.axhline(0.5, color=INK, lw=1.2)
    axes.spines[:].set_visible(False)
    axes.set_title(f"{task}: points to the base of the same runtime, by subject (n)")


def _name_above(axes: Axes, shown: Sequence[Row]) -> None:
    """Name the columns above a panel too, where its foot is out of sight."""
    above = axes.secondary_xaxis("top")
    above.set_xticks(range(len(shown)), [row.variant for row in shown])
    above.tick_params(length=0)
    above.spines[:].set_visible(False)
    for tick in above.get_xticklabels():
        tick.set(rotation=35, ha="left", rotation_mode="anchor")
