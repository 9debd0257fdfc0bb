"""Exit 1 is a verdict: no fault, no closed pipe and no locale returns it."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.cli import main
from bench.commands.arguments import check_task
from bench.selftest import records, repository
from bench.terminal import visible
from tests.checkout import q4
from variants.errors import UserError
from variants.paths import ROOT

Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def worse(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """`bench compare` of two commits of which the second is worse."""
    root = tmp_path_factory.mktemp("worse")
    shas = repository.make_commits(root, 2)
    for place, sha in enumerate(shas):
        for number in range(3):
            content = records.record("q4", number, **q4(size=2_300_000 * (place + 1)))
            content["commit"] = {"sha": sha, "dirty": False, "tree": "clean"}
            records.write(root / "results", content)
    return ("compare", *shas, "--results", str(root / "results"), "--metric", "size")


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (KeyError("q4"), "bench: a fault of bench itself: KeyError"),
        (RecursionError("too deep"), "bench: a fault of bench itself: RecursionError"),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"), "bench: a fault of bench itself: UnicodeDecodeError"),
        (MemoryError(), "bench: out of memory"),
        (PermissionError(13, "Permission denied", "/results/x"), "bench: /results/x: Permission denied"),
        (
            OSError(28, "No space left on device"),
            "bench: standard output, or a file that was being written: No space left on device",
        ),
        (BrokenPipeError(32, "Broken pipe"), ""),
    ],
    ids=lambda one: type(one).__name__ if isinstance(one, Exception) else "",
)
def test_a_fault_of_compare_is_no_verdict(
    worse: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: Capture, error: Exception, says: str
) -> None:
    assert main([*worse]) == 1

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr("bench.compare.comparison.compare_records", fail)
    capsys.readouterr()
    assert main([*worse]) == 2
    last = [*capsys.readouterr().err.splitlines(), ""][-1 if not says else -2]
    assert last.startswith(says)


def test_an_interruption_is_no_verdict(
    worse: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("bench.compare.comparison.compare_records", stop)
    assert main([*worse]) == 130
    assert capsys.readouterr().err.startswith("bench: stopped")


def test_a_page_that_cannot_be_written_is_no_verdict(worse: tuple[str, ...], capsys: Capture) -> None:
    report = Path(worse[4]) / "report"
    report.write_text("a file where the folder of the pages would be")
    assert main([*worse, "--format", "html"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    report.unlink()


@pytest.mark.parametrize(
    ("output", "environment", "code", "says"),
    [
        ("| head -c 0", {}, 2, ""),
        (">&-", {}, 2, "bench: standard output is closed"),
        ("> /dev/full", {}, 2, "bench: standard output, or a file that was being written: No space left on device"),
        ("> /dev/null 2>&- <&-", {}, 1, ""),
        ("> /dev/null", {"PYTHONIOENCODING": "ascii"}, 1, ""),
        ("> /dev/null", {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}, 1, ""),
    ],
)
def test_what_cannot_be_printed_moves_no_verdict_and_a_closed_output_is_none(
    worse: tuple[str, ...], output: str, environment: dict[str, str], code: int, says: str
) -> None:
    script = f'set -o pipefail; "$@" {output}'
    command = ["bash", "-c", script, "bash", sys.executable, "-m", "bench.cli", *worse]
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True)
    assert (done.returncode, done.stderr.count("\n")) == (code, 1 if says else 0), done.stderr
    assert done.stderr.startswith(says)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "utf-8"])
def test_every_sign_has_a_stand_in_where_the_encoding_lacks_it(monkeypatch: pytest.MonkeyPatch, encoding: str) -> None:
    out = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr(sys, "stdout", out)
    assert main(["--version"]) == 0
    out.write("1–2 → 3× · “x” … é 漢 \udcff")
    out.flush()
    printed = out.buffer.getvalue().decode(encoding)
    ascii_alike = {"ascii": '1-2 -> 3x * "x" ... \\xe9 \\u6f22 \\udcff'}
    assert printed.splitlines()[1] == ascii_alike.get(encoding, printed.splitlines()[1])
    assert printed.endswith("\\udcff")


def test_a_metric_of_a_task_that_nobody_asked_is_refused(worse: tuple[str, ...], capsys: Capture) -> None:
    typed = [*worse[:-1], "accuracy nosuch"]
    assert main(typed) == 2
    says = "bench: --metric: no records of accuracy nosuch; choose of: accuracy general, accuracy hr\n"
    assert capsys.readouterr().err == says


def test_a_bisection_of_such_a_metric_is_refused_before_anything_is_built() -> None:
    check_task("accuracy hr", "q4", [])
    check_task("size_bytes", "q4", [])
    with pytest.raises(UserError, match=r"got 'accuracy hrr', no such task is asked; allowed: .*'accuracy hr'"):
        check_task("accuracy hrr", "q4", [])
    with pytest.raises(UserError, match=r"allowed: 'accuracy general'$"):
        check_task("accuracy hr", "q4", ["accuracy.tasks=[general]"])


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("q4\u200b", "q4\\u200b"),
        ("\ufeffq4\u2060", "\\ufeffq4\\u2060"),
        ("abc\u202edef\u2066", "abc\\u202edef\\u2066"),
        ("\u200eq\xad4\u061c", "\\u200eq\\xad4\\u061c"),
        ("a\u2028b", "a\\u2028b"),
        ("\udcff", "\\udcff"),
        ("\U000e0041", "\\U000e0041"),
        ("\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645 \U0001f468\u200d\U0001f469 é 漢\t\n", ""),
    ],
)
def test_letters_that_are_not_seen_or_turn_a_text_are_written_out(text: str, shown: str) -> None:
    assert visible(text) == (shown or text)
