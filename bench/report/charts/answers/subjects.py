"""Right answers by subject, each variant minus the base of its runtime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.metrics.answers import right, subjects_of
from bench.report.charts.chart import Chart
from bench.report.charts.picture import Finding, Size, chart, frame, shortened, widest
from bench.report.charts.style import PAPER
from bench.report.numbers import least_to_most, plural, points, points_span
from bench.report.pages.file_names import file_part
from bench.stats.proportions import Paired, holm, paired_difference
from bench.summary.rows import Row, Summary

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLUMNS, FEW_COLUMNS, ROWS = 12, 5, 16
"""So many subjects have room for their names in a wide and in a narrow picture, and so many variants."""
DARK_TEXT, LIGHT_TEXT = "#111111", "#fefefe"
"""On a coloured cell text keeps its colour when the page turns dark, as the cell does."""
SHOWN = 0.05


@dataclass(frozen=True)
class Cell:
    """The change of one variant on one subject, and its p adjusted for all cells of the task (Holm)."""

    change: Paired
    p_holm: float

    @property
    def is_shown(self) -> bool:
        """Say whether the change is shown although many were looked at."""
        return self.p_holm < SHOWN


Cells = Mapping[tuple[str, str], Cell]
"""By variant and subject."""


def accuracy_by_subject(summary: Summary, task: str) -> Chart | None:
    """Draw a line per variant and a column per subject, points gained or lost in the cell; None with one subject."""
    cells = changes(summary, task)
    subjects = list(dict.fromkeys(subject for _, subject in cells))
    if len(subjects) < 2:
        return None
    subjects.sort(key=lambda subject: -_largest(cells, subject))
    compared = {variant for variant, _ in cells}
    rows = [row for row in summary.rows if row.variant in compared]
    head = title(task, cells, len(subjects))
    counts = least_to_most([cell.change.n for cell in cells.values()])
    counted = ((len(subjects), COLUMNS, "subjects"), (len(rows), ROWS, "variants"))
    cut = [f"the {most} of {n} {what} with the largest changes" for n, most, what in counted if n > most]
    rows = [row for row in rows if row in sorted(rows, key=lambda row: -_most(cells, row))[:ROWS]]
    subtitle = (
        f"{task}: points gained or lost against the base of the same runtime, n = {counts} questions a subject; bold: "
        f"shown after adjusting for all {len(cells)} (Holm){''.join(f'; {one}' for one in cut)}."
    )
    lines = [
        [variant, subject, cell.change.n, cell.change.gained, cell.change.lost]
        + [100 * value for value in (cell.change.difference, cell.change.low, cell.change.high)]
        + [cell.p_holm]
        for (variant, subject), cell in cells.items()
    ]
    header = ["variant", "subject", "n", "gained", "lost", "points", "points_low", "points_high", "p_holm"]
    finding = Finding(f"subjects-{file_part(task)}", head, subtitle, _alt(task, head, cells), header, lines)
    return chart(finding, lambda axes, size: _draw(axes, size, rows, subjects, cells))


def changes(summary: Summary, task: str) -> dict[tuple[str, str], Cell]:
    """Return the change of every variant on every subject, question by question."""
    found: dict[tuple[str, str], Paired] = {}
    for row in summary.rows:
        if row.paired(f"accuracy {task}") is None or row.reference is None:
            continue
        mine, base = row.answers[task], summary.by_name[row.reference].answers[task]
        before, after = right(base), right(mine)
        for subject in subjects_of(mine):
            places = [i for i, one in enumerate(mine.subject) if one == subject]
            sides = [[bool(side[i]) for i in places] for side in (before, after)]
            found[row.variant, subject] = paired_difference(sides[0], sides[1])
    adjusted = holm([change.p for change in found.values()])
    return {key: Cell(change, p) for (key, change), p in zip(found.items(), adjusted, strict=True)}


def title(task: str, cells: Cells, n_subjects: int) -> str:
    """Say on how many subjects a change is shown, and where it is largest."""
    shown = {key: cell for key, cell in cells.items() if cell.is_shown}
    if not shown:
        return f"On no subject of {task} is a variant shown to differ from its base"
    (variant, subject), most = max(shown.items(), key=lambda item: abs(item[1].change.difference))
    where = len({subject for _, subject in shown})
    return (
        f"A change is shown on {where} of {plural(n_subjects, 'subject')} of {task}, the largest of them on "
        f"{_words(subject)}: {points(most.change.difference)} points ({points_span(most.change)}), {variant}"
    )


def _largest(cells: Cells, subject: str) -> float:
    return max(abs(cell.change.difference) for (_, one), cell in cells.items() if one == subject)


def _most(cells: Cells, row: Row) -> float:
    return max(abs(cell.change.difference) for (variant, _), cell in cells.items() if variant == row.variant)


def _alt(task: str, head: str, cells: Cells) -> str:
    ordered = sorted(cells.items(), key=lambda item: item[1].change.difference)
    ends = [ordered[-1], ordered[0]] if len(ordered) > 1 else ordered
    texts = "; ".join(
        f"{variant} on {_words(subject)} {points(cell.change.difference)} points ({points_span(cell.change)})"
        for (variant, subject), cell in ends
    )
    return f"{head}. The highest and the lowest change on {task}: {texts}."


def _words(subject: str) -> str:
    return subject.replace("_", " ")


def _draw(axes: Axes, size: Size, rows: Sequence[Row], subjects: Sequence[str], cells: Cells) -> None:
    import numpy as np

    shown = subjects[: FEW_COLUMNS if size.narrow else COLUMNS]
    table = np.array([[_points(cells, row, subject) for subject in shown] for row in rows])
    reach = max(5.0, float(np.nanmax(np.abs(table))))
    edges = [np.arange(length + 1) - 0.5 for length in reversed(table.shape)]
    mesh = axes.pcolormesh(*edges, table, cmap="PuOr_r", vmin=-reach, vmax=reach, edgecolors=PAPER, lw=1.5)
    axes.invert_yaxis()
    shades = mesh.to_rgba(table)[..., :3] @ (0.299, 0.587, 0.114)
    text_size = min(13.0, 0.66 * (size.height - 120) / len(rows))
    for (line, column), value in np.ndenumerate(table):
        if np.isnan(value):
            axes.text(column, line, "–", ha="center", va="center", fontsize=text_size)
            continue
        is_shown = cells[rows[line].variant, shown[column]].is_shown
        axes.text(
            column, line, f"{value:+.0f}".replace("-", "−") if abs(value) >= 0.5 else "0",
            ha="center", va="center", fontsize=text_size, weight="bold" if is_shown else "normal",
            color=LIGHT_TEXT if shades[line, column] < 0.5 else DARK_TEXT,
        )  # fmt: skip
    names = [shortened(row.variant, 16) for row in rows]
    axes.set_yticks(range(len(rows)), names, fontsize=text_size)
    heads = [shortened(_words(subject), 18) for subject in shown]
    axes.set_xticks(range(len(shown)), heads, fontsize=13)
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    for tick in axes.get_xticklabels():
        tick.set(rotation=30, ha="left", rotation_mode="anchor")
    axes.spines[:].set_visible(False)
    # A name at 30 degrees is half as high as it is long, and 0.87 times as wide.
    right, top = 0.87 * widest(axes, heads[-2:], 13), widest(axes, heads, 13) / 2 + 28
    frame(axes, widest(axes, names, text_size) + 12, right, top, 8)


def _points(cells: Cells, row: Row, subject: str) -> float:
    cell = cells.get((row.variant, subject))
    return 100 * cell.change.difference if cell else float("nan")
