"""The page that lists the pages of all sweeps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from msgspec import Struct

from bench.records.selection import Selection
from bench.report.numbers import plural
from bench.report.pages.html import compared, rendered
from bench.report.tables.provenance import model_of

Kind = Literal["report", "history", "comparison"]
NAMES: Mapping[Kind, str] = {"report": "Report", "history": "History", "comparison": "Comparison"}


class About(Struct, frozen=True, kw_only=True):
    """What the list of reports shows of one page; `says` is its answer in a sentence, `measured` an ISO time in UTC.

    A text is empty, and `variants` None, where a page has no one such thing: a history is of many times.
    `files` names the files that were written with it, in its own folder.
    """

    kind: Kind
    says: str
    sweep: str
    model: str
    machine: str
    measured: str
    commit: str
    variants: int | None = None
    files: tuple[str, ...] = ()


def about(selection: Selection, kind: Kind, says: str, variants: int | None = None) -> About:
    """Return what the list shows of a page that was made from these records."""
    newest = selection.newest
    return About(
        kind=kind,
        says=says,
        sweep=selection.sweep,
        model=model_of(newest),
        machine=selection.machine,
        measured=newest.started_at,
        commit=selection.label,
        variants=variants,
    )


@dataclass(frozen=True)
class Listed:
    """One sweep in the list: its newest answer, what was measured, and the links to its pages by title."""

    sweep: str
    link: str
    says: str
    facts: tuple[str, ...]
    links: tuple[tuple[str, str, str], ...]


def listing_page(sweeps: Mapping[str, Mapping[str, About]]) -> str:
    """Write the list of the pages by folder and file name, the sweep measured last first."""
    newest = sorted(sweeps.items(), key=lambda item: max(about.measured for about in item[1].values()), reverse=True)
    says = (
        f"{plural(len(sweeps), 'sweep')}, the one measured last first."
        if sweeps
        else "None is written: run `make report`."
    )
    listed = [_listed(name, pages) for name, pages in newest]
    return rendered("listing.html.j2", title="Reports", says=says, sweeps=listed)


def _listed(folder: str, pages: Mapping[str, About]) -> Listed:
    order: tuple[Kind, ...] = ("report", "history", "comparison")
    ordered = sorted(pages.items(), key=lambda item: (-order.index(item[1].kind), item[1].measured), reverse=True)
    (first, about), *rest = ordered
    return Listed(
        about.sweep,
        f"{folder}/{first}",
        about.says,
        (
            about.model,
            about.machine,
            about.measured and f"{about.measured[:16].replace('T', ' ')} UTC",
            about.commit,
            "" if about.variants is None else plural(about.variants, "variant"),
        ),
        tuple((f"{folder}/{name}", _title(name, one), one.says) for name, one in rest),
    )


def _title(name: str, about: About) -> str:
    return f"{NAMES[about.kind]} {compared(name)}" if about.kind == "comparison" else NAMES[about.kind]
