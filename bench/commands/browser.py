"""Open a page of the report in the user's browser."""

from __future__ import annotations

import os
import sys
import webbrowser
from pathlib import Path

DISPLAYS = ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER", "WSL_DISTRO_NAME")
"""One of these is set where a browser can show itself; without, Python may start one inside the terminal."""


def has_display() -> bool:
    """Say whether a browser has somewhere to show a page."""
    return sys.platform in ("darwin", "win32") or any(os.environ.get(name) for name in DISPLAYS)


def attended() -> bool:
    """Say whether a person watches: standard output is a terminal, and this is no CI."""
    return sys.stdout.isatty() and not os.environ.get("CI")


def open_page(page: Path) -> str:
    """Open a page; return a line that says why it was not opened, empty where it was."""
    if not has_display():
        return "not opened: this machine has no display; open the file above in a browser"
    try:
        opened = webbrowser.open(page.resolve().as_uri())
    except webbrowser.Error:
        opened = False
    return "" if opened else "not opened: no browser was found; open the file above in one"
