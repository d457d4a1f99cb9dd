"""What is a text worth that is read again?

Models of two sizes learn from the beginning of the training plays, read once, twice and up to 64
times; others learn for as many steps from text that they have not seen before. Where a model that
reads again ends at the loss of one that read less, but fresh text, the two have learned as much: so
many fresh characters were the repeated ones worth. Muennighoff et al. 2023 (arXiv:2305.16264) fit
how this worth runs out: after R = 15.4 repetitions, most of it.

Each training has a schedule of its own length. The recipe is that of `loss_vs_flops`, and so are
loss and test; no dropout and no decay of the weights stand against over-fitting.
"""

from dataclasses import dataclass, replace

import torch

from payattention import data, train
from payattention.experiments import loss_vs_flops
from payattention.experiments.loss_vs_flops import Size, bits, recipe, shape, spent, tested
from payattention.records import Record
from payattention.transformer import Decoder

TOLERANCE = loss_vs_flops.TOLERANCE | {"unique": 0, "training_bits": 0.05}


@dataclass(frozen=True)
class Config:
    """How much text is repeated, how often, and by which models; the rest is as in `runs`."""

    unique: int = 32_768
    epochs: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64)
    sizes: tuple[tuple[int, int], ...] = ((2, 32), (3, 48))
    runs: loss_vs_flops.Config = loss_vs_flops.FULL
    seeds: int = 3


FULL = Config()
LIVE = replace(
    FULL, unique=8_192, epochs=(1, 8, 32), sizes=((2, 32),), runs=loss_vs_flops.LIVE, seeds=1
)
TEXTS = ("repeated", "fresh")


def points(config: Config) -> list[Record]:
    """A training each, the short ones first."""
    return [
        {"epochs": epochs, "text": text, "layers": size[0], "d_model": size[1], "seed": seed}
        for epochs in config.epochs
        for size in config.sizes
        for text in TEXTS
        for seed in range(config.seeds)
    ]


def measure(config: Config, point: Record) -> list[Record]:
    """Bits a character of new text, and of the text that was repeated."""
    runs, seed = config.runs, point["seed"]
    size = Size(point["layers"], point["d_model"])
    # A pass may start anywhere in a stretch, so the text is longer by one.
    beginning = config.unique + runs.tokens
    characters = beginning if point["text"] == "repeated" else None
    steps = point["epochs"] * config.unique // (runs.batch * runs.tokens)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Decoder(shape(size))
    draw = data.language_passes(
        batch=runs.batch, context=runs.tokens, characters=characters, seed=seed
    )
    how = recipe(runs, size, steps, seed)
    records = train.train(model, draw, bits, recipe=how, evaluate=lambda m: tested(runs, m))
    ids = data.encode(data.shakespeare("train")[: config.unique + 1])
    rows = ids[:-1].view(-1, runs.tokens), ids[1:].view(-1, runs.tokens)
    with torch.no_grad():
        known = bits(model.eval(), rows).item()
    made_of = spent(runs, size, steps) | {"unique": config.unique}
    return [made_of | {"bits": records[-1]["bits"], "training_bits": known}]


def run(config: Config) -> list[Record]:
    """Records of all points, in order."""
    return [point | record for point in points(config) for record in measure(config, point)]
