"""A trial run: a sweep that asked only the first questions of its tasks, to show that all works. It decides nothing."""

from __future__ import annotations

from bench.summary.rows import Summary


def question_limit(summary: Summary) -> int | None:
    """Return how many questions of each task a trial run asked at most (`accuracy.limit`), None for a whole sweep.

    The first questions are no sample of the rest; those of `limit_per_subject` are drawn, and are one.
    """
    settings = (record.config.measures.get("accuracy", {}) for row in summary.rows for record in row.records)
    limits = [limit for one in settings if isinstance(limit := one.get("limit"), int) and limit > 0]
    return min(limits, default=None)
