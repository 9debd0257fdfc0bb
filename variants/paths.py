"""Where the project is, and what a relative path in its configuration means."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path

from variants.errors import UserError

ROOT = Path(__file__).resolve().parents[1]
NO_PATH = (errno.ENAMETOOLONG, errno.ELOOP)


def resolve(name: str) -> Path:
    """Resolve a path in the configuration: relative ones start at the project's folder.

    Raises UserError for a text that can be no path: empty, too long, a circle of links, an unknown user's home.
    """
    if not name.strip():
        raise UserError(f"{name!r}: no path; name a file or a folder")
    try:
        path = (ROOT / Path(name).expanduser()).resolve()
        path.stat()
    except (RuntimeError, ValueError) as error:  # a link to itself or an unknown user; a NUL or half a character
        raise UserError(f"{name!r}: no path: {error}") from None
    except OSError as error:
        if error.errno in NO_PATH:
            raise UserError(f"{name!r}: no path: {error.strerror}") from None
    return path


def hub_cache() -> Path:
    """Return where Hugging Face's libraries keep what they fetch and prepare: models, and the questions of a task."""
    named = os.environ.get("HF_HOME")
    return resolve(named or str(Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "huggingface"))


def why_not_writable(folder: Path) -> str:
    """Return why nothing can be written to a folder, or to the one in which it would be made; empty where it can."""
    there = next(path for path in (folder, *folder.parents) if os.path.lexists(path))
    try:
        with tempfile.TemporaryFile(dir=there):
            return ""
    except OSError as error:
        return str(error.strerror)
