"""How many weights can be left out, and which?

The book's GPT and ViT, trained, lose a share of the weights of their blocks: those of the least
magnitude, compared over all maps, within each map or within each row; those of the least magnitude
times the norm of their inputs (Wanda, within rows); or any, by chance. At a half there is also two
of each four neighbours, by magnitude and by Wanda. Then the model is judged as it is. Some, of the
least magnitude within each map, are trained a little more, with the zeros held; so is the whole
model, which is what that alone brings. (In a trial of the GPT at 80 %, the same training ended more
than half a bit higher behind the comparison over all maps, which leaves the first block nearly
empty.)

Scored are bits a character of the plays, each predicted from 65 to 128 characters before it, and
the share of images named wrongly; on what the model was not trained on, `unseen`, and on what it
was, `seen`. A seed decides the text or the part of the images that is scored, the text or the
images that Wanda listens to, what is left out by chance, and the batches of the retraining.

Sources: Han et al. 2015 (arXiv:1506.02626) for magnitude and retraining; Sun et al. 2024
(arXiv:2306.11695) for Wanda and for one-shot pruning of language models.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from payattention import data, pruning, train, trained, vision, wording
from payattention.measure import paired_interval
from payattention.records import Record, Results
from payattention.transformer import patches

TOLERANCE = {"seen": 0.02, "unseen": 0.02, "sparsity": 1e-6, "least_left": 1e-6}
RETRAINED = "magnitude, each map, retrained"
FREE = {"GPT": 0.05, "ViT": 0.01}
"""What may be lost and still pass for little: bits a character, and share of images."""


@dataclass(frozen=True)
class Config:
    """How much is left out of which models, how it is judged and trained again."""

    models: tuple[str, ...] = ("GPT", "ViT")
    sparsities: tuple[float, ...] = (0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
    retrained: tuple[float, ...] = (0.0, 0.5, 0.8, 0.9, 0.95, 0.99)
    steps: tuple[int, int] = (400, 150)
    rates: tuple[float, float] = (2e-3, 1e-3)
    batches: tuple[int, int] = (8, 50)
    stretches: int = 128
    images: int = 2000
    heard: int = 32
    seeds: int = 3


FULL = Config()
LIVE = replace(
    FULL, models=("GPT",), sparsities=(0.5, 0.8), retrained=(), stretches=24, heard=8, seeds=1
)


class Way(NamedTuple):
    """How weights are scored, and among which they are compared; None keeps two of each four."""

    score: str
    among: str | None


WAYS = {
    "magnitude": Way("magnitude", "all"),
    "magnitude, each map": Way("magnitude", "map"),
    "magnitude, each row": Way("magnitude", "row"),
    "Wanda": Way("Wanda", "row"),
    "chance": Way("chance", "all"),
    "two of four, magnitude": Way("magnitude", None),
    "two of four, Wanda": Way("Wanda", None),
}


def points(config: Config) -> list[Record]:
    """The whole models first; then every way and share; then those that are trained again."""
    made = [("whole", 0.0)]
    made += [
        (name, sparsity)
        for name, way in WAYS.items()
        for sparsity in (config.sparsities if way.among else (0.5,))
    ]
    made += [(RETRAINED, sparsity) for sparsity in config.retrained]
    return [
        {"model": model, "way": way, "share": share, "seed": seed}
        for way, share in made
        for model in config.models
        for seed in range(config.seeds)
    ]


# The two models, each in its own words


Batch = tuple[Tensor, Tensor]


class Task(NamedTuple):
    """A trained model, and what is done with it; `draw`, `steps` and `rate` retrain it."""

    model: nn.Module
    loss: Callable[[nn.Module, Batch], Tensor]
    score: Callable[[nn.Module, Batch], float]
    draw: Callable[[torch.Generator], Batch]
    steps: int
    rate: float
    seen: Batch
    unseen: Batch
    heard: Batch


def task(config: Config, name: str, seed: int) -> Task:
    """The model of the name, with what the seed decides."""
    return {"GPT": _plays, "ViT": _clothes}[name](config, seed)


def _plays(config: Config, seed: int) -> Task:
    def stretches(split: str, count: int) -> Batch:
        generator = torch.Generator().manual_seed(10_000 + seed)
        return data.language_batches(split, batch=count)(generator)

    def nats(model: nn.Module, batch: Batch) -> Tensor:
        return F.cross_entropy(model(batch[0]).mT, batch[1])

    def bits(model: nn.Module, batch: Batch) -> float:
        half = data.CONTEXT // 2  # the characters behind have as much to go by as in the metric
        logits = torch.cat([model(part)[:, half:] for part in batch[0].split(32)])
        return F.cross_entropy(logits.mT, batch[1][:, half:]).item() / math.log(2)

    return Task(
        model=trained.gpt(),
        loss=nats,
        score=bits,
        draw=data.language_batches("train", batch=config.batches[0]),
        steps=config.steps[0],
        rate=config.rates[0],
        seen=stretches("train", config.stretches),
        unseen=stretches("validation", config.stretches),
        heard=stretches("train", config.heard),
    )


def _clothes(config: Config, seed: int) -> Task:
    def part(split: str) -> Batch:
        images, classes = (of[: config.images] for of in data.fashion(split))
        return images[seed :: config.seeds], classes[seed :: config.seeds]

    images, classes = data.fashion("train")

    def draw(generator: torch.Generator) -> Batch:
        rows = torch.randint(len(images), (config.batches[1],), generator=generator)
        moved = vision.shifted(images[rows], generator, pixels=trained.VIT.pixels)
        return moved, classes[rows]

    def logits(model: nn.Module, batch: Batch) -> Tensor:
        return model(patches(batch[0], size=trained.VIT_PATCH))

    def error(model: nn.Module, batch: Batch) -> float:
        return (trained.see(model, batch[0]).argmax(dim=1) != batch[1]).float().mean().item()

    return Task(
        model=trained.vit(),
        loss=lambda model, batch: F.cross_entropy(logits(model, batch), batch[1]),
        score=error,
        draw=draw,
        steps=config.steps[1],
        rate=config.rates[1],
        seen=part("train"),
        unseen=part("test"),
        heard=tuple(of[: config.heard] for of in part("train")),
    )


# What is left out


def masks(of: Task, way: str, share: float, *, seed: int) -> pruning.Masks:
    """What stays of the model's weights."""
    kind, among = WAYS[way]
    if kind == "Wanda":
        scores = pruning.wanda(of.model, lambda model: of.loss(model, of.heard))
    elif kind == "chance":
        generator = torch.Generator().manual_seed(20_000 + seed)
        scores = pruning.by_chance(of.model, generator=generator)
    else:
        scores = pruning.magnitudes(of.model)
    if among is None:
        return pruning.two_of_four(scores)
    return pruning.keep_largest(scores, share, among=among)


def measure(config: Config, point: Record) -> list[Record]:
    """Scores on the seen and the unseen, the share of zeros, and what the emptiest map keeps."""
    way, share, seed = point["way"], point["share"], point["seed"]
    of = task(config, point["model"], seed)
    if way == RETRAINED:
        kept = masks(of, "magnitude, each map", share, seed=seed)
        with pruning.pruned(of.model, kept):
            train.train(of.model, of.draw, of.loss, recipe=_recipe(of, seed))
    elif way != "whole":
        pruning.prune(of.model, masks(of, way, share, seed=seed))
    maps = [linear.weight for linear in pruning.prunable(of.model).values()]
    left = [int(weight.count_nonzero()) for weight in maps]
    sizes = [weight.numel() for weight in maps]
    found = {
        "sparsity": 1 - sum(left) / sum(sizes),
        "least_left": min(n / size for n, size in zip(left, sizes, strict=True)),
    }
    with torch.no_grad():
        scores = {"seen": of.score(of.model, of.seen), "unseen": of.score(of.model, of.unseen)}
    return [found | scores]


def _recipe(of: Task, seed: int) -> train.Recipe:
    return train.Recipe(
        steps=of.steps,
        learning_rate=of.rate,
        warmup_steps=of.steps // 10,
        seed=seed,
        record_every=of.steps,
    )


def run(config: Config) -> list[Record]:
    """Records of all points, in order."""
    return [point | record for point in points(config) for record in measure(config, point)]


# What follows


def lost(results: Results, model: str, way: str) -> dict[float, list[float]]:
    """By share left out: how much worse than the whole model on the unseen, seed by seed."""
    runs = results.where(model=model)
    whole = runs.where(way="whole").column("unseen")
    rows = runs.where(way=way)
    shares = list(dict.fromkeys(rows.column("share").tolist()))
    return {share: (rows.where(share=share).column("unseen") - whole).tolist() for share in shares}


def most_free(results: Results, model: str, way: str) -> float:
    """The largest share up to which no more is lost, on average, than counts as `FREE`."""
    free = 0.0
    for share, losses in sorted(lost(results, model, way).items()):
        if sum(losses) / len(losses) > FREE[model]:
            break
        free = share
    return free


def curve(results: Results) -> Results:
    """Bits of the GPT by score and share left out, as the figure with a pruner takes them."""
    runs = results.where(model="GPT")
    scores = {"magnitude": "magnitude", "Wanda": "wanda", "chance": "chance"}
    rows = [
        {"score": score, "sparsity": row["share"], "bits": row["unseen"]}
        for way, score in scores.items()
        for row in (*runs.where(way="whole").records(), *runs.where(way=way).records())
    ]
    return Results.from_records(results.question, rows)


def findings(results: Results) -> dict[str, str]:
    """What the text says: scores by model, way and share, what is free, what generalises."""
    seeds = set(results.column("seed").tolist())
    found = {
        "seeds": str(len(seeds)),
        "gpt_steps": str(FULL.steps[0]),
        "vit_steps": str(FULL.steps[1]),
        "gpt_free_bits": str(FREE["GPT"]),
        "vit_free_points": f"{100 * FREE['ViT']:.0f}",
    }
    for row in results.summary("unseen", by=("model", "way", "share")):
        name = _name(row["model"], row["way"], row["share"])
        vit = row["model"] == "ViT"
        found[name] = wording.of_runs(row, digits=1 if vit else 2, share=vit)
    for row in results.where(way="magnitude").summary("least_left", by=("model", "share")):
        name = _name(row["model"], "magnitude", row["share"])
        found[f"{name}_least_left"] = wording.percent(row["mean"], digits=1)
    for model in dict.fromkeys(results.column("model").tolist()):
        for way in (*WAYS, RETRAINED):
            if len(results.where(model=model, way=way)):
                free = most_free(results, model, way)
                found[f"{_name(model, way)}_free"] = wording.percent(free)
        if len(seeds) > 1:
            found |= _generalisation(results, model) | _wanda(results, model)
    return found


def _generalisation(results: Results, model: str) -> dict[str, str]:
    """How much worse the unseen is scored than the seen, and where pruning makes it better."""
    found, runs = {}, results.where(model=model)
    for way in ("whole", "magnitude", RETRAINED):
        for share in dict.fromkeys(runs.where(way=way).column("share").tolist()):
            rows = runs.where(way=way, share=share)
            gap = paired_interval(rows.column("unseen"), rows.column("seen"))
            said = _said(model, gap.value, gap.low, gap.high)
            found[f"{_name(model, way, share)}_gap"] = said
    better = [
        share
        for share, losses in lost(results, model, "magnitude").items()
        if paired_interval(losses, [0.0] * len(losses)).high < 0
    ]
    said = ", ".join(wording.percent(share) for share in better)
    return found | {f"{model.lower()}_better_at": said or "none"}


def _wanda(results: Results, model: str) -> dict[str, str]:
    """How much less Wanda loses than magnitude does, each within rows, and of each four."""
    found = {}
    for ours, theirs in (
        ("Wanda", "magnitude, each row"),
        ("two of four, Wanda", "two of four, magnitude"),
    ):
        losses = lost(results, model, theirs)
        for share, less in lost(results, model, ours).items():
            by = paired_interval(losses[share], less)
            name = f"{_name(model, ours, share)}_better"
            found[name] = _said(model, by.value, by.low, by.high)
    return found


def _said(model: str, mean: float, low: float, high: float) -> str:
    if model == "ViT":
        return wording.percent_with_bounds(mean, low, high, digits=1)
    return wording.with_bounds(mean, low, high)


def _name(model: str, way: str, share: float | None = None) -> str:
    name = f"{model} {way}".lower().replace(",", "").replace(" ", "_")
    return name if share is None or way == "whole" else f"{name}_{100 * share:.0f}"


if __name__ == "__main__":
    from payattention import results
    from payattention.experiments import loss_vs_sparsity

    results.main(loss_vs_sparsity)
