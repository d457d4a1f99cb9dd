"""Does mixing help to tell a comedy from a history and a tragedy?

A small Transformer reads passages of 64 words, each a vector that it learns, and says from which of
the three parts of the First Folio of 1623 a passage is. It is judged on nine plays of which it has
read nothing, as many passages of each genre. Headings, stage directions and the names of speakers
are left out, and rare words are all one. The vectors of the words are mixed, place by place, or
what the block has made of them, or nothing is.

The genre is that of the play: a tragedy has its jokes, and its passages are labelled a tragedy all
the same.
"""

import math
import re
from collections import Counter
from dataclasses import dataclass, replace
from functools import cache

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from payattention import calibration, data, train, wording
from payattention.effects import judge
from payattention.experiments import error_vs_mixing
from payattention.mixup import embedding_mixup, manifold_mixup
from payattention.records import Record, Results
from payattention.shape import TransformerShape
from payattention.transformer import Classifier

GENRES = {
    "comedy": (
        *("a-midsummer-night-s-dream", "a-winter-s-tale", "all-s-well-that-ends-well"),
        *("as-you-like-it", "love-s-labours-lost", "measure-for-measure"),
        *("much-ado-about-nothing", "the-comedy-of-errors", "the-merchant-of-venice"),
        *("the-merry-wives-of-windsor", "the-taming-of-the-shrew", "the-tempest"),
        *("twelfth-night", "two-gentlemen-of-verona"),
    ),
    "history": (
        *("henry-iv-part-1", "henry-iv-part-2", "henry-v", "henry-vi-part-1", "henry-vi-part-2"),
        *("henry-vi-part-3", "henry-viii", "king-john", "richard-ii", "richard-iii"),
    ),
    "tragedy": (
        *("antony-and-cleopatra", "coriolanus", "cymbeline", "hamlet", "julius-caesar"),
        *("king-lear", "macbeth", "othello", "romeo-and-juliet", "timon-of-athens"),
        *("titus-andronicus", "troilus-and-cressida"),
    ),
}
"""The plays as the First Folio divides them; Pericles was not in it."""
JUDGED = (
    *("twelfth-night", "the-tempest", "much-ado-about-nothing"),
    *("king-john", "henry-viii", "richard-ii"),
    *("hamlet", "macbeth", "othello"),
)
UNKNOWN = 0
TOLERANCE = {"error": 0.05, "nll": 0.2, "ece": 0.05}
ELSEWHERE = {"error": 0.3, "nll": 1.0, "ece": 0.3}


@dataclass(frozen=True)
class Config:
    """What is mixed, how much is read, and by how large a model."""

    ways: tuple[str, ...] = ("nothing", "words", "block")
    alphas: tuple[float, ...] = (0.2, 1.0)
    labels: tuple[int, ...] = (300, 3000)
    words: int = 64
    vocab: int = 3000
    judged: int = 2400
    d_model: int = 32
    steps: int = 300
    batch: int = 32
    learning_rate: float = 3e-3
    seeds: int = 8


FULL = Config()
LIVE = replace(FULL, ways=("nothing", "words"), alphas=(1.0,), labels=(300,), steps=60, seeds=1)


def points(config: Config) -> list[Record]:
    """A training each, few labels first."""
    return [
        {"labels": labels, "way": way, "alpha": alpha, "seed": seed}
        for labels in config.labels
        for way in config.ways
        for alpha in ((0.0,) if way == "nothing" else config.alphas)
        for seed in range(config.seeds)
    ]


def spoken(play: str) -> list[str]:
    """The words that are spoken in a play, in small letters."""
    lines = data.plays()[play].split("\n")
    speech, speaking = [], False
    for line in lines:
        if re.fullmatch(r"[A-Z][^a-z:]*:|[A-Z][\w' ]*:", line):
            speaking = True
        elif not line:
            speaking = False
        elif speaking and not line.startswith(("ACT ", "SCENE ")):
            speech += re.findall(r"[a-z']+", line.lower())
    return speech


@cache
def vocabulary(size: int) -> dict[str, int]:
    """The most frequent words of the plays that are read, numbered from 1; 0 is any other."""
    read = [p for plays in GENRES.values() for p in plays if p not in JUDGED]
    counts = Counter(word for play in read for word in spoken(play))
    return {word: n for n, (word, _) in enumerate(counts.most_common(size - 1), start=1)}


@cache
def passages(
    part: str, words: int, vocab: int
) -> tuple[Int[Tensor, "passages words"], Int[Tensor, " passages"]]:
    """All passages of the plays that are read, or judged, and their genres."""
    numbers, ids, genres = vocabulary(vocab), [], []
    for genre, plays in enumerate(GENRES.values()):
        for play in plays:
            if (play in JUDGED) == (part == "judged"):
                speech = torch.tensor([numbers.get(word, UNKNOWN) for word in spoken(play)])
                cut = speech[: len(speech) // words * words].view(-1, words)
                ids.append(cut)
                genres += [genre] * len(cut)
    return torch.cat(ids), torch.tensor(genres)


def drawn(
    part: str, config: Config, count: int, seed: int
) -> tuple[Int[Tensor, "passages words"], Int[Tensor, " passages"]]:
    """So many passages of a part, equally many of each genre."""
    ids, genres = passages(part, config.words, config.vocab)
    shuffled = torch.randperm(len(ids), generator=torch.Generator().manual_seed(seed))
    each = count // len(GENRES)
    chosen = torch.cat([shuffled[genres[shuffled] == g][:each] for g in range(len(GENRES))])
    return ids[chosen], genres[chosen]


class Reader(nn.Module):
    """Vectors of words, and a Transformer of one block that reads them."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.embedding = nn.Embedding(config.vocab, config.d_model)
        shape = TransformerShape(
            layers=1,
            d_model=config.d_model,
            heads=2,
            kv_heads=2,
            d_ff=4 * config.d_model,
            vocab=len(GENRES),
            context=config.words + 1,
            positions="learned",
        )
        self.classifier = Classifier(shape, d_input=config.d_model)

    def forward(self, ids: Int[Tensor, "batch words"]) -> Float[Tensor, "batch genres"]:
        """Logits of the genres."""
        return self.classifier(self.embedding(ids))


def measure(config: Config, point: Record) -> list[Record]:
    """Error, log-likelihood and calibration on plays that were not read."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(point["seed"])
        model = Reader(config)
    ids, genres = drawn("read", config, point["labels"], point["seed"])

    def draw(generator: torch.Generator) -> tuple:
        rows = torch.randint(len(ids), (config.batch,), generator=generator)
        return ids[rows], genres[rows], generator

    def loss(model: Reader, batch: tuple) -> Tensor:
        x, y, generator = batch
        if point["way"] == "nothing":
            return F.cross_entropy(model(x), y)
        how = dict(alpha=point["alpha"], classes=len(GENRES), generator=generator)
        if point["way"] == "words":
            logits, y = embedding_mixup(model, x, y, embedding=model.embedding, **how)
        else:
            logits, y = manifold_mixup(model, x, y, layers=[model.classifier.blocks[0]], **how)
        return F.cross_entropy(logits, y)

    recipe = train.Recipe(
        steps=config.steps,
        learning_rate=config.learning_rate,
        warmup_steps=config.steps // 10,
        weight_decay=0.05,
        seed=point["seed"],
        record_every=config.steps,
    )
    train.train(model, draw, loss, recipe=recipe)
    ids, genres = drawn("judged", config, config.judged, 0)
    with torch.no_grad():
        logits = torch.cat([model(part) for part in ids.split(500)])
    return [
        {
            "error": (logits.argmax(dim=1) != genres).double().mean().item(),
            "nll": calibration.negative_log_likelihood(logits, genres),
            "ece": calibration.expected_calibration_error(logits.softmax(dim=1), genres),
        }
    ]


def run(config: Config) -> list[Record]:
    """Records of all points, in order."""
    return [point | record for point in points(config) for record in measure(config, point)]


def findings(results: Results) -> dict[str, str]:
    """What the text says: errors, and what mixing changes, seed by seed.

    What it changes is judged together with all that it changes here; see `effects`.
    """
    found = {
        "seeds": str(len(set(results.columns["seed"]))),
        "judged": f"{FULL.judged:,}",
        "steps": str(FULL.steps),
        "words": str(FULL.words),
        "guess_error": wording.percent(1 - 1 / len(GENRES)),
        "guess_nll": f"{math.log(len(GENRES)):.2f}",
    }
    pairs = {}
    for labels in dict.fromkeys(results.columns["labels"]):
        rows = results.where(labels=labels)
        plain = rows.where(way="nothing")
        for row in rows.summary("error", by=["way", "alpha"]):
            key = f"{labels}_{row['way']}_{row['alpha']:g}"
            found[f"{key}_error"] = wording.percent(row["mean"], digits=1)
            mixed = rows.where(way=row["way"], alpha=row["alpha"])
            for metric, digits in (("error", 1), ("nll", 2), ("ece", 3)):
                if metric != "error":
                    found[f"{key}_{metric}"] = f"{mixed.column(metric).mean():.{digits}f}"
                if row["way"] != "nothing":
                    pairs[f"{key}_{metric}"] = mixed.column(metric), plain.column(metric)
    found["comparisons"] = str(len(pairs))
    for key, effect in judge(pairs).items():
        found[f"{key}_said"] = error_vs_mixing.said(effect, key.rpartition("_")[-1])
    return found


if __name__ == "__main__":
    from payattention import results
    from payattention.experiments import genre_vs_mixing

    results.main(genre_vs_mixing)
