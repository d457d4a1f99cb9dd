"""What does mixup do to the border between classes, where one can see it?

A small network of two hidden layers learns points of the plane: two moons that reach into one
another, and handwritten digits on their two first principal components, where ten classes overlap.
Judged are new points. `error` is the share named wrongly, `undecided` the share of the square that
is shown in which the largest probability is below 0.9.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from payattention import data, train, wording
from payattention.measure import paired_interval
from payattention.mixup import Mixed, mixup
from payattention.records import Record, Results
from payattention.tasks import Moons

Points = Float[Tensor, "points 2"]
Classes = Int[Tensor, " points"]

SURE = 0.9
SQUARES = {"moons": ((-1.6, 2.6), (-1.1, 1.6)), "digits": ((-1.4, 1.4), (-1.4, 1.4))}
"""From where to where the plane is shown: across, and up."""
CLASSES = {"moons": 2, "digits": 10}
TOLERANCE = {"error": 0.05, "undecided": 0.1}
ELSEWHERE = {"error": 0.2, "undecided": 0.4}


@dataclass(frozen=True)
class Config:
    """How many points are learned, by how long a training, at which α."""

    kinds: tuple[str, ...] = ("moons", "digits")
    alphas: tuple[float, ...] = (0.0, 0.1, 0.2, 0.4, 1.0, 8.0)
    points: tuple[int, ...] = (100, 1000)
    noise: float = 0.2
    judged: int = 2000
    width: int = 64
    steps: int = 600
    batch: int = 64
    learning_rate: float = 1e-2
    seeds: int = 20


FULL = Config()
LIVE = replace(FULL, kinds=("moons",), alphas=(0.0, 0.2, 1.0), steps=300, seeds=1)


def points(config: Config) -> list[Record]:
    """A training each, of moons first."""
    return [
        {"kind": kind, "alpha": alpha, "seed": seed}
        for kind in config.kinds
        for alpha in config.alphas
        for seed in range(config.seeds)
    ]


@cache
def _flat(split: str) -> tuple[Points, Classes]:
    """The digits on their first two principal components, those of the training images."""
    images, classes = data.digits("train")
    middle = images.flatten(1).mean(dim=0)
    _, _, axes = torch.linalg.svd(images.flatten(1) - middle, full_matrices=False)
    signs = axes[:2].gather(1, axes[:2].abs().argmax(dim=1, keepdim=True)).sign()
    if split != "train":
        parts = [data.digits(part) for part in ("validation", "test")]
        images, classes = (torch.cat(x) for x in zip(*parts, strict=True))
    return (images.flatten(1) - middle) @ (axes[:2] * signs).T / 1.5, classes


def learned(config: Config, kind: str, seed: int) -> tuple[Points, Classes]:
    """The points of a seed that are learned."""
    count = config.points[config.kinds.index(kind)] if kind in config.kinds else config.points[0]
    chance = torch.Generator().manual_seed(seed)
    if kind == "moons":
        return Moons(config.noise).draw(count, chance)
    places, classes = _flat("train")
    chosen = torch.randperm(len(places), generator=chance)[:count]
    return places[chosen], classes[chosen]


def judged(config: Config, kind: str) -> tuple[Points, Classes]:
    """New points."""
    if kind == "moons":
        return Moons(config.noise).draw(config.judged, torch.Generator().manual_seed(10_000))
    return _flat("judged")


def learn(
    config: Config, kind: str, alpha: float, seed: int, *, mix: Callable[..., Mixed] = mixup
) -> Callable[[Float[Tensor, "points 2"]], Float[Tensor, "points classes"]]:
    """The trained network: points in, logits out. `mix` has the form of `mixup`."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        width, classes = config.width, CLASSES[kind]
        model = nn.Sequential(
            *(nn.Linear(2, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU()),
            nn.Linear(width, classes),
        )
    places, named = learned(config, kind, seed)

    def draw(generator: torch.Generator) -> tuple[Tensor, Tensor]:
        rows = torch.randint(len(places), (config.batch,), generator=generator)
        if not alpha:
            return places[rows], named[rows]
        how = dict(alpha=alpha, classes=classes, generator=generator)
        return mix(places[rows], named[rows], **how)

    recipe = train.Recipe(
        steps=config.steps,
        learning_rate=config.learning_rate,
        warmup_steps=config.steps // 10,
        seed=seed,
        record_every=config.steps,
    )
    train.train(
        model, draw, lambda model, batch: F.cross_entropy(model(batch[0]), batch[1]), recipe=recipe
    )
    return model.eval()


def grid(kind: str, *, side: int = 60) -> Points:
    """Points all over the square, row by row, from the top left."""
    (left, right), (low, high) = SQUARES[kind]
    up, across = torch.linspace(high, low, side), torch.linspace(left, right, side)
    return torch.stack(torch.meshgrid(across, up, indexing="xy"), dim=-1).flatten(0, 1)


@torch.no_grad()
def measure(config: Config, point: Record) -> list[Record]:
    """Share of new points named wrongly, and of the square that is undecided."""
    with torch.enable_grad():
        model = learn(config, point["kind"], point["alpha"], point["seed"])
    places, classes = judged(config, point["kind"])
    sure = model(grid(point["kind"])).softmax(dim=1).amax(dim=1)
    return [
        {
            "error": (model(places).argmax(dim=1) != classes).double().mean().item(),
            "undecided": (sure < SURE).double().mean().item(),
        }
    ]


def run(config: Config) -> list[Record]:
    """Records of all points, in order."""
    return [point | record for point in points(config) for record in measure(config, point)]


def findings(results: Results) -> dict[str, str]:
    """What the text says: errors and undecided shares, and what α changes, seed by seed."""
    found = {"seeds": str(len(set(results.columns["seed"]))), "steps": str(FULL.steps)}
    for kind, count in zip(FULL.kinds, FULL.points, strict=True):
        found[f"{kind}_points"] = f"{count:,}"
    for row in results.summary("error", by=["kind", "alpha"]):
        key = f"{row['kind']}_{row['alpha']:g}"
        mixed, plain = (
            results.where(kind=row["kind"], alpha=alpha) for alpha in (row["alpha"], 0.0)
        )
        found[f"{key}_error"] = wording.percent(row["mean"], digits=1)
        found[f"{key}_undecided"] = wording.percent(mixed.column("undecided").mean())
        if row["alpha"]:
            more = paired_interval(100 * mixed.column("error"), 100 * plain.column("error"))
            found[f"{key}_more"] = wording.with_bounds(more.value, more.low, more.high, digits=1)
    return found


if __name__ == "__main__":
    from payattention import results
    from payattention.experiments import boundary_vs_alpha

    results.main(boundary_vs_alpha)
