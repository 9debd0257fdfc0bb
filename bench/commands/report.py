"""`bench report`: render the report of a sweep from its records."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from bench.terminal import console
from variants.errors import UserError


def render_report(arguments: argparse.Namespace) -> int:
    """Render the report that `bench report` asks for. Raises UserError for an unknown format or without a record."""
    from bench.report import FORMATS, render
    from variants.paths import resolve

    results = resolve(arguments.results)
    formats = tuple(name.strip() for name in arguments.format.split(","))
    unknown = [name for name in formats if name not in FORMATS]
    if unknown:
        raise UserError(f"--format: got {', '.join(map(repr, unknown))}, allowed: {', '.join(FORMATS)}")
    chosen = {"commit": arguments.commit, "machine": arguments.machine, "sweep": arguments.sweep}
    report = render(results, Path(arguments.out) if arguments.out else results / "report", formats=formats, **chosen)
    for line in report.left_out:
        print(f"bench: left out: {line}", file=sys.stderr)
    if report.selection is None:
        asked = ", ".join(f"--{key} {value}" for key, value in chosen.items() if value)
        raise UserError(f"no records{f' for {asked}' if asked else ''} under {results}: run `make bench`")
    console().print(f"report: {report}", soft_wrap=True)
    return 0
