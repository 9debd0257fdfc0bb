"""What the self-test of a GPU accepts; its rows themselves need a GPU and minutes."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.machine import gpu as cards
from bench.selftest.__main__ import main
from bench.selftest.gpu import sweep, table
from variants.errors import UserError


def test_rows_are_named_after_gpu_and_an_unknown_one_is_one_line() -> None:
    with pytest.raises(UserError, match="selftest gpu: got 'kills', allowed: scoring, decoding, merging, sweep, "):
        main(["gpu", "sweep", "kills"])


def test_without_a_gpu_nothing_is_measured_and_said_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(cards, "gpus", tuple)
    assert list(table.rows(["sweep"])) == [["all", "", "", "", "not measured", "no GPU on this machine"]]
    assert [row[4] for row in sweep.rows_of_cards(tmp_path)] == ["not measured"]
