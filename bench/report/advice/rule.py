"""The rule by which an advice is reached, printed with every one of them."""

from __future__ import annotations

from bench.advise.advice import Advice
from bench.terminal import printable


def rule(advice: Advice) -> list[str]:
    """Return the rule in a few sentences, with the margin and the task of this sweep."""
    lines = [
        "A limit passes where the whole 95 % interval is inside it, fails where the whole is outside, else is open. "
        "What was not measured never passes.",
        "A latency is that of a typical round: its interval is the wider of that of its requests and that of its "
        "rounds, and every round must agree. One round decides no latency, and a slow spell that comes rarely may be "
        "in none of a few rounds.",
        "A share to be kept is a non-inferiority test: the paired interval of the change, question by question, "
        "against the margin.",
        "A variant qualifies where every limit passes. Controls, the same models in another engine, are no candidates.",
    ]
    if advice.task:
        margin = f"{100 * advice.margin:.1f} points" if advice.best else "the margin"
        lines.append(
            f"Of those that qualify, ship the smallest that is shown to lose at most {margin} of {advice.task} "
            "against the best of them; of equal sizes the one with more right answers."
        )
    else:
        lines.append("Of those that qualify, ship the smallest: no task with right and wrong answers was asked.")
    lines.append(
        "The row of the matrix is the first that applies to what the base is shown to miss: phone, short of training "
        "memory, wrong and (too slow or too big), wrong, too big, too slow."
    )
    return [printable(line) for line in lines]
