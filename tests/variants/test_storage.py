"""Files: read once, shared where that is safe, written and read without being in memory as a whole."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from pathlib import Path

import pytest

from tests.model_folders import small_folder
from variants.cache import Cache
from variants.errors import UserError
from variants.step import content_sha256
from variants.steps.check_process import main
from variants.steps.source import Source
from variants.storage import checksum, largest_weights, placing
from variants.storage.checksum import HashedFile, sha256_of
from variants.storage.placing import place
from variants.storage.tensors import Stored, stored_in
from variants.weights import gguf_header, safetensors_header


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files whose content was read, at a time when all files of the test have long been written."""
    real, read = checksum.read_sha256, list[Path]()

    def counted(path: Path) -> str:
        read.append(path)
        return real(path)

    now = time.time_ns
    monkeypatch.setattr(checksum, "read_sha256", counted)
    monkeypatch.setattr(checksum, "_known", {})
    monkeypatch.setattr(time, "time_ns", lambda: now() + 10_000_000_000)
    return read


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "weights.safetensors").write_bytes(b"abc")
    return tmp_path / "weights.safetensors"


def test_a_file_that_does_not_change_is_read_once_by_all_processes(
    file: Path, reads: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert sha256_of(file) == sha256_of(file) == hashlib.sha256(b"abc").hexdigest()
    checksum.keep(tmp_path / "kept.json")
    monkeypatch.setattr(checksum, "_known", {})  # as in another process
    checksum.recall(tmp_path / "kept.json")
    assert sha256_of(file) == hashlib.sha256(b"abc").hexdigest()
    assert reads == [file]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kept.json", file.name]


def test_a_file_that_was_written_to_is_read_again_whatever_its_times_say(file: Path, reads: list[Path]) -> None:
    sha256_of(file)
    times = file.stat()
    file.write_bytes(b"xyz")
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert sha256_of(file) == hashlib.sha256(b"xyz").hexdigest()
    assert reads == [file, file]


def test_the_checksum_of_a_file_that_was_just_written_is_not_kept(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second write in the same tick of the clock would leave no trace."""
    monkeypatch.setattr(checksum, "_known", {})
    sha256_of(file)
    assert checksum._known == {}


def test_weights_are_read_once_for_all_plans_of_the_same_content(
    reads: list[Path], tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = shutil.copytree(tiny_model, tmp_path / "model")
    content_sha256(str(model))
    cache = Cache(tmp_path / "cache")
    cache.create()
    (tmp_path / "steps.json").write_text(
        json.dumps({"source": {"_target_": "variants.steps.source.Source", "path": str(model)}})
    )

    def planned() -> int:
        """Check the source as another process would; return how many files of weights were read."""
        files: list[Path] = []

        def counted(file: Path) -> list[Stored]:
            files.append(file)
            return stored_in(file)

        monkeypatch.setattr(largest_weights, "_known", {})
        monkeypatch.setattr(largest_weights, "stored_in", counted)
        assert main(str(tmp_path / "steps.json"), str(model), "cpu", str(cache.root)) == 0
        return len(files)

    assert (planned(), planned()) == (1, 0)
    (model / "model.safetensors").write_bytes((model / "model.safetensors").read_bytes())
    assert planned() == 1


@pytest.mark.parametrize("content", [b"", b"[{}]", b"{", b'[{"device": 1, "look": 2, "sha256": "0"}]'])
def test_a_damaged_file_of_checksums_holds_none(
    content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checksum, "_known", {})
    (tmp_path / "kept.json").write_bytes(content)
    checksum.recall(tmp_path / "kept.json")
    assert checksum._known == {}


def test_what_is_written_block_by_block_is_hashed_as_a_whole(tmp_path: Path) -> None:
    with HashedFile(tmp_path / "file") as file:
        for number in range(1000):
            file.write(bytes([number % 256]) * number)
        digest = file.sha256
    assert digest == hashlib.sha256((tmp_path / "file").read_bytes()).hexdigest()


def test_a_file_that_anyone_may_write_to_is_copied_and_one_that_nobody_may_is_linked(
    file: Path, reads: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(placing, "_ficlone", lambda write, read: False)
    expected = hashlib.sha256(b"abc").hexdigest()
    assert place(file, tmp_path / "copy", may_link=True) == ("copied", expected)
    file.chmod(0o444)
    reads.clear()
    assert sha256_of(file) == expected
    assert place(file, tmp_path / "link", may_link=True) == ("linked", expected)
    assert place(file, tmp_path / "small", may_link=False) == ("copied", expected)
    assert (tmp_path / "link").samefile(file)
    assert not (tmp_path / "copy").samefile(file)
    assert reads == [file]  # neither the link nor its original is read to know the checksum


def test_a_file_is_cloned_where_the_file_system_can(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(placing, "_ficlone", lambda write, read: os.copy_file_range(read, write, 3) == 3)
    assert place(file, tmp_path / "clone", may_link=True) == ("cloned", hashlib.sha256(b"abc").hexdigest())
    assert placing.copied_bytes(file, tmp_path / "cache") == 0


def test_a_file_that_changes_while_it_is_copied_is_refused(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(placing, "_blocks", lambda file: iter([b"ab", b"x"]))
    monkeypatch.setattr(placing, "_ficlone", lambda write, read: False)
    with pytest.raises(UserError, match="it was changed while it was copied"):
        place(file, tmp_path / "copy", may_link=True)


def test_the_plan_counts_only_what_will_be_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(placing, "_ficlone", lambda write, read: False)
    source = Source(str(small_folder(tmp_path / "model")))
    assert source.written_bytes(tmp_path / "cache") == source.expected_bytes(0)
    weights = tmp_path / "model/model.safetensors"
    weights.chmod(0o400)
    assert source.written_bytes(tmp_path / "cache") == source.expected_bytes(0) - weights.stat().st_size


def test_headers_of_files_beyond_50_gb_are_read_without_their_tensors(tmp_path: Path) -> None:
    """The files are holes: they take no disk, and reading them whole would take minutes and all of the memory."""
    import gguf
    import numpy as np

    from variants.storage.tensors import ToWrite, _header, stored_in

    n_rows = 1 << 20
    path = tmp_path / "model.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    for layer in range(3):
        nbytes = 2 * n_rows * 8192
        writer.add_tensor_info(f"blk.{layer}.ffn_up.weight", (n_rows, 8192), np.dtype(np.float16), nbytes)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    writer.close()
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size + 64 + 3 * 2 * n_rows * 8192)
    weights = tmp_path / "model.safetensors"
    header = _header([ToWrite(name, "BF16", (n_rows, 8192), lambda: iter(())) for name in "abc"])
    with weights.open("wb") as file:
        file.write(header)
        file.truncate(len(header) + 3 * 2 * n_rows * 8192)
    for tensors in (gguf_header(path), safetensors_header(weights)):
        assert [tensor.n_elements for tensor in tensors] == 3 * [n_rows * 8192]
    last = stored_in(weights)[2]
    assert last.start == len(header) + 2 * 2 * n_rows * 8192 > 1 << 35
    assert not next(last.rows()).any()
    assert path.stat().st_blocks * 512 < 1 << 20
    with weights.open("r+b") as file:
        file.truncate(len(header) + 2 * 2 * n_rows * 8192)
    with pytest.raises(UserError, match="its header promises another size"):
        safetensors_header(weights)
