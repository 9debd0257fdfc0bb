"""Where the labels of a chart are placed."""

from __future__ import annotations

from bench.report.charts.labels import place


def test_labels_are_placed_without_overlap_and_inside() -> None:
    taken: list[tuple[float, float, float, float]] = []
    for _ in range(6):
        box = place((200, 200), (80, 14), taken, (0, 0, 400, 400))
        assert all(box[0] >= t[2] or box[2] <= t[0] or box[1] >= t[3] or box[3] <= t[1] for t in taken)
        assert 0 <= box[0] < box[2] <= 400
        taken.append(box)
