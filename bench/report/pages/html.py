"""Fill in the templates of self-contained pages, put charts inside them, and link each page to all others."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import partial
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from bench.files import write_at_once

if TYPE_CHECKING:
    from markupsafe import Markup

PAGES = {"index.html": "Report", "history.html": "History"}
NAV, END = '<nav id="pages">', "</nav>"
Definitions = Iterable[tuple[str, str]]
"""A glossary: (the terms with commas between, what they mean)."""


def rendered(template: str, definitions: Definitions = (), **content: object) -> str:
    """Fill in a template of this folder; a name that it lacks is an error. Column titles link to the definitions."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    terms = {term: _anchor(term) for names, _ in definitions for term in names.split(", ")}
    environment.filters |= {
        "anchored": anchored,
        "linked": partial(linked, terms=terms),
        "inline": lambda svg, name, title: inline(name, title, svg),
    }
    return environment.get_template(template).render(definitions=definitions, **content)


def _anchor(term: str) -> str:
    return f"term-{re.sub(r'[^a-z0-9]+', '-', term.lower()).strip('-')}"


def anchored(names: str) -> Markup:
    """Write the terms of a definition, each as a place that a link can point at."""
    from markupsafe import Markup

    place = Markup('<span id="{}">{}</span>')
    return Markup(", ").join(place.format(_anchor(term), term) for term in names.split(", "))


def linked(title: str, terms: Mapping[str, str]) -> Markup:
    """Write a column's title, its longest term that the page's glossary defines as a link to the definition."""
    from markupsafe import Markup

    for term in sorted(terms, key=len, reverse=True):
        if place := re.search(rf"(?<!\w){re.escape(term)}(?!\w)", title, re.IGNORECASE):
            link = Markup('<a href="#{}">{}</a>').format(terms[term], place[0])
            return Markup("{}{}{}").format(title[: place.start()], link, title[place.end() :])
    return Markup("{}").format(title)


def inline(name: str, title: str, svg: str) -> Markup:
    """Drop a chart's document head, and give its ids a prefix: all charts share the page's one name space."""
    from markupsafe import Markup

    body = svg[svg.index("<svg") :]
    body = re.sub(r'\bid="', f'id="{name}-', body)
    body = re.sub(r'href="#', f'href="#{name}-', body)
    body = body.replace("url(#", f"url(#{name}-")
    opening = f'<svg role="img" aria-label="{escape(title)}" xmlns:xlink="http://www.w3.org/1999/xlink"'
    # A function, because a replacement's backslashes would be read as groups.
    return Markup(re.sub(r'<svg [^>]*?(viewBox="[^"]*")[^>]*>', lambda m: f"{opening} {m[1]}>", body, count=1))


def link_pages(folder: Path, home: str = "") -> None:
    """Write links to all pages of a folder, and to `home`, into each page: every command may add one."""
    comparisons = sorted(path.name for path in folder.glob("compare-*.html"))
    pages = {name: title for name, title in PAGES.items() if (folder / name).exists()}
    pages |= {name: compared(name) for name in comparisons}
    titles = ({home: "All reports"} if home else {}) | pages
    for name in pages:
        text = (folder / name).read_text(encoding="utf-8")
        before, nav, rest = text.partition(NAV)
        _, _, after = rest.partition(END)
        links = _links(titles, here=name) if len(titles) > 1 else ""
        linked = before + NAV + links + END + after
        if nav and linked != text:
            write_at_once(folder / name, linked)


def compared(name: str) -> str:
    """Return what the page of a comparison is called in a link, from the name of its file."""
    return " → ".join(re.findall(r"[0-9a-f]{7}(?=[0-9a-f]{5})", name)) or name.removesuffix(".html")


def _links(titles: Mapping[str, str], here: str) -> str:
    return "".join(
        f"<span>{escape(title)}</span>" if name == here else f'<a href="{escape(name)}">{escape(title)}</a>'
        for name, title in titles.items()
    )
