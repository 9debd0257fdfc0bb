"""The folders of the pages: files are written as a set, those of the last set go, and one page lists them all.

`results/report/<sweep>/` holds the pages of a sweep: its report, its history, and comparisons. Beside each page lies a
JSON file of the same name, with what the list shows of it and the files that were written with it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from bench.files import write_at_once
from bench.report.pages.file_names import file_part
from bench.report.pages.html import link_pages
from bench.report.pages.listing import About, listing_page
from bench.terminal import visible
from variants.errors import UserError

REPORTS = "report"
"""The folder of all pages in that of the records."""
LIST = "index.html"


def folder_of(results: Path, sweep: str) -> Path:
    """Return the folder of a sweep's pages, of any machine; what a file name cannot hold becomes a dash.

    Raises UserError where it, or the folder of all pages, is a link: a repository can carry one that leads anywhere.
    """
    name = file_part(sweep)
    folder = results / REPORTS / (f"{name}-" if name == LIST else name)
    for place in (folder.parent, folder):
        if place.is_symlink():
            raise UserError(
                f"{place}: a link to {str(place.readlink())!r}, where no page is written; remove it, or use --out"
            )
    return folder


def check_folder(folder: Path) -> None:
    """Raise UserError where a folder for pages can neither be written to nor made."""
    there = next(place for place in (folder.absolute(), *folder.absolute().parents) if os.path.lexists(place))
    if not there.is_dir():
        raise _no_folder(folder, f"{there} is no folder")
    if not os.access(there, os.W_OK | os.X_OK):
        raise _no_folder(folder, f"{there} is not writable")


def _no_folder(folder: Path, why: object) -> UserError:
    return UserError(f"{folder}: no page can be written there: {why}; --out names another folder")


def write_pages(
    results: Path,
    out: Path | None,
    page: str,
    files: Mapping[str, str | bytes],
    about: About,
    complete: bool = True,
) -> tuple[Path, ...]:
    """Write the files of a page, and remove those that were written with it the last time and are not any more.

    `page` is its name without a suffix; they go to `out`, or to the folder of the sweep, whose pages the list names.
    Where the set is not `complete`, as when one format is asked for, what was written before stays. Nothing else in
    that folder is touched. Returns the paths, in the order of `files`.
    """
    folder = out or folder_of(results, about.sweep)
    check_folder(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        raise _no_folder(folder, error.strerror if isinstance(error, OSError) else error) from None
    note = folder / f"{page}.json"
    before = _read(note)
    earlier = set(before.files if before else ()) - files.keys()
    written = tuple(
        write_at_once(folder / name, visible(content) if isinstance(content, str) else content)
        for name, content in files.items()
    )
    if complete:
        for name in earlier:
            if Path(name).name == name:  # anyone may have changed the JSON file
                (folder / name).unlink(missing_ok=True)
    stay = () if complete else sorted(earlier)
    entry = before if before and f"{page}.html" in stay else about  # the list shows what the page says
    content = msgspec.to_builtins(msgspec.structs.replace(entry, files=(*files, *stay)))
    write_at_once(note, json.dumps(content, indent=1) + "\n")
    if out is None:
        _write_list(folder.parent)
    link_pages(folder, f"../{LIST}" if out is None else "")
    return written


def _write_list(reports: Path) -> None:
    """Write the page that lists the pages of all sweeps."""
    folders = {folder.name: dict(_pages(folder)) for folder in sorted(reports.iterdir()) if folder.is_dir()}
    write_at_once(reports / LIST, visible(listing_page({name: pages for name, pages in folders.items() if pages})))


def _pages(folder: Path) -> Iterator[tuple[str, About]]:
    """Yield the pages of a folder that are there, with what is known of each."""
    for note in sorted(folder.glob("*.json")):
        about = _read(note)
        if about and note.with_suffix(".html").name in about.files and note.with_suffix(".html").is_file():
            yield note.with_suffix(".html").name, about


def _read(note: Path) -> About | None:
    """Read what is known of a page; None where there is nothing, or something else of that name."""
    try:
        return msgspec.json.decode(note.read_bytes(), type=About)
    except (OSError, ValueError):
        return None
