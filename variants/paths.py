"""Where the project is, and what a relative path in its configuration means."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def resolve(name: str) -> Path:
    """Resolve a path in the configuration: relative ones start at the project's folder."""
    return (ROOT / Path(name).expanduser()).resolve()
