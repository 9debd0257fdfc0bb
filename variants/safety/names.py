"""What a name may be: of a variant, suite, model, step or task. Names become parts of paths, keys and lines of text."""

from __future__ import annotations

import re

from variants.errors import UserError

LONGEST = 64
"""Characters: a record's file is named for its variant, suite and model, and file systems allow 255 bytes."""
LONGEST_OF_HUB = 96
"""Characters of an organization, a repository, or a part of a revision of the hub."""
_LETTERS = "letters (a-z, A-Z), digits, '.', '-' and '_', the first one no '.' or '-'"
ALLOWED = f"at most {LONGEST} {_LETTERS}"
HUB_NAMES = f"at most {LONGEST_OF_HUB} {_LETTERS}"
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")


def is_name(text: str) -> bool:
    """Say whether a text may be a name: it is no path, no option, no hidden file, and looks like no other name."""
    return len(text) <= LONGEST and _NAME.fullmatch(text) is not None


def is_hub_name(text: str) -> bool:
    """Say whether a text may be an organization, a repository, or a part of a revision of the hub."""
    return len(text) <= LONGEST_OF_HUB and _NAME.fullmatch(text) is not None


def check_name(text: str, key: str) -> None:
    """Raise UserError where a text may not be a name; `key` is where the user wrote it."""
    if not is_name(text):
        raise UserError(f"{key}: got {text!r}, allowed: {ALLOWED}")


def name_of(folder: str) -> str:
    """Return a name for a folder or a hub repository of any name: lower case, other characters as one '-'."""
    return re.sub(r"[^a-z0-9.]+", "-", folder.lower())[:LONGEST].strip("-.") or "model"
