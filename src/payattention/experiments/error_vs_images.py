"""How many images does a Vision Transformer need to catch up with a CNN?

Both have about as many parameters and learn the same images in the same number of steps, without
any training before. The CNN takes for granted that neighbouring pixels belong together and that a
thing is the same wherever it stands; the Transformer, which reads patches, has to learn it. They
tell digits and clothes apart after 50 images, 500, and all there are; at 500 also where every image
is moved by a few pixels each time that it is shown, which says some of the same.

Each is trained at two learning rates and judged, at every number of images, by the one that is
better on validation images, on average over the seeds; the test images decide nothing. The two
were chosen by single runs, from 0.0003, 0.001, 0.003 and 0.01 for the Transformer, and from 0.001,
0.003, 0.01, 0.03 and 0.1 for the CNN; neither choice is at an end of its list. A seed draws the
training images, equally many of each class where not all are used, and starts the model.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from payattention import data, train, vision, wording
from payattention import shape as shapes
from payattention.measure import paired_interval
from payattention.records import Record, Results
from payattention.transformer import Classifier, patches

Images = Float[Tensor, "images height width"]
Classes = Int[Tensor, " images"]

MODELS = ("CNN", "ViT")
RATES = {"CNN": (3e-2, 1e-2), "ViT": (3e-3, 1e-3)}


@dataclass(frozen=True)
class Kind:
    """One kind of images: how they are read, cut into patches and moved, and how many there are."""

    images: Callable[[str], tuple[Images, Classes]]
    side: int
    patch: int
    pixels: int
    available: int


KINDS = {
    "digits": Kind(data.digits, side=8, patch=2, pixels=1, available=1257),
    "clothes": Kind(data.fashion, side=28, patch=7, pixels=2, available=10_000),
}
ALL = max(kind.available for kind in KINDS.values())
TOLERANCE = {"error": 0.04, "validation_error": 0.04, "parameters": 0}
ELSEWHERE = {"error": 0.15, "validation_error": 0.15}
"""Fifty images at a high rate: on another processor it is another draw, and five seeds of the
cheapest point have a standard deviation of 0.04."""


@dataclass(frozen=True)
class Config:
    """What is trained, on how many images and for how many steps."""

    kinds: tuple[str, ...] = ("digits", "clothes")
    images: tuple[int, ...] = (50, 500, ALL)
    steps: tuple[int, ...] = (200, 500, 1200)
    seeds: tuple[int, ...] = (5, 5, 3)
    moved: int | None = 500
    moved_seeds: int = 3
    rates: int = 2
    layers: int = 3
    d_model: int = 48
    heads: int = 4
    widths: tuple[int, ...] = (16, 32, 64, 112)
    batch: int = 50
    weight_decay: float = 0.05


FULL = Config()
LIVE = replace(FULL, kinds=("digits",), images=(50,), steps=(150,), seeds=(3,), moved=None, rates=1)


def points(config: Config) -> list[Record]:
    """One training for each number of images, kind, model, rate and seed; few images first."""
    sizes = [
        (images, steps, seeds, False)
        for images, steps, seeds in zip(config.images, config.steps, config.seeds, strict=True)
    ]
    sizes += [
        (images, steps, config.moved_seeds, True)
        for images, steps, _, _ in sizes
        if images == config.moved
    ]
    return [
        {
            "images": min(images, KINDS[kind].available),
            "kind": kind,
            "model": model,
            "moved": moved,
            "learning_rate": rate,
            "steps": steps,
            "seed": seed,
        }
        for images, steps, seeds, moved in sizes
        for kind in config.kinds
        for model in MODELS
        for rate in RATES[model][: config.rates]
        for seed in range(seeds)
    ]


def build(config: Config, model: str, kind: str, seed: int) -> nn.Module:
    """The untrained model of the seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if model == "CNN":
            return vision.ConvolutionalClassifier(config.widths, classes=10)
        side, patch = KINDS[kind].side, KINDS[kind].patch
        count = (side // patch) ** 2
        shape = shapes.vit(config.layers, config.d_model, config.heads, patches=count)
        return Classifier(replace(shape, vocab=10), d_input=patch**2)


def drawn(classes: Classes, images: int, seed: int) -> Int[Tensor, " chosen"]:
    """Places of so many images, equally many of each class; or of all, where so many are asked for.

    Raises:
        ValueError: for a number that is not all and that the classes do not divide, or more of a
            class than there are.
    """
    if images == len(classes):
        return torch.arange(images)
    each = images // len(classes.unique())
    shuffled = torch.randperm(len(classes), generator=torch.Generator().manual_seed(seed))
    of_class = [shuffled[classes[shuffled] == one][:each] for one in classes.unique()]
    chosen = torch.cat(of_class)
    if len(chosen) != images:
        raise ValueError(f"images={images}: expected all, or equally many of each class")
    return chosen


def measure(config: Config, point: Record) -> list[Record]:
    """Share of validation and of test images that are named wrongly after training."""
    kind = KINDS[point["kind"]]
    model = build(config, point["model"], point["kind"], point["seed"])

    def logits(images: Images) -> Tensor:
        return model(images if point["model"] == "CNN" else patches(images, size=kind.patch))

    images, classes = kind.images("train")
    chosen = drawn(classes, point["images"], point["seed"])
    images, classes = images[chosen], classes[chosen]

    def draw(generator: torch.Generator) -> tuple[Images, Classes]:
        rows = torch.randint(len(images), (config.batch,), generator=generator)
        if not point["moved"]:
            return images[rows], classes[rows]
        return vision.shifted(images[rows], generator, pixels=kind.pixels), classes[rows]

    train.train(
        model,
        draw,
        lambda _, batch: F.cross_entropy(logits(batch[0]), batch[1]),
        recipe=train.Recipe(
            steps=point["steps"],
            learning_rate=point["learning_rate"],
            warmup_steps=point["steps"] // 10,
            weight_decay=config.weight_decay,
            seed=point["seed"],
        ),
    )

    @torch.no_grad()
    def error(split: str) -> float:
        images, classes = kind.images(split)
        named = torch.cat([logits(part).argmax(dim=1) for part in images.split(500)])
        return (named != classes).float().mean().item()

    return [
        {
            "error": error("test"),
            "validation_error": error("validation"),
            "parameters": sum(p.numel() for p in model.parameters()),
        }
    ]


def run(config: Config) -> list[Record]:
    """Records of all points, in order."""
    return [point | record for point in points(config) for record in measure(config, point)]


def tuned(results: Results) -> Results:
    """The records at each model's better rate, judged by validation images."""
    place = ["images", "kind", "model", "moved"]
    best: dict[tuple, Record] = {}
    for row in results.summary("validation_error", by=[*place, "learning_rate"]):
        found = best.setdefault(tuple(row[name] for name in place), row)
        if row["mean"] < found["mean"]:
            best[tuple(row[name] for name in place)] = row
    kept = [
        record
        for record in results.records()
        if record["learning_rate"] == best[tuple(record[n] for n in place)]["learning_rate"]
    ]
    return Results.from_records(results.question, kept)


def findings(results: Results) -> dict[str, str]:
    """What the text says: errors, by how much the ViT's is larger, and the size of the models."""
    sizes = results.column("parameters")
    results = tuned(results)
    found = {
        "fewest_parameters": f"{int(min(sizes)):,}",
        "most_parameters": f"{int(max(sizes)):,}",
        "batch": str(FULL.batch),
        "clothes_available": f"{KINDS['clothes'].available:,}",
    }
    for images, steps, seeds in zip(FULL.images, FULL.steps, FULL.seeds, strict=True):
        name = "all" if images == ALL else str(images)
        found |= {f"steps_{name}": f"{steps:,}", f"seeds_{name}": str(seeds)}
    groups = results.summary("error", by=["kind", "images", "moved", "model"])
    for row in groups:
        name = _name(row, row["model"])
        found[name] = wording.percent(row["mean"], digits=1)
        if row["runs"] > 1:
            bounds = wording.percent_with_bounds(row["mean"], row["low"], row["high"], digits=1)
            found[f"{name}_bounds"] = bounds
    for row in groups:
        if row["model"] != "ViT" or row["runs"] < 2:
            continue
        here = results.where(**{name: row[name] for name in ("kind", "images", "moved")})
        vit, cnn = (here.where(model=model).column("error") for model in ("ViT", "CNN"))
        more = paired_interval(100 * vit, 100 * cnn)
        bounds = wording.with_bounds(more.value, more.low, more.high, digits=1)
        found[_name(row, "more")] = bounds
        found[_name(row, "times")] = f"{vit.mean() / cnn.mean():.1f}"
    return found


def _name(row: Record, what: str) -> str:
    size = "all" if row["images"] == KINDS[row["kind"]].available else row["images"]
    return f"{row['kind']}_{size}{'_moved' if row['moved'] else ''}_{what}"


if __name__ == "__main__":
    from payattention import results
    from payattention.experiments import error_vs_images

    results.main(error_vs_images)
