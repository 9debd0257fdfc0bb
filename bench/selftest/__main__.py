"""Measure the tool itself: `python -m bench.selftest [costs|scoring|store|verdicts|kills|gpu]`.

`costs` are ratios of commands timed in turn; `scoring` compares with lm-eval's own model; `store` reads many records;
`verdicts` counts wrong and right verdicts over simulated pairs of commits. Two run only where they are named: `gpu`
compares with lm-eval and llama.cpp's own bench on a GPU, and `kills` kills sweeps and bisections at random moments and
counts what that loses. `gpu` comes last, and may name its rows: `gpu [scoring|decoding|merging|sweep|cards]`. `sweep`
times a whole sweep and `cards` what scoring its variants takes on one card and on all; they run only where named.
"""

from __future__ import annotations

import logging
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence

from bench.machine.hardware import machine
from bench.report.numbers import digits, percent_span, times, times_span
from bench.selftest import scoring
from bench.stats import estimates, proportions
from bench.terminal import console
from variants.errors import UserError
from variants.paths import ROOT

REQUESTS = 40
WARMUP_REQUESTS = 3
PAIRS = 1000
NAMED_ALONE = ("gpu", "kills")
COST_COLUMNS = ("cost", "unit", "of", "beside", "ratio", "95 % interval", "n")
VERDICT_COLUMNS = ("of all pairs", "rate", "95 % interval", "n", "promised")


def main(asked: Sequence[str] = ()) -> int:
    """Print a table for each name, by default all but `gpu` and `kills`; assert nothing.

    Raises UserError for an unknown name.
    """
    from bench.selftest import kills, store
    from bench.selftest.gpu import table

    where, of_gpu = machine().id, list[str]()
    if "gpu" in asked:
        at = asked.index("gpu") + 1
        asked, of_gpu = asked[:at], list(asked[at:])
    tables: dict[str, Callable[[], None]] = {
        "costs": lambda: _print(COST_COLUMNS, f"{where}, P50 of runs taken in turn", [_help(), _report(), *_decode()]),
        "scoring": lambda: _print(scoring.COLUMNS, f"{where}, runs taken in turn", scoring.rows()),
        "store": lambda: _print(store.COLUMNS, f"{where}, each command once over made-up records", store.rows()),
        "verdicts": lambda: _print(VERDICT_COLUMNS, f"verdicts over {PAIRS:,} made-up pairs of commits", _verdicts()),
        "kills": lambda: _print(kills.COLUMNS, f"{where}, struck at random moments, then run to the end", kills.rows()),
        "gpu": lambda: _print(table.COLUMNS, table.title(), table.rows(of_gpu), slow=True),
    }
    if unknown := [name for name in asked if name not in tables]:
        raise UserError(f"selftest: got {unknown[0]!r}, allowed: {', '.join(tables)}")
    for name in asked or [name for name in tables if name not in NAMED_ALONE]:
        tables[name]()
    return 0


def _print(columns: Sequence[str], title: str, rows: Iterable[Sequence[str]], slow: bool = False) -> None:
    """Print a table; where a row takes minutes, each is on stderr as soon as it is measured."""
    from rich.markup import escape
    from rich.table import Table

    table = Table(*columns, title=title, title_justify="left")
    for row in rows:
        table.add_row(*map(escape, row))
        if slow:
            print(*row, sep=" | ", file=sys.stderr, flush=True)
    console().print(table)


def _verdicts() -> Iterator[list[str]]:
    """Simulate pairs of commits of 12 variants: their sizes, peaks of memory, all percentiles, and accuracy."""
    from bench.selftest.verdicts import Design, Noise, Planted, simulate

    def row(what: str, hits: int, promised: str = "") -> list[str]:
        rate = proportions.wilson(hits, PAIRS)
        return [what, f"{100 * rate.value:.1f} %", percent_span(rate), f"{PAIRS:,}", promised]

    for what, design, noise, promised in (
        ("nothing changed: a false worse anywhere", Design(), Noise(), "at most 5 %"),
        ("… rounds differ by 5 % (log-sd), not 1.5 %", Design(), Noise(round_sd=0.05), "at most 5 %"),
        ("… two tasks of 1,000 questions", Design(tasks=2), Noise(), "at most 5 %"),
        (
            "… the machine drifted between the sweeps, log-sd 2 %: rounds do not show it",
            Design(),
            Noise(sweep_sd=0.014),
            "",
        ),
    ):
        yield row(what, simulate(PAIRS, 1, design, noise).false_worse, promised)
    planted = Planted({0: 1.10}, {1: 0.03}, {2: 10_000})
    rates = simulate(PAIRS, 2, planted=planted)
    yield row("P50 10 % slower, 3 rounds of 200: found", rates.worse[0, "e2e_p50_ms"], "at least 95 %")
    yield row("… its TPOT P50, beside four other parts of a latency: found", rates.worse[0, "tpot_p50_ms"])
    yield row("3 points of 1,000 questions lost, 5 % flip: found", rates.worse[1, "accuracy 0"], "at least 90 %")
    two = simulate(PAIRS, 2, Design(tasks=2), planted=planted)
    yield row("… one of two tasks (Holm over 24, not 12): found", two.worse[1, "accuracy 0"])
    yield row("10,000 bytes of 2.3 MB larger: found", rates.worse[2, "size_bytes"], "100 %")
    yield row("… in the pairs with planted changes, a false worse elsewhere", rates.false_worse, "at most 5 %")


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
    both: tuple[list[float], list[float]] = ([], [])
    for turn in range(n + 1):
        for arguments, seconds in zip((of, beside), both, strict=True):
            start = time.perf_counter()
            subprocess.run([sys.executable, *arguments], cwd=ROOT, check=True, capture_output=True, text=True)
            if turn:
                seconds.append(time.perf_counter() - start)
    return both


def _decode() -> list[list[str]]:
    """Time q4 against base of the embedded model in llama.cpp, one request of each in turn."""
    names = {"tpot_ms": "decode TPOT q4 / base", "ttft_ms": "prefill TTFT q4 / base"}
    try:
        samples = _requests()
    except (UserError, RuntimeError) as error:
        return [_not_measured(name, str(error)) for name in names.values()]
    return [_row(name, "ms", (samples["q4"][key], samples["base"][key])) for key, name in names.items()]


def _requests() -> dict[str, dict[str, list[float]]]:
    from bench.measures.latency import time_requests
    from bench.runtimes.session import Session
    from bench.sweep.plan.cell import Cell, make_cell
    from bench.sweep.plan.compose import compose
    from bench.sweep.plan.request import parse
    from variants.artifact import Artifact
    from variants.build import build
    from variants.configure import configure
    from variants.data.rows import read_rows
    from variants.paths import resolve

    def opened(cell: Cell) -> Session:
        artifact: Artifact | None = None
        for planned in cell.chain:  # both are a conversion and a quantization away: seconds
            artifact = build(cell.cache, planned, artifact, cell.device)
        assert artifact is not None
        session: Session = configure(cell.settings.runtime["llamacpp"], "runtime.llamacpp").open(artifact, cell.device)
        return session

    cells = {name: make_cell(compose(parse([]), name, 0)) for name in ("q4", "base")}
    logging.getLogger("llama-cpp-python").setLevel(logging.ERROR)  # else a thousand lines a model
    sessions = {name: opened(cell) for name, cell in cells.items()}
    latency = cells["base"].settings.measures["latency"]
    samples: dict[str, dict[str, list[float]]] = {name: {"tpot_ms": [], "ttft_ms": []} for name in sessions}
    for i, row in enumerate(read_rows(resolve(latency["prompts"]))[: WARMUP_REQUESTS + REQUESTS]):
        for name, session in sessions.items():
            prompt = row.asked(latency["prompt"])
            timed = time_requests(session, [prompt], latency["output_tokens"], time.perf_counter, lambda *_: None)
            if i >= WARMUP_REQUESTS:
                samples[name]["tpot_ms"] += timed["tpot_ms"]
                samples[name]["ttft_ms"] += timed["ttft_ms"]
    return samples


def _row(name: str, unit: str, samples: tuple[list[float], list[float]]) -> list[str]:
    of, beside = samples
    ratio = estimates.percentile_ratio(of, beside, 0.5)
    points = [digits(estimates.percentile(values, 0.5)) for values in samples]
    return [name, unit, *points, times(ratio), times_span(ratio), str(ratio.n)]


def _not_measured(name: str, why: str) -> list[str]:
    return [name, "", "", "", "not measured", why, "0"]


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except UserError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
