"""The shipped sweep stays finished: its cells and artifacts have the identities that its records state."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

import pytest

from bench.machine.git import State
from bench.records.store import read
from bench.records.types import Record
from bench.sweep.plan.cell import Cell, make_cell
from bench.sweep.plan.compose import compose
from bench.sweep.plan.request import parse
from variants.paths import ROOT

SHIPPED = "a9d60a708e01"


@pytest.fixture(scope="module")
def shipped() -> list[Record]:
    """The records of the embedded sweep, where this machine would measure the very same cells."""
    results = ROOT / "results"
    stored = [record for record in read(results, SHIPPED)[0] if record.sweep == "embedded-reference"]
    if not stored:
        pytest.skip(f"results/ holds no records of {SHIPPED}")
    devices = {(record.session or {}).get("device") for record in stored}
    if devices != {"cpu"}:
        pytest.skip(f"the records of {SHIPPED} are of {devices}, not of the CPU")
    if other := sorted(set().union(*(differing_packages(record) for record in stored))):
        pytest.skip(f"installed in another version than the records of {SHIPPED} name: {', '.join(other)}")
    return stored


def differing_packages(record: Record) -> set[str]:
    """Name the packages that a record states and that are installed in another version, or not at all."""
    stated: dict[str, object] = dict(record.versions)
    for made in record.lineage:
        stated |= {tool: number for tool, number in made.tools.items() if tool != "revision"}
    return {name for name, number in stated.items() if installed(name) != number}


def installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


@pytest.fixture(scope="module")
def cells(shipped: list[Record]) -> dict[tuple[str, int], Cell]:
    """The cells of the embedded sweep in a checkout without changes: an edit of the code is part of a cell's key."""
    request = parse(["device=cpu"])
    suite = compose(request, "base", 0).suite
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bench.sweep.plan.cell.commit", lambda: State("0" * 40, False, "clean"))
        return {
            (name, number): make_cell(compose(request, name, number))
            for name in suite.variants
            for number in range(suite.rounds)
        }


def test_the_shipped_embedded_sweep_is_0_to_run(shipped: list[Record], cells: dict[tuple[str, int], Cell]) -> None:
    finished = {(record.variant, record.round): record.cell for record in shipped if not record.failed}
    assert {place: cell.key for place, cell in cells.items()} == finished


def test_the_artifacts_of_the_shipped_sweep_have_their_fingerprints_step_by_step(
    shipped: list[Record], cells: dict[tuple[str, int], Cell]
) -> None:
    for record in shipped:
        chain = cells[record.variant, record.round].chain
        assert [(planned.name, planned.fingerprint) for planned in chain] == [
            (made.step, made.fingerprint) for made in record.lineage
        ]
        assert chain[-1].fingerprint == record.fingerprint
