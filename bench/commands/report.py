"""`bench report`: render the report of a sweep from its records."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench.commands.arguments import folder_typed, formats_of, no_records, override, wanted_of
from bench.commands.browser import open_page
from bench.terminal import say, shown, warn
from variants.errors import UserError
from variants.paths import ROOT, resolve

if TYPE_CHECKING:
    from bench.compare.flips import Texts
    from bench.records.questions import Questions
    from bench.records.types import Record


def render_report(arguments: argparse.Namespace) -> int:
    """Render the report that `bench report` asks for. Raises UserError for an unknown format or without a record."""
    from bench.report import FORMATS, render

    results = resolve(arguments.results)
    formats = formats_of(arguments.format, FORMATS)
    if arguments.open and "html" not in formats:
        raise UserError(f"--open: opens a page, which --format {arguments.format} does not write; allowed: with html")
    wanted = wanted_of(arguments, results)
    out = folder_typed(arguments.out)
    typed = [override(argument) for argument in arguments.overrides]
    report = render(results, out, wanted, formats, stated_questions(), typed, texts_of)
    for line in report.left_out:
        warn(f"left out: {line}")
    for line in report.not_drawn:
        warn(f"chart not drawn: {line}")
    if report.page is None:
        raise no_records(arguments, results)
    say(f"report: {shown(report.page)}")
    if arguments.open and (why := open_page(report.page)):
        say(why)
    return 0


def texts_of(records: Sequence[Record]) -> Texts:
    """Return the questions that these records were asked, as far as their texts are in this checkout."""
    from bench.tasks.texts import question_texts

    asked: dict[str | None, set[str]] = {}
    for record in records:
        accuracy = record.config.measures.get("accuracy", {})
        folder, tasks = accuracy.get("data_dir"), accuracy.get("tasks")
        names = [name for name in tasks if isinstance(name, str)] if isinstance(tasks, list) else []
        asked.setdefault(folder if isinstance(folder, str) else None, set()).update(names)
    texts_by_folder = [question_texts(sorted(names), data_dir) for data_dir, names in asked.items()]
    return {digest: words for texts in texts_by_folder for digest, words in texts.items()}


def stated_questions(folder: Path = ROOT / "conf" / "suite") -> dict[str, Questions]:
    """Return the questions of this checkout's suites by name, for older records, which do not state their own.

    Raises UserError, naming the file and the key, for questions of another shape.
    """
    import msgspec

    from bench.records.questions import Questions
    from bench.sweep.plan.conf import content

    stated = {}
    for file in sorted(folder.glob("*.yaml")):
        suite = content(file).get("suite")
        if isinstance(suite, dict) and (questions := suite.get("questions")):
            try:
                stated[str(suite.get("name", file.stem))] = msgspec.convert(questions, Questions)
            except msgspec.ValidationError as error:
                raise UserError(f"{file}: suite.questions: {error}") from None
    return stated
