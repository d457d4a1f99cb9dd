"""What does mixup do that its rivals do not, at equal steps and an equal number of tries?

A small CNN learns clothes from a thousand labels, all right or two in five wrong. Each remedy
against learning too much by heart is tried at two strengths, and at each is judged on validation
images; the better one, on average over the seeds, is then looked at on test images. Without a
remedy there is one try. All take the same steps, batches and first weights; only manifold mixup,
CutMix and mixup change what a step computes, by a few operations for each pixel.

Shifts move each image by a few pixels, which is also what cropping a framed image does, and show
half of them in a mirror. Dropout stands before the last layer. Weight decay is added to the little
that all have. The three that mix are also tried together with shifts, and so is smoothing.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from payattention import train, vision, wording
from payattention.effects import judge
from payattention.experiments import error_vs_mixing
from payattention.experiments.error_vs_mixing import CLASSES, KINDS, METRICS, build, labelled
from payattention.mixup import cutmix, manifold_mixup, mixup
from payattention.records import Record, Results

KIND = "clothes, CNN"
TOLERANCE = dict.fromkeys([*METRICS, "validation_error"], 0.05) | {"nll": 0.2}
ELSEWHERE = dict.fromkeys([*METRICS, "validation_error"], 0.3) | {"nll": 1.0}


class Remedy(NamedTuple):
    """What is done besides training; 0 leaves it out."""

    mixup: float = 0.0
    cutmix: float = 0.0
    manifold: float = 0.0
    smoothing: float = 0.0
    weight_decay: float = 0.05
    dropout: float = 0.0
    shift: int = 0


REMEDIES: dict[str, tuple[Remedy, ...]] = {
    "none": (Remedy(),),
    "mixup": (Remedy(mixup=0.2), Remedy(mixup=1.0)),
    "manifold mixup": (Remedy(manifold=0.2), Remedy(manifold=1.0)),
    "CutMix": (Remedy(cutmix=0.2), Remedy(cutmix=1.0)),
    "label smoothing": (Remedy(smoothing=0.05), Remedy(smoothing=0.2)),
    "weight decay": (Remedy(weight_decay=0.5), Remedy(weight_decay=2.0)),
    "dropout": (Remedy(dropout=0.2), Remedy(dropout=0.5)),
    "shifts": (Remedy(shift=1), Remedy(shift=3)),
    "shifts, mixup": (Remedy(shift=1, mixup=0.2), Remedy(shift=1, mixup=1.0)),
    "shifts, manifold": (Remedy(shift=1, manifold=0.2), Remedy(shift=1, manifold=1.0)),
    "shifts, CutMix": (Remedy(shift=1, cutmix=0.2), Remedy(shift=1, cutmix=1.0)),
    "shifts, smoothing": (Remedy(shift=1, smoothing=0.05), Remedy(shift=1, smoothing=0.2)),
}


@dataclass(frozen=True)
class Config:
    """Which remedies are tried, on how many labels, of which some are wrong."""

    remedies: tuple[str, ...] = tuple(REMEDIES)
    labels: int = 1000
    wrong: tuple[float, ...] = (0.0, 0.4)
    steps: int = 500
    cheap_steps: int = 20
    batch: int = 64
    judged: int = 2000
    seeds: int = 5


FULL = Config()
LIVE = replace(
    FULL, remedies=("none", "mixup", "shifts"), labels=200, wrong=(0.0,), steps=100, seeds=1
)


def points(config: Config) -> list[Record]:
    """A few steps, to be measured again by a test; then a training for each try and seed."""
    cheap = {"remedy": "none", "strength": 0, "wrong": 0.0, "seed": 0}
    return [cheap | {"steps": config.cheap_steps}] + [
        {
            "remedy": remedy,
            "strength": strength,
            "wrong": wrong,
            "seed": seed,
            "steps": config.steps,
        }
        for wrong in config.wrong
        for remedy in config.remedies
        for strength in range(len(REMEDIES[remedy]))
        for seed in range(config.seeds)
    ]


def measure(config: Config, point: Record) -> list[Record]:
    """Validation error, and what the test images say."""
    remedy = REMEDIES[point["remedy"]][point["strength"]]
    model = build(KIND, point["seed"])
    if remedy.dropout:
        model.output = nn.Sequential(nn.Dropout(remedy.dropout), model.output)
    images, classes = labelled(KIND, config.labels, point["wrong"], point["seed"])
    recipe = error_vs_mixing.recipe(
        point["steps"], KINDS[KIND].rate, remedy.weight_decay, point["seed"]
    )
    train.train(
        model, _drawing(images, classes, config.batch, remedy), _loss(remedy), recipe=recipe
    )
    shown = [x[: config.judged] for x in KINDS[KIND].images("validation")]
    validation = error_vs_mixing.scores(model, *shown)
    return [
        error_vs_mixing.scores(model, *error_vs_mixing.judged(KIND, config.judged))
        | {"validation_error": validation["error"]}
    ]


def _drawing(
    images: Tensor, classes: Tensor, batch: int, remedy: Remedy
) -> Callable[[torch.Generator], tuple]:
    def draw(generator: torch.Generator) -> tuple:
        rows = torch.randint(len(images), (batch,), generator=generator)
        x, y = images[rows], classes[rows]
        if remedy.shift:
            x = vision.mirrored(vision.shifted(x, generator, pixels=remedy.shift), generator)
        for mix, alpha in ((mixup, remedy.mixup), (cutmix, remedy.cutmix)):
            if alpha:
                x, y = mix(x, y, alpha=alpha, classes=CLASSES, generator=generator)
        return x, y, generator

    return draw


def _loss(remedy: Remedy) -> Callable[[nn.Module, tuple], Tensor]:
    def loss(model: nn.Module, batch: tuple) -> Tensor:
        x, y, generator = batch
        if not remedy.manifold:
            return F.cross_entropy(model(x), y, label_smoothing=remedy.smoothing)
        logits, y = manifold_mixup(
            model,
            x,
            y,
            layers=[None, *model.layers[:-1]],
            alpha=remedy.manifold,
            classes=CLASSES,
            generator=generator,
        )
        return F.cross_entropy(logits, y)

    return loss


def run(config: Config) -> list[Record]:
    """Records of all points, in order."""
    return [point | record for point in points(config) for record in measure(config, point)]


def chosen(results: Results) -> Results:
    """The records of each remedy at its better strength, judged by validation images."""
    results = results.where(steps=max(results.column("steps")))
    best: dict[tuple, Record] = {}
    for row in results.summary("validation_error", by=["wrong", "remedy", "strength"]):
        found = best.setdefault((row["wrong"], row["remedy"]), row)
        if row["mean"] < found["mean"]:
            best[row["wrong"], row["remedy"]] = row
    kept = [
        row
        for row in results.records()
        if row["strength"] == best[row["wrong"], row["remedy"]]["strength"]
    ]
    return Results.from_records(results.question, kept)


def findings(results: Results) -> dict[str, str]:
    """What the text says: errors, calibration, and differences from none and from shifts.

    All differences are judged together; see `effects`.
    """
    results = chosen(results)
    found = {
        "seeds": str(len(set(results.columns["seed"]))),
        "labels": f"{FULL.labels:,}",
        "steps": str(FULL.steps),
    }
    pairs = {}
    for remedy in dict.fromkeys(results.columns["remedy"]):
        for wrong in dict.fromkeys(results.columns["wrong"]):
            rows = results.where(remedy=remedy, wrong=wrong)
            key = _name(remedy, wrong)
            found[f"{key}_error"] = wording.percent(rows.column("error").mean(), digits=1)
            found[f"{key}_ece"] = f"{rows.column('ece').mean():.3f}"
            found[f"{key}_nll"] = f"{rows.column('nll').mean():.2f}"
            for other in ("none", "shifts"):
                if remedy != other and (other == "none" or remedy.startswith("shifts, ")):
                    without = results.where(remedy=other, wrong=wrong)
                    for metric in METRICS:
                        runs = rows.column(metric), without.column(metric)
                        pairs[remedy, wrong, metric, other] = runs
    found["comparisons"] = str(len(pairs))
    judged = judge(pairs)
    for (remedy, wrong, metric, other), effect in judged.items():
        said = error_vs_mixing.said(effect, metric)
        found[f"{_name(remedy, wrong)}_{metric}_over_{other}"] = said
    for wrong in dict.fromkeys(results.columns["wrong"]):
        for verdict in ("helps", "hurts"):
            seen = {
                remedy.replace(", ", " with "): -abs(effect.more)
                for (remedy, *of), effect in judged.items()
                if of == [wrong, "error", "none"] and effect.verdict == verdict
            }
            listed = ", ".join(sorted(seen, key=seen.__getitem__))  # the largest first
            found[f"{100 * wrong:.0f}_{verdict}"] = listed or "none of them"
    return found


def _name(remedy: str, wrong: float) -> str:
    return f"{remedy.replace(', ', '_').replace(' ', '_').lower()}_{100 * wrong:.0f}"


if __name__ == "__main__":
    from payattention import results
    from payattention.experiments import error_vs_remedy

    results.main(error_vs_remedy)
