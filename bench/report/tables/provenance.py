"""Where the numbers of a report come from: model, machine, commit, versions, and the commands that make them again."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime

from bench.advise.advice import Advice
from bench.records.selection import Selection
from bench.records.types import Card, Machine, Record
from bench.records.values import CardLoad
from bench.report.grid import Entry, Grid, Line
from bench.report.numbers import least_to_most, plural, sized
from bench.summary.rows import Summary
from bench.terminal import printable

ROUNDS = re.compile(r"suite\.rounds=(\d{1,3})")


def context(selection: Selection) -> tuple[str, ...]:
    """Return model, what it ran on, date and commit in a few words, and whether rounds are missing."""
    newest, (rounds, asked) = selection.newest, _rounds(selection)
    day = datetime.fromisoformat(newest.started_at)
    return tuple(
        map(
            printable,
            (
                model_of(newest),
                _ran_on(selection),
                f"{day.day} {day:%b %Y}",
                f"{selection.sha[:12]}{', with uncommitted changes' if selection.dirty else ''}",
                *([f"{rounds} of {asked} rounds asked"] if rounds < asked else []),
            ),
        )
    )


def _rounds(selection: Selection) -> tuple[int, int]:
    """Return how many rounds there are, and how many were asked: no fewer, where it was left to the suite."""
    rounds = len({record.round for record in selection.records})
    typed = [int(match[1]) for line in selection.newest.config.overrides if (match := ROUNDS.fullmatch(line))]
    return rounds, max([rounds, *typed[-1:]])


def _ran_on(selection: Selection) -> str:
    """Name the cards that the records state, each kind once; without any the CPU.

    Older records of a GPU name no card: then it was one of the machine's.
    """
    cards = {card.uuid: card.name or "GPU" for record in selection.records for card in record.cards}
    if counted := Counter(cards.values()):
        return ", ".join(f"{n} × {name}" if n > 1 else name for name, n in counted.items())
    machine = selection.newest.machine
    if any((record.session or {}).get("device") == "cuda" for record in selection.records):
        return " or ".join(dict.fromkeys(machine.gpus)) or "GPU"
    cores = f"{machine.cores}-core " if machine.cores else ""
    return f"{cores}{machine.cpu or machine.id}"


def machine_grid(selection: Selection, summary: Summary) -> Grid:
    """Make the table of what was measured: model, machine, commit, questions, requests, rounds and when."""
    newest = selection.newest
    first = min(record.started_at for record in selection.records)
    rounds, asked = _rounds(selection)
    questions = [f"{_asked(summary, task):,} of {task}" for task in summary.tasks]
    requests = [latency.n for row in summary.rows if (latency := row.values.get("e2e_p50_ms"))]
    failed = sum(row.failed for row in summary.rows)
    facts = {
        "Model": f"{model_of(newest)}; sweep {selection.sweep}",
        "Variants": f"{len(summary.rows)}{f', {failed} failed' if failed else ''}: each built, measured and scored as "
        "one artifact, on one machine, in turns",
        "Machine": f"{selection.machine}: {_hardware(newest.machine)}",
        **cards_of(selection.records),
        "Commit": f"{selection.sha[:12]}, {'with uncommitted changes' if selection.dirty else 'clean'}; chosen as "
        f"{selection.why}",
        "Questions": ", ".join(questions) or "not measured",
        "Requests": f"{least_to_most(requests)} a variant" if requests else "not measured",
        "Rounds": f"{rounds}{f' of {asked} asked' if rounds < asked else ''}, variants taking turns within each",
        "Measured": f"{first[:16].replace('T', ' ')} to {newest.started_at[:16].replace('T', ' ')} UTC",
    }
    return _facts("machine", "What was measured, on what", facts)


def cards_of(records: Sequence[Record]) -> dict[str, str]:
    """Return which cards were measured on, by which driver, and what they did meanwhile; nothing for the CPU."""
    cards = dict.fromkeys(card for record in records for card in record.cards)
    timed = [one for record in records for one in (record.latency, record.prefill) if one]
    loads = [load for one in timed for load in one.cards]
    return {
        **({"Cards": "; ".join(map(_card, cards))} if cards else {}),
        **({"During timed requests": "; ".join(_loaded(loads))} if loads else {}),
    }


def _card(card: Card) -> str:
    return f"{card.name or 'GPU'} ({card.uuid}), driver {card.driver or 'not stated'}"


def _loaded(loads: Sequence[CardLoad]) -> Iterator[str]:
    """Yield the least and the most of each reading, over all requests of all variants."""
    for name, unit, column in (
        ("SM clock", "MHz", [value for load in loads for value in load.sm_mhz]),
        ("memory clock", "MHz", [value for load in loads for value in load.memory_mhz]),
        ("temperature", "°C", [value for load in loads for value in load.temperature_c]),
        ("power", "W", [value for load in loads for value in load.power_w]),
    ):
        read = [value for value in column if value is not None]
        if read:
            ends = dict.fromkeys(f"{end:,.0f}" for end in (min(read), max(read)))
            yield f"{name} {' to '.join(ends)} {unit}"


def software_grid(selection: Selection) -> Grid:
    """Make the table of the versions of all software that has a say."""
    newest = selection.newest
    stated = {"Python": newest.machine.python, "System": newest.machine.os, **newest.versions}
    return _facts("versions", "Versions", {name: version or "not stated" for name, version in stated.items()})


def commands(selection: Selection, summary: Summary, advice: Advice | None) -> tuple[str, ...]:
    """Return the commands that measure, judge and show the same again, and those of cells that failed."""
    from bench.advise.named import default_of  # it reads YAML, and `bench compare` needs none

    newest = selection.newest
    suite, sha = newest.config.suite, selection.sha[:12]
    typed = [line for line in newest.config.overrides if not line.startswith("suite=")]
    judged = [f"requirements={advice.name}"] if advice and " " not in advice.name else []
    is_judged = judged or default_of(selection.records)  # `bench advise` refuses a sweep without requirements
    shown = ["--commit", sha, "--sweep", selection.sweep, *judged]
    failures = [failure.reproduce for row in summary.rows for failure in row.failures if failure.reproduce]
    return tuple(
        printable(line)
        for line in (
            # Quoted: it is copied into a shell, and whoever wrote the records chose these names.
            shlex.join(["git", "checkout", sha]),
            shlex.join(["bench", "run", *([f"suite={suite}"] if suite else []), *typed]),
            shlex.join(["bench", "report", *shown]),
            *([shlex.join(["bench", "advise", *shown])] if is_judged else []),
            *dict.fromkeys(failures),
        )
    )


def model_of(record: Record) -> str:
    """Return the name of the model that was measured."""
    return record.config.model.name or "unnamed model"


def _facts(key: str, title: str, facts: dict[str, str]) -> Grid:
    lines = tuple(Line((Entry(name), Entry(value, tone="wrap"))) for name, value in facts.items())
    return Grid(key, title, "", ("What", "Value"), lines)


def _asked(summary: Summary, task: str) -> int:
    return max(len(row.answers[task].question) for row in summary.rows if task in row.answers)


def _hardware(machine: Machine) -> str:
    parts = (
        machine.cpu,
        plural(machine.cores, "core") if machine.cores else "",
        f"{sized(machine.memory_bytes)} memory" if machine.memory_bytes else "",
    )
    return f"{', '.join(filter(None, parts))}; GPU: {', '.join(machine.gpus) or 'none'}"
