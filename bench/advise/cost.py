"""What a variant costs: only from what was measured. A price is an input, and holds for the machine that it names."""

from __future__ import annotations

import re
from dataclasses import dataclass

from bench.advise.requirements import Cost
from bench.summary.rows import Row


@dataclass(frozen=True)
class Training:
    """The seconds that the fine-tuning steps of a variant took, and their price where there is one of this machine.

    `amount` is in `currency`; None where no price is stated, or only that of another machine.
    """

    seconds: float
    machine: str
    currency: str = ""
    amount: float | None = None
    over_budget: bool | None = None


def training_of(row: Row, cost: Cost) -> Training | None:
    """Return what fine-tuning a variant took: 0 seconds where it has none, None where its steps were not timed."""
    machine = row.records[0].machine
    if "finetune" not in row.roles:
        return Training(0.0, machine.id)
    built = next((record for record in row.records if record.lineage), row.records[0])
    seconds = [made.build_seconds for made, role in zip(built.lineage, built.roles, strict=False) if role == "finetune"]
    if not seconds or None in seconds:
        return None
    total = sum(value for value in seconds if value is not None)
    names = " ".join((machine.id, machine.cpu, *machine.gpus)).lower()
    # The price is of one machine: several GPUs cost more than it says, and a GH200 is no H200.
    is_priced = bool(cost.priced_machine) and re.search(rf"\b{re.escape(str(cost.priced_machine).lower())}\b", names)
    if cost.price_per_hour is None or not is_priced or len(machine.gpus) > 1:
        return Training(total, machine.id)
    amount = total / 3600 * cost.price_per_hour
    over = None if cost.finetune_budget is None else amount > cost.finetune_budget
    return Training(total, machine.id, cost.currency or "", amount, over)
