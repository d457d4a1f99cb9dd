"""What loss do so many operations buy, and in a model of what size?

Small decoders read Shakespeare. At each budget of operations, models of several sizes are trained
until the budget is spent: a small one over much text, a large one over little. Where the loss is
lowest is the size that is best for that budget; Hoffmann et al. 2022 (arXiv:2203.15556) call it an
IsoFLOP profile, their approach 2, and all runs together give the constants of their equation 2.

A budget counts the matrix products of forward and backward passes, the output's and the scores that
the mask allows included. `parameters` are those that a token is multiplied with: the blocks' and
the output's. The table of token vectors, looked up, is not among them; `blocks` are the parameters
that Kaplan et al. 2020 count. Text is read in passes: none of it comes twice before all has come
once, and `passes` says how often it did.

Every run has a rate of learning for its width and length, a warm-up over a tenth of its steps and a
decay to zero at its end; `loss_vs_rate` says where the rates come from.
Loss is in bits a character, of the validation plays in stretches of 64 characters, each from its
first: a harder question than the book's metric, which gives a model 65 to 128 characters to go by.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from payattention import data, fits, isoflop, resampling, train, wording
from payattention.cost import operations
from payattention.measure import Interval, loglog_slope
from payattention.records import Record, Results
from payattention.scaling_laws import OPERATIONS, AdditiveLaw, Meaning
from payattention.shape import TransformerShape
from payattention.transformer import Decoder

D_HEAD = 8
MEANING = Meaning(
    "this book",
    "the runs of loss_vs_flops",
    parameters="parameters of blocks and output",
    tokens="characters of Shakespeare, 78 of them",
    flops="matrix products counted one by one, about 6 N D",
    loss="bits a character",
    runs="2,200 to 202,000 parameters, 80,000 to 8 million characters",
    least_flops=1.5e10,
    most_flops=1.5e12,
)
CONSTANTS = ("E", "alpha", "beta", "parameters_exponent", "loss_exponent")
TOLERANCE = {
    "bits": 0.05,
    "parameters": 0,
    "blocks": 0,
    "tokens": 0,
    "steps": 0,
    "flops": 1e5,  # of 1e9 and more: nine digits are stored
    "passes": 1e-8,
}


class Size(NamedTuple):
    """Layers and width of a decoder."""

    layers: int
    d_model: int


@dataclass(frozen=True)
class Config:
    """Which budgets are spent on which sizes.

    A size is tried at a budget if its parameters are `least` to `most` times those near the best,
    which were found in a first trial to be `near_best` at the first budget and to grow with the
    square root.
    """

    budgets: tuple[float, ...] = (1.5e10, 4.75e10, 1.5e11, 4.75e11, 1.5e12)
    sizes: tuple[tuple[int, int], ...] = (
        (2, 8),
        (2, 12),
        (2, 16),
        (2, 24),
        (2, 32),
        (2, 40),
        (3, 40),
        (3, 48),
        (3, 64),
        (4, 64),
    )
    near_best: float = 6e3
    least: float = 0.3
    most: float = 6.0
    tokens: int = 64
    batch: int = 8
    most_rate: float = 0.03
    rate_times_width: float = 0.5
    rate_steps: int = 1000
    rate_exponent: float = 0.2
    warmup: float = 0.1
    tests: int = 1024
    seeds: int = 3


FULL = Config()
LIVE = replace(FULL, budgets=(1.5e10,), sizes=((2, 8), (2, 12), (2, 32)), tests=256, seeds=1)


def shape(size: Size) -> TransformerShape:
    """The shape of a decoder of this size, with a head for every eight of its width."""
    layers, d_model = size
    heads = max(1, d_model // D_HEAD)
    return TransformerShape(
        layers=layers,
        d_model=d_model,
        heads=heads if d_model % heads == 0 else 1,
        kv_heads=heads if d_model % heads == 0 else 1,
        d_ff=4 * d_model,
        vocab=len(data.VOCABULARY),
        context=data.CONTEXT,
        biases="none",
    )


def blocks(size: Size) -> int:
    """Parameters of the blocks' matrices: what Kaplan et al. count.

    >>> blocks(Size(2, 16))
    6144
    """
    return 12 * size[0] * size[1] ** 2


def parameters(size: Size) -> int:
    """Parameters that a token is multiplied with: the blocks' and the output's.

    >>> parameters(Size(2, 16))
    7392
    """
    return blocks(size) + len(data.VOCABULARY) * size[1]


def step_flops(config: Config, size: Size) -> int:
    """Operations of one step: matrix products, with the scores that the mask allows."""
    pairs = operations.needed_pairs(config.tokens, mask="causal")
    bill = operations.training(shape(size), tokens=config.tokens, pairs=pairs)
    return config.batch * sum(bill.values())


def rate(config: Config, size: Size, steps: int) -> float:
    """The rate of learning of a model of this width that is trained for so many steps.

    >>> rate(FULL, Size(2, 50), steps=1000), rate(FULL, Size(2, 50), steps=32_000)
    (0.01, 0.005)
    """
    longer = (config.rate_steps / steps) ** config.rate_exponent
    return min(config.most_rate, config.rate_times_width / size[1] * longer)


def points(config: Config) -> list[Record]:
    """A training each, the small budgets first."""
    return [
        {"budget": budget, "layers": size.layers, "d_model": size.d_model, "seed": seed}
        for budget in config.budgets
        for size in (Size(*each) for each in config.sizes)
        if _near(config, budget, size)
        for seed in range(config.seeds)
    ]


def _near(config: Config, budget: float, size: Size) -> bool:
    best = config.near_best * math.sqrt(budget / config.budgets[0])
    return config.least <= parameters(size) / best <= config.most


def bits(model: Decoder, batch: tuple[Tensor, Tensor]) -> Tensor:
    """Bits that the model needs for a character, on average."""
    return F.cross_entropy(model(batch[0]).mT, batch[1]) / math.log(2)


def recipe(config: Config, size: Size, steps: int, seed: int) -> train.Recipe:
    """How a model of this size is trained in so many steps."""
    return train.Recipe(
        steps=steps,
        learning_rate=rate(config, size, steps),
        warmup_steps=max(1, round(config.warmup * steps)),
        seed=seed,
        record_every=steps,
    )


def trained(config: Config, size: Size, how: train.Recipe) -> tuple[Decoder, list[Record]]:
    """A decoder of this size, trained in passes over the training plays, and its records."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(how.seed)
        model = Decoder(shape(size))
    draw = data.language_passes("train", batch=config.batch, context=config.tokens, seed=how.seed)
    records = train.train(model, draw, bits, recipe=how, evaluate=lambda m: tested(config, m))
    return model, records


def tested(config: Config, model: Decoder) -> dict[str, float]:
    """Bits a character of validation text, the same stretches for every model."""
    draw = data.language_batches("validation", batch=config.tests, context=config.tokens)
    return {"bits": bits(model, draw(torch.Generator().manual_seed(0))).item()}


def spent(config: Config, size: Size, steps: int) -> Record:
    """What a training of so many steps is made of."""
    tokens = steps * config.batch * config.tokens
    return {
        "parameters": parameters(size),
        "blocks": blocks(size),
        "steps": steps,
        "tokens": tokens,
        "flops": float(steps * step_flops(config, size)),
        "passes": tokens / len(data.shakespeare("train")),
    }


def measure(config: Config, point: Record) -> list[Record]:
    """Bits a character after the budget is spent, and what it was spent on."""
    size = Size(point["layers"], point["d_model"])
    steps = max(1, round(point["budget"] / step_flops(config, size)))
    _, records = trained(config, size, recipe(config, size, steps, point["seed"]))
    return [spent(config, size, steps) | {"bits": records[-1]["bits"]}]


def run(config: Config) -> list[Record]:
    """Records of all points, in order."""
    return [point | record for point in points(config) for record in measure(config, point)]


# What follows from the runs


def law(results: Results, *, starts: int = fits.STARTS) -> AdditiveLaw:
    """The law that fits all runs best, in bits a character."""
    return fits.additive(*_sizes_texts_bits(results), starts=starts, meaning=MEANING)


def _sizes_texts_bits(results: Results) -> list[np.ndarray]:
    return [results.column(name).astype(float) for name in ("parameters", "tokens", "bits")]


def over_law(results: Results, fitted: AdditiveLaw) -> np.ndarray:
    """Bits of each run, over those that the law foretells."""
    sizes, texts, bits = _sizes_texts_bits(results)
    return bits / [fitted.loss(n, d) for n, d in zip(sizes, texts, strict=True)]


def misses(results: Results, fitted: AdditiveLaw) -> dict[float, dict[int, float]]:
    """By budget and size, the mean share by which runs end above what the law foretells."""
    found: dict[float, dict[int, float]] = {}
    off = over_law(results, fitted) - 1
    budgets, sizes = results.column("budget"), results.column("parameters")
    for budget in np.unique(budgets):
        of_budget = budgets == budget
        found[float(budget)] = {
            int(size): float(off[of_budget & (sizes == size)].mean())
            for size in np.unique(sizes[of_budget])
        }
    return found


def best_sizes(results: Results) -> dict[float, isoflop.Valley]:
    """The valley of each budget: loss against parameters."""
    return isoflop.valleys(
        results.column("budget"), results.column("parameters"), results.column("bits")
    )


def best_tokens(results: Results) -> dict[float, float]:
    """Text that each budget pays for at its best size: between the texts of the sizes tried."""
    found = {}
    for budget, valley in best_sizes(results).items():
        runs = results.where(budget=budget)
        order = np.argsort(runs.column("parameters"))
        sizes, texts = (np.log(runs.column(n))[order] for n in ("parameters", "tokens"))
        found[budget] = float(np.exp(np.interp(np.log(valley.parameters), sizes, texts)))
    return found


def resampled(
    results: Results, fitted: AdditiveLaw, *, repeats: int = resampling.REPEATS
) -> resampling.Resampled:
    """The law's constants and the exponents, on the runs and on resamples, as many of each budget.

    a in N ∝ C^a is here thrice: of the `valleys`, of the law as "parameters_exponent", and the
    `difference`. Seeds of one size and budget are drawn as runs of their own, though they share
    what is wrong with the law there.
    """

    def numbers(budget, parameters, tokens, bits) -> dict[str, float]:
        again = fits.additive(parameters, tokens, bits, near=fitted)
        found = isoflop.exponent(isoflop.valleys(budget, parameters, bits))
        constants = {name: getattr(again, name) for name in CONSTANTS}
        return constants | {"valleys": found, "difference": found - again.parameters_exponent}

    return _drawn_again(numbers, results, repeats)


def resampled_valleys(
    results: Results, *, repeats: int = resampling.REPEATS
) -> resampling.Resampled:
    """a in N ∝ C^a of the `valleys` alone, on the runs and on the same resamples."""

    def numbers(budget, parameters, tokens, bits) -> dict[str, float]:
        return {"valleys": isoflop.exponent(isoflop.valleys(budget, parameters, bits))}

    return _drawn_again(numbers, results, repeats)


def _drawn_again(
    numbers: Callable[..., dict[str, float]], results: Results, repeats: int
) -> resampling.Resampled:
    names = ("budget", "parameters", "tokens", "bits")
    columns = {name: results.column(name).astype(float) for name in names}
    return resampling.bootstrap(numbers, columns, strata=columns["budget"], repeats=repeats)


def counted_exponent(fitted: AdditiveLaw, budgets: Sequence[float], *, blocks: bool) -> float:
    """a in N ∝ C^a where the law is lowest, with N and C of all matrices or of the `blocks` alone.

    Of models of two layers: as Pearce and Song 2024 (arXiv:2406.12907), the same losses, and
    another count of what is held fixed.
    """
    vocab = len(data.VOCABULARY)
    widths = np.geomspace(2, 1e6, 10_000)
    sizes = 24 * widths**2 + vocab * widths
    counted = 24 * widths**2 if blocks else sizes
    best = []
    for budget in budgets:
        texts = budget / (OPERATIONS * counted)
        losses = fitted.A / sizes**fitted.alpha + fitted.B / texts**fitted.beta
        best.append(counted[losses.argmin()])
    return float(np.polyfit(np.log(budgets), np.log(best), 1)[0])


def findings(results: Results) -> dict[str, str]:
    """What the text says: the law with intervals, the valleys, what it costs to get better."""
    fitted = law(results)
    valleys, texts, again = best_sizes(results), best_tokens(results), resampled(results, fitted)
    off = np.abs(np.log(over_law(results, fitted)))
    found = {
        "runs": str(len(results)),
        "seeds": str(len(set(results.column("seed").tolist()))),
        "budgets": str(len(valleys)),
        "least_parameters": wording.two_digits(float(results.column("parameters").min())),
        "most_parameters": wording.two_digits(float(results.column("parameters").max())),
        "most_passes": f"{results.column('passes').max():.1f}",
        "middle_off": wording.percent(float(np.median(off)), digits=1),
        "most_off": wording.percent(float(off.max()), digits=1),
        "halving": wording.two_digits(fitted.flops_factor()),
        "A": wording.two_digits(fitted.A),
        "B": wording.two_digits(fitted.B),
        "exponent": _bounds(again.interval("valleys")),
        "difference": _bounds(again.interval("difference"), digits=3),
        "counted_exponent": f"{counted_exponent(fitted, list(valleys), blocks=False):.2f}",
        "blocks_exponent": f"{counted_exponent(fitted, list(valleys), blocks=True):.2f}",
    }
    slope = loglog_slope(list(valleys), [valley.loss for valley in valleys.values()])
    bottoms = [valley.parameters for valley in valleys.values()]
    grown = bottoms[-1] / bottoms[0]
    outputs = 1 - results.column("blocks") / results.column("parameters")
    found |= {
        "letters": f"{data.letter_bits('validation'):.1f}",
        "most_bits": f"{results.column('bits').max():.1f}",
        "least_bits": f"{results.column('bits').min():.1f}",
        "frontier": wording.with_bounds(-slope.value, -slope.high, -slope.low, digits=3),
        "size_times": wording.two_digits(grown),
        "text_times": wording.two_digits(texts[max(texts)] / texts[min(texts)]),
        "output_share": wording.percent(outputs.max()),
        "cost_power": f"{math.log(max(valleys) / min(valleys)) / math.log(grown):.1f}",
        "least_over_rule": wording.percent(_over_rule(results).min()),
        "most_over_rule": wording.percent(_over_rule(results).max()),
    }
    found |= {name: _bounds(again.interval(name)) for name in CONSTANTS}
    halving = [0.5 ** (-1 / g) for g in again.again["loss_exponent"]]
    found["halving_least"], found["halving_most"] = (
        wording.two_digits(bound) for bound in np.quantile(halving, (0.025, 0.975))
    )
    ratios = [texts[budget] / valley.parameters for budget, valley in valleys.items()]
    found["least_ratio"], found["most_ratio"] = (
        wording.two_digits(ratio) for ratio in (min(ratios), max(ratios))
    )
    for place, (budget, valley) in enumerate(valleys.items()):
        found |= {
            f"best_{place}": wording.two_digits(valley.parameters),
            f"bits_{place}": f"{valley.loss:.2f}",
            f"tokens_{place}": wording.two_digits(texts[budget]),
            f"ratio_{place}": wording.two_digits(texts[budget] / valley.parameters),
            f"law_{place}": wording.two_digits(fitted.optimum(budget).parameters),
        }
    return found


def _over_rule(results: Results) -> np.ndarray:
    """By what share the operations of each run exceed 6 N D: the square of attention."""
    by_rule = OPERATIONS * results.column("parameters") * results.column("tokens")
    return results.column("flops") / by_rule - 1


def _bounds(interval: Interval, *, digits: int = 2) -> str:
    return wording.with_bounds(interval.value, interval.low, interval.high, digits=digits)


if __name__ == "__main__":
    from payattention import results
    from payattention.experiments import loss_vs_flops

    results.main(loss_vs_flops)
