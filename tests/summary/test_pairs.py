"""Pairs of variants: which of them nothing beats."""

from __future__ import annotations

from bench.summary.pairs import pareto


def test_pareto_front_keeps_what_nothing_beats() -> None:
    points = [(1.0, 50.0), (2.0, 90.0), (2.0, 80.0), (3.0, 70.0), (4.0, 91.0)]
    assert pareto(points) == [(1.0, 50.0), (2.0, 90.0), (4.0, 91.0)]
