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
