"""One opened page, and what it did: its requests, and what its console complained about."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page


class Opened:
    """A page in a browser, watched from before it is loaded."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.requests: list[str] = []
        self.complaints: list[str] = []
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on(
            "console",
            lambda message: self.complaints.append(message.text) if message.type in ("error", "warning") else None,
        )

    def unfold(self) -> None:
        """Open everything that is folded."""
        self.page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")

    def ask(self, script: str) -> Any:
        """Return what a script says of the page."""
        return self.page.evaluate(script)

    def column(self, table: Locator, title: str) -> list[str]:
        """Return the texts of a table's column, of the rows that are shown, without their small print."""
        place = next(i for i, text in enumerate(self.titles(table)) if title.lower() in text.lower())
        rows = table.locator("tbody tr:visible").all()
        return [row.locator("th, td").nth(place).locator("> span").first.inner_text() for row in rows]

    def titles(self, table: Locator) -> list[str]:
        """Return the titles of a table's columns."""
        return table.locator("thead th").all_inner_texts()

    def colour(self, selector: str, name: str) -> float:
        """Return how light a colour of an element is, from 0 (black) to 1 (white)."""
        text = self.ask(f"getComputedStyle(document.querySelector({selector!r})).{name}")
        red, green, blue = (float(part) for part in text[text.index("(") + 1 : -1].split(",")[:3])
        return (0.2126 * red + 0.7152 * green + 0.0722 * blue) / 255
