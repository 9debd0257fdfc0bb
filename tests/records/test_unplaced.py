"""Records are written once: an `ok` one is never replaced, and one without room waits in the cache."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
from collections.abc import Callable, Iterator
from multiprocessing.synchronize import Barrier
from pathlib import Path

import msgspec
import pytest

from bench import files
from bench.records import unplaced
from bench.records.file import put, read, text_of, write
from bench.records.types import Record
from bench.selftest import records
from bench.selftest.kills import small_disk
from tests.records.conftest import typed
from variants.errors import UserError


def record(cell: str, status: str = "ok") -> Record:
    made = typed(records.record("q4")) if status == "ok" else typed(records.failed("q4", 0))
    return msgspec.structs.replace(made, cell=cell)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "results" / "machine" / "commit" / "q4.r0.json"


@pytest.mark.parametrize("status", ["ok", "failed"])
@pytest.mark.parametrize("cell", ["same", "another"])
def test_an_ok_record_is_never_replaced(place: Path, cell: str, status: str) -> None:
    write(record("same"), place)
    before = place.read_bytes()
    with pytest.raises(FileExistsError, match="never replaced"):
        write(record(cell, status), place)
    assert place.read_bytes() == before


def test_a_failed_record_makes_room_for_what_comes_after_it(place: Path) -> None:
    for status, cell in (("failed", "one"), ("failed", "two"), ("ok", "three")):
        assert write(record(cell, status), place) is None
        stored = read(place)
        assert stored is not None
        assert (stored.status, stored.cell) == (status, cell)
    assert [path.name for path in place.parent.iterdir()] == ["q4.r0.json"]


def cut(place: Path) -> None:
    place.write_text(text_of(record("one"))[:-20])


def leave_the_seal_out(place: Path) -> None:
    place.write_text("{\n" + text_of(record("one")).split("\n", 2)[2])


def link_to_nothing(place: Path) -> None:
    place.symlink_to("nothing")


@pytest.mark.parametrize("odd", [cut, leave_the_seal_out, Path.mkdir, os.mkfifo, link_to_nothing])
def test_what_is_no_sound_record_is_set_aside_and_not_lost(place: Path, odd: Callable[[Path], None]) -> None:
    place.parent.mkdir(parents=True)
    odd(place)
    before = place.lstat()
    aside = write(record("two"), place)
    assert aside == place.with_name("q4.r0.json.unsound")
    assert (aside.lstat().st_ino, aside.lstat().st_mode) == (before.st_ino, before.st_mode)
    cut(place)
    assert write(record("two"), place) == place.with_name("q4.r0.json.unsound1")
    assert read(place) == record("two")


def _put(text: str, path: Path, started: Barrier, won: multiprocessing.Queue[bool]) -> None:
    started.wait()
    try:
        put(text, path)
    except FileExistsError:
        won.put(False)
    else:
        won.put(True)


@pytest.mark.parametrize("before", ["nothing", "a failed record"])
def test_of_writers_that_come_together_one_wins_and_the_others_are_told(place: Path, before: str) -> None:
    place.parent.mkdir(parents=True)
    if before != "nothing":
        write(record("old", "failed"), place)
    context = multiprocessing.get_context("fork")
    started, won = context.Barrier(4), context.Queue()
    texts = [text_of(record(f"cell {number}")) for number in range(4)]
    children = [context.Process(target=_put, args=(text, place, started, won)) for text in texts]
    for child in children:
        child.start()
    outcomes = [won.get() for _ in children]
    for child in children:
        child.join()
    assert sorted(outcomes) == [False, False, False, True]
    assert place.read_text() in texts
    assert len(list(place.parent.iterdir())) == 1


@pytest.fixture
def full(tmp_path: Path) -> Iterator[Path]:
    """A file system of one page as the results, filled."""
    folder = tmp_path / "results"
    with small_disk(folder, 4096) as enlarge:
        if enlarge is None:
            pytest.skip("this process may not mount a file system")
        (folder / "full").write_bytes(bytes(4096))
        yield folder


def test_a_record_without_room_waits_in_the_cache_and_moves_when_there_is_room(full: Path, tmp_path: Path) -> None:
    cache, name = tmp_path / "cache", Path("machine", "commit", "q4.r0.json")
    mine = record("mine")
    note = unplaced.write(mine, full / name, cache / name)
    assert note.startswith(f"{full / name}: the record cannot be written (No space left on device); it is kept as ")
    assert not (full / name).exists()
    kept = (cache / name).read_bytes()
    moved, stay = unplaced.move(cache, full)
    assert (moved, len(stay)) == ([], 1)
    assert "No space left on device" in stay[0]
    assert (cache / name).read_bytes() == kept
    subprocess.run(["mount", "-o", "remount,size=1m", str(full)], check=True)
    assert unplaced.move(cache, full) == ([full / name], [])
    assert (full / name).read_bytes() == kept
    assert not (cache / name).exists()
    assert files.leftovers(full / "machine" / "commit") == []


def test_a_record_that_has_room_nowhere_is_an_error_of_one_line(full: Path) -> None:
    name = Path("machine", "commit", "q4.r0.json")
    with pytest.raises(UserError, match=r"cannot be written \(No space left .*, nor can .* make room and run again"):
        unplaced.write(record("mine"), full / name, full / "cache" / name)


@pytest.mark.parametrize(("cell", "kept"), [("mine", False), ("another", True)])
def test_a_record_that_comes_second_is_needless_or_waits(place: Path, tmp_path: Path, cell: str, kept: bool) -> None:
    """Two sweeps may measure one cell, from two caches: the first record stays."""
    write(record("mine"), place)
    before, waiting = place.read_bytes(), tmp_path / "cache" / "machine" / "commit" / place.name
    note = unplaced.write(record(cell), place, waiting)
    assert (waiting.exists(), bool(note)) == (kept, kept)
    moved, stay = unplaced.move(tmp_path / "cache", tmp_path / "results")
    assert (moved, len(stay)) == ([], int(kept))
    assert place.read_bytes() == before


def test_what_a_killed_write_left_goes_and_what_is_being_written_stays(tmp_path: Path) -> None:
    left = tmp_path / ".q4.r0.json.abcd1234.tmp"
    left.write_text("half")
    (tmp_path / ".notes.markdown").write_text("mine")
    (tmp_path / ".q4.tmp").write_text("mine")
    with files._written(tmp_path / "q4.r1.json", "text", durable=True) as writing:
        assert files.remove_leftovers(tmp_path) == [left]
        assert writing.exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == [".notes.markdown", ".q4.tmp"]
