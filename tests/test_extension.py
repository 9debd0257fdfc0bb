"""DESIGN.md's promise: what one adds costs the files that it names, and shows everywhere without another line."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from bench.selftest.scratch import copy_project

MEASURE = '''
"""Read time: seconds to read every file of an artifact from disk."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import ClassVar

from bench.measures.measure import Subject
from bench.scoring.scorer import Progress


@dataclass(frozen=True)
class Read:
    """Read all files `times` times, one after another."""

    times: int

    name: ClassVar[str] = "read"
    tools: ClassVar[tuple[str, ...]] = ()
    timed: ClassVar[bool] = True

    def measure(self, subject: Subject, round_: int, progress: Progress) -> object:
        """Return the seconds of each time."""
        seconds = []
        for _ in range(self.times):
            start = time.perf_counter()
            for file in subject.artifact.files:
                (subject.artifact.path / file.name).read_bytes()
            seconds.append(time.perf_counter() - start)
        return {"seconds": seconds}
'''
METRIC = '''
"""The usual seconds that it takes to read an artifact."""

from __future__ import annotations

from msgspec import Struct

from bench.metrics import identity
from bench.metrics.metric import Metric, Records, Rounds
from bench.stats.estimates import Estimate, percentile_estimate


class Read(Struct):
    """Seconds of each time."""

    seconds: list[float]


def _blocks(records: Records) -> list[list[float]]:
    return [measured.seconds for record in records if (measured := record.measured("read", Read))]


def _median(records: Records) -> Estimate | None:
    values = [value for block in _blocks(records) for value in block]
    return percentile_estimate(values, 0.5) if values else None


def _rounds(records: Records) -> Rounds | None:
    return Rounds(_blocks(records), "seconds", 0.5) if _blocks(records) else None


METRICS = (
    Metric(
        "read_p50_s", "Read P50", "s", "read", _median, identity.machine, limit=0.1, test="rounds", sample=_rounds
    ),
)
'''
STEP = '''
"""Step `rounded`: weights rounded to a few digits, as a quantization that saves nothing."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from variants.artifact import Artifact, Kind, StepReport
from variants.step import Role


@dataclass(frozen=True)
class Rounded:
    """Round every weight to `digits` digits behind the point."""

    digits: int

    role: ClassVar[Role] = "quantize"
    takes: ClassVar[tuple[Kind | None, ...]] = ("hf",)
    gives: ClassVar[Kind] = "hf"
    tools: ClassVar[tuple[str, ...]] = ("torch", "safetensors")
    on_device: ClassVar[bool] = False
    revision: ClassVar[int] = 0
    expected_cost: ClassVar[float] = 1.0

    def run(self, parent: Artifact | None, out: Path, device: str) -> StepReport:
        """Copy the model with rounded weights."""
        import torch
        from safetensors.torch import load_file, save_file

        assert parent is not None
        for file in parent.files:
            shutil.copyfile(parent.path / file.name, out / file.name)
        weights = load_file(out / "model.safetensors")
        for name, tensor in weights.items():
            weights[name] = torch.round(tensor.float(), decimals=self.digits).to(tensor.dtype)
        save_file(weights, out / "model.safetensors", {"format": "pt"})
        return StepReport(notes={"digits": self.digits})

    def expected_bytes(self, n_parameters: int) -> int:
        """Return two bytes per parameter."""
        return 2 * n_parameters

    def expected_memory_bytes(self, n_parameters: int, device: str = "cpu") -> int:
        """Return four bytes per parameter."""
        return 4 * n_parameters
'''


@dataclass(frozen=True)
class Copy:
    """A copy of the checkout that is a repository of its own, with what is added to it."""

    folder: Path
    model: Path
    cache: Path

    @property
    def results(self) -> Path:
        return self.folder / "results"

    def add(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text.lstrip("\n"))

    def append(self, name: str, text: str) -> None:
        with (self.folder / name).open("a") as stream:
            stream.write(text)

    def commit(self, message: str) -> None:
        author = ["-c", "user.name=t", "-c", "user.email=t@example.com"]
        for command in (["add", "-A"], [*author, "commit", "-q", "--allow-empty", "-m", message]):
            subprocess.run(["git", *command], cwd=self.folder, check=True)

    def bench(self, *typed: str, code: int = 0) -> str:
        """Run a command of the copy's own code and return what it prints."""
        done = subprocess.run(
            [sys.executable, "-m", "bench.cli", *typed],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(self.folder)},
            capture_output=True,
            text=True,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout

    def run(self, *typed: str) -> str:
        return self.bench("run", "suite=smoke", f"model={self.model}", f"cache_dir={self.cache}", *typed)

    def written(self, name: str) -> Path:
        """Return a file that was written about the one sweep there is."""
        return next((self.results / "report").glob(f"*/{name}"))

    def table(self) -> dict[str, dict[str, str]]:
        """Return the rows of the report's table.csv by variant."""
        with self.written("table.csv").open(newline="") as stream:
            return {row["variant"]: row for row in csv.DictReader(stream)}


@pytest.fixture
def copy(tmp_path: Path, tiny_model: Path, cache: Path) -> Copy:
    folder = tmp_path / "checkout"
    copy_project(folder)
    subprocess.run(["git", "init", "-q", "-b", "main"], cwd=folder, check=True)
    return Copy(folder, tiny_model, cache)


def test_a_measure_costs_its_two_files_and_one_yaml(copy: Copy) -> None:
    copy.add("bench/measures/read.py", MEASURE)
    copy.add("bench/metrics/read.py", METRIC)
    copy.add("conf/measure/read.yaml", "_target_: bench.measures.read.Read\ntimes: 10\n")
    typed = ("variant=base,q4", "suite.measures=[size,read]", "suite.rounds=2")
    for message in ("one", "two"):
        copy.commit(message)
        copy.run(*typed)
    row = copy.table()["q4"]
    assert float(row["read_p50_s"]) > 0
    assert float(row["read_p50_s_low"]) <= float(row["read_p50_s"]) <= float(row["read_p50_s_high"])
    report = copy.written("report.md").read_text()
    assert "Read P50" in report
    assert "Read P50" in copy.written("index.html").read_text()
    compared = copy.bench("compare", "HEAD~1", "--metric", "read_p50_s", "--fail-on", "now-fails", "--all")
    assert compared.count("read_p50_s") >= 2
    copy.bench("history", "--metric", "read_p50_s")
    with copy.written("history.csv").open(newline="") as stream:
        points = [row for row in csv.DictReader(stream) if row["metric"] == "read_p50_s"]
    assert len(points) == 4  # two variants at two commits
    assert {point["unit"] for point in points} == {"s"}


def test_a_step_kind_costs_one_class_and_one_line_and_a_quantization_type_one_line(copy: Copy) -> None:
    copy.add("variants/steps/rounded.py", STEP)
    copy.append("conf/steps/default.yaml", "\nrounded: {_target_: variants.steps.rounded.Rounded, digits: 1}\n")
    copy.append("conf/steps/default.yaml", "\nq4-0: {_target_: variants.steps.quantize.Quantize, type: Q4_0}\n")
    copy.add("conf/variant/rounded.yaml", "name: rounded\nsteps: [source, rounded, gguf]\nruntime: llamacpp\n")
    copy.add("conf/variant/q4-0.yaml", "name: q4-0\nsteps: [source, gguf, q4-0]\nruntime: llamacpp\n")
    copy.commit("one")
    copy.run("variant=base,rounded,q4-0", "suite.measures=[size]")
    table = copy.table()
    assert {name: row["family"] for name, row in table.items()} == {
        "base": "base",
        "rounded": "quantized",
        "q4-0": "quantized",
    }
    sizes = {name: int(row["size_bytes"]) for name, row in table.items()}
    assert sizes["q4-0"] < 0.9 * sizes["base"]
    assert sizes["rounded"] == pytest.approx(sizes["base"], rel=0.01)
    names = copy.bench("list", "--names")
    assert "rounded" in names
    assert "q4-0" in names
