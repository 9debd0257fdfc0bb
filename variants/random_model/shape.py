"""The shape of a model: what its size and its speed depend on, whatever its weights are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

from variants.errors import UserError

LEAST_VOCABULARY = 2048
"""The tokens of the embedded model's tokenizer, which every random model gets."""
BYTES = 2
"""Weights are made in bfloat16, as most published models are."""


@dataclass(frozen=True)
class Shape:
    """A decoder of Llama's architecture; `like` names the published model whose numbers these are.

    `context` is the most tokens it takes, `seed` what the weights are drawn from. `tied` says that the output layer is
    the embedding table.
    """

    like: str
    layers: int
    hidden: int
    heads: int
    kv_heads: int
    ffn: int
    vocabulary: int
    tied: bool
    context: int
    rope_theta: float
    seed: int

    def __post_init__(self) -> None:
        for name in ("layers", "hidden", "heads", "kv_heads", "ffn", "context"):
            if getattr(self, name) < 1:
                raise UserError(f"model.shape.{name}: got {getattr(self, name)}, allowed: 1 and more")
        if self.seed < 0:
            raise UserError(f"model.shape.seed: got {self.seed}, allowed: 0 and more")
        if self.hidden % (2 * self.heads):
            raise UserError(
                f"model.shape.heads: got {self.heads}, allowed: a number that divides hidden ({self.hidden}) into even "
                "parts"
            )
        if self.heads % self.kv_heads:
            raise UserError(f"model.shape.kv_heads: got {self.kv_heads}, allowed: a divisor of heads ({self.heads})")
        if self.vocabulary < LEAST_VOCABULARY:
            raise UserError(
                f"model.shape.vocabulary: got {self.vocabulary}, allowed: {LEAST_VOCABULARY} and more, the tokens of "
                "the embedded tokenizer"
            )

    @property
    def tensors(self) -> Iterator[tuple[str, tuple[int, ...]]]:
        """Yield the name and the shape of every tensor, as transformers names them."""
        head = self.hidden // self.heads
        kv = self.kv_heads * head
        yield "model.embed_tokens.weight", (self.vocabulary, self.hidden)
        for layer in range(self.layers):
            at = f"model.layers.{layer}"
            yield f"{at}.input_layernorm.weight", (self.hidden,)
            yield f"{at}.self_attn.q_proj.weight", (self.hidden, self.hidden)
            yield f"{at}.self_attn.k_proj.weight", (kv, self.hidden)
            yield f"{at}.self_attn.v_proj.weight", (kv, self.hidden)
            yield f"{at}.self_attn.o_proj.weight", (self.hidden, self.hidden)
            yield f"{at}.post_attention_layernorm.weight", (self.hidden,)
            yield f"{at}.mlp.gate_proj.weight", (self.ffn, self.hidden)
            yield f"{at}.mlp.up_proj.weight", (self.ffn, self.hidden)
            yield f"{at}.mlp.down_proj.weight", (self.hidden, self.ffn)
        yield "model.norm.weight", (self.hidden,)
        if not self.tied:
            yield "lm_head.weight", (self.vocabulary, self.hidden)

    @property
    def n_parameters(self) -> int:
        """Return the number of weights."""
        return sum(prod(shape) for _, shape in self.tensors)

    @property
    def n_bytes(self) -> int:
        """Return the bytes of the weights as they are made."""
        return BYTES * self.n_parameters

    def config(self) -> dict[str, object]:
        """Return config.json, as transformers and llama.cpp's converter read it."""
        return {
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "dtype": "bfloat16",
            "torch_dtype": "bfloat16",
            "hidden_act": "silu",
            "hidden_size": self.hidden,
            "intermediate_size": self.ffn,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "num_key_value_heads": self.kv_heads,
            "head_dim": self.hidden // self.heads,
            "vocab_size": self.vocabulary,
            "max_position_embeddings": self.context,
            "rope_parameters": {"rope_theta": self.rope_theta, "rope_type": "default"},
            "rope_theta": self.rope_theta,
            "rms_norm_eps": 1e-5,
            "attention_bias": False,
            "mlp_bias": False,
            "tie_word_embeddings": self.tied,
            "bos_token_id": 1,
            "eos_token_id": 2,
        }
