"""Step `lora`: fine-tune low-rank adapters on a task's train split (LoRA, Hu et al. 2021, arXiv 2106.09685).

Over an NF4 parent the same step is QLoRA (Dettmers et al. 2023, arXiv 2305.14314).
"""

from __future__ import annotations

import math
import random
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from variants.artifact import Artifact, Kind, StepReport
from variants.configure import NAMES, check_least
from variants.data.rows import QUESTION, TaskRow, read_rows
from variants.errors import UserError
from variants.load import load_model
from variants.model_folder import copy_tokenizer
from variants.paths import resolve
from variants.step import CONTENT, LIBRARY_BYTES, Role
from variants.steps.target_modules import check_targets, linear, refuse, unmatched
from variants.tokenizer.framing import Framing, bare_tokens, framing_of

if TYPE_CHECKING:
    import torch
    from peft import PeftModel
    from transformers import PreTrainedTokenizerBase

IGNORED = -100
"""The label that the loss leaves out (torch.nn.functional.cross_entropy's default)."""
ALL_LINEAR = "all-linear"
Example = dict[str, list[int]]


@dataclass(frozen=True)
class Lora:
    """Train on the right answers of `data`, with rows of `replay` making up `replay_share` of what is seen.

    Replay keeps what the model knew: without it general knowledge is overwritten. Only the answer's tokens carry
    loss. `epochs` counts passes over `data`; `target_modules` is "all-linear" or names, each of at least one module.
    Revision 1 never trains on what a tokenizer appends; for the embedded model its adapters are those of revision 0.
    """

    data: str = field(metadata=CONTENT)
    replay: str | None = field(metadata=CONTENT)
    replay_share: float
    prompt: str
    rank: int
    alpha: int
    dropout: float
    target_modules: str = field(metadata=NAMES)
    learning_rate: float
    schedule: str
    warmup_share: float
    weight_decay: float
    epochs: int
    batch_size: int
    max_length: int
    seed: int

    role: ClassVar[Role] = "finetune"
    takes: ClassVar[tuple[Kind | None, ...]] = ("hf", "nf4")
    gives: ClassVar[Kind] = "adapter"
    tools: ClassVar[tuple[str, ...]] = ("torch", "transformers", "peft", "accelerate", "bitsandbytes")
    on_device: ClassVar[bool] = True
    revision: ClassVar[int] = 1
    expected_cost: ClassVar[float] = 25.0

    def __post_init__(self) -> None:
        check_least(self, rank=1, alpha=1, epochs=1, batch_size=1, max_length=1, weight_decay=0)
        for name in ("replay_share", "dropout", "warmup_share"):
            if not 0 <= getattr(self, name) < 1:
                raise UserError(f"{name}: got {getattr(self, name)}, allowed: 0 up to, but not, 1")
        if not 0 < self.learning_rate < 1:
            raise UserError(f"learning_rate: got {self.learning_rate}, allowed: above 0 and below 1")
        if self.schedule not in SCHEDULES:
            raise UserError(f"schedule: got {self.schedule!r}, allowed: {', '.join(SCHEDULES)}")
        if QUESTION not in self.prompt:
            raise UserError(f"prompt: got {self.prompt!r}, allowed: a text with {{question}} in it")
        names = self._targets()
        if not all(names) or (ALL_LINEAR in names and len(names) > 1):
            allowed = f"{ALL_LINEAR}, or names of modules, as a list or with commas between"
            raise UserError(f"target_modules: got {self.target_modules!r}, allowed: {allowed}")
        if self.replay_share and not self.replay:
            raise UserError(f"replay: got none, but replay_share is {self.replay_share}; name a file or set 0")
        for path in (self.data, self.replay):
            if path:
                read_rows(resolve(path))

    def check(self, model: Path, device: str) -> None:
        """Raise UserError for a name of `target_modules` that is no linear module of the model in this folder."""
        if self._targets() != [ALL_LINEAR]:
            check_targets(self._targets(), model)

    def texts(self) -> list[Path]:
        """List the files that are trained on."""
        return [resolve(name) for name in (self.data, self.replay if self.replay_share else None) if name]

    def _targets(self) -> list[str]:
        return [name.strip() for name in self.target_modules.split(",")]

    def run(self, parent: Artifact | None, out: Path, device: str) -> StepReport:
        """Train and save adapter and tokenizer. Raises UserError for a broken row or one longer than `max_length`."""
        import torch
        from transformers import AutoTokenizer, set_seed

        assert parent is not None
        tokenizer = AutoTokenizer.from_pretrained(parent.path, trust_remote_code=False)
        examples = self.examples(tokenizer)
        set_seed(self.seed)
        model = self._adapted(parent, device)
        started = time.monotonic()
        losses = self._train(model, tokenizer, examples, device)
        seconds = time.monotonic() - started
        if not all(map(math.isfinite, losses)):
            raise RuntimeError(f"training diverged, its losses are {losses}; lower learning_rate")
        # Where the parent lies is no part of the adapter, and would make its bytes differ between machines.
        model.peft_config["default"].base_model_name_or_path = parent.fingerprint
        model.save_pretrained(str(out), save_embedding_layers=False)
        (out / "README.md").unlink(missing_ok=True)
        copy_tokenizer(parent.path, out)
        trainable = sum(p.numel() for p in model.parameters() if p.requires_grad)
        return StepReport(
            notes={
                "train_loss_first": losses[0],
                "train_loss_last": losses[-1],
                "train_examples": len(examples),
                "train_tokens": sum(len(example["input_ids"]) for example in examples),
                "train_seconds": round(seconds, 1),
                "trainable_parameters": trainable,
                "trained_over": parent.kind,
                "train_dtype": "bfloat16" if device == "cuda" else "float32",
                "threads": torch.get_num_threads(),
            }
        )

    def expected_bytes(self, n_parameters: int) -> int:
        """Return about the bytes of 32-bit adapters on all linear layers of a Llama of this size.

        With hidden size h and h / 128 layers of 12 h² weights, the layers' widths in and out add up to 19 h each.
        """
        hidden = (n_parameters * 128 / 12) ** (1 / 3)
        return int(4 * self.rank * 19 * hidden * hidden / 128)

    def expected_memory_bytes(self, n_parameters: int, device: str = "cpu") -> int:
        """Return the memory of the weights in 32 bits, of adapters, gradients and moments; a card has them itself."""
        if device == "cuda":
            return 2 * LIBRARY_BYTES + self.expected_bytes(n_parameters)
        return 2 * LIBRARY_BYTES + 4 * n_parameters + 4 * self.expected_bytes(n_parameters)

    def examples(self, tokenizer: PreTrainedTokenizerBase) -> list[Example]:
        """Return what training sees: `epochs` times all rows, each time with a fresh draw of replay rows."""
        data = self._encoded(self.data, tokenizer)
        replay = self._encoded(self.replay, tokenizer) if self.replay and self.replay_share else []
        rng = random.Random(self.seed)
        wanted = round(self.epochs * len(data) * self.replay_share / (1 - self.replay_share)) if replay else 0
        drawn: list[Example] = []
        while len(drawn) < wanted:
            drawn += rng.sample(replay, min(len(replay), wanted - len(drawn)))
        return data * self.epochs + drawn

    def _encoded(self, name: str, tokenizer: PreTrainedTokenizerBase) -> list[Example]:
        path, framing = resolve(name), framing_of(tokenizer)
        return [self._example(row, tokenizer, framing, f"{path}: row {n}") for n, row in enumerate(read_rows(path), 1)]

    def _example(self, row: TaskRow, tokenizer: PreTrainedTokenizerBase, framing: Framing, where: str) -> Example:
        prompt = row.asked(self.prompt)
        whole = f"{prompt} {row.choices[row.answer]}"
        context = framing.framed(prompt, bare_tokens(tokenizer, prompt))
        ids = framing.ended(framing.framed(whole, bare_tokens(tokenizer, whole)))
        if len(ids) > self.max_length:
            raise UserError(
                f"{where}: {len(ids)} tokens, max_length is {self.max_length}; shorten it or raise max_length"
            )
        return {"input_ids": ids, "labels": [IGNORED] * len(context) + ids[len(context) :]}

    def _adapted(self, parent: Artifact, device: str) -> PeftModel:
        from peft import LoraConfig, get_peft_model, prepare_model_for_kbit_training

        model = load_model(parent.path, "bfloat16" if device == "cuda" else "float32", device)
        if parent.kind == "nf4":
            model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)  # type: ignore[no-untyped-call]
        names = self._targets()
        if names != [ALL_LINEAR]:
            modules = linear(model.named_modules())
            refuse(unmatched(names, modules), modules)
        config = LoraConfig(
            task_type="CAUSAL_LM",
            r=self.rank,
            lora_alpha=self.alpha,
            lora_dropout=self.dropout,
            target_modules=ALL_LINEAR if names == [ALL_LINEAR] else names,
        )
        try:
            return get_peft_model(model, config)
        except ValueError as error:
            raise UserError(f"target_modules: got {self.target_modules!r}: {str(error).splitlines()[0]}") from None

    def _train(
        self, model: PeftModel, tokenizer: PreTrainedTokenizerBase, examples: list[Example], device: str
    ) -> list[float]:
        """Run the Trainer and return the logged losses, about twenty of them."""
        from transformers import Trainer, TrainingArguments

        steps = -(-len(examples) // self.batch_size)
        with tempfile.TemporaryDirectory() as scratch:
            arguments = TrainingArguments(
                output_dir=scratch,
                per_device_train_batch_size=self.batch_size,
                num_train_epochs=1,
                learning_rate=self.learning_rate,
                lr_scheduler_type=self.schedule,
                warmup_steps=int(self.warmup_share * steps),
                weight_decay=self.weight_decay,
                train_sampling_strategy="group_by_length",
                logging_steps=max(1, steps // 20),
                save_strategy="no",
                report_to="none",
                disable_tqdm=True,
                dataloader_pin_memory=False,
                use_cpu=device == "cpu",
                bf16=device == "cuda",
                seed=self.seed,
            )
            collate = pad(tokenizer.eos_token_id or 0)  # no attention is paid to them
            trainer = Trainer(model=model, args=arguments, train_dataset=examples, data_collator=collate)
            trainer.train()
        return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


SCHEDULES = ("constant", "constant_with_warmup", "linear", "cosine")


def pad(filler: int) -> Callable[[list[Example]], dict[str, torch.Tensor]]:
    """Return a collator to tensors [batch, longest]: ids filled with `filler`, labels with IGNORED."""
    import torch

    def collate(batch: list[Example]) -> dict[str, torch.Tensor]:
        longest = max(len(example["input_ids"]) for example in batch)

        def stack(key: str, value: int) -> torch.Tensor:
            return torch.tensor([e[key] + [value] * (longest - len(e[key])) for e in batch])

        ids = stack("input_ids", filler)
        lengths = torch.tensor([[len(example["input_ids"])] for example in batch])
        mask = (torch.arange(longest)[None] < lengths).long()
        return {"input_ids": ids, "attention_mask": mask, "labels": stack("labels", IGNORED)}

    return collate
