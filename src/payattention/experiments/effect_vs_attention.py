"""Does the attention that a token receives say how much it matters?

MiniLM reads sentences of plays that no model of the book trains on. Attention received is the mean
weight on a token over layers, heads and rows. How much the token matters is measured in two ways,
in all layers at once: `hidden`, nobody may look at it, and the weights on the others grow until
they sum to 1 again; `silenced`, everybody looks at it as before, and its values are zero. Both are
one minus the cosine between the sentence's embedding before and after, where the embedding is the
mean of the vectors of all the other tokens. A second measure of attention, `carried`, multiplies
each weight by the norm of what it carries: the value after the head's part of the output map
(Kobayashi et al. 2020, arXiv:2004.10102). Ranks are compared within each sentence, over its words.
Also recorded: what two heads give to the token before and after. Numbers keep four digits.
"""

import random
import re
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from payattention import attention, data, minilm, wording
from payattention.records import Record, Results

# half a step of the fourth digit, at the largest that each can be
TOLERANCE = {"received": 1e-4, "carried": 1e-3, "value_norm": 2e-3} | dict.fromkeys(
    ("hidden", "silenced", "to_previous", "to_next"), 1e-4
)
EFFECTS = ("hidden", "silenced")
PREVIOUS, NEXT = (0, 2), (1, 8)
"""Layer and head that look at the token before and at the token after."""
SURE = 0.99  # a share that leaves no doubt where a head looks


@dataclass(frozen=True)
class Config:
    """How many sentences, of how many word pieces, in how many runs."""

    sentences: int = 200
    shortest: int = 6
    longest: int = 24
    parts: int = 5


FULL = Config()
LIVE = replace(FULL, sentences=20, parts=2)


def points(config: Config) -> list[Record]:
    """One run for each part of the sentences."""
    return [{"part": part} for part in range(config.parts)]


@cache
def sentences(config: Config) -> list[str]:
    """Sentences of the test plays, in an order drawn once, until there are enough.

    Speakers, headings and stage directions are left out; a sentence ends at a full stop, a
    question mark or an exclamation mark, and counts once.
    """
    lines = data.shakespeare("test").splitlines()
    spoken = [line for line in lines if line and not line.endswith(":") and not line.isupper()]
    text = re.sub(r"\[[^\]]*\]", " ", " ".join(spoken))
    found = sorted({one.strip() for one in re.findall(r"[^.?!]+[.?!]", text)})
    random.Random(0).shuffle(found)
    chosen: list[str] = []
    for sentence in found:
        if len(chosen) == config.sentences:
            break
        pieces = minilm.encode(sentence).shape[1] - 2
        if config.shortest <= pieces <= config.longest:
            chosen.append(sentence)
    return chosen


def measure(config: Config, point: Record) -> list[Record]:
    """A record for each token of the part's sentences."""
    chosen = range(point["part"], config.sentences, config.parts)
    return [
        {"sentence": number} | record
        for number in chosen
        for record in of_sentence(sentences(config)[number])
    ]


def of_sentence(sentence: str) -> list[Record]:
    """What each token receives, what that carries, and what hiding the token changes."""
    maps = minilm.read(sentence)
    norms = value_norms(sentence)
    measured = {
        "received": maps.weights.mean(dim=(0, 1, 2)),
        "carried": (maps.weights.mean(dim=2) * norms).mean(dim=(0, 1)),
        "value_norm": norms.mean(dim=(0, 1)),
        "hidden": effects(sentence, "hidden"),
        "silenced": effects(sentence, "silenced"),
    }
    before = maps.weights[PREVIOUS].diagonal(-1).tolist()
    after = maps.weights[NEXT].diagonal(1).tolist()
    columns = {name: column.tolist() for name, column in measured.items()}
    columns |= {"to_previous": [None, *before], "to_next": [*after, None]}
    return [
        {"token": token, "kind": kind(token)}
        | {name: _four_digits(column[place]) for name, column in columns.items()}
        for place, token in enumerate(maps.tokens)
    ]


def _four_digits(number: float | None) -> float | None:
    return None if number is None else float(f"{number:.4g}")


def kind(token: str) -> str:
    """Whether the token is [CLS], [SEP], a word (or a part of one), or punctuation."""
    if token in ("[CLS]", "[SEP]"):
        return token
    return "word" if any(map(str.isalnum, token)) else "punctuation"


@torch.no_grad()
def effects(sentence: str, how: str) -> Float[Tensor, " tokens"]:
    """1 - cosine of the embedding before and after a token is "hidden" or "silenced", for each.

    In row i of a batch it is token i; the embedding is the mean of all the others' vectors.
    """
    _, model = minilm.load()
    ids = minilm.encode(sentence)
    tokens = ids.shape[1]
    others = ~torch.eye(tokens, dtype=torch.bool)
    batch = ids.expand(tokens, -1)
    whole = model(ids).last_hidden_state.expand(tokens, -1, -1)
    if how == "hidden":
        after = model(batch, attention_mask=others.long()).last_hidden_state
    else:
        with ExitStack() as hooks:
            for block in model.encoder.layer:
                silence = block.attention.self.value.register_forward_hook(
                    lambda module, given, values: values * others[..., None]
                )
                hooks.callback(silence.remove)
            after = model(batch).last_hidden_state
    means = ((vectors * others[..., None]).sum(dim=1) / (tokens - 1) for vectors in (whole, after))
    return 1 - torch.cosine_similarity(*means, dim=-1)


@torch.no_grad()
def value_norms(sentence: str) -> Float[Tensor, "layers heads tokens"]:
    """The norm of what each head of each layer would carry from each token to another."""
    _, model = minilm.load()
    heads = model.config.num_attention_heads
    norms = []
    for layer, block in zip(minilm.layers(sentence), model.encoder.layer, strict=True):
        values = attention.split_heads(layer.values, heads)[0]
        maps = block.attention.output.dense.weight.T.unflatten(0, (heads, -1))
        norms.append((values @ maps).norm(dim=-1))
    return torch.stack(norms)


def run(config: Config) -> list[Record]:
    """Records of all points, in order."""
    return [point | record for point in points(config) for record in measure(config, point)]


def rank_correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Spearman's: the correlation of the places of the numbers in their orders.

    >>> rank_correlation(np.array([1.0, 3.0, 9.0]), np.array([0.0, 5.0, 4.0]))
    0.5
    """
    places = (np.argsort(np.argsort(column)).astype(float) for column in (a, b))
    return round(float(np.corrcoef(*places)[0, 1]), 12)


def by_sentence(
    results: Results,
    value: str,
    effect: str,
    *,
    kinds: tuple[str, ...] = ("word",),
    fewest: int = 4,
) -> np.ndarray:
    """Rank correlation of two columns over the words of each sentence that has enough of them."""
    words = results.among(kind=kinds)
    numbers, a, b = (words.column(name) for name in ("sentence", value, effect))
    rows = [numbers == number for number in np.unique(numbers)]
    return np.array([rank_correlation(a[own], b[own]) for own in rows if own.sum() >= fewest])


def mean_with_bounds(values: np.ndarray, resamples: int = 2000) -> tuple[float, float, float]:
    """The mean over sentences, and 95 % bootstrap bounds."""
    drawn = np.random.default_rng(0).integers(len(values), size=(resamples, len(values)))
    low, high = np.quantile(values[drawn].mean(axis=1), [0.025, 0.975])
    return float(values.mean()), float(low), float(high)


def findings(results: Results) -> dict[str, str]:
    """Shares, effects and norms of [CLS] and [SEP] beside those of words; rank correlations."""
    words = results.where(kind="word")
    numbers = set(results.column("sentence").tolist())
    found = {"sentences": str(len(numbers)), "words": f"{len(words):,}"}
    for value in ("received", "carried"):
        for effect in EFFECTS:
            found[f"ranks_{value}_{effect}"] = wording.with_bounds(
                *mean_with_bounds(by_sentence(results, value, effect))
            )
    every = by_sentence(results, "received", "silenced", kinds=("word", "punctuation"))
    found["ranks_with_punctuation"] = wording.with_bounds(*mean_with_bounds(every))
    found["word_share"] = wording.percent(_median(words, "received"), digits=1)
    for effect in EFFECTS:
        found[f"word_{effect}"] = wording.two_digits(_median(words, effect))
    for name, token in (("cls", "[CLS]"), ("sep", "[SEP]"), ("point", "punctuation")):
        sink = results.where(kind=token)
        share = mean_with_bounds(sink.column("received"))
        found[f"{name}_share"] = wording.percent_with_bounds(*share)
        for effect in EFFECTS:
            found[f"{name}_{effect}"] = wording.two_digits(_median(sink, effect))
        for column in ("received", "carried", "value_norm", *EFFECTS):
            over = _median(sink, column) / _median(words, column)
            found[f"{name}_{column}_over_word"] = wording.two_digits(over)
        found[f"{name}_value_share"] = wording.percent(
            _median(sink, "value_norm") / _median(words, "value_norm")
        )
    for name in ("to_previous", "to_next"):
        given = results.column(name)
        given = given[~np.isnan(given)]
        found[f"{name}_mean"] = wording.percent(float(given.mean()), digits=1)
        found[f"{name}_least"] = wording.percent(float(given.min()), digits=1)
        found[f"{name}_sure"] = wording.percent(float((given > SURE).mean()), digits=1)
    return found


def _median(results: Results, column: str) -> float:
    return float(np.median(results.column(column)))


if __name__ == "__main__":
    from payattention import results
    from payattention.experiments import effect_vs_attention

    results.main(effect_vs_attention)
