"""Does the same block read letters, pixels and sound?

One Transformer, three kinds of input. It gets a sequence of vectors, and nothing but the linear map
in front of its blocks and the number of classes behind them knows what they are: the letters of a
word, one-hot, to be told how many syllables it has; patches of a handwritten digit; frames of a
sound, a melody of three notes that goes up or down at each step. Beside it stands a linear model,
which reads the same vectors, all at once, and learns from them in as many steps.

Words and digits are judged on words and writers that were not in training, and each number of
syllables is as frequent as the others; melodies are drawn afresh each time. Each model has one
learning rate for all kinds: the linear one 0.01, the best of 0.001, 0.003 and 0.01 in single runs,
the Transformer 0.001, since some runs with 0.003 stop halfway in the melodies.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from payattention import data, train, wording
from payattention.records import Record, Results
from payattention.shape import TransformerShape
from payattention.tasks import Tones
from payattention.transformer import Classifier, frames, patches

Sequences = Float[Tensor, "batch tokens d_input"]
Classes = Int[Tensor, " batch"]
Draw = Callable[[int, torch.Generator], tuple[Sequences, Classes]]

LETTERS = 14
SYLLABLES = 4
PATCH = 2
FRAME = 32
"""Samples of a frame: a quarter of a note."""
CONTEXT = 17
"""Tokens of the longest kind of input, and the first token."""
RATES = {"linear": 1e-2, "Transformer": 1e-3}
TOLERANCE = {"accuracy": 0.04, "parameters": 0}


def letters(split: str) -> Draw:
    """Draws words, one-hot, with nothing behind the last letter; and syllables less one of each."""
    words: list[list[str]] = [[] for _ in range(SYLLABLES)]
    for word, (phonemes, *_) in data.pronunciations(split).items():
        count = sum(phoneme[-1].isdigit() for phoneme in phonemes)  # a vowel says its stress
        if 1 <= count <= SYLLABLES and len(word) <= LETTERS:
            words[count - 1].append(word)
    ids = [
        torch.tensor([[ord(letter) - 96 for letter in word.ljust(LETTERS, "`")] for word in group])
        for group in words
    ]

    def draw(batch: int, generator: torch.Generator) -> tuple[Sequences, Classes]:
        classes = torch.randint(SYLLABLES, (batch,), generator=generator)
        share = torch.rand(batch, generator=generator)
        chosen = [
            ids[c][int(u * len(ids[c]))] for c, u in zip(classes.tolist(), share, strict=True)
        ]
        return F.one_hot(torch.stack(chosen), 27)[..., 1:].float(), classes

    return draw


def pixels(split: str) -> Draw:
    """Draws handwritten digits in patches, no more than there are; and which digits they are."""
    images, digits = data.digits(split)
    cut = patches(images, size=PATCH)

    def draw(batch: int, generator: torch.Generator) -> tuple[Sequences, Classes]:
        rows = torch.randperm(len(cut), generator=generator)[:batch]
        return cut[rows], digits[rows]

    return draw


def sound(split: str) -> Draw:
    """Draws melodies in frames, and which way each goes; `split` changes nothing.

    There are so few melodies that training hears them all; each draw has phases and noise of its
    own.
    """

    def draw(batch: int, generator: torch.Generator) -> tuple[Sequences, Classes]:
        waves, classes = Tones().draw(batch, generator)
        return frames(waves, size=FRAME), classes

    return draw


@dataclass(frozen=True)
class Kind:
    """One kind of input: where it comes from, how wide and how long it is, how many classes."""

    source: Callable[[str], Draw]
    tokens: int
    d_input: int
    classes: int


TONES = Tones()
KINDS = {
    "pixels": Kind(pixels, tokens=(8 // PATCH) ** 2, d_input=PATCH**2, classes=10),
    "sound": Kind(
        sound,
        tokens=TONES.notes * TONES.note_samples // FRAME,
        d_input=FRAME,
        classes=TONES.classes,
    ),
    "letters": Kind(letters, tokens=LETTERS, d_input=26, classes=SYLLABLES),
}


@dataclass(frozen=True)
class Config:
    """What is trained, and for how long."""

    layers: int = 2
    d_model: int = 64
    heads: int = 4
    steps: int = 1000
    batch: int = 50
    tests: int = 2000
    seeds: int = 5


FULL = Config()
LIVE = replace(FULL, steps=150, tests=500, seeds=1)


def points(config: Config) -> list[Record]:
    """One training for each kind of input, model and seed."""
    return [
        {"kind": kind, "model": model, "seed": seed}
        for kind in KINDS
        for model in RATES
        for seed in range(config.seeds)
    ]


def shape(config: Config, classes: int) -> TransformerShape:
    """The same for every kind of input, but for the number of classes."""
    return TransformerShape(
        layers=config.layers,
        d_model=config.d_model,
        heads=config.heads,
        kv_heads=config.heads,
        d_ff=4 * config.d_model,
        vocab=classes,
        context=CONTEXT,
        positions="learned",
    )


def build(config: Config, model: str, kind: str, seed: int) -> nn.Module:
    """The untrained model of the seed, for vectors of the kind's width."""
    d_input, tokens, classes = KINDS[kind].d_input, KINDS[kind].tokens, KINDS[kind].classes
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if model == "linear":
            return nn.Sequential(nn.Flatten(), nn.Linear(tokens * d_input, classes))
        return Classifier(shape(config, classes), d_input=d_input)


def measure(config: Config, point: Record) -> list[Record]:
    """Share of sequences whose class is named rightly after training."""
    kind = KINDS[point["kind"]]
    model = build(config, point["model"], point["kind"], point["seed"])
    draw = kind.source("train")
    train.train(
        model,
        lambda generator: draw(config.batch, generator),
        lambda model, batch: F.cross_entropy(model(batch[0]), batch[1]),
        recipe=train.Recipe(
            steps=config.steps,
            learning_rate=RATES[point["model"]],
            warmup_steps=config.steps // 10,
            seed=point["seed"],
        ),
    )
    fresh = torch.Generator().manual_seed(10_000 + point["seed"])
    x, classes = kind.source("test")(config.tests, fresh)
    with torch.no_grad():
        named = torch.cat([model(part).argmax(dim=1) for part in x.split(500)])
    return [
        {
            "accuracy": (named == classes).float().mean().item(),
            "chance": 1 / kind.classes,
            "tokens": kind.tokens,
            "d_input": kind.d_input,
            "parameters": sum(p.numel() for p in model.parameters()),
            "block_parameters": sum(
                p.numel() for name, p in model.named_parameters() if name.startswith("blocks.")
            ),
        }
    ]


def run(config: Config) -> list[Record]:
    """Records of all points, in order."""
    return [point | record for point in points(config) for record in measure(config, point)]


def findings(results: Results) -> dict[str, str]:
    """What the text says: accuracies, chance, and what is the same for every kind of input."""
    models = results.where(model="Transformer")
    found = {
        "steps": str(FULL.steps),
        "seeds": str(FULL.seeds),
        "block_parameters": f"{int(max(models.column('block_parameters'))):,}",
        "fewest_parameters": f"{int(min(models.column('parameters'))):,}",
        "most_parameters": f"{int(max(models.column('parameters'))):,}",
    }
    for row in models.records():
        found[f"{row['kind']}_tokens"] = str(row["tokens"])
        found[f"{row['kind']}_d_input"] = str(row["d_input"])
        found[f"{row['kind']}_chance"] = wording.percent(row["chance"])
    for row in results.summary("accuracy", by=["kind", "model"]):
        name = f"{row['kind']}_{row['model'].lower()}"
        found[name] = wording.percent(row["mean"])
        if row["runs"] > 1:
            bounds = wording.percent_with_bounds(row["mean"], row["low"], row["high"])
            found[f"{name}_bounds"] = bounds
    return found


if __name__ == "__main__":
    from payattention import results
    from payattention.experiments import accuracy_vs_input

    results.main(accuracy_vs_input)
