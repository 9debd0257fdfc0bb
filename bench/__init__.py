"""Measure the variants of a model, keep what was measured by commit, and report it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


def load(path: Path | str = "results", commit: str | None = None) -> pd.DataFrame:
    """Return the records under a folder as one tidy table, one row per cell and metric (bench/summary/tables.py)."""
    from bench.summary import tables

    return tables.load(path, commit)


def samples(path: Path | str = "results", commit: str | None = None) -> pd.DataFrame:
    """Return the raw values as one table, one row per request and per question (bench/summary/tables.py)."""
    from bench.summary import tables

    return tables.samples(path, commit)
