"""A fuzz of what may be typed: each command line ends in success or in one line, with nothing written.

They come from a grammar of mistakes: keys and options times nasty values, a seeded draw of each. Planning is real and
in this process; what would build, measure or fetch is where a line ends well.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.hostile.conftest import Ending, drawn, run_line, typed

NASTY = (
    "", "null", "true", "0", "-1", "1.0", "1.5", "nan", "inf", "-inf", "1e999", "007", "2147483648", "9" * 30,
    "[]", "[null]", "[[a]]", "{}", "{a: 1}", "{_target_: os.system}", "a,b", "base,q4", "../../x", "/", "/dev/null",
    "/dev/zero", ".", "..", "~nosuch/x", "-x", "--yes", "a b", "größe", "日本", "\u202e", "\x1b[31m", "a\nb", "\udcff",
    "'", '"', "[", "{", "}", "$", "${", "${oc.env:HOME}", "${hydra:runtime.cwd}", "${now:%Y}", "${oc.decode:'[1]'}",
    "${model.path}", "${round}", "${nosuch}", "${${suite.name}:HOME}", "\\", "x" * 300, "x" * 5000, "a/" * 2500,
    "{{7*7}}", "%s", "<script>", "!!python/object/apply:os.system [id]", "os.system", "glob(*)", "range(1,9)",
    "choice(a,b)", "a=b", "=", "#", ";", "`id`", "$(id)", "\t", "\x7f", "0x10", "1_0", "yes", "None", "∞",
)  # fmt: skip
KEYS = (
    "device", "data_dir", "limit_per_subject", "suite.requirements", "suite.variants", "suite.rounds", "suite.measures",
    "suite.once", "suite.questions", "model.path", "model.name", "model.revision", "variant.steps", "variant.runtime",
    "steps.source.path", "steps.gguf", "steps.gguf.type", "steps.source", "steps.lora.target_modules",
    "latency", "latency.prompts", "latency.prompt", "latency.requests", "latency.seconds", "latency.seed",
    "latency.output_tokens", "latency.warmup_requests", "accuracy", "accuracy.limit", "accuracy.num_fewshot",
    "accuracy.seed", "accuracy.chat_template", "accuracy.data_dir", "runtime.llamacpp", "runtime.llamacpp.n_ctx",
    "runtime.llamacpp.n_threads", "runtime.llamacpp.n_batch", "runtime.llamacpp.kv_type", "runtime.llamacpp._target_",
    "divergence.window", "divergence.base", "divergence.text", "size",
)  # fmt: skip
"""Keys that a run has: most values reach the composition, and many the plan."""
ODD_KEYS = (
    "", "variant", "suite", "model", "steps", "launcher", "runtime", "round", "sweep", "overrides", "variant.name",
    "suite.name", "hydra", "hydra.sweep.dir", "hydra.run.dir", "hydra.callbacks", "hydra.callbacks.x._target_",
    "hydra/launcher", "hydra.launcher._target_", "hydra.searchpath", "hydra.job_logging", "hydra.job.env_set",
    "defaults", "nosuch", "suite@x", "x@_global_", "results_dir", "cache_dir", ".", "suite.", "größe", "a b", "\udcff",
    "--config-dir",
)  # fmt: skip
"""Keys that are not the user's, are no keys, or are decided before anything is composed."""
OPTIONS = {
    "report": ("--out", "--commit", "--machine", "--sweep", "--format", "--results"),
    "advise": ("--commit", "--machine", "--sweep", "--format", "--results"),
    "compare": ("--machine", "--sweep", "--variant", "--metric", "--threshold", "--fail-on", "--format", "--results"),
    "history": ("--branch", "--machine", "--sweep", "--variant", "--metric", "--format", "--out", "--results"),
    "list": ("--limit", "--results"),
    "gc": ("--results", "--cache"),
}
"""Options that take a value, by verb."""


def check(place: Path, lines: Sequence[list[str]]) -> list[Ending]:
    """Type every line, and fail with each that ended in another way than it may."""
    endings = [typed(line, place) for line in lines]
    bad = [str(ending) for ending in endings if not ending.sound]
    assert not bad, "\n".join(bad)
    return endings


def test_a_value_of_any_kind_is_planned_or_refused_in_one_line(place: Path) -> None:
    lines = drawn(1, 80, (run_line(place, f"{key}={value}") for key in KEYS for value in NASTY))
    endings = check(place, lines)
    assert {"planned", 2} <= {ending.code for ending in endings}


def test_a_key_that_is_not_the_users_is_refused_in_one_line(place: Path) -> None:
    marks = ("", "+", "++", "~")
    lines = drawn(
        2, 120, (run_line(place, f"{mark}{key}={value}") for mark in marks for key in ODD_KEYS for value in NASTY)
    )
    check(place, lines)


def test_what_is_no_override_is_refused_in_one_line(place: Path) -> None:
    check(place, [run_line(place, *words) for words in itertools.product(NASTY[:60], ("", "--")) if words[0]])


def test_an_option_of_any_value_is_refused_in_one_line_or_finds_nothing(place: Path) -> None:
    needed = {"compare": ["HEAD"]}
    lines = drawn(
        3,
        90,
        (
            [
                verb,
                *needed.get(verb, []),
                "--results",
                str(place / "results"),
                *cache_of(verb, place),
                f"{option}={value}",
            ]
            for verb, options in OPTIONS.items()
            for option in options
            for value in NASTY
        ),
    )
    check(place, lines)


def cache_of(verb: str, place: Path) -> list[str]:
    return ["--cache", str(place / "cache")] if verb in ("gc", "history") else []


def test_a_word_of_any_kind_is_refused_in_one_line_or_finds_nothing(place: Path) -> None:
    results = ["--results", str(place / "results")]
    forms: list[Callable[[str], list[str]]] = [
        lambda word: [word],
        lambda word: ["report", *results, f"requirements={word}"],
        lambda word: ["report", *results, f"requirements.max_p99_ms={word}"],
        lambda word: ["advise", *results, word],
        lambda word: ["compare", *results, "--", word],
        lambda word: ["bisect", "size_bytes", "q4", "--", word, "HEAD"],
        lambda word: ["bisect", "--", word, "q4", "HEAD", "HEAD"],
        lambda word: ["doctor", "--", word],
        lambda word: ["list", f"--{word}"],
    ]
    check(place, drawn(4, 80, (form(word) for form in forms for word in NASTY)))
