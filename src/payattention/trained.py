"""The book's own models: a GPT that writes like Shakespeare, a ViT that tells clothes apart.

Each is trained by one command, comes with the library, and is what later ideas prune, leave early
and route. `train_gpt` and `train_vit` train smaller ones in a minute by the same code.
"""

import math
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from payattention import data, weights
from payattention.records import Record
from payattention.shape import TransformerShape
from payattention.train import Recipe, train
from payattention.transformer import Decoder

GPT_SHAPE = TransformerShape(
    layers=6,
    d_model=128,
    heads=4,
    kv_heads=4,
    d_ff=512,
    vocab=len(data.VOCABULARY),
    context=data.CONTEXT,
    biases="none",
    tied=True,
)


@dataclass(frozen=True)
class GptTraining:
    """What a GPT of the book is made of, and how it learns: on stretches of the training plays."""

    shape: TransformerShape
    recipe: Recipe
    batch: int = 32
    validation_characters: int = 20_000

    def about(self) -> dict[str, Any]:
        """The same as plain values, for a file's head."""
        return asdict(self)


GPT = GptTraining(
    GPT_SHAPE,
    Recipe(steps=6000, learning_rate=3e-3, warmup_steps=200, weight_decay=0.1, record_every=250),
)
SMALL_GPT = replace(
    GPT,
    shape=replace(GPT_SHAPE, layers=2, d_model=64, heads=2, kv_heads=2, d_ff=256),
    recipe=replace(GPT.recipe, steps=600, warmup_steps=60, record_every=100),
)
"""Small enough to train while one waits."""


def train_gpt(training: GptTraining = GPT, **watched: Any) -> tuple[Decoder, list[Record]]:
    """The trained model, and its loss and validation bits a character as it learned.

    `watched` goes to `train.train`: `on_step`, `stop`, `checkpoint`.
    """
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(training.recipe.seed)
        model = Decoder(training.shape)

    def bits(model: Decoder, batch: tuple[Tensor, Tensor]) -> Tensor:
        return F.cross_entropy(model(batch[0]).mT, batch[1]) / math.log(2)

    def evaluate(model: Decoder) -> dict[str, float]:
        characters = training.validation_characters
        return {"validation_bits": data.bits_per_character(model, characters=characters)}

    draw = data.language_batches("train", batch=training.batch)
    records = train(model, draw, bits, recipe=training.recipe, evaluate=evaluate, **watched)
    return model.eval(), records


def gpt() -> Decoder:
    """The book's GPT, trained: 1.2 million parameters, 6 layers of 4 heads, 128 characters."""
    return weights.unpack(data.content(data.GPT), name=data.GPT.name)


def gpt_curve() -> list[Record]:
    """What was recorded while the book's GPT was trained."""
    return weights.about(data.content(data.GPT), name=data.GPT.name)["curve"]
