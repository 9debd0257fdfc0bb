"""Tokenizers are opened without torch, and torch is there all the same for whoever imports it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from variants.paths import ROOT

OPENED = """
import importlib.util, json, sys
from variants.tokenizer.without_torch import tokenizers_without_torch
tokenizers_without_torch()
from transformers import AutoTokenizer
tokenizer = AutoTokenizer.from_pretrained(sys.argv[1], trust_remote_code=False)
template = "{% for m in messages %}[{{ m.role }}] {{ m.content }}{% endfor %}"
text = tokenizer.apply_chat_template([{"role": "user", "content": "Hi"}], chat_template=template, tokenize=False)
is_there = importlib.util.find_spec("torch") is not None
print(json.dumps([tokenizer("The tide turns.").input_ids, text, "torch" in sys.modules, is_there]))
"""


def test_a_process_that_opens_tokenizers_alone_reads_the_same_tokens_and_imports_no_torch(tiny_model: Path) -> None:
    from transformers import AutoTokenizer

    command = [sys.executable, "-c", OPENED, str(tiny_model)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    tokens, text, has_torch, is_there = json.loads(done.stdout)
    assert tokens == AutoTokenizer.from_pretrained(tiny_model)("The tide turns.").input_ids
    assert text == "[user] Hi"
    assert not has_torch
    assert is_there
    assert "PyTorch" not in done.stderr
