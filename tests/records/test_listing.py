"""The sweeps in results/ as the heads of their records state them."""

from __future__ import annotations

from pathlib import Path

from bench.records.listing import folders, stored
from bench.selftest import repository


def test_heads_of_records_say_what_the_records_do(tmp_path: Path) -> None:
    shas = repository.make_history(tmp_path, 2, rounds=2, requests=5)
    newest = folders(tmp_path / "results")[0]
    (sweep,), left_out = stored(newest)
    assert (newest.name, sweep.cells, sorted(sweep.variants), left_out) == (
        shas[1][:12],
        24,
        sorted(repository.TWELVE),
        [],
    )
