"""How a model decodes in torch: on a GPU by one CUDA graph a token where that gives its numbers, else from Python.

A token takes a thousand kernels and more, and Python launches them slower than a GPU runs them.
"""

from __future__ import annotations

import logging

import numpy as np
import torch
from transformers import PreTrainedModel

from bench.runtimes.decoder import Decoder, FromPython
from bench.runtimes.graph_decoder import GraphDecoder
from bench.runtimes.on_gpu.path_attention import can_attend
from bench.runtimes.session import FROM_PYTHON
from bench.runtimes.torch_trunk import CHECKED_TOKENS, Forward, difference_alone

CHECKED_STEPS = 2
"""The tokens that are compared, behind a prompt of CHECKED_TOKENS or what of it a context has room for."""
LEAST_ROOM = 64
BY_GRAPH = "one CUDA graph a token"


def decoder_of(model: PreTrainedModel, room: int, forward: Forward, bound: float) -> tuple[Decoder, str]:
    """Return how a model decodes fastest here, and in words how.

    A graph's log-probabilities may differ from those without a cache by `bound` nats in the mean. On a GPU the memory
    that opening the model left unused is given back, so that its peak from here on is that of serving.
    """
    graph, why = (None, unfit) if (unfit := _unfit(model, room)) else _captured(model, room, forward, bound)
    if model.device.type == "cuda":
        torch.cuda.empty_cache()
    return (graph, BY_GRAPH) if graph else (FromPython(model, forward), f"{FROM_PYTHON}: {why}")


def _unfit(model: PreTrainedModel, room: int) -> str:
    """Say why a model is not tried; empty where it can be."""
    if not can_attend(model):
        return "its attention needs masks"
    if room < LEAST_ROOM:
        return f"a context of {room} tokens"
    return "on several cards" if len({parameter.device for parameter in model.parameters()}) > 1 else ""


def _captured(model: PreTrainedModel, room: int, forward: Forward, bound: float) -> tuple[GraphDecoder | None, str]:
    """Return a decoder with its graph, or None and why it has none."""
    graph = GraphDecoder(model, room, forward)
    try:
        graph.warm_up()
        graph.capture()
        worst = difference(graph, model, room, forward)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # whatever a model's own code asks of a cache or of the host
        logging.getLogger(__name__).warning("decoding is slower: a token cannot be captured: %s", str(error))
        return None, "a token cannot be captured, the log says why"
    if not worst <= bound:  # also what is no number
        logging.getLogger(__name__).warning("decoding is slower: a captured token differs by %.2g nats", worst)
        return None, "captured, a token has other numbers"
    return graph, ""


def difference(graph: GraphDecoder, model: PreTrainedModel, room: int, forward: Forward) -> float:
    """Return the largest mean difference of a few tokens' log-probabilities from those without a cache, in nats."""
    n_tokens, n_words = min(CHECKED_TOKENS, room - CHECKED_STEPS), model.config.get_text_config().vocab_size
    text = np.random.default_rng(0).integers(0, n_words, n_tokens)
    following = graph.first(text.tolist())
    worst = 0.0
    for _ in range(CHECKED_STEPS):
        text = np.append(text, following)
        following = graph.next()
        worst = max(worst, difference_alone(forward, text, torch.log_softmax(graph.logits[0, -1].float(), dim=-1)))
    return worst
