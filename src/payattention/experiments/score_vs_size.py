"""Does an ability appear at some size, or does the score make it seem so?

Decoders of two layers and eight widths learn to multiply a number of eight digits by one digit
(`tasks.Product`), all for as many steps. Each is judged on problems that were held out, in several
ways at once: the share of the answer's digits that it names, the share of answers without a fault,
the digits that are wrong in an answer, and bits. Wei et al. 2022 (arXiv:2206.07682) saw abilities
appear at a size; Schaeffer et al. 2023 (arXiv:2304.15004) say that a score which asks for k right
tokens turns a share p of them, which grows smoothly, into p to the power k, which seems to jump.

A digit is `named` rightly by a model that is given the right digits before it, and `written`
rightly by one that goes on from its own. An answer without a fault is the same thing in both: a
model that has made no mistake stands where it would stand if it were given what is right. `wrong`
counts digits written at their places, as Schaeffer et al.'s edit distance does where nothing is
left out or put in.

`parameters` are those that a token is multiplied with: the blocks' and the output's.
"""

import itertools
import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from payattention import train, wording
from payattention.records import Record, Results
from payattention.shape import TransformerShape
from payattention.tasks import Product
from payattention.transformer import Decoder

D_HEAD = 8
TOLERANCE = {
    "named": 0.05,
    "exact": 0.02,
    "written": 0.05,
    "wrong": 0.4,
    "bits": 0.1,
    "product": 0.02,
}


@dataclass(frozen=True)
class Config:
    """Which sizes are trained, on what and for how long."""

    widths: tuple[int, ...] = (6, 8, 12, 16, 24, 32, 48, 64)
    layers: int = 2
    digits: int = 8
    steps: int = 2000
    batch: int = 64
    rate_times_width: float = 0.2
    warmup: float = 0.1
    looks: int = 10
    tests: int = 2000
    seeds: int = 6


FULL = Config()
LIVE = replace(FULL, widths=(8, 16), digits=3, steps=600, looks=1, tests=1000, seeds=1)


def points(config: Config) -> list[Record]:
    """A training for each width and seed, the narrow first."""
    return [
        {"d_model": width, "seed": seed} for width in config.widths for seed in range(config.seeds)
    ]


def shape(config: Config, d_model: int) -> TransformerShape:
    """The shape of a decoder of this width: a head for every eight of it, and two at least.

    A digit of the answer needs one of the number and the factor at once; in trials with fewer
    heads, the narrow models fell behind for that, and not for their size.
    """
    task, heads = Product(config.digits), max(2, d_model // D_HEAD)
    return TransformerShape(
        layers=config.layers,
        d_model=d_model,
        heads=heads,
        kv_heads=heads,
        d_ff=4 * d_model,
        vocab=task.vocab,
        context=task.tokens,
        positions="learned",
        biases="none",
    )


def parameters(config: Config, d_model: int) -> int:
    """Parameters that a token is multiplied with: the blocks' and the output's.

    >>> parameters(FULL, 6), parameters(FULL, 64)
    (936, 99072)
    """
    return (12 * config.layers * d_model + Product(config.digits).vocab) * d_model


def build(config: Config, d_model: int, seed: int) -> Decoder:
    """The untrained model of the seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Decoder(shape(config, d_model))


Problems = tuple[Int[Tensor, "batch read"], Int[Tensor, "batch places"]]
"""Problems, and their answers."""


def logits(model: Decoder, problems: Problems) -> Float[Tensor, "batch places vocab"]:
    """What the model makes of each digit of the answers, given the right digits before it."""
    read = torch.cat([problems[0], problems[1][:, :-1]], dim=1)
    return model(read)[:, -problems[1].shape[1] :]


def written(model: Decoder, problems: Problems) -> Int[Tensor, "batch places"]:
    """The answers that the model writes, each digit the likeliest behind its own before."""
    ids, places = problems[0], problems[1].shape[1]
    for _ in range(places):
        ids = torch.cat([ids, model.following(ids).argmax(dim=-1, keepdim=True)], dim=1)
    return ids[:, -places:]


def bits(of: Float[Tensor, "batch places vocab"], problems: Problems) -> Float[Tensor, ""]:
    """Bits that a model with these logits needs for a digit of an answer, on average."""
    return F.cross_entropy(of.mT, problems[1]) / math.log(2)


def shares(right: Bool[Tensor, "batch places"]) -> Record:
    """The share of digits that are right, and of answers that are right from end to end."""
    return {
        "named": right.float().mean().item(),
        "exact": right.all(dim=1).float().mean().item(),
    }


def measure(config: Config, point: Record) -> list[Record]:
    """Scores along the training, and of the trained model: whole, by place, by factor.

    With a factor stands the product, over the places, of the share that is named rightly there.
    """
    task, width = Product(config.digits), point["d_model"]
    model = build(config, width, point["seed"])
    tests = task.draw(config.tests, torch.Generator().manual_seed(10_000), held_out=True)

    def tested(model: Decoder) -> Record:
        found = logits(model, tests)
        return shares(found.argmax(dim=-1) == tests[1]) | {"bits": bits(found, tests).item()}

    curve = train.train(
        model,
        lambda generator: task.draw(config.batch, generator),
        lambda model, problems: bits(logits(model, problems), problems),
        recipe=train.Recipe(
            steps=config.steps,
            learning_rate=config.rate_times_width / width,
            warmup_steps=max(1, round(config.warmup * config.steps)),
            seed=point["seed"],
            record_every=max(1, config.steps // config.looks),
        ),
        evaluate=tested,
    )
    with torch.no_grad():
        right = logits(model, tests).argmax(dim=-1) == tests[1]
        wrote = written(model, tests) == tests[1]
    whole = {
        "written": wrote.float().mean().item(),
        "wrong": (~wrote).sum(dim=1).float().mean().item(),
        "places": right.shape[1],
        "parameters": parameters(config, width),
    }
    records: list[Record] = [
        {"of": "training"} | {name: row[name] for name in ("step", "named", "exact", "bits")}
        for row in curve
    ]
    records.append({"of": "whole", **shares(right), "bits": curve[-1]["bits"], **whole})
    records += [
        {"of": "place", "place": place, "named": right[:, place].float().mean().item()}
        for place in range(right.shape[1])
    ]
    factors = tests[0][:, task.FACTOR_AT]
    for factor in sorted(set(factors.tolist())):
        chosen = right[factors == factor]
        by_place = chosen.float().mean(dim=0)
        about = {"of": "factor", "factor": factor, "problems": len(chosen)}
        records.append(about | shares(chosen) | {"product": by_place.prod().item()})
    return records


def run(config: Config) -> list[Record]:
    """Records of all points, in order."""
    return [point | record for point in points(config) for record in measure(config, point)]


FORETELLERS = ("p^k", "by place", "by factor")


def foretold(results: Results) -> list[Record]:
    """Of each trained model: its scores, and the share of answers foretold from that of digits.

    `p^k` has one share for all digits; `by place` multiplies the share of each place; `by factor`
    does so for each factor, and takes the mean of all problems. Each takes digits for independent,
    in ever smaller groups of problems.
    """
    found = []
    for whole in results.where(of="whole").records():
        run = results.where(d_model=whole["d_model"], seed=whole["seed"])
        places, factors = run.where(of="place"), run.where(of="factor")
        by_factor = np.average(factors.column("product"), weights=factors.column("problems"))
        found.append(
            {name: whole[name] for name in ("d_model", "seed", "parameters", "bits", "wrong")}
            | {
                "digits": whole["named"],
                "written": whole["written"],
                "answers": whole["exact"],
                "p^k": whole["named"] ** whole["places"],
                "by place": places.column("named").prod().item(),
                "by factor": by_factor.item(),
            }
        )
    return found


def scores(results: Results, metrics: tuple[str, ...] = ("digits", "answers", "p^k")) -> Results:
    """What to draw: of each trained model and each metric, the `share`."""
    rows = [
        {name: run[name] for name in ("d_model", "seed", "parameters")}
        | {"metric": metric, "share": run[metric]}
        for metric in metrics
        for run in foretold(results)
    ]
    return Results.from_records(results.question, rows)


def means(results: Results, metric: str) -> dict[int, float]:
    """The metric's mean over the seeds, by parameters, the fewest first."""
    rows = scores(results, (metric,)).summary("share", by="parameters")
    return {row["parameters"]: row["mean"] for row in sorted(rows, key=lambda r: r["parameters"])}


def largest_step(results: Results, metric: str) -> tuple[int, int, float]:
    """Two neighbouring sizes between which the metric rises most, and by how much."""
    found = list(means(results, metric).items())
    steps = [(a, b, y - x) for (a, x), (b, y) in itertools.pairwise(found)]
    return max(steps, key=lambda step: step[2])


def first_from(results: Results, metric: str, least: float) -> int | None:
    """The fewest parameters from which on no size has a lower mean than `least`, if there are."""
    reached = None
    for size, mean in reversed(means(results, metric).items()):
        if mean < least:
            break
        reached = size
    return reached


def findings(results: Results) -> dict[str, str]:
    """What the text says: scores by size, the largest steps, what is foretold and what is not."""
    sizes = list(means(results, "answers"))
    found = {
        "seeds": str(len(set(results.column("seed").tolist()))),
        "sizes": str(len(sizes)),
        "digits": str(FULL.digits),
        "places": str(FULL.digits + 1),
        "layers": str(FULL.layers),
        "steps": f"{FULL.steps:,}",
        "problems": f"{FULL.steps * FULL.batch:,}",
        "tests": f"{FULL.tests:,}",
        "fewest_parameters": f"{sizes[0]:,}",
        "most_parameters": f"{sizes[-1]:,}",
    }
    return found | _by_width(results) | _steps(results) | _gaps(results) | _rushes(results)


def _by_width(results: Results) -> dict[str, str]:
    runs = Results.from_records(results.question, foretold(results))
    found = {}
    for name in ("digits", "answers", "written", *FORETELLERS):
        for row in runs.summary(name, by="d_model"):
            key = f"w{row['d_model']}_{name}".replace(" ", "_").replace("^", "_")
            digits = 1 if name != "digits" and row["mean"] < 0.1 else 0
            found[key] = wording.percent(row["mean"], digits=digits)
            if row["runs"] > 1:
                found[f"{key}_bounds"] = wording.percent_with_bounds(
                    row["mean"], max(0.0, row["low"]), min(1.0, row["high"]), digits=digits
                )
    for width in dict.fromkeys(runs.column("d_model").tolist()):
        shares = runs.where(d_model=width).column("answers")
        for end, share in (("least", shares.min()), ("most", shares.max())):
            digits = 1 if share < 0.1 else 0
            found[f"w{width}_{end}"] = wording.percent(float(share), digits=digits)
    for name in ("wrong", "bits"):
        for row in runs.summary(name, by="d_model"):
            found[f"w{row['d_model']}_{name}"] = f"{row['mean']:.2f}"
    for row in runs.summary("parameters", by="d_model"):
        found[f"w{row['d_model']}_parameters"] = f"{row['mean']:,.0f}"
    return found


def _steps(results: Results) -> dict[str, str]:
    """The largest steps, the size from which half is right, and what rose unseen before."""
    found = {}
    for metric in ("digits", "answers"):
        smaller, larger, step = largest_step(results, metric)
        by_size = list(means(results, metric).values())
        found[f"{metric}_step"] = f"{100 * step:.0f}"
        found[f"{metric}_step_from"], found[f"{metric}_step_to"] = f"{smaller:,}", f"{larger:,}"
        if by_size[-1] > by_size[0]:
            found[f"{metric}_step_share"] = wording.percent(step / (by_size[-1] - by_size[0]))
        half = first_from(results, metric, 0.5)
        if half is not None:
            found[f"{metric}_half_from"] = f"{half:,}"
    nearest = sorted(foretold(results), key=lambda run: abs(run["answers"] - 0.5))[:2]
    found["half_asked"] = wording.percent(0.5 ** (1 / (FULL.digits + 1)))
    for name, share in zip(
        ("less", "more"), sorted(run["digits"] for run in nearest), strict=False
    ):
        found[f"half_{name}_digits"] = wording.percent(share)
    digits = means(results, "digits")
    seen = first_from(results, "answers", 0.01)
    unseen = [size for size in digits if seen is None or size < seen]
    if unseen:
        found["unseen_to"] = f"{unseen[-1]:,}"
        found["unseen_digits_first"] = wording.percent(digits[unseen[0]])
        found["unseen_digits_last"] = wording.percent(digits[unseen[-1]])
    return found


def _gaps(results: Results) -> dict[str, str]:
    """How far each foreteller is from the share of answers: where it is furthest, and on average.

    In percentage points; of the means over the seeds.
    """
    found = {}
    answers = means(results, "answers")
    for name in FORETELLERS:
        foretold_means = means(results, name)
        gaps = {size: answers[size] - foretold_means[size] for size in answers}
        worst = max(gaps, key=lambda size: abs(gaps[size]))
        key = name.replace(" ", "_").replace("^", "_")
        found[f"{key}_gap"] = f"{100 * abs(gaps[worst]):.0f}"
        found[f"{key}_gap_at"] = f"{worst:,}"
        found[f"{key}_gap_answers"] = wording.percent(answers[worst])
        found[f"{key}_gap_foretold"] = wording.percent(foretold_means[worst])
        mean = sum(abs(gap) for gap in gaps.values()) / len(gaps)
        found[f"{key}_gap_mean"] = f"{100 * mean:.1f}"
    return found


def rush(results: Results, d_model: int, seed: int) -> tuple[int, int, float]:
    """Of one training: the two looks between which the share of digits rose most, and by how much.

    What the model knew before training is not looked at.
    """
    run = results.where(of="training", d_model=d_model, seed=seed)
    looks = list(zip(run.column("step").tolist(), run.column("named").tolist(), strict=True))
    rises = [(a, b, y - x) for (a, x), (b, y) in itertools.pairwise(looks)]
    return max(rises, key=lambda rise: rise[2])


def _rushes(results: Results) -> dict[str, str]:
    """How suddenly each size learns its digits: the mean of the runs' largest rises, and when."""
    runs = results.where(of="whole").records()
    if len(set(results.where(of="training").column("step").tolist())) < 2:
        return {}
    found = {"look": f"{FULL.steps // FULL.looks:,}"}
    for width in dict.fromkeys(run["d_model"] for run in runs):
        rises = [rush(results, width, run["seed"]) for run in runs if run["d_model"] == width]
        found[f"w{width}_rush"] = f"{100 * sum(rise for _, _, rise in rises) / len(rises):.0f}"
        found[f"w{width}_rush_first"] = f"{min(start for start, _, _ in rises):,}"
        found[f"w{width}_rush_last"] = f"{max(end for _, end, _ in rises):,}"
    return found


if __name__ == "__main__":
    from payattention import results
    from payattention.experiments import score_vs_size

    results.main(score_vs_size)
