"""A variant beside its base: only where both answered the same questions."""

from __future__ import annotations

from pathlib import Path

from bench.records.store import read
from bench.selftest import records
from bench.summary.summarize import summarize


def test_other_questions_are_never_compared(tmp_path: Path) -> None:
    records.write_sweep(tmp_path, {name: records.VARIANTS[name] for name in ("base", "q4")}, rounds=1)
    content = records.record("q4")
    content["measures"]["accuracy"]["hr"]["prompt_sha256"] = "another prompt"
    records.write(tmp_path, content)
    q4 = summarize(read(tmp_path)[0]).by_name["q4"]
    assert q4.paired("accuracy hr") is None
    assert q4.paired("accuracy general") is not None
