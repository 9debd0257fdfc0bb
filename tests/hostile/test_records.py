"""Records that nobody wrote: each is read, or left out with a reason, and stops no reader.

`HOSTILE_RECORDS=2000` tries so many damaged records; the test alone tries few, the same ones each time.
"""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import bench
from bench.advise.advice import advise
from bench.advise.named import chosen
from bench.cli import main
from bench.compare.lines import Asked, compare_records
from bench.history.index import read_values
from bench.records import listing, store
from bench.records.file import sealed
from bench.records.selection import Selection, Wanted, find
from bench.records.types import Record
from bench.report.advice.data import data_of
from bench.report.contents import contents
from bench.report.findings import findings
from bench.report.markdown import markdown
from bench.report.pages.sweep import page
from bench.report.table_csv import comma_separated
from bench.selftest import raw_values, records, repository
from bench.summary.summarize import summarize
from bench.sweep.show.time_left import learned
from variants.cache import Cache

EXAMPLES = int(os.environ.get("HOSTILE_RECORDS", "90"))
At = tuple[str | int, ...]
"""The keys and numbers that lead to a place in a record."""
PLACE = f"{records.MACHINE}/{records.COMMIT[:12]}"


def content_of(name: str) -> dict[str, Any]:
    """Make a small record with everything that a record can have."""
    content = records.record(name, requests=12)
    content["measures"]["accuracy"] = {
        "hr": raw_values.answers("hr", 0.6, [name], questions=60),
        "gsm8k": raw_values.generated(0.6, n=12),
        "wikitext": raw_values.rolling(2.5, n=8),
    }
    content["measures"]["divergence"] = raw_values.divergence(0.01, windows=3, window=8)
    return content


VICTIM = content_of("q4")


def places(value: object, at: At = ()) -> Iterator[At]:
    """Yield the place of everything in a record, of long columns the first and the last entry."""
    if at:
        yield at
    if isinstance(value, dict):
        for key in value:
            yield from places(value[key], (*at, key))
    elif isinstance(value, list) and value:
        for place in {0, len(value) - 1}:
            yield from places(value[place], (*at, place))


EDGES: list[object] = [
    None, True, 0, -1, 1, 1.5, -0.0, 1e308, -1e308, 5e-324, 2**31, 2**53 + 1, 2**63, 2**64, -(2**63), 10**400,
    "", "x", "$a$ $b$", "\x00", "\u202e", "[red]", "| `a` <b> @me #1", "nan", "9" * 5000, "é" * 300, "../../x",
    [], [[]], {}, {"": None}, [None], {"a": {"b": [1]}},
]  # fmt: skip


@st.composite
def damaged(draw: st.DrawFn) -> dict[str, Any]:
    """Draw a record of which something has another type, lies at an edge, is gone or has another name."""
    content = copy.deepcopy(VICTIM)
    at = draw(st.sampled_from(sorted(places(content), key=str)))
    inside: Any = content
    for key in at[:-1]:
        inside = inside[key]
    whole = inside[at[-1]]
    edge = draw(st.sampled_from(EDGES))
    ways: dict[str, Callable[[], object]] = {"one": lambda: edge}
    if isinstance(whole, list):
        ways |= {"each": lambda: [edge for _ in whole], "mixed": lambda: [edge, *whole[1:]]}
    if isinstance(whole, dict):
        ways |= {"more": lambda: {**whole, draw(st.sampled_from(["", "a b", "$b$", "|`<b>@me", "é" * 300])): edge}}
    inside[at[-1]] = ways[draw(st.sampled_from(sorted(ways)))]()
    if isinstance(inside, dict) and draw(st.integers(0, 9)) == 0:
        del inside[at[-1]]
    return content


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sound records beside which the damaged one lies."""
    folder = tmp_path_factory.mktemp("records") / "results"
    for name in ("base", "finetuned"):
        records.write(folder, content_of(name))
    return folder


def test_the_record_that_is_damaged_is_sound_before(results: Path) -> None:
    write(results, VICTIM)
    sound, left_out = store.read(results)
    assert [record.variant for record in sound] == ["base", "finetuned", "q4"]
    assert left_out == []
    print_everything(results, sound)


@settings(
    max_examples=EXAMPLES, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck)
)
@given(content=damaged())
def test_a_damaged_record_is_read_or_left_out_with_a_reason(results: Path, content: dict[str, Any]) -> None:
    write(results, content)
    sound, left_out = store.read(results)
    listing.stored(results / PLACE)
    for line in map(str, left_out):
        assert line.isprintable()
        assert "q4.r0.json: " in line
    if not left_out:  # one that is left out is as none: that the others are read is shown once for all
        print_everything(results, sound)


def write(results: Path, content: dict[str, Any]) -> None:
    """Write a record where q4's lies, with a seal that fits where it says that it belongs there."""
    stated, placed = (
        json.dumps([one.get(key) for key in ("machine", "commit", "variant", "round")]) for one in (content, VICTIM)
    )
    if stated == placed:
        records.write(results, content)
    else:
        (results / PLACE / "q4.r0.json").write_text(sealed(content), encoding="utf-8")


def print_everything(results: Path, sound: list[Record]) -> None:
    """Make what the commands print and write of these records, but for charts."""
    bench.load(results)
    bench.samples(results)
    selection, left_out = find(results, Wanted())
    assert isinstance(selection, Selection)
    summary = summarize(selection.records)
    advice = advise(summary, chosen([("requirements", "hr-chatbot")], None)[1], "hr-chatbot")
    json.dumps(data_of(advice), allow_nan=False)
    report = contents(selection, summary, advice, findings(selection, summary, left_out))
    for text in (markdown(report, {}), page(report, {}, frozenset()), comma_separated(summary)):
        text.encode()
    others = [record for record in sound if record.variant != "q4"]
    before = [msgspec.structs.replace(others[0], variant="q4"), *others[1:]]
    for sides in ((sound, before), (before, sound)):
        compare_records(*sides, Asked())
    learned(sound, {})
    read_values(results, results.parent / "index")


def fifo(path: Path) -> None:
    os.mkfifo(path)


def link(to: str) -> Callable[[Path], None]:
    return lambda path: path.symlink_to(to)


def text(content: bytes) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        path.write_bytes(content)

    return make


def huge(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(3 * 2**30)  # of which nothing is on the disk


ODD: dict[str, Callable[[Path], None]] = {
    "a pipe": fifo,
    "a folder": Path.mkdir,
    "a link to a device": link("/dev/zero"),
    "a link to nothing": link("nowhere"),
    "a link to itself": link("a link to itself.r0.json"),
    "3 GB": huge,
    "empty": text(b""),
    "binary": text(bytes(range(256)) * 9),
    "nested deeply": text(b"[" * 200_000),
    "nested deeply in what is ignored": text(b'{"schema": 1, "x": ' + b'{"a":' * 5000 + b"1" + b"}" * 5001),
    "keys without end": text(b'"schema": 1,' + b'"variant":"a""round":1"status":"o""sweep":"s""started_at":"t"' * 60),
    "another schema": text(b'{"schema": 9, "sha256": null}'),
    "a number without end": text(b'{"schema": ' + b"9" * 5000 + b"}"),
    "a list": text(b"[1]"),
    "UTF-16": text('{"schema": 1}'.encode("utf-16")),
}


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """Two commits with sound records, and every odd file beside those of the second."""
    root = tmp_path_factory.mktemp("odd")
    shas = repository.make_commits(root, 2)
    for sha in shas:
        for name in ("base", "q4"):
            commit = {"sha": sha, "dirty": False, "tree": "clean"}
            records.write(root / "results", {**content_of(name), "commit": commit})
    folder = root / "results" / records.MACHINE / shas[1][:12]
    for name, make in ODD.items():
        make(folder / f"{name}.r0.json")
    text(b"{}")(Path(os.fsdecode(os.fsencode(folder) + b"/\xff\xfe.r0.json")))
    return root, shas


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (("list",), 1),
        (("list", "--check"), 1),
        (("report", "--format", "md,csv", "requirements=hr-chatbot"), 0),
        (("advise", "requirements=hr-chatbot", "--format", "json"), None),
        (("compare", "BASE", "HEAD", "--format", "json"), 2),
        (("history", "--branch", "main", "--cache", "CACHE", "--format", "csv"), 0),
    ],
    ids=lambda one: " ".join(one[:2]) if isinstance(one, tuple) else "",
)
def test_odd_files_among_the_records_are_named_and_the_others_are_read(
    checkout: tuple[Path, list[str]], capsys: pytest.CaptureFixture[str], command: tuple[str, ...], code: int | None
) -> None:
    root, shas = checkout
    stands_for = {"BASE": shas[0], "HEAD": shas[1], "CACHE": str(root / "cache")}
    typed = [stands_for.get(word, word) for word in command]
    assert main([*typed, "--results", str(root / "results")]) in ((0, 1, 2) if code is None else (code,))
    shown = capsys.readouterr()
    assert "Traceback" not in shown.err
    assert shown.out
    for name in [*ODD, r"\udcff\udcfe"]:
        assert [line for line in shown.err.splitlines() if f"/{name}.r0.json: " in line], name


def test_odd_files_are_left_out_of_the_tables(checkout: tuple[Path, list[str]]) -> None:
    with pytest.warns(UserWarning, match="left out") as warned:
        table = bench.load(checkout[0] / "results")
    assert len([one for one in warned if "left out" in str(one.message)]) == len(ODD) + 1
    assert set(table.variant) == {"base", "q4"}


def test_garbage_is_found_where_odd_files_lie_among_the_records(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "results" / PLACE
    folder.mkdir(parents=True)
    for name in ("a pipe", "a folder", "a link to a device", "binary"):
        ODD[name](folder / f"{name}.r0.json")
    Cache(tmp_path / "empty").create()
    typed = ("gc", "--results", str(tmp_path / "results"), "--cache", str(tmp_path / "empty"))
    assert main([*typed]) == 0, capsys.readouterr().err
