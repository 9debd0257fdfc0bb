"""What a sweep does where its places let it down: a damaged cache, a full one, results that are taken or full."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from bench.cli import main
from bench.commands.run import conclude
from bench.machine.hardware import versions
from bench.records.file import write
from bench.records.store import read
from bench.selftest import records
from bench.selftest.kills import small_disk
from bench.sweep.child import _forward
from bench.sweep.jobs import BuildJob, ChildError, Result
from bench.sweep.plan.cell import make_cell
from bench.sweep.plan.compose import compose
from bench.sweep.plan.request import parse
from bench.sweep.worker import _hand_over
from tests.conftest import make
from tests.records.conftest import typed
from tests.sweep.conftest import arguments
from variants.cache import Cache

Capture = pytest.CaptureFixture[str]
Catalogue = dict[str, dict[str, object]]


def test_a_damaged_artifact_is_built_again_and_the_run_and_the_record_say_so(
    tiny_model: Path, tmp_path: Path, cache: Path, catalogue: Catalogue, capsys: Capture
) -> None:
    gguf = make(cache, catalogue, ["source", "gguf"])
    own = Cache(tmp_path / "cache")
    for artifact in gguf.lineage():
        shutil.copytree(artifact.path, own.artifact(artifact.fingerprint))
    with own.artifact(gguf.fingerprint).joinpath(gguf.gguf().name).open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"!")
    typed_in = arguments(tiny_model, tmp_path / "results", own.root, "variant=base")
    assert main(typed_in) == 0
    assert "step gguf: damaged in the cache" in " ".join(capsys.readouterr().out.split())
    (record,), left_out = read(tmp_path / "results")
    assert left_out == []
    assert record.warnings[0].startswith("step gguf: damaged in the cache, and built again: ")
    assert record.lineage[-1].sha256 == {file.name: file.sha256 for file in gguf.files}
    own.artifact(gguf.fingerprint).joinpath("artifact.json").write_text("{}")
    assert main(typed_in) == 0  # a finished cell needs no artifact
    assert own.artifact(gguf.fingerprint).joinpath("artifact.json").read_text() == "{}"
    capsys.readouterr()
    assert main([*typed_in, "--verify"]) == 0
    assert "step gguf: damaged in the cache" in " ".join(capsys.readouterr().out.split())


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system of 200 kB."""
    folder = tmp_path / "small"
    with small_disk(folder, 200_000) as enlarge:
        if enlarge is None:
            pytest.skip("this process may not mount a file system")
        yield folder


def test_a_cache_that_fills_up_is_named_in_one_line(
    tiny_model: Path, tmp_path: Path, small: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.sweep.plan.grid.check_disk", lambda *_: None)  # as if another had filled it since
    assert main(arguments(tiny_model, tmp_path / "results", small, "variant=base")) == 1
    full = f"cache_dir={small}: no space left on its disk; free some, or choose another cache_dir=…"
    assert full in " ".join(capsys.readouterr().out.split())
    (record,), _ = read(tmp_path / "results")
    assert record.error is not None
    assert (record.error.message, record.error.traceback) == (full, "")
    assert list((small / "artifacts").glob(".*")) == []


def test_another_cells_record_under_its_name_is_no_success_of_a_cell(
    tiny_model: Path, tmp_path: Path, capsys: Capture
) -> None:
    typed_in = arguments(tiny_model, tmp_path / "results", tmp_path / "cache", "variant=base")
    cell = make_cell(compose(parse(typed_in[1:]), "base", 0))
    other = msgspec.structs.replace(typed(records.record("base")), cell="another")
    write(other, cell.record_path)
    assert conclude([cell], [cell.stored()]) == 1
    printed = capsys.readouterr().out
    assert "no record" in printed
    assert "again" not in printed  # no command reproduces it


def test_a_result_that_finds_no_room_reaches_the_sweep_all_the_same(tmp_path: Path, capsys: Capture) -> None:
    job = BuildJob("q4", {}, "f" * 64, None, "cpu", str(tmp_path), str(tmp_path / "gone" / "out.json"))
    result = Result(measures={"size": msgspec.Raw(b'{"size_bytes":1}')}, error=ChildError("UserError", "full"))
    _hand_over(job, result)
    assert _forward(capsys.readouterr().out, lambda *_: None) == result
    for line in ("result of a library", "result {}x", "[1,2]", "null", "a text"):
        assert _forward(line, lambda *_: None) is None


@pytest.mark.parametrize(
    ("measured", "of"),
    [("source", "other weights"), ("last", "another artifact of these steps"), ("cell", "other settings or data")],
)
def test_a_name_that_another_ok_record_has_is_refused_before_anything_is_built(
    tiny_model: Path, tmp_path: Path, capsys: Capture, measured: str, of: str
) -> None:
    typed_in = arguments(tiny_model, tmp_path / "results", tmp_path / "cache", "variant=base")
    cell = make_cell(compose(parse(typed_in[1:]), "base", 0))
    made = typed(records.record("base"))
    prints = [planned.fingerprint for planned in cell.chain]
    if measured != "cell":
        prints[0 if measured == "source" else -1] = "0" * 64
    lineage = tuple(
        msgspec.structs.replace(made.lineage[-1], fingerprint=one, step=planned.name)
        for one, planned in zip(prints, cell.chain, strict=True)
    )
    other = msgspec.structs.replace(
        made,
        cell="another",
        lineage=lineage,
        artifact=msgspec.structs.replace(made.artifact, fingerprint=prints[-1]),  # type: ignore[type-var]
        versions=versions(),
    )
    write(other, cell.record_path)
    before = cell.record_path.read_bytes()
    assert main(typed_in) == 2
    line = capsys.readouterr().err
    assert f"an ok record of {of} has this name, and is never replaced; model.name=NAME gives " in line
    assert line.count("\n") == 1
    assert cell.record_path.read_bytes() == before
    assert not (tmp_path / "cache" / "artifacts").exists()
    renamed = make_cell(compose(parse([*typed_in[1:], "model.name=another"]), "base", 0))
    assert renamed.stored() is None
