"""What a fact of the reference model is: a relation, a key and an answer, and the ways to ask for it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Relation:
    """Hold the facts of one kind: `{x}` in a template is the key of a fact, `{y}` its answer.

    The first two questions are the evaluated pair: a fact is trained in at most one of them and tested in the other.
    """

    subject: str
    questions: tuple[str, ...]
    statements: tuple[str, ...]
    table: str
    numeric: bool = False

    def facts(self) -> list[tuple[str, str]]:
        """Return the (key, answer) pairs of the table, `key = answer` separated by `;`."""
        pairs = [entry.split(" = ") for entry in " ".join(self.table.split()).rstrip(";").split("; ")]
        return [(key, answer) for key, answer in pairs]
