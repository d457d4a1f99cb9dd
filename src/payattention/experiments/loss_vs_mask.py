"""What does a model learn that may look at the character it has to predict?

Small Transformers read Shakespeare and are trained to name the next character at every place, with
a causal mask or with none. Each is judged on plays that it has not read: as it was trained; at the
last place of the text alone, which has no future to look at; with a causal mask put on; and as it
would have to write, where every character is predicted from the text before it and nothing else.
"""

import math
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from payattention import data, train, wording
from payattention.records import Record, Results
from payattention.shape import TransformerShape
from payattention.transformer import Decoder

MASKS = {"causal mask": "causal", "no mask": None}
TOLERANCE = {"bits": 0.1}
FOUND_BITS = 1.0
"""Training bits a character below which the cheat counts as found: no honest model gets there."""


@dataclass(frozen=True)
class Config:
    """What is trained, for how long, and on how many stretches of text it is judged."""

    layers: int = 2
    d_model: int = 64
    heads: int = 4
    tokens: int = 64
    steps: int = 400
    batch: int = 16
    learning_rate: float = 1e-2
    record_every: int = 10
    tests: int = 128
    bucket: int = 8
    seeds: int = 3


FULL = Config()
LIVE = replace(FULL, steps=80, tests=32, seeds=1)


def points(config: Config) -> list[Record]:
    """One training for each mask and seed."""
    return [{"mask": mask, "seed": seed} for mask in MASKS for seed in range(config.seeds)]


def bits(
    model: Decoder, ids: Int[Tensor, "batch tokens"], following: Int[Tensor, "batch tokens"], mask
) -> Float[Tensor, "batch tokens"]:
    """Bits that the model needs for each character that follows."""
    logits = model(ids, mask=mask)
    return F.cross_entropy(logits.mT, following, reduction="none") / math.log(2)


def written_bits(
    model: Decoder, ids: Int[Tensor, "batch tokens"], following: Int[Tensor, "batch tokens"], mask
) -> Float[Tensor, "batch tokens"]:
    """The same where the model gets the text up to each character alone, as when it writes."""
    lengths = range(1, ids.shape[1] + 1)
    ends = [bits(model, ids[:, :n], following[:, :n], mask)[:, -1] for n in lengths]
    return torch.stack(ends, dim=1)


def build(config: Config, seed: int) -> Decoder:
    """The model of the seed, untrained."""
    shape = TransformerShape(
        layers=config.layers,
        d_model=config.d_model,
        heads=config.heads,
        kv_heads=config.heads,
        d_ff=4 * config.d_model,
        vocab=len(data.VOCABULARY),
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Decoder(shape)


def measure(config: Config, point: Record) -> list[Record]:
    """Bits a character in training, step by step; of each test; and of writing, by place.

    A place is the middle of a bucket.
    """
    model, mask = build(config, point["seed"]), MASKS[point["mask"]]
    curve = train.train(
        model,
        data.language_batches("train", batch=config.batch, context=config.tokens),
        lambda model, batch: bits(model, *batch, mask).mean(),
        recipe=train.Recipe(
            steps=config.steps,
            learning_rate=config.learning_rate,
            warmup_steps=config.steps // 20,
            seed=point["seed"],
            record_every=config.record_every,
        ),
    )
    fresh = torch.Generator().manual_seed(10_000 + point["seed"])
    text = data.language_batches("validation", batch=config.tests, context=config.tokens)(fresh)
    with torch.no_grad():
        as_trained = bits(model, *text, mask)
        written = written_bits(model, *text, mask)
        found = {
            "as trained": as_trained,
            "last place": as_trained[:, -1],
            "causal mask": bits(model, *text, "causal"),
            "prefix alone": written,
        }
    by_place = written.unflatten(1, (-1, config.bucket)).mean(dim=(0, 2)).tolist()
    records: list[Record] = [{"step": row["step"], "bits": row["loss"]} for row in curve]
    records += [{"tested": name, "bits": b.mean().item()} for name, b in found.items()]
    return records + [
        {"tested": "by place", "place": config.bucket * i + config.bucket // 2, "bits": mean}
        for i, mean in enumerate(by_place)
    ]


def run(config: Config) -> list[Record]:
    """Records of all points, in order."""
    return [point | record for point in points(config) for record in measure(config, point)]


def found_at(results: Results, seed: int) -> int | None:
    """The first recorded step at which a model without a mask had found the cheat, or None."""
    training = results.where(tested=None, mask="no mask", seed=seed).records()
    return next((row["step"] for row in training if row["bits"] < FOUND_BITS), None)


def findings(results: Results) -> dict[str, str]:
    """What the text says: the bits of each test, and when the cheat was found."""
    seeds = sorted(set(results.column("seed").tolist()))
    found = {
        "seeds": str(len(seeds)),
        "steps": str(FULL.steps),
        "live_steps": str(LIVE.steps),
        "tokens": str(FULL.tokens),
        "letters": f"{data.letter_bits('validation'):.1f}",
    }
    for tested in ("as trained", "last place", "causal mask", "prefix alone"):
        for row in results.where(tested=tested).summary("bits", by="mask"):
            name = f"{row['mask']} {tested}".replace(" ", "_")
            found[name] = f"{row['mean']:.{1 if row['mean'] >= 1 else 2}f}"
            if row["runs"] > 1:
                found[f"{name}_bounds"] = wording.with_bounds(row["mean"], row["low"], row["high"])
    by_place = results.where(tested="by place")
    for place in (min(by_place.column("place")), max(by_place.column("place"))):
        for row in by_place.where(place=place).summary("bits", by="mask"):
            found[f"{row['mask']} at {place:.0f}".replace(" ", "_")] = f"{row['mean']:.1f}"
    cheats = results.where(mask="no mask")
    bits = {name: cheats.where(tested=name).column("bits") for name in ("as trained", "last place")}
    honest = bits["last place"] / FULL.tokens / bits["as trained"]
    found["no_mask_last_place_share"] = wording.percent(honest.mean())
    steps = [step for seed in seeds if (step := found_at(results, seed)) is not None]
    found["runs_that_found_it"] = str(len(steps))
    if steps:
        found["first_found"], found["last_found"] = str(min(steps)), str(max(steps))
    return found


if __name__ == "__main__":
    from payattention import results
    from payattention.experiments import loss_vs_mask

    results.main(loss_vs_mask)
