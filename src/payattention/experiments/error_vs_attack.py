"""What do models withstand that were trained with mixup, and of what nonsense are they sure?

A small CNN learns clothes with and without mixup, as in the map of `error_vs_mixing`. Then its test
images are changed: by an adversary who knows the model and may change each pixel by ε (one step,
FGSM, or twenty, PGD), or by nobody in particular (noise, blur, a shift, a grey patch, less
contrast). And it is shown what is none of its ten classes: noise, clothes whose pixels are
shuffled, and handwritten digits.

`error` is the share of images named wrongly; of nonsense there is none. `sure` is the mean of the
largest probability. ε, and the standard deviation of noise, are shares of full brightness.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from payattention import data, vision, wording
from payattention.attacks import fgsm, pgd
from payattention.effects import judge
from payattention.experiments import error_vs_mixing
from payattention.records import Record, Results

Images = Float[Tensor, "images height width"]

KIND = "clothes, CNN"
TOLERANCE = {"error": 0.06, "sure": 0.06}
ELSEWHERE = {"error": 0.3, "sure": 0.3}


@dataclass(frozen=True)
class Config:
    """Which α are trained, on how many labels, and how hard they are tried."""

    alphas: tuple[float, ...] = (0.0, 0.2, 1.0)
    labels: int = 5000
    steps: int = 500
    epsilons: tuple[float, ...] = (0.0, 0.01, 0.02, 0.04, 0.08)
    pgd_steps: int = 20
    attacked: int = 400
    noises: tuple[float, ...] = (0.1, 0.2, 0.4)
    blurs: tuple[int, ...] = (3, 5)
    shifts: tuple[int, ...] = (1, 2, 4)
    patches: tuple[int, ...] = (6, 10, 14)
    contrasts: tuple[float, ...] = (0.5, 0.25)
    shown: int = 2000
    cheap_steps: int = 20
    seeds: int = 6


FULL = Config()
LIVE = replace(
    FULL,
    alphas=(0.0, 1.0),
    labels=1000,
    steps=150,
    epsilons=(0.0, 0.02, 0.04),
    pgd_steps=10,
    attacked=100,
    noises=(0.2,),
    blurs=(),
    shifts=(2,),
    patches=(),
    contrasts=(),
    shown=500,
    seeds=1,
)


def points(config: Config) -> list[Record]:
    """A few steps, to be measured again by a test; then a training each."""
    cheap: list[Record] = [{"alpha": 0.0, "steps": config.cheap_steps, "seed": 0}]
    return cheap + [
        {"alpha": alpha, "steps": config.steps, "seed": seed}
        for alpha in config.alphas
        for seed in range(config.seeds)
    ]


def changes(config: Config, seed: int) -> dict[tuple[str, float], Callable[[Images], Images]]:
    """What is done to images, by its name and size, whoever looks at them."""

    def chance() -> torch.Generator:
        return torch.Generator().manual_seed(2_000 + seed)

    def noise(images: Images, size: float) -> Images:
        return (images + size * torch.randn(images.shape, generator=chance())).clamp(0, 1)

    def blur(images: Images, size: int) -> Images:
        framed = F.pad(images[:, None], (size // 2,) * 4, mode="replicate")
        return F.avg_pool2d(framed, size, stride=1)[:, 0]

    def patch(images: Images, size: int) -> Images:
        return hidden(images, size, chance())

    kinds: dict[str, tuple[tuple, Callable]] = {
        "noise": (config.noises, noise),
        "blur": (config.blurs, blur),
        "shift": (config.shifts, lambda x, size: vision.shifted(x, chance(), pixels=size)),
        "patch": (config.patches, patch),
        "contrast": (config.contrasts, lambda x, size: 0.5 + size * (x - 0.5)),
    }
    return {
        (name, size): lambda images, change=change, size=size: change(images, size)
        for name, (sizes, change) in kinds.items()
        for size in sizes
    }


def hidden(images: Images, size: int, generator: torch.Generator) -> Images:
    """Each image with a grey square of that side somewhere on it."""
    height, width = images.shape[1:]
    down = torch.randint(height - size + 1, (len(images), 1), generator=generator)
    across = torch.randint(width - size + 1, (len(images), 1), generator=generator)
    rows, columns = torch.arange(height), torch.arange(width)
    inside = ((rows >= down) & (rows < down + size))[:, :, None]
    inside = inside & ((columns >= across) & (columns < across + size))[:, None]
    return images.masked_fill(inside, 0.5)


def nonsense(images: Images, seed: int) -> dict[str, Images]:
    """Images of nothing that the model knows: noise, shuffled pixels, handwritten digits."""
    chance = torch.Generator().manual_seed(3_000 + seed)
    orders = torch.rand(len(images), images[0].numel(), generator=chance).argsort(dim=1)
    shuffled = images.flatten(1).gather(1, orders).view_as(images)
    digits = data.digits("train")[0][: len(images)]
    large = F.interpolate(digits[:, None], size=images.shape[1:], mode="bilinear")[:, 0]
    return {
        "noise alone": torch.rand(images.shape, generator=chance),
        "pixels shuffled": shuffled,
        "digits": large,
    }


def measure(config: Config, point: Record) -> list[Record]:
    """A record for each change of each size, and for each kind of nonsense."""
    kind = error_vs_mixing.KINDS[KIND]
    learned = error_vs_mixing.learn(
        error_vs_mixing.FULL,
        {"kind": KIND, "labels": config.labels, "wrong": 0.0} | point,
        steps=point["steps"],
        rate=kind.rate,
    ).eval()
    images, classes = (x[: config.shown] for x in error_vs_mixing.judged(KIND))
    some, named = images[: config.attacked], classes[: config.attacked]
    found = []
    for size in config.epsilons:
        tried = {
            "FGSM": fgsm(learned, some, named, epsilon=size),
            "PGD": pgd(learned, some, named, epsilon=size, steps=config.pgd_steps),
        }
        found += [
            {"change": name, "size": size} | _looked_at(learned, x, named)
            for name, x in tried.items()
        ]
    found += [
        {"change": name, "size": float(size)} | _looked_at(learned, change(images), classes)
        for (name, size), change in changes(config, point["seed"]).items()
    ]
    found += [
        {"change": name, "size": None} | _looked_at(learned, x, None)
        for name, x in nonsense(images, point["seed"]).items()
    ]
    return found


@torch.no_grad()
def _looked_at(model: nn.Module, images: Images, classes: Tensor | None) -> Record:
    sure, named = torch.cat([model(part) for part in images.split(500)]).softmax(dim=1).max(dim=1)
    error = None if classes is None else (named != classes).double().mean().item()
    return {"error": error, "sure": sure.double().mean().item()}


def run(config: Config) -> list[Record]:
    """Records of all points, in order."""
    return [point | record for point in points(config) for record in measure(config, point)]


def whole(results: Results) -> Results:
    """The records of the trainings of full length."""
    return results.where(steps=max(results.column("steps")))


def findings(results: Results) -> dict[str, str]:
    """What the text says: errors under each change, how sure of nonsense, and what mixup changes.

    What it changes is judged together with all that it changes here; see `effects`.
    """
    results = whole(results)
    found = {"seeds": str(len(set(results.columns["seed"]))), "labels": f"{FULL.labels:,}"}
    found["attacked"] = str(FULL.attacked)
    pairs = {}
    for alpha in dict.fromkeys(results.columns["alpha"]):
        for change, size in dict.fromkeys(
            zip(results.columns["change"], results.columns["size"], strict=True)
        ):
            name = f"{change} {'' if size is None else f'{size:g}'}".strip().lower()
            key = f"{name.replace(' ', '_')}_{alpha:g}"
            mixed = results.where(change=change, size=size, alpha=alpha)
            plain = results.where(change=change, size=size, alpha=0.0)
            for metric in ("error", "sure"):
                if metric == "error" and size is None:
                    continue
                [row] = mixed.summary(metric, by="alpha")
                found[f"{key}_{metric}"] = wording.percent(row["mean"], digits=1)
                if alpha:
                    pairs[f"{key}_{metric}"] = mixed.column(metric), plain.column(metric)
    found["comparisons"] = str(len(pairs))
    for key, effect in judge(pairs).items():
        found[f"{key}_said"] = effect.said("points", times=100)
    return found


if __name__ == "__main__":
    from payattention import results
    from payattention.experiments import error_vs_attack

    results.main(error_vs_attack)
