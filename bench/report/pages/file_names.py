"""Names of files that are made from text of data, such as the name of a task."""

from __future__ import annotations

import hashlib
import re

LONGEST = 50
"""The most letters of one part of a file's name: a name has room for 255 bytes, a letter may take four."""


def file_part(text: str) -> str:
    """Return a text as part of a file's name: what such a name cannot hold becomes a dash.

    Where more than one space was replaced, or something was cut, a digest follows: another text has another name.
    """
    clean = re.sub(r"[^\w.~+=-]+", "-", text).lstrip(".")
    if clean == text.replace(" ", "-", 1) and 0 < len(clean) <= LONGEST:
        return clean
    return f"{clean[:LONGEST]}-{hashlib.sha256(text.encode(errors='backslashreplace')).hexdigest()[:6]}"
