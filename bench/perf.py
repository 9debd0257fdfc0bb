"""Measure what the tool itself costs, as ratios of things timed side by side: `python -m bench.perf`."""

from __future__ import annotations

import logging
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import Any

from bench import perf_scoring, stats
from bench.machine import machine
from bench.report.numbers import digits, times, times_span
from variants.errors import UserError
from variants.paths import ROOT

REQUESTS = 40
WARMUP_REQUESTS = 3


def main() -> int:
    """Print one table of ratios; it asserts nothing, the reader judges."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    header = ("cost", "unit", "of", "beside", "ratio", "95 % interval", "n")
    table = Table(*header, title=f"{machine()['id']}, P50 of runs taken in turn", title_justify="left")
    for row in (_help(), _report(), *_decode(), *perf_scoring.rows()):
        table.add_row(*map(escape, row))
    Console(highlight=False, width=None if sys.stdout.isatty() else 160).print(table)
    return 0


def _help() -> list[str]:
    return _row("bench --help / python -c pass", "s", _seconds(["-m", "bench.cli", "--help"], ["-c", "pass"], n=10))


def _report() -> list[str]:
    name = "bench report / import pandas, matplotlib"
    with tempfile.TemporaryDirectory() as folder:
        try:
            seconds = _seconds(["-m", "bench.cli", "report", "--out", folder], ["-c", "import pandas, matplotlib"], n=3)
        except subprocess.CalledProcessError as error:
            return _not_measured(name, error.stderr.strip().splitlines()[-1])
    return _row(name, "s", seconds)


def _seconds(of: Sequence[str], beside: Sequence[str], n: int) -> tuple[list[float], list[float]]:
    """Run two command lines of this Python n times each, in turn, after one run of each that is not counted."""
    found: tuple[list[float], list[float]] = ([], [])
    for turn in range(n + 1):
        for arguments, seconds in zip((of, beside), found, strict=True):
            start = time.perf_counter()
            subprocess.run([sys.executable, *arguments], cwd=ROOT, check=True, capture_output=True, text=True)
            if turn:
                seconds.append(time.perf_counter() - start)
    return found


def _decode() -> list[list[str]]:
    """Time q4 against base of the embedded model in llama.cpp, one request of each in turn."""
    names = {"tpot_ms": "decode TPOT q4 / base", "ttft_ms": "prefill TTFT q4 / base"}
    try:
        samples = _requests()
    except (UserError, RuntimeError) as error:
        return [_not_measured(name, str(error)) for name in names.values()]
    return [_row(name, "ms", (samples["q4"][key], samples["base"][key])) for key, name in names.items()]


def _requests() -> dict[str, dict[str, list[float]]]:
    from bench.cell import Cell, make_cell
    from bench.measures.latency import time_requests
    from bench.overrides import parse
    from bench.runtimes.session import Session
    from bench.sweep import compose
    from variants.artifact import Artifact
    from variants.build import build
    from variants.configure import configure
    from variants.data import read_rows
    from variants.paths import resolve

    def opened(cell: Cell) -> Session:
        artifact: Artifact | None = None
        for planned in cell.chain:  # both are a conversion and a quantization away: seconds
            artifact = build(cell.cache, planned, artifact, cell.device)
        assert artifact is not None
        session: Session = configure(cell.config["runtime"]["llamacpp"], "runtime.llamacpp").open(artifact, cell.device)
        return session

    cells = {name: make_cell(compose(parse([]), name, 0)) for name in ("q4", "base")}
    logging.getLogger("llama-cpp-python").setLevel(logging.ERROR)  # else a thousand lines a model
    sessions = {name: opened(cell) for name, cell in cells.items()}
    latency: dict[str, Any] = cells["base"].config["latency"]
    found: dict[str, dict[str, list[float]]] = {name: {"tpot_ms": [], "ttft_ms": []} for name in sessions}
    for i, row in enumerate(read_rows(resolve(latency["prompts"]))[: WARMUP_REQUESTS + REQUESTS]):
        for name, session in sessions.items():
            prompt = latency["prompt"].format(question=row.question)
            timed = time_requests(session, [prompt], latency["output_tokens"], time.perf_counter, lambda *_: None)
            for key, values in found[name].items():
                values += timed[key] if i >= WARMUP_REQUESTS else []
    return found


def _row(name: str, unit: str, samples: tuple[list[float], list[float]]) -> list[str]:
    of, beside = samples
    ratio = stats.percentile_ratio([of], [beside], 0.5)
    points = [digits(stats.percentile(values, 0.5)) for values in samples]
    return [name, unit, *points, times(ratio), times_span(ratio), str(ratio.n)]


def _not_measured(name: str, why: str) -> list[str]:
    return [name, "", "", "", "not measured", why, "0"]


if __name__ == "__main__":
    sys.exit(main())
