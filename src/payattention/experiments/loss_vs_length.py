"""How far beyond the length of its training does each kind of positions carry?

Small Transformers that differ in their positions alone learn to name the next character of
Shakespeare from stretches of 64 characters, and are tested on stretches of 256: how many bits does
a character need, by its place? Learned positions end where their table ends. The rotary model is
tested four times more: with its positions squeezed into the trained length, as it is and after a
short training at 256, and, for comparison, after the same training without a squeeze. Last, a
rotary model that has seen 256 from the start, in batches of as many characters.
"""

import copy
import math
import statistics
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from payattention import data, train, wording
from payattention.measure import interval, paired_interval
from payattention.records import Record, Results
from payattention.shape import TransformerShape
from payattention.transformer import Decoder

LONG = "rotary, trained long"
SPANS = ("within", "beyond", "farthest")
"""Places: within the trained length, beyond it, and in the last bucket."""
TOLERANCE = {"bits": 0.1}


@dataclass(frozen=True)
class Config:
    """What is trained, for how long, and on how much it is tested."""

    models: tuple[str, ...] = ("learned", "none", "sinusoidal", "alibi", "rotary", LONG)
    layers: int = 2
    d_model: int = 64
    heads: int = 4
    trained_tokens: int = 64
    tested_tokens: int = 256
    bucket: int = 32
    steps: int = 600
    tuning_steps: tuple[int, ...] = (30, 120)
    batch_tokens: int = 1024
    learning_rate: float = 1e-2
    tuning_rate: float = 3e-3
    tests: int = 256
    seeds: int = 3


FULL = Config()
LIVE = replace(
    FULL,
    models=("alibi", "rotary"),
    steps=200,
    tuning_steps=(),
    tests=64,
    seeds=1,
)


def points(config: Config) -> list[Record]:
    """One training for each kind of positions and seed."""
    return [{"trained": m, "seed": seed} for m in config.models for seed in range(config.seeds)]


def measure(config: Config, point: Record) -> list[Record]:
    """Bits a character by place, of the trained model and of what is made of it.

    A place is the middle of a bucket. Where a model refuses the longer text, its words stand in
    `refused`, and what it does with a text of the trained length is measured.
    """
    name, seed = point["trained"], point["seed"]
    model = build(config, name, seed)
    tokens = config.tested_tokens if name == LONG else config.trained_tokens
    fit(config, model, tokens=tokens, steps=config.steps, rate=config.learning_rate, seed=seed)
    records = by_place(config, model, name, seed)
    if name == "rotary":
        records += stretched(config, model, seed)
    return records


def build(config: Config, name: str, seed: int) -> Decoder:
    """The untrained model of the name, from the seed."""
    shape = TransformerShape(
        layers=config.layers,
        d_model=config.d_model,
        heads=config.heads,
        kv_heads=config.heads,
        d_ff=4 * config.d_model,
        vocab=len(data.VOCABULARY),
        context=config.trained_tokens if name == "learned" else None,
        positions="rotary" if name == LONG else name,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Decoder(shape)


def fit(
    config: Config, model: Decoder, *, tokens: int, steps: int, rate: float, seed: int
) -> list[Record]:
    """Records of the training of the model on stretches of so many tokens; it changes in place."""
    return train.train(
        model,
        data.language_batches("train", batch=config.batch_tokens // tokens, context=tokens),
        lambda model, batch: bits(model, *batch).mean(),
        recipe=train.Recipe(steps=steps, learning_rate=rate, warmup_steps=steps // 20, seed=seed),
    )


def bits(model: Decoder, ids: Tensor, following: Tensor) -> Float[Tensor, "batch tokens"]:
    """Bits that the model needs for each character that follows."""
    return F.cross_entropy(model(ids).mT, following, reduction="none") / math.log(2)


def stretched(config: Config, model: Decoder, seed: int) -> list[Record]:
    """Records of the rotary model with squeezed positions, and with more training at the length."""
    factor = config.tested_tokens / config.trained_tokens
    model = copy.deepcopy(model)
    model.squeeze(factor)
    records = by_place(config, model, "rotary, squeezed", seed)
    for steps in config.tuning_steps:
        for name, squeeze in (("rotary, squeezed and tuned", factor), ("rotary, tuned", 1.0)):
            tuned = copy.deepcopy(model)
            tuned.squeeze(squeeze)
            fit(
                config,
                tuned,
                tokens=config.tested_tokens,
                steps=steps,
                rate=config.tuning_rate,
                seed=1_000 + seed,  # texts that the first training has not seen in this order
            )
            records += by_place(config, tuned, name, seed, tuning_steps=steps)
    return records


@torch.no_grad()
def by_place(
    config: Config, model: Decoder, name: str, seed: int, *, tuning_steps: int = 0
) -> list[Record]:
    """Records of the model on validation text; every model of a seed gets the same stretches."""
    fresh = torch.Generator().manual_seed(10_000 + seed)
    draw = data.language_batches("validation", batch=config.tests, context=config.tested_tokens)
    ids, following = draw(fresh)
    refused: list[Record] = []
    try:
        model(ids[:1])
    except ValueError as error:
        refused = [{"refused": str(error)}]
        ids, following = (x[:, : config.trained_tokens] for x in (ids, following))
    parts = zip(ids.split(32), following.split(32), strict=True)
    needed = torch.cat([bits(model, *part) for part in parts]).mean(dim=0)
    means = needed.unflatten(0, (-1, config.bucket)).mean(dim=1).tolist()
    places = [config.bucket * i + config.bucket // 2 for i in range(len(means))]
    found: list[Record] = [
        {"place": place, "beyond": place > config.trained_tokens, "bits": mean}
        for place, mean in zip(places, means, strict=True)
    ]
    which = {"model": name, "tuning_steps": tuning_steps, "refused": None}
    return [which | row for row in found + refused]


def run(config: Config) -> list[Record]:
    """Records of all points, in order."""
    return [point | record for point in points(config) for record in measure(config, point)]


def spans(results: Results) -> list[tuple[str, list[float]]]:
    """Names of the models, each with a span of places, and the bits of every run there."""
    measured = results.where(refused=None)
    farthest = max(measured.column("place"))
    chosen = (
        measured.where(beyond=False),
        measured.where(beyond=True),
        measured.where(place=farthest),
    )
    found = []
    for span, part in zip(SPANS, chosen, strict=True):
        runs: dict[tuple[str, int], dict[int, list[float]]] = {}
        for row in part.records():
            by_seed = runs.setdefault((row["model"], row["tuning_steps"]), {})
            by_seed.setdefault(row["seed"], []).append(row["bits"])
        for (model, steps), by_seed in runs.items():
            name = model.replace(",", "").replace(" ", "_") + (f"_{steps}" if steps else "")
            found.append((f"{name}_{span}", [statistics.fmean(b) for b in by_seed.values()]))
    return found


def findings(results: Results) -> dict[str, str]:
    """What the text says: bits of each model by span; what squeezing gains where both are tuned."""
    found = {
        "seeds": str(len(set(results.column("seed").tolist()))),
        "trained_tokens": str(FULL.trained_tokens),
        "tested_tokens": str(FULL.tested_tokens),
        "steps": str(FULL.steps),
        "times": str(FULL.tested_tokens // FULL.trained_tokens),
        "tuning_short": str(min(FULL.tuning_steps)),
        "tuning_long": str(max(FULL.tuning_steps)),
        "letters": f"{data.letter_bits('validation'):.1f}",
        "pairs": f"{data.pair_bits('validation'):.2f}",
    }
    for name, runs in spans(results):
        found[name] = f"{statistics.fmean(runs):.2f}"
        if len(runs) > 1:
            bounds = interval(runs)
            found[f"{name}_bounds"] = wording.with_bounds(bounds.value, bounds.low, bounds.high)
    runs = dict(spans(results))
    for steps in FULL.tuning_steps:
        for span in SPANS:
            plain, squeezed = (
                runs.get(f"rotary_{name}_{steps}_{span}", ())
                for name in ("tuned", "squeezed_and_tuned")
            )
            if len(plain) > 1:
                for name, first, second in (("gain", plain, squeezed), ("behind", squeezed, plain)):
                    by = paired_interval(first, second)
                    found[f"{name}_{steps}_{span}"] = wording.with_bounds(by.value, by.low, by.high)
    refusals = [row["refused"] for row in results.records() if row.get("refused")]
    if refusals:
        found["refusal"] = refusals[0]
    return found


if __name__ == "__main__":
    from payattention import results
    from payattention.experiments import loss_vs_length

    results.main(loss_vs_length)
