"""Model folders that a stranger made: their code does not run, and odd files are one line."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from bench.cli import main
from tests.conftest import bare
from tests.model_folders import INDEX, complaint, small_folder, weights
from variants.child import start
from variants.errors import UserError
from variants.model_folder import model_files
from variants.safety.converter import LAUNCHER
from variants.steps.gguf import Gguf


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return small_folder(tmp_path / "model")


CODE: list[tuple[str, dict[str, object]]] = [
    ("config.json", {"auto_map": {"AutoConfig": "configuration.Evil"}}),
    ("config.json", {"text_config": {"auto_map": {"AutoModelForCausalLM": "stranger/repository--modeling.Evil"}}}),
    ("config.json", {"custom_pipelines": {"text-generation": {"impl": "pipeline.Evil"}}}),
    ("config.json", {"attn_implementation": "stranger/kernel"}),
    ("config.json", {"_attn_implementation": {"": "sdpa", "text_config": "stranger/kernel"}}),
    ("config.json", {"experts_implementation": "stranger/kernel@main:moe"}),
    ("config.json", {"layers": [{"module": "modeling.py"}]}),
    ("tokenizer_config.json", {"auto_map": ["tokenization.Evil", None]}),
    ("tokenizer_config.json", {"auto_map": {"AutoTokenizer": ["tokenization.Evil", None]}}),
    ("generation_config.json", {"custom_generate": "stranger/repository"}),
    ("preprocessor_config.json", {"auto_map": {"AutoImageProcessor": "processing.Evil"}}),
    ("processor_config.json", {"auto_map": {"AutoProcessor": "processing.Evil"}}),
]


@pytest.mark.parametrize(("file", "content"), CODE)
def test_a_configuration_that_names_code_is_refused(folder: Path, file: str, content: dict[str, object]) -> None:
    (folder / file).write_text(json.dumps(content))
    assert f"{file}: " in complaint(folder)
    assert "no code of a model is ever run" in complaint(folder)


def test_code_for_generation_is_refused(folder: Path) -> None:
    (folder / "custom_generate").mkdir()
    (folder / "custom_generate" / "generate.py").write_text("")
    assert "custom_generate/generate.py is code" in complaint(folder)


def test_words_of_ordinary_configurations_name_no_code(folder: Path) -> None:
    ordinary = {"auto_map": {}, "attn_implementation": "sdpa", "_name_or_path": "owner/model", "chat_template": "a/b"}
    (folder / "config.json").write_text(json.dumps(ordinary))
    assert "config.json" in [file.name for file in model_files(folder)]


def evil(folder: Path, marker: Path) -> None:
    """Make the model one for which the converter opens the tokenizer with trust_remote_code=True."""
    config = {"architectures": ["QWenLMHeadModel"], "model_type": "qwen", "hidden_size": 2, "vocab_size": 8}
    config |= {"num_hidden_layers": 1, "num_attention_heads": 1, "auto_map": {"AutoConfig": "code.Config"}}
    (folder / "config.json").write_text(json.dumps(config))
    tokenizer = {"tokenizer_class": "Evil", "auto_map": {"AutoTokenizer": ["code.Tokenizer", None]}}
    (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer))
    weights(folder / "model.safetensors", "transformer.ln_f.weight")
    (folder / "code.py").write_text(f"open({str(marker)!r}, 'w').close()\n")


@pytest.mark.parametrize("variant", ["base", "base-torch"])
def test_code_of_a_model_does_not_run_in_any_runtime(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], variant: str
) -> None:
    evil(folder, tmp_path / "marker")
    places = [f"results_dir={tmp_path / 'results'}", f"cache_dir={tmp_path / 'cache'}"]
    assert main(["run", "suite=smoke", f"variant={variant}", f"model={folder}", *places]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "auto_map names code" in error
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model"]


def test_code_of_a_model_does_not_run_in_the_converter_that_trusts_it(
    folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The plan's check is left out: the step gets the folder as it is."""
    evil(folder, tmp_path / "marker")
    parent = replace(bare(folder, "hf"), n_parameters=1)
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(UserError) as refused:
        Gguf("f16").run(parent, out, "cpu")
    assert "QWenLMHeadModel" in str(refused.value)
    assert "no code of a model is ever run" in str(refused.value)
    assert "base-torch" in str(refused.value)
    assert "Traceback" in capfd.readouterr().err  # the whole message stands in the log
    assert not (tmp_path / "marker").exists()


def _directory(path: Path) -> None:
    path.mkdir()


def _dangling(path: Path) -> None:
    path.symlink_to("no\nwhere")


def _circle(path: Path) -> None:
    path.symlink_to(path.name)


def _device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def _socket(path: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # the name of a socket has at most 107 bytes
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(path.name)
    os.chdir(here)


@pytest.mark.parametrize("make_odd", [_directory, _dangling, _circle, _device, _socket, os.mkfifo])
@pytest.mark.parametrize("name", ["model.safetensors", INDEX, "config.json", "tokenizer.json", "merges.txt"])
def test_what_is_no_file_is_named_and_never_opened(folder: Path, name: str, make_odd: Callable[[Path], None]) -> None:
    (folder / name).unlink(missing_ok=True)
    make_odd(folder / name)
    assert f"{name}: " in complaint(folder)


def test_a_header_that_cannot_be_is_refused_before_it_is_read(folder: Path) -> None:
    file = folder / "model.safetensors"
    for header_bytes, size_bytes in ((8 << 30, 9 << 30), (2**64 - 1, 1000), (993, 1000), (200 << 20, 300 << 20)):
        file.write_bytes(header_bytes.to_bytes(8, "little"))
        os.truncate(file, size_bytes)
        assert "not a safetensors file or cut short" in complaint(folder)


@pytest.mark.parametrize(
    "index",
    [
        *([], {}, None, 1, "x", {"weight_map": None}, {"weight_map": []}, {"weight_map": {}}),
        *({"weight_map": {"a": shard}} for shard in (None, 1, "", ".", "..", "model.safetensors/", "a.bin")),
        *({"weight_map": {"a": ["model.safetensors"]}}, {"weight_map": {"a": {}}}),
        {"weight_map": {"a": "../model/model.safetensors"}},
        {"weight_map": {"a": "/etc/passwd"}},
        {"weight_map": {"a": "a\nb.safetensors"}},
        {"weight_map": {"a": "sub/model.safetensors"}},
    ],
)
def test_an_index_that_is_none(folder: Path, index: object) -> None:
    (folder / INDEX).write_text(json.dumps(index))
    assert INDEX in complaint(folder)


def test_the_converter_gets_no_network_no_input_and_nothing_of_the_shell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_OF_THE_SHELL", "1")
    with socket.create_server(("127.0.0.1", 0)) as server:
        reach = f"socket.create_connection({server.getsockname()!r})"
        (tmp_path / "script.py").write_text(
            "import os, socket, sys\n"
            "assert not sys.stdin.read() and 'SECRET_OF_THE_SHELL' not in os.environ and os.environ['HF_HUB_OFFLINE']\n"
            + reach
        )
        command = [sys.executable, str(LAUNCHER), str(tmp_path / "script.py")]
        done = subprocess.run(command, stderr=subprocess.PIPE, text=True, **start(offline=True))
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "PermissionError: the converter needs no network, and gets none"


DEEP = b'{"auto_map": ' + b"[" * 900 + b"]" * 900 + b', "weight_map": 1}'


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"null", b"\xff\xfe\x00", b"[" * 100_000, b'{"a": ', b'"auto_map"', DEEP]
)
@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json", INDEX])
def test_a_configuration_that_is_no_object(folder: Path, name: str, content: bytes) -> None:
    (folder / name).write_bytes(content)
    assert f"{name}: " in complaint(folder)


def test_a_configuration_of_a_gigabyte_is_not_read(folder: Path) -> None:
    os.truncate(folder / "config.json", 1 << 30)
    assert "config.json: 1,073,741,824 bytes, allowed: up to" in complaint(folder)
