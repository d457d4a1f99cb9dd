"""Where does mixup help, where does it hurt, and where does it do nothing?

Digits are learned by a small CNN, clothes by another and by a small Vision Transformer: from few
labels and from many, all of them right or some of them wrong, at every α of a list; α = 0 is the
same training without mixup. All trainings of a kind take the same number of steps, by one recipe.
The rate is the best of some that were tried without mixup, with four seeds that are not in the map.
A seed draws which images are labelled, equally many of each class, which labels are wrong, how the
model starts and which images make up a batch; so every α is compared with α = 0 of the same seed.

Judged are images that nobody has trained on, of right labels: the share named wrongly, the negative
log-likelihood in nats, and the expected calibration error in 15 bins. `fitted_ece` is that error
of test images after all logits were divided by one temperature, fitted on validation images.

A comparison is a t-test of the differences of the seeds. There are hundreds of them, and some would
come out by chance: of those that are called an effect, no more than one in twenty is expected to be
none, after Benjamini and Hochberg 1995, over all comparisons of the map at once.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from payattention import calibration, data, train, trained, vision, wording
from payattention.effects import RATE, Effect, judge
from payattention.experiments.error_vs_images import drawn
from payattention.mixup import mixup
from payattention.records import Record, Results
from payattention.transformer import Classifier, patches

Images = Float[Tensor, "images height width"]
Classes = Int[Tensor, " images"]

METRICS = ("error", "nll", "ece")
CLASSES = 10
FAILED = 0.85
"""A model that errs more often than this has learned nothing: guessing errs in nine of ten."""
TOLERANCE = {"error": 0.04, "nll": 0.2, "ece": 0.04, "fitted_ece": 0.04, "temperature": 0.5}
ELSEWHERE = {"error": 0.15, "nll": 0.6, "ece": 0.15, "fitted_ece": 0.15, "temperature": 2.0}


class Kind(NamedTuple):
    """Images, the model that learns them, and how."""

    images: Callable[[str], tuple[Images, Classes]]
    judged: tuple[str, ...]
    model: str
    widths: tuple[int, ...]
    steps: int
    rate: float


KINDS = {
    "digits, CNN": Kind(data.digits, ("validation", "test"), "CNN", (32, 64, 64), 800, 2e-2),
    "clothes, CNN": Kind(data.fashion, ("test",), "CNN", (16, 32, 64, 112), 500, 2e-2),
    "clothes, ViT": Kind(data.fashion, ("test",), "ViT", (), 600, 1e-3),
}


@dataclass(frozen=True)
class Map:
    """The cells of one kind: numbers of labels, shares of wrong ones, and α."""

    kind: str
    labels: tuple[int, ...]
    wrong: tuple[float, ...]
    alphas: tuple[float, ...]


@dataclass(frozen=True)
class Config:
    """What is mapped, with how many seeds; `most_steps` and `judged` make it short."""

    maps: tuple[Map, ...] = (
        Map("digits, CNN", (50, 200, 1000), (0.0, 0.2, 0.4), (0.0, 0.1, 0.2, 0.4, 1.0, 2.0)),
        Map("clothes, CNN", (200, 1000, 5000), (0.0, 0.4), (0.0, 0.2, 0.4, 1.0)),
        Map("clothes, ViT", (200, 1000, 5000), (0.0, 0.4), (0.0, 0.2, 0.4, 1.0)),
    )
    seeds: int = 8
    batch: int = 64
    weight_decay: float = 0.05
    most_steps: int = 10_000
    judged: int = 10_000


FULL = Config()
LIVE = replace(
    FULL, maps=(Map("digits, CNN", (50,), (0.0, 0.4), (0.0, 1.0)),), most_steps=200, seeds=3
)


def points(config: Config) -> list[Record]:
    """A training each; digits and few labels first."""
    return [
        {"kind": part.kind, "labels": labels, "wrong": wrong, "alpha": alpha, "seed": seed}
        for part in config.maps
        for labels in part.labels
        for wrong in part.wrong
        for alpha in part.alphas
        for seed in range(config.seeds)
    ]


@cache
def _images(kind: str, split: str) -> tuple[Images, Classes]:
    return KINDS[kind].images(split)


def judged(kind: str, count: int = FULL.judged) -> tuple[Images, Classes]:
    """The images that the models of a kind are judged by, so many at most."""
    parts = [_images(kind, split) for split in KINDS[kind].judged]
    images, classes = (torch.cat(x)[:count] for x in zip(*parts, strict=True))
    return images, classes


def build(kind: str, seed: int) -> nn.Module:
    """The untrained model of the seed: images in, logits out."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if KINDS[kind].model == "CNN":
            return vision.ConvolutionalClassifier(KINDS[kind].widths, classes=CLASSES)
        return Patched(Classifier(trained.SMALL_VIT.shape, d_input=trained.VIT_PATCH**2))


class Patched(nn.Module):
    """A Classifier that is given images, and cuts them into patches itself."""

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(
        self, images: Float[Tensor, "batch height width"]
    ) -> Float[Tensor, "batch classes"]:
        """Logits of the classes."""
        return self.classifier(patches(images, size=trained.VIT_PATCH))


def labelled(kind: str, labels: int, wrong: float, seed: int) -> tuple[Images, Classes]:
    """So many images of the seed, equally many of each class; a share has another class's label."""
    images, classes = _images(kind, "train")
    chosen = drawn(classes, labels, seed)
    images, classes = images[chosen], classes[chosen]
    chance = torch.Generator().manual_seed(1_000 + seed)
    which = torch.randperm(labels, generator=chance)[: round(wrong * labels)]
    classes = classes.clone()
    another = torch.randint(1, CLASSES, (len(which),), generator=chance)
    classes[which] = (classes[which] + another) % CLASSES
    return images, classes


def measure(config: Config, point: Record) -> list[Record]:
    """Error, log-likelihood and calibration of the trained model."""
    kind = KINDS[point["kind"]]
    model = learn(config, point, steps=min(kind.steps, config.most_steps), rate=kind.rate)
    found = scores(model, *judged(point["kind"], config.judged))
    return [found | fitted(model, point["kind"], config.judged)]


def learn(config: Config, point: Record, *, steps: int, rate: float) -> nn.Module:
    """The trained model of a point, by so many steps."""
    model = build(point["kind"], point["seed"])
    images, classes = labelled(point["kind"], point["labels"], point["wrong"], point["seed"])

    def draw(generator: torch.Generator) -> tuple[Tensor, Tensor]:
        rows = torch.randint(len(images), (config.batch,), generator=generator)
        if not point["alpha"]:
            return images[rows], classes[rows]
        return mixup(
            images[rows],
            classes[rows],
            alpha=point["alpha"],
            classes=CLASSES,
            generator=generator,
        )

    train.train(
        model,
        draw,
        lambda model, batch: F.cross_entropy(model(batch[0]), batch[1]),
        recipe=recipe(steps, rate, config.weight_decay, point["seed"]),
    )
    return model


def recipe(steps: int, rate: float, weight_decay: float, seed: int) -> train.Recipe:
    """How all models of the chapter learn."""
    return train.Recipe(
        steps=steps,
        learning_rate=rate,
        warmup_steps=steps // 10,
        weight_decay=weight_decay,
        seed=seed,
        record_every=steps,
    )


@torch.no_grad()
def logits_of(model: nn.Module, images: Images) -> Float[Tensor, "images classes"]:
    """What the model says, some images at a time."""
    return torch.cat([model.eval()(part) for part in images.split(500)])


def fitted(model: nn.Module, kind: str, count: int = FULL.judged) -> Record:
    """Calibration error of test images after a temperature, and the temperature."""
    (images, classes), (seen, named) = (
        [x[:count] for x in _images(kind, split)] for split in ("test", "validation")
    )
    by = calibration.temperature(logits_of(model, seen), named)
    said = (logits_of(model, images) / by).softmax(dim=1)
    return {
        "fitted_ece": calibration.expected_calibration_error(said, classes),
        "temperature": by,
    }


def scores(model: nn.Module, images: Images, classes: Classes) -> Record:
    """Share named wrongly, nats, and calibration error."""
    logits = logits_of(model, images)
    return {
        "error": (logits.argmax(dim=1) != classes).double().mean().item(),
        "nll": calibration.negative_log_likelihood(logits, classes),
        "ece": calibration.expected_calibration_error(logits.softmax(dim=1), classes),
    }


def run(config: Config) -> list[Record]:
    """Records of all points, in order."""
    return [point | record for point in points(config) for record in measure(config, point)]


# What the map says


Cell = tuple[str, int, float, float, str]
"""Kind, labels, share of wrong ones, α, metric."""


def effects(results: Results, metrics: tuple[str, ...] = METRICS) -> dict[Cell, Effect]:
    """Every comparison of the map; `seen` are those that survive the false discovery rate.

    Raises:
        ValueError: for results without an α of 0, or of a single seed.
    """
    pairs = {}
    cells = dict.fromkeys(
        zip(*(results.columns[name] for name in ("kind", "labels", "wrong", "alpha")), strict=True)
    )
    for kind, labels, wrong, alpha in cells:
        if not alpha:
            continue
        cell = results.where(kind=kind, labels=labels, wrong=wrong)
        for metric in metrics:
            runs = (cell.where(alpha=each).column(metric) for each in (alpha, 0.0))
            pairs[kind, labels, wrong, alpha, metric] = tuple(runs)
    return judge(pairs)


def field(found: dict[Cell, Effect], part: Map, metric: str) -> dict:
    """A kind's effects on a metric, as `plots.effect_map` takes them: a row for labels and wrong
    ones, a column for each α; differences of `error` and `ece` in points of a hundred."""
    rows = [(labels, wrong) for labels in part.labels for wrong in part.wrong]
    alphas = [alpha for alpha in part.alphas if alpha]
    cells = [[found[part.kind, *row, alpha, metric] for alpha in alphas] for row in rows]
    times, _, digits = UNITS[metric]
    return {
        "effects": [[times * cell.more for cell in row] for row in cells],
        "seen": [[cell.seen for cell in row] for row in cells],
        "across": [f"{alpha:g}" for alpha in alphas],
        "down": [f"{labels:,}, {100 * wrong:.0f}\N{NO-BREAK SPACE}%" for labels, wrong in rows],
        "digits": digits,
    }


def cells(results: Results) -> list[Record]:
    """Every comparison as a record: its cell, the means without and with mixup, and the effect."""
    by = ["kind", "labels", "wrong", "alpha"]
    means = {
        (*(row[name] for name in by), metric): row["mean"]
        for metric in METRICS
        for row in results.summary(metric, by=by)
    }
    return [
        {
            **dict(zip([*by, "metric"], cell, strict=True)),
            "plain": means[*cell[:3], 0.0, cell[-1]],
            "mixed": means[cell],
            **{name: getattr(effect, name) for name in ("more", "low", "high", "seen")},
        }
        for cell, effect in effects(results).items()
    ]


UNITS = {
    "error": (100, "points", 1),
    "nll": (1, "nats", 2),
    "ece": (100, "points", 1),
}


def said(effect: Effect, metric: str) -> str:
    """The effect in words, with its interval; or that none was seen."""
    times, unit, digits = UNITS[metric.removeprefix("fitted_")]
    return effect.said(unit, times=times, digits=digits)


def findings(results: Results) -> dict[str, str]:
    """What the text says: every error, every effect in words, and how many there are of each."""
    seeds = len(set(results.columns["seed"]))
    failed = [row for row in results.records() if row["error"] > FAILED]
    found = {"seeds": str(seeds), "trainings": f"{len(results):,}", "failed": str(len(failed))}
    for name in ("digits", "clothes"):
        found[f"{name}_judged"] = f"{len(judged(f'{name}, CNN')[0]):,}"
    found["failed_error"] = wording.percent(max(results.column("error")), digits=1)
    for part in FULL.maps:
        for labels in part.labels:
            passes = KINDS[part.kind].steps * FULL.batch / labels
            key = part.kind.replace(", ", "_").lower()
            found[f"{key}_{labels}_passes"] = f"{passes:,.0f}"
    for row in results.summary("error", by=["kind", "labels", "wrong", "alpha"]):
        name = _name(row["kind"], row["labels"], row["wrong"], row["alpha"])
        found[f"{name}_error"] = wording.percent(row["mean"], digits=1)
    for metric, digits in (("nll", 2), ("ece", 3)):
        for row in results.summary(metric, by=["kind", "labels", "wrong", "alpha"]):
            name = _name(row["kind"], row["labels"], row["wrong"], row["alpha"])
            found[f"{name}_{metric}"] = f"{row['mean']:.{digits}f}"
    all_of_them = effects(results)
    found["comparisons"] = str(len(all_of_them))
    alone = sum(effect.p <= RATE for effect in all_of_them.values())
    found["by_themselves"] = str(alone)
    found["seen"] = str(sum(effect.seen for effect in all_of_them.values()))
    for (kind, labels, wrong, alpha, metric), effect in all_of_them.items():
        name = _name(kind, labels, wrong, alpha)
        found[f"{name}_{metric}_said"] = said(effect, metric)
        times, _, digits = UNITS[metric]
        bounds = (times * x for x in (effect.more, effect.low, effect.high))
        found[f"{name}_{metric}_more"] = wording.with_bounds(*bounds, digits=digits)
    after_temperature = effects(results, ("fitted_ece",))
    found |= {f"fitted_{name}": x for name, x in _summed_up(after_temperature).items()}
    for kind in ["", *dict.fromkeys(results.columns["kind"])]:
        for metric in METRICS:
            of = {
                cell: effect
                for cell, effect in all_of_them.items()
                if cell[-1] == metric and kind in ("", cell[0])
            }
            key = f"{kind.replace(', ', '_').lower()}_{metric}".strip("_")
            found |= {f"{key}_{name}": text for name, text in _summed_up(of).items()}
    return found


def _summed_up(effects_: dict[Cell, Effect]) -> dict[str, str]:
    """How many of a metric's effects are of each verdict, and the largest of those seen."""
    found = {"comparisons": str(len(effects_))}
    for verdict, name in (("helps", "best"), ("hurts", "worst"), ("none", "")):
        of = {cell: effect for cell, effect in effects_.items() if effect.verdict == verdict}
        found[verdict] = str(len(of))
        if name:
            largest = max(of, key=lambda cell: abs(of[cell].more), default=None)
            found[name] = "nowhere" if largest is None else _placed(largest, of[largest])
    return found


def _placed(cell: Cell, effect: Effect) -> str:
    """Where an effect is, and how large."""
    _, labels, wrong, alpha, metric = cell
    share = "all right" if not wrong else f"{wording.percent(wrong)} of them wrong"
    return f"with {labels:,} labels, {share}, and α = {alpha:g}, {said(effect, metric)}"


def _name(kind: str, labels: int, wrong: float, alpha: float) -> str:
    return f"{kind.replace(', ', '_').lower()}_{labels}_{100 * wrong:.0f}_{alpha:g}"


if __name__ == "__main__":
    from payattention import results
    from payattention.experiments import error_vs_mixing

    results.main(error_vs_mixing)
