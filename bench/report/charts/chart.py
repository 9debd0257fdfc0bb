"""What a drawn chart is: the finding that it shows, its pictures, and the numbers in it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Chart:
    """Hold one chart, one panel, ready to be written or put into a page.

    `title` is the finding in one sentence; `subtitle` says what the axes are, of how many samples, with which interval;
    `alt` is what someone who cannot see it reads, with the numbers of the finding.

    `wide` (16:9) and `narrow` (for a phone) are SVG documents for a page, which writes title and subtitle itself: they
    have neither, and background and colours follow the reader's light or dark scheme. `slide` is the same wide
    panel as an SVG file to be used alone: with title and subtitle, on white, 16:9; `png` is that at 1600 by 900 pixels,
    twice its size on a page. `csv` has the numbers drawn.
    """

    name: str
    title: str
    subtitle: str
    alt: str
    wide: str
    narrow: str
    slide: str
    png: bytes
    csv: str
