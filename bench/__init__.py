"""Measure the variants of a model, keep what was measured by commit, and report it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


def load(path: Path | str = "results") -> pd.DataFrame:
    """Return all records under a folder as one tidy table, one row per cell and metric."""
    from bench import read

    return read.load(path)


def samples(path: Path | str = "results", commit: str = "*") -> pd.DataFrame:
    """Return the raw values as one table, one row per request and per question; see bench/raw.py for its columns."""
    from bench import raw

    return raw.samples(path, commit)
