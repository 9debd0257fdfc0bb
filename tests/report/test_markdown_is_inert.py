"""Text from data is text in Markdown too, also in GitHub's: no link, image, code, formula or mention."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from bench.report.markdown import plain

READER = MarkdownIt("commonmark").enable(["table", "strikethrough"])
BREAKS_A_MENTION = "<!-- -->"
TEXTS = [
    "![](https://example.com/pixel.png)",
    "[click](javascript:alert(1))",
    "<img src=x onerror=alert(1)>",
    "<https://example.com>",
    "`code` and ``more` of it",
    "**bold** _and_ *so* __on__ ~~gone~~",
    "a | b \\| c \\\\| d",
    "# a title",
    "> a quote",
    "- a list",
    "1. a list",
    "1) a list",
    "====",
    "---",
    "two\nlines\r\n\r\nand a paragraph",
    "&lt;b&gt; &#64; &amp;",
    "$x^2$ and $$y$$ cost $5",
    "@octocat and @org/team, #12, GH-1",
    "https://example.com www.example.com",
    "<!-- a comment -->",
    "\\",
]


def tokens_of(markdown: str) -> list[Token]:
    return [inline for token in READER.parse(markdown) for inline in (token.children or [token])]


def text_of(markdown: str) -> str:
    """Return what a reader sees, and check that it is nothing but text."""
    tokens = [token for token in tokens_of(markdown) if token.content or token.type not in ("inline",)]
    kinds = {token.type for token in tokens if token.content != BREAKS_A_MENTION} - {"inline"}
    around = {"paragraph_open", "paragraph_close", *(f"{tag}_{end}" for tag in CELLS for end in ("open", "close"))}
    assert kinds <= {"text", "text_special", *around}, (markdown, kinds)
    return "".join(token.content for token in tokens if token.type in ("text", "text_special"))


CELLS = ("table", "thead", "tbody", "tr", "th", "td", "bullet_list", "list_item")


def shown(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize("text", TEXTS)
def test_a_text_is_read_as_the_text_that_it_is(text: str) -> None:
    assert text_of(plain(text)) == shown(text)


@pytest.mark.parametrize("text", TEXTS)
def test_a_text_stays_in_its_cell_and_in_its_place_of_a_list(text: str) -> None:
    assert text_of(f"| a | b |\n| --- | --- |\n| {plain(text)} | c |\n") == f"ab{shown(text)}c"
    assert text_of(f"- {plain(text)}\n") == shown(text)


@pytest.mark.parametrize("text", TEXTS)
def test_github_finds_nobody_to_notify_nothing_to_link_and_no_formula(text: str) -> None:
    written = plain(text)
    assert not re.search(r"[@#]\w", re.sub(r"&#?\w+;", "", written))
    assert "$" not in written
    assert "://" not in written


@settings(max_examples=150, derandomize=True, deadline=None, database=None)
@given(st.text(alphabet="ab1 \\`*_[]()!<>&|~$@#.:/-+=\n\t'\"", max_size=24))
def test_any_text_of_active_letters_is_read_as_text(text: str) -> None:
    if shown(text):
        assert text_of(f"| a |\n| --- |\n| {plain(text)} |\n") == f"a{shown(text)}"


@pytest.mark.parametrize(
    "usual", ["q4", "ttft_p50_ms", "+1.2 (0.3 to 2.1)", "amd-epyc-2c", "p < 0.001", "3.5 MB – 12 %"]
)
def test_what_is_nothing_unusual_is_written_as_it_is(usual: str) -> None:
    assert plain(usual) == usual.replace("<", "&lt;")
