"""What is a text worth that is read again?

Models of two sizes learn from a few hundred stretches of the training plays, drawn from all of
them, read once, twice and up to 64 times; others learn for as many steps from stretches that they
have not seen before. Where a model that
reads again ends at the loss of one that read less, but fresh text, the two have learned as much: so
many fresh characters were the repeated ones worth. Muennighoff et al. 2023 (arXiv:2305.16264) fit
how this worth runs out: after R = 15.4 repetitions, most of it.

Each training has a schedule of its own length. The recipe is that of `loss_vs_flops`, and so are
loss and test; no dropout and no decay of the weights stand against over-fitting.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Int
from scipy.optimize import minimize_scalar
from torch import Tensor

from payattention import data, train, wording
from payattention.experiments import loss_vs_flops
from payattention.experiments.loss_vs_flops import Size, bits, recipe, shape, spent, tested
from payattention.measure import interval
from payattention.records import Record, Results
from payattention.scaling_laws import MUENNIGHOFF_2023
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
LIVE = replace(FULL, epochs=(1, 8), sizes=((2, 32),), runs=loss_vs_flops.LIVE, seeds=1)
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


def stretches(config: Config, seed: int) -> Int[Tensor, " stretches"]:
    """Where the stretches begin that a seed's models read again: anywhere, none over another."""
    context = config.runs.tokens
    all_of_them = (len(data.shakespeare("train")) - 1) // context
    generator = torch.Generator().manual_seed(30_000 + seed)
    return context * torch.randperm(all_of_them, generator=generator)[: config.unique // context]


def measure(config: Config, point: Record) -> list[Record]:
    """Bits a character of new text, and of the text that was repeated."""
    runs, seed = config.runs, point["seed"]
    size = Size(point["layers"], point["d_model"])
    own = stretches(config, seed)
    starts = own if point["text"] == "repeated" else None
    steps = point["epochs"] * config.unique // (runs.batch * runs.tokens)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Decoder(shape(size))
    draw = data.language_passes(batch=runs.batch, context=runs.tokens, starts=starts, seed=seed)
    how = recipe(runs, size, steps, seed)
    records = train.train(model, draw, bits, recipe=how, evaluate=lambda m: tested(runs, m))
    ids = data.encode(data.shakespeare("train"))
    rows = ids[own[:, None] + torch.arange(runs.tokens + 1)]
    with torch.no_grad():
        known = bits(model.eval(), (rows[:, :-1], rows[:, 1:])).item()
    made_of = spent(runs, size, steps) | {"unique": config.unique}
    return [made_of | {"bits": records[-1]["bits"], "training_bits": known}]


def run(config: Config) -> list[Record]:
    """Records of all points, in order."""
    return [point | record for point in points(config) for record in measure(config, point)]


def worth(results: Results, *, layers: int, d_model: int) -> Results:
    """By epochs and seed: fresh text that would have taught as much, in units of the repeated.

    It is read off the curve of the models of the same seed that had fresh text, between its points
    on logarithmic axes. None where even one pass of fresh text had taught more.
    """
    runs = results.where(layers=layers, d_model=d_model)
    rows = []
    for seed in sorted(set(runs.column("seed").tolist())):
        fresh, repeated = (
            sorted(runs.where(text=text, seed=seed).records(), key=lambda row: row["epochs"])
            for text in ("fresh", "repeated")
        )
        texts = np.log([row["epochs"] for row in fresh])
        losses = np.minimum.accumulate([row["bits"] for row in fresh])
        for row in repeated:
            known = losses[-1] <= row["bits"] <= losses[0]
            same = float(np.exp(np.interp(-row["bits"], -losses, texts))) if known else None
            rows.append({"epochs": row["epochs"], "seed": seed, "worth": same})
    return Results.from_records(results.question, rows, config=results.config)


def worths(results: Results) -> Results:
    """What to draw: the worth of each number of passes, for each width, where it is known."""
    sizes = sorted({(row["layers"], row["d_model"]) for row in results.records()})
    rows = [
        row | {"d_model": d_model}
        for layers, d_model in sizes
        for row in worth(results, layers=layers, d_model=d_model).records()
        if row["worth"] is not None
    ]
    return Results.from_records(results.question, rows, config=results.config)


def repeats_fitted(table: Results) -> float:
    """R in Muennighoff et al.'s law that fits these worths best, on logarithms; see `worth`."""
    rows = [row for row in table.records() if row["worth"] is not None and row["epochs"] > 1]
    again, worths = (np.array([row[name] for row in rows]) for name in ("epochs", "worth"))

    def error(log_repeats: float) -> float:
        law = replace(MUENNIGHOFF_2023, repeats_of_tokens=float(np.exp(log_repeats)))
        told = [law.effective_tokens(float(epochs), 1.0) for epochs in again]
        return float(((np.log(told) - np.log(worths)) ** 2).sum())

    return float(np.exp(minimize_scalar(error, bounds=(-3, 6)).x))


def findings(results: Results) -> dict[str, str]:
    """What the text says: by size, worth of repetition, where it ends, and what is over-fitted."""
    found = {
        "seeds": str(len(set(results.column("seed").tolist()))),
        "unique": f"{FULL.unique:,}",
        "most_epochs": str(max(FULL.epochs)),
        "told_ever": f"{MUENNIGHOFF_2023.effective_tokens(1e9, 1.0):.1f}",
    }
    sizes = sorted({(row["layers"], row["d_model"]) for row in results.records()})
    for name, (layers, d_model) in zip(("small", "large"), sizes, strict=False):
        runs = results.where(layers=layers, d_model=d_model)
        found[f"{name}_parameters"] = wording.two_digits(float(runs.column("parameters").max()))
        for text in TEXTS:
            for row in runs.where(text=text).summary("bits", by="epochs"):
                found[f"{name}_{text}_{row['epochs']}"] = f"{row['mean']:.2f}"
        repeated = runs.where(text="repeated")
        means = {row["epochs"]: row["mean"] for row in repeated.summary("bits", by="epochs")}
        last, best = max(means), min(means, key=means.__getitem__)
        found[f"{name}_best_epochs"] = str(best)
        found[f"{name}_risen"] = f"{means[last] - means[best]:.2f}"
        known = repeated.where(epochs=last).column("training_bits").mean()
        found[f"{name}_known"] = f"{known:.2f}"
        table = worth(results, layers=layers, d_model=d_model)
        for epochs in sorted(set(table.column("epochs").tolist())):
            values = [row["worth"] for row in table.where(epochs=epochs).records()]
            if epochs > 1 and len(values) > 1 and None not in values:
                by = interval(values)
                found[f"{name}_worth_{epochs}"] = wording.with_bounds(
                    by.value, by.low, by.high, digits=1
                )
                told = MUENNIGHOFF_2023.effective_tokens(float(epochs), 1.0)
                found[f"told_{epochs}"] = f"{told:.1f}"
        found[f"{name}_repeats"] = wording.two_digits(repeats_fitted(table))
    return found


if __name__ == "__main__":
    from payattention import results
    from payattention.experiments import loss_vs_epochs

    results.main(loss_vs_epochs)
