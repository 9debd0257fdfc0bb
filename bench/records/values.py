"""The raw values of each measure, as a record keeps them: no averages, no percentiles.

A value that is None was not measured; None in a column is a number that was not finite. All columns of a
measure have the same length, and none is empty.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

from msgspec import Meta, Struct

# The bounds lie far beyond what anything measures. Within them no sum, ratio or square leaves the range of floats, and
# no count that of whole numbers in JSON.
LARGEST = 1e15
Whole = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
Count = Annotated[int, Meta(ge=0, le=2**53)]
Bytes = Annotated[int, Meta(ge=1, le=2**53)]
Positive = Annotated[float, Meta(ge=1e-9, le=LARGEST)]
Seconds = Annotated[float, Meta(ge=0, le=1e12)]
Milliseconds = Annotated[float, Meta(ge=1e-6, le=1e12)]
Nats = Annotated[float, Meta(ge=-1e12, le=1e12)]
Weight = Annotated[float, Meta(ge=0, le=LARGEST)]
Watts = Weight
Degrees = Annotated[int, Meta(ge=-273, le=10_000)]
Choice = Annotated[int, Meta(ge=-100, le=1_000_000)]
"""The number of a choice, from 0; lm-eval writes -100 for an answer that is none of them."""
Name = Annotated[str, Meta(min_length=1, max_length=255)]
"""A name no longer than that of a file may be."""
UNTRAINED = "not measured (random weights)"
"""What stands in place of a score of weights that have learned nothing."""
if TYPE_CHECKING:
    Fields = dict[str, Any]
else:
    Scalar = bool | Whole | float | str | None
    Level3 = Scalar | list[Scalar] | dict[str, Scalar]
    Level2 = Scalar | list[Level3] | dict[str, Level3]
    Level1 = Scalar | list[Level2] | dict[str, Level2]
    Fields = dict[str, Level1]
"""What a configuration or a library states; the keys depend on the step, the measure, the runtime or the engine.

It is nested as deeply as any of them nests it: what is nested without end would stop whatever prints it.
"""
Marks = Annotated[str, Meta(pattern="^[01]*$")]
"""A text of 0 and 1, one per token."""
LATENCIES = ("ttft_ms", "tpot_ms", "e2e_ms")


class Size(Struct, frozen=True):
    """Bytes on disk of all that serving needs; `tensor_types` counts the tensors stored in each type.

    `read_bytes` are those of the weights that one token reads, `kv_values` how many numbers of the cache are read for
    each token before it; both are None where they are not known, and in older records.
    """

    size_bytes: Bytes | None = None
    weight_bytes: Bytes | None = None
    n_parameters: Bytes | None = None
    bits_per_weight: Positive | None = None
    tensor_types: dict[str, Count] = {}
    read_bytes: Bytes | None = None
    kv_values: Bytes | None = None

    def __post_init__(self) -> None:
        if self.size_bytes and self.weight_bytes and self.size_bytes < self.weight_bytes:
            raise ValueError(f"`size_bytes` is {self.size_bytes}, less than the weights in it: {self.weight_bytes}")
        if self.weight_bytes and self.n_parameters and self.bits_per_weight:
            bits = 8 * self.weight_bytes / self.n_parameters
            if abs(self.bits_per_weight - bits) > 0.001 * bits + 0.0001:
                raise ValueError(
                    f"`bits_per_weight` is {self.bits_per_weight}, but 8 · weights / parameters {bits:.4f}"
                )


class CardLoad(Struct, frozen=True):
    """What one card did, read once after each request or prompt: clocks in MHz, temperature in °C, power in W.

    `slowed_by` names what slowed the card meanwhile, `other_reasons` what else set its clock. None is what the driver
    did not say.
    """

    uuid: Name
    sm_mhz: list[Count | None] = []
    memory_mhz: list[Count | None] = []
    temperature_c: list[Degrees | None] = []
    power_w: list[Watts | None] = []
    slowed_by: list[list[Name]] = []
    other_reasons: list[list[Name]] = []

    @property
    def columns(self) -> tuple[Sequence[object], ...]:
        """Return its columns, which have a value per reading."""
        return self.sm_mhz, self.memory_mhz, self.temperature_c, self.power_w, self.slowed_by, self.other_reasons


class Latency(Struct, frozen=True):
    """One value per request, in the order sent; `loop` is `closed`: one request at a time.

    `warmup_e2e_ms` are the requests before, which do not count; how many requests a round asks was decided by them.
    `cards` has what each card did; it is empty on a CPU and in older records.
    """

    ttft_ms: list[Milliseconds]
    tpot_ms: list[Milliseconds]
    e2e_ms: list[Milliseconds]
    prompt_tokens: list[Count] = []
    evaluated_tokens: list[Count] = []
    loop: str | None = None
    warmup_requests: Count | None = None
    warmup_e2e_ms: list[Milliseconds] = []
    output_tokens: Count | None = None
    cards: list[CardLoad] = []

    def __post_init__(self) -> None:
        for card in self.cards:
            _check_alike("requests", self.ttft_ms, *card.columns)
        counted = [column for column in (self.prompt_tokens, self.evaluated_tokens) if column]
        _check_alike("requests", self.ttft_ms, self.tpot_ms, self.e2e_ms, *counted)
        if any(whole < first for whole, first in zip(self.e2e_ms, self.ttft_ms, strict=True)):
            raise ValueError("`e2e_ms`: a request ends before its first token, which `ttft_ms` has")


class Prefill(Struct, frozen=True):
    """One value per prompt, in the order sent: its tokens, and the seconds until its first token.

    `cards` has what each card did; it is empty on a CPU and in older records.
    """

    prompt_tokens: list[Bytes]
    evaluated_tokens: list[Count]
    seconds: list[Positive]
    warmup_prompts: Count | None = None
    cards: list[CardLoad] = []

    def __post_init__(self) -> None:
        for card in self.cards:
            _check_alike("prompts", self.seconds, *card.columns)
        _check_alike("prompts", self.prompt_tokens, self.evaluated_tokens, self.seconds)
        if self.prompt_tokens != self.evaluated_tokens:
            raise ValueError("`evaluated_tokens` is not `prompt_tokens`: a prompt cache was at work")


class AnchorTimes(Struct, frozen=True):
    """What was timed of another variant, the anchor of its sweep, on the cards of a cell and after it."""

    variant: Name
    latency: Latency | None = None
    prefill: Prefill | None = None


class Memory(Struct, frozen=True):
    """The peak of the process that served, and of the device where it has memory of its own.

    `device_memory_of` says whether that is the memory of the process or all that was in use on the card. None where
    there is no device, and in older records.
    """

    peak_resident_bytes: Bytes | None = None
    peak_device_bytes: Bytes | None = None
    device_memory_of: Literal["process", "card"] | None = None


class Tokenizer(Struct, frozen=True):
    """On how many texts the artifact's tokenizer and its source's differ, with an example.

    `starts` has what each puts before every text, `alone` what goes before a text without context, where they differ.
    """

    compared: Count
    different: Count
    example: Fields | None = None
    starts: dict[str, list[int]] | None = None
    alone: dict[str, list[int]] | None = None

    def __post_init__(self) -> None:
        if self.different > self.compared:
            raise ValueError(f"`different` is {self.different}, more than the {self.compared} that were compared")
        for name, stated, keys in (
            ("example", self.example, {"text", "gguf", "hf"}),
            ("starts", self.starts, {"gguf", "hf"}),
            ("alone", self.alone, {"gguf", "hf"}),
        ):
            if stated is not None and not keys <= stated.keys():
                raise ValueError(f"`{name}` lacks {', '.join(sorted(keys - stated.keys()))}")


class Answers(Struct, frozen=True):
    """One task: a column entry per question, and how it was asked and scored.

    Multiple choice has `gold` and `picked` (number of the choice, from 0) and `loglik` (nats, one per choice). Other
    tasks have a `metric`, and a `value` per document: a number, or a log-likelihood and its weight. None in a column
    is a number that was not finite.
    """

    question: list[str]
    subject: list[str]
    gold: list[Choice] | None = None
    picked: list[Choice] | None = None
    loglik: list[Annotated[list[Nats | None], Meta(min_length=1)]] | None = None
    metric: str | None = None
    higher_is_better: bool | None = None
    value: list[float | tuple[Nats | None, Weight | None] | None] | None = None
    answer: list[str] | None = None
    version: Whole | float | str | list[str] | None = None
    n: Count | None = None
    truncated: Count | None = None
    num_fewshot: Count | list[Count] | None = None
    chat_template: str | None = None
    without_system: bool = False
    template_date: str | None = None
    template_tokens: dict[str, str] | None = None
    prompt_sha256: str | None = None
    scorer: str | None = None
    scoring: Fields | None = None
    tokenizer: Tokenizer | None = None

    def __post_init__(self) -> None:
        if self.n not in (None, len(self.question)):
            raise ValueError(f"`n` is {self.n}, but there are {len(self.question)} of `question`")
        if self.value is None:
            if self.gold is None or self.picked is None or self.loglik is None:
                raise ValueError("neither `gold`, `picked` and `loglik`, nor `metric` and `value`")
            _check_alike("questions", self.question, self.subject, self.gold, self.picked, self.loglik)
            return
        if self.metric is None:
            raise ValueError("`value` without the `metric` that it is of")
        if self.gold is not None or self.picked is not None or self.loglik is not None:
            raise ValueError("`value` beside `gold`, `picked` or `loglik`: a task has one or the other")
        if len({isinstance(value, tuple) for value in self.value if value is not None}) > 1:
            raise ValueError("`value` is neither all numbers nor all pairs of a log-likelihood and its weight")
        _check_alike("documents", self.question, self.subject, self.value, *([self.answer] if self.answer else []))
        # Not a bound of its type: msgspec 0.22 crashes on a union of a bounded float and a tuple of a fixed length.
        if any(abs(value) > LARGEST for value in self.value if isinstance(value, float | int)):
            raise ValueError(f"`value`: a number beyond {LARGEST:g}")
        weights = [value[1] for value in self.value if isinstance(value, tuple)]
        if weights and None not in weights and sum(filter(None, weights)) < 1:
            raise ValueError("`value`: the weights of all documents together are less than 1")


class Divergence(Struct, frozen=True):
    """The distance to a base over one text: one value per token, in nats; `same_top` is a text of 0 and 1.

    `parent` is the fingerprint of the model before it was quantized, None where there is none or the record is older.
    Its columns are None where the parent is the base: they are those of the base.
    """

    base: str
    base_variant: str
    text: str
    window: Annotated[int, Meta(ge=1, le=2**53)]
    kl: list[Nats | None]
    same_top: Marks
    nll: list[Nats | None]
    base_nll: list[Nats | None]
    tokens: Count | None = None
    rounding_floor: Nats | None = None
    parent: str | None = None
    parent_kl: list[Nats | None] | None = None
    parent_same_top: Marks | None = None
    parent_rounding_floor: Nats | None = None

    def __post_init__(self) -> None:
        _check_alike("tokens", self.kl, self.same_top, self.nll, self.base_nll)
        if self.parent in (None, self.base):
            return
        if self.parent_kl is None or self.parent_same_top is None:
            raise ValueError("`parent` without `parent_kl` and `parent_same_top`, though it is not the base")
        _check_alike("tokens", self.kl, self.parent_kl, self.parent_same_top)


def _check_alike(what: str, *columns: Sequence[object]) -> None:
    lengths = {len(column) for column in columns}
    if len(lengths) != 1 or 0 in lengths:
        raise ValueError(f"columns of lengths {sorted(lengths)}; {what} must be alike in number, and at least one")
