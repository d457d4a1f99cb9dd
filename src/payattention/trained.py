"""The book's own models: a GPT that writes like Shakespeare, a ViT that tells clothes apart.

Each is trained by one command, comes with the library, and is what later ideas prune, leave early
and route. `train_gpt` and `train_vit` train smaller ones in a minute by the same code.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from payattention import data, vision, weights
from payattention import shape as shapes
from payattention.records import Record
from payattention.shape import TransformerShape
from payattention.train import Recipe, train
from payattention.transformer import Classifier, Decoder, patches

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


def train_live(
    parameters: dict[str, Any],
    *,
    on_step: Callable[[float, list[Record]], None],
    stop: Callable[[], bool],
) -> list[Record]:
    """Records of the training of a small GPT, one every 50 steps: for a panel.

    `parameters` holds layers, d_model, steps and seed; a head is 32 wide.
    """
    d_model, steps = parameters["d_model"], parameters["steps"]
    sizes = {"layers": parameters["layers"], "d_model": d_model, "d_ff": 4 * d_model}
    heads = {"heads": d_model // 32, "kv_heads": d_model // 32}
    recipe = replace(
        SMALL_GPT.recipe,
        steps=steps,
        warmup_steps=steps // 10,
        record_every=50,
        seed=parameters["seed"],
    )
    training = replace(
        SMALL_GPT,
        shape=replace(GPT_SHAPE, **sizes, **heads),
        recipe=recipe,
        validation_characters=5_000,
    )
    return train_gpt(training, on_step=on_step, stop=stop)[1]


def gpt() -> Decoder:
    """The book's GPT, trained: 1.2 million parameters, 6 layers of 4 heads, 128 characters."""
    return weights.unpack(data.content(data.GPT), name=data.GPT.name)


def gpt_curve() -> list[Record]:
    """What was recorded while the book's GPT was trained."""
    return weights.about(data.content(data.GPT), name=data.GPT.name)["curve"]


VIT_SHAPE = replace(shapes.vit(6, 128, 4, patches=16), vocab=len(data.FASHION_CLASSES))
VIT_PATCH = 7
"""Pixels along the side of a patch: four patches across the image and four down."""


@dataclass(frozen=True)
class VitTraining:
    """What a ViT of the book is made of, and how it learns: on images, moved a little."""

    shape: TransformerShape
    recipe: Recipe
    batch: int = 100
    pixels: int = 2


VIT = VitTraining(
    VIT_SHAPE,
    Recipe(steps=5000, learning_rate=1e-3, warmup_steps=250, weight_decay=0.05, record_every=250),
)
SMALL_VIT = replace(
    VIT,
    shape=replace(VIT_SHAPE, layers=2, d_model=64, d_ff=256),
    recipe=replace(VIT.recipe, steps=600, learning_rate=3e-3, warmup_steps=60, record_every=100),
    pixels=0,
)
"""Small enough to train while one waits."""


def train_vit(training: VitTraining = VIT, **watched: Any) -> tuple[Classifier, list[Record]]:
    """The trained model, its loss, and the share of validation images named rightly as it learned.

    `watched` goes to `train.train`: `on_step`, `stop`, `checkpoint`.
    """
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(training.recipe.seed)
        model = Classifier(training.shape, d_input=VIT_PATCH**2)
    images, classes = data.fashion("train")

    def draw(generator: torch.Generator) -> tuple[Tensor, Tensor]:
        rows = torch.randint(len(images), (training.batch,), generator=generator)
        moved = vision.shifted(images[rows], generator, pixels=training.pixels)
        return patches(moved, size=VIT_PATCH), classes[rows]

    records = train(
        model,
        draw,
        lambda model, batch: F.cross_entropy(model(batch[0]), batch[1]),
        recipe=training.recipe,
        evaluate=lambda model: {"validation_accuracy": accuracy(model, "validation")},
        **watched,
    )
    return model.eval(), records


@torch.no_grad()
def see(model: Classifier, images: Float[Tensor, "batch 28 28"]) -> Float[Tensor, "batch classes"]:
    """Logits of what the images show: the model reads their patches, some images at a time."""
    return torch.cat([model(patches(part, size=VIT_PATCH)) for part in images.split(500)])


def accuracy(model: Classifier, split: str = "test") -> float:
    """Share of the images of clothes in the split that the model names rightly."""
    images, classes = data.fashion(split)
    return (see(model, images).argmax(dim=1) == classes).float().mean().item()


def vit() -> Classifier:
    """The book's ViT, trained: 1.2 million parameters, 6 layers of 4 heads, 16 patches."""
    return weights.unpack(data.content(data.VIT), name=data.VIT.name)


def vit_curve() -> list[Record]:
    """What was recorded while the book's ViT was trained."""
    return weights.about(data.content(data.VIT), name=data.VIT.name)["curve"]
