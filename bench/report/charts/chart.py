"""What a drawn chart is: the finding that it shows, its pictures, and the numbers in it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Chart:
    """Hold one chart, one panel, ready to be written or put into a page.

    `title` is the finding in one sentence; `subtitle` says what the axes are, of how many samples, with which interval;
    `alt` is what someone who cannot see it reads, with the numbers of the finding. `wide` is an SVG document of 16:9 for
    a page and a slide, `narrow` one for a phone, `png` the wide one at twice its pixels, `csv` the numbers drawn.
    """

    name: str
    title: str
    subtitle: str
    alt: str
    wide: str
    narrow: str
    png: bytes
    csv: str
