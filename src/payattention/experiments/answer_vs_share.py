"""What does a model say to an image that lies between two?

A small CNN learns clothes with and without mixup, as in the map of `error_vs_mixing`. Then it is
shown images between two test images of unlike classes, a share λ of the one and 1 - λ of the other,
and says what they show. `sure` is the mean of its largest probability over many pairs, `third` the
mean probability that it gives to all classes but the two. A model that had learned what mixup asks
for would say the two classes with λ and 1 - λ, and nothing else.

Of a few pairs all probabilities are kept, of the first seed.
"""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from payattention import wording
from payattention.experiments import error_vs_mixing
from payattention.records import Record, Results

KIND = "clothes, CNN"
TOLERANCE = {"sure": 0.05, "third": 0.05, "off": 0.05, "probability": 0.05}
ELSEWHERE = dict.fromkeys(TOLERANCE, 0.5)
SHOWN = ((9, 0), (1, 3), (8, 5), (2, 7), (6, 4), (0, 3))
"""Pairs of classes of which all probabilities are kept."""


@dataclass(frozen=True)
class Config:
    """How the models learn, and along how many lines they are asked."""

    alphas: tuple[float, ...] = (0.0, 1.0)
    labels: int = 10_000
    steps: int = 1500
    shares: int = 21
    pairs: int = 400
    shown: int = len(SHOWN)
    cheap_steps: int = 20
    seeds: int = 3


FULL = Config()
LIVE = replace(FULL, labels=1000, steps=100, shares=11, pairs=50, shown=0, seeds=1)


def points(config: Config) -> list[Record]:
    """A few steps, to be measured again by a test; then a training each."""
    cheap: list[Record] = [{"alpha": 0.0, "steps": config.cheap_steps, "seed": 0}]
    return cheap + [
        {"alpha": alpha, "steps": config.steps, "seed": seed}
        for alpha in config.alphas
        for seed in range(config.seeds)
    ]


def ends(classes: Int[Tensor, " images"], pairs: int) -> Int[Tensor, "pairs 2"]:
    """Places of so many pairs of test images whose classes differ."""
    chance = torch.Generator().manual_seed(4_000)
    drawn = torch.randint(len(classes), (4 * pairs, 2), generator=chance)
    return drawn[classes[drawn[:, 0]] != classes[drawn[:, 1]]][:pairs]


def shown(classes: Int[Tensor, " images"]) -> list[tuple[int, int]]:
    """Places of the pairs whose probabilities are kept: the first test images of their classes."""

    def first(one: int) -> int:
        return int((classes == one).int().argmax())

    return [(first(one), first(other)) for one, other in SHOWN]


def between(
    one: Float[Tensor, "*batch height width"],
    other: Float[Tensor, "*batch height width"],
    share: float,
) -> Float[Tensor, "*batch height width"]:
    """Images with a share of the one, and the rest of the other."""
    return share * one + (1 - share) * other


@torch.no_grad()
def answers(model: nn.Module, images: Float[Tensor, "batch height width"]) -> Tensor:
    """The probabilities of all classes."""
    return model(images).softmax(dim=1)


def measure(config: Config, point: Record) -> list[Record]:
    """Along the lines: how sure, how much for a third class, how far off; and a few in full."""
    model = error_vs_mixing.learn(
        error_vs_mixing.FULL,
        {"kind": KIND, "labels": config.labels, "wrong": 0.0} | point,
        steps=point["steps"],
        rate=error_vs_mixing.KINDS[KIND].rate,
    ).eval()
    images, classes = error_vs_mixing.judged(KIND)
    pairs = ends(classes, config.pairs)
    found = []
    shares = torch.linspace(0, 1, config.shares, dtype=torch.double).tolist()
    for share in shares:
        said = answers(model, between(*(images[pairs[:, end]] for end in (0, 1)), share)).double()
        two = said.gather(1, classes[pairs].long())
        found.append(
            {
                "share": share,
                "sure": said.amax(dim=1).mean().item(),
                "third": (1 - two.sum(dim=1)).mean().item(),
                "off": (two[:, 0] - share).abs().mean().item(),
            }
        )
    if point["seed"] == 0 and point["steps"] == config.steps:
        for number, (one, other) in enumerate(shown(classes)[: config.shown]):
            for share in shares:
                [said] = answers(model, between(images[one], images[other], share)[None])
                found += [
                    {"share": share, "pair": number, "named": name, "probability": chance}
                    for name, chance in enumerate(said.tolist())
                ]
    return found


def run(config: Config) -> list[Record]:
    """Records of all points, in order."""
    return [point | record for point in points(config) for record in measure(config, point)]


def means(results: Results) -> Results:
    """The records over many pairs, of trainings of full length."""
    rows = results.where(steps=max(results.column("steps"))).records()
    return Results.from_records(results.question, [row for row in rows if row.get("pair") is None])


def findings(results: Results) -> dict[str, str]:
    """What the text says: how sure half-way, and at the ends; how far from what mixup asks for."""
    rows = means(results)
    found = {"pairs": str(FULL.pairs), "seeds": str(len(set(rows.columns["seed"])))}
    for share, name in ((0.0, "end"), (0.5, "half")):
        for metric in ("sure", "third", "off"):
            for row in rows.where(share=share).summary(metric, by="alpha"):
                mean = row["mean"]
                said = f"{mean:.2f}" if metric == "off" else wording.percent(mean)
                found[f"{name}_{row['alpha']:g}_{metric}"] = said
    return found


if __name__ == "__main__":
    from payattention import results
    from payattention.experiments import answer_vs_share

    results.main(answer_vs_share)
