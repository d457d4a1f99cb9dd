"""What does it cost in quality to leave a deep model early, and what does it save on paper?

The book's GPT and ViT stay as they are, and get a door behind each layer but the last: a norm and a
map of its own, trained for a while on what the layers make of texts, or of images; with it a unit
that says whether the door will agree with the end of the model. Then rows leave by the first door
that is sure enough: by the lead of its likeliest answer (`softmax`), by how little the last layer
turned the vector (`state`), or by the unit (`learned`). `last map` is the same by `softmax`, with
the model's own last norm and map at every door, which has not been trained for that. Beside them
stands what needs no confidence: all leave by the same door (`fixed`; its threshold is the layer).

A smaller GPT is trained twice, with the loss of the end alone, and with that of all doors together,
which share the last map, each weighed by its layer (`joint`): what does it lose at the end, and
what does it gain at the doors?

Texts are read with states copied, as they would be written. `layers` is the mean over characters,
or images; `flops` what was executed for one of them, doors, copied keys and values and last map
included, whether somebody looked at them or not, and is set against the model without doors. Bits
are those of validation plays, errors those of test images.

Source: Schuster et al. 2022, CALM (arXiv:2207.07061), sections 3.3 and 3.4.
"""

import math
from dataclasses import dataclass, replace
from functools import cache

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from payattention import data, train, trained, wording
from payattention.adaptive_compute.early_exit import EarlyExit
from payattention.records import Record, Results
from payattention.transformer import Decoder, patches

TOLERANCE = {"quality": 0.1, "layers": 0.5, "flops": None}
ELSEWHERE = {"quality": 0.3, "layers": 1.5, "flops": None}
SURE = (0.0, 0.2, 0.4, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 1.0)
ALIKE = (0.0, 0.8, 0.9, 0.92, 0.94, 0.96, 0.98, 1.0)
THRESHOLDS = {
    "softmax": SURE,
    "learned": SURE,
    "state": ALIKE,
    "last map": (0.2, 0.6, 0.8, 0.9, 0.95, 1.0),
}


@dataclass(frozen=True)
class Config:
    """How doors, and the smaller GPT, are trained, and on how much they are judged."""

    models: tuple[str, ...] = ("GPT", "ViT", "joint", "end alone")
    steps: int = 400
    batch: int = 16
    small_layers: int = 4
    small_d_model: int = 64
    small_steps: int = 500
    small_batch: int = 32
    texts: int = 64
    images: int = 2000
    fixed: bool = True
    cheap_steps: int = 5
    seeds: int = 3


FULL = Config()
LIVE = replace(FULL, models=("ViT",), steps=40, cheap_steps=0, images=500, seeds=1)


def points(config: Config) -> list[Record]:
    """A few steps of the small GPT, cheap to repeat; then a training each."""
    cheap: list[Record] = [{"model": "joint", "steps": config.cheap_steps, "seed": 0}]
    return [
        *(cheap if config.cheap_steps else []),
        *(
            {
                "model": model,
                "steps": config.steps if model in ("GPT", "ViT") else config.small_steps,
                "seed": seed,
            }
            for model in config.models
            for seed in range(config.seeds)
        ),
    ]


@cache
def _book(model: str) -> nn.Module:
    return (trained.gpt() if model == "GPT" else trained.vit()).requires_grad_(False)


def doors(model: str, seed: int) -> EarlyExit:
    """The book's model with untrained doors behind all layers but the last."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        behind = range(1, _book(model).shape.layers)
        return EarlyExit(_book(model), behind=tuple(behind), confidence="learned")


def doors_loss(exits: EarlyExit, batch: tuple[Tensor, Tensor]) -> Tensor:
    """Mean over the doors: the answer's loss, and the unit's, which learns whether they agree."""
    with torch.no_grad():
        streams = list(exits.model.stream(batch[0]))
        if not isinstance(exits.model, Decoder):
            streams = [stream[:, 0] for stream in streams]
        end = exits.logits(streams[-1]).argmax(dim=-1)
    losses = []
    for layer in exits.behind:
        x = streams[layer]
        logits = exits.logits(x, layer)
        agrees = (logits.argmax(dim=-1) == end).to(x.dtype)
        said = exits.units[str(layer)](x)[..., 0]
        losses += [
            F.cross_entropy(logits.flatten(0, -2), batch[1].flatten()),
            F.binary_cross_entropy_with_logits(said, agrees),
        ]
    return torch.stack(losses).sum() / len(exits.behind)


def joint_loss(exits: EarlyExit, batch: tuple[Tensor, Tensor]) -> Tensor:
    """The mean of the losses of all doors and the end, each weighed by its layer."""
    layers = [*exits.behind, exits.shape.layers]
    losses = [F.cross_entropy(logits.mT, batch[1]) for logits in exits.everywhere(batch[0])]
    weighed = [layer * loss for layer, loss in zip(layers, losses, strict=True)]
    return torch.stack(weighed).sum() / sum(layers)


def learn(config: Config, point: Record) -> EarlyExit:
    """The model of a point with its doors, trained."""
    model, steps, seed = point["model"], point["steps"], point["seed"]
    recipe = train.Recipe(
        steps=steps,
        learning_rate=3e-3,
        warmup_steps=max(1, steps // 10),
        seed=seed,
        record_every=steps,
    )
    if model == "ViT":
        images, classes = data.fashion("train")
        exits = doors(model, seed)

        def draw(generator: torch.Generator) -> tuple[Tensor, Tensor]:
            rows = torch.randint(len(images), (100,), generator=generator)
            return patches(images[rows], size=trained.VIT_PATCH), classes[rows]

        train.train(exits, draw, doors_loss, recipe=recipe)
        return exits.eval()
    if model == "GPT":
        exits, loss, batch = doors(model, seed), doors_loss, config.batch
    else:
        d_model = config.small_d_model
        shape = replace(
            trained.GPT_SHAPE,
            layers=config.small_layers,
            d_model=d_model,
            d_ff=4 * d_model,
            heads=2,
            kv_heads=2,
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            plain = Decoder(shape)
        behind = tuple(range(1, shape.layers))
        exits, batch = EarlyExit(plain, behind=behind, own=False), config.small_batch
        loss = joint_loss if model == "joint" else _end_loss
    train.train(exits, data.language_batches("train", batch=batch), loss, recipe=recipe)
    return exits.eval()


def _end_loss(exits: EarlyExit, batch: tuple[Tensor, Tensor]) -> Tensor:
    return F.cross_entropy(exits.model(batch[0]).mT, batch[1])


def leaving(exits: EarlyExit, measure_of: str) -> EarlyExit:
    """The same model and doors, from which rows leave by this measure."""
    if measure_of == "last map":
        return EarlyExit(exits.model, behind=exits.behind, own=False)
    exits.confidence = measure_of
    return exits


@torch.no_grad()
def measure(config: Config, point: Record) -> list[Record]:
    """Quality, layers and operations at each threshold of each measure."""
    with torch.enable_grad():
        exits = learn(config, point)
    measures = THRESHOLDS if point["model"] in ("GPT", "ViT") else ("softmax", "state")
    found = []
    for name in measures:
        some = leaving(exits, name)
        for threshold in THRESHOLDS[name]:
            found.append(
                {"measure": name, "threshold": threshold} | judged(config, some, threshold)
            )
    whole = EarlyExit(exits.model, behind=())
    found.append({"measure": "whole", "threshold": 1.0} | judged(config, whole, 1.0))
    if config.fixed:
        found += [
            {"measure": "fixed", "threshold": float(layer)} | judged(config, door, 0.0)
            for layer, door in ((layer, one_door(exits, layer)) for layer in exits.behind)
        ]
    return found


def one_door(exits: EarlyExit, layer: int) -> EarlyExit:
    """The same model with the door behind that layer alone, as it has been trained."""
    only = EarlyExit(exits.model, behind=(layer,), own=bool(exits.outputs))
    only.load_state_dict(exits.state_dict(), strict=False)
    return only.eval()


def judged(config: Config, exits: EarlyExit, threshold: float) -> Record:
    """Bits a character or share of errors, mean layers, and operations of one of them."""
    if isinstance(exits.model, Decoder):
        draw = data.language_batches("validation", batch=config.texts)
        ids, following = draw(torch.Generator().manual_seed(0))
        left = exits.read(ids, threshold=threshold)
        loss = F.cross_entropy(left.logits.flatten(0, 1), following.flatten()) / math.log(2)
        quality, count = loss.item(), ids.numel()
    else:
        images, classes = (x[: config.images] for x in data.fashion("test"))
        left = exits.classify(patches(images, size=trained.VIT_PATCH), threshold=threshold)
        missed = left.logits.argmax(dim=1) != classes
        quality, count = missed.double().mean().item(), len(images)
    return {
        "quality": quality,
        "layers": left.depth.double().mean().item(),
        "flops": (sum(left.flops.values()) + left.unpaid) / count,
    }


def run(config: Config) -> list[Record]:
    """Records of all points, in order."""
    return [point | record for point in points(config) for record in measure(config, point)]


def whole(results: Results) -> Results:
    """The records without the few steps of the cheap point."""
    rows = [row for row in results.records() if row["steps"] > FULL.cheap_steps]
    return Results.from_records(results.question, rows)


def findings(results: Results) -> dict[str, str]:
    """What the text says: quality, layers and operations at each threshold."""
    rows = whole(results)
    found = {"seeds": str(len(set(rows.columns["seed"])))}
    clothes, text = (rows.where(model=model) for model in ("ViT", "GPT"))
    for name, of, percents in (("clothes", clothes, True), ("text", text, False)):
        whole_model = of.where(measure="whole")
        doors = of.where(measure="softmax", threshold=0.8)
        if len(whole_model) and len(doors):
            lost = doors.column("quality") - whole_model.column("quality")
            lost = (100 if percents else 1) * lost.mean()
            share = doors.column("flops").mean() / whole_model.column("flops").mean()
            found[f"{name}_lost"] = f"{lost:.1f}" if percents else f"{lost:.2f}"
            found[f"{name}_spent"] = wording.percent(share)
    for model in dict.fromkeys(rows.columns["model"]):
        of = rows.where(model=model)
        kind = model.replace(" ", "_").lower()
        most = of.where(measure="whole").column("flops").mean()
        for name in dict.fromkeys(of.columns["measure"]):
            some = of.where(measure=name)
            for threshold in dict.fromkeys(some.columns["threshold"]):
                here = some.where(threshold=threshold)
                key = f"{kind}_{name.replace(' ', '_')}_{threshold:g}"
                quality = here.column("quality").mean()
                said = wording.percent(quality, digits=1) if model == "ViT" else f"{quality:.3f}"
                found[f"{key}_quality"] = said
                found[f"{key}_bounds"] = wording.of_values(
                    here.column("quality").tolist(),
                    digits=1 if model == "ViT" else 3,
                    share=model == "ViT",
                )
                found[f"{key}_layers"] = f"{here.column('layers').mean():.1f}"
                found[f"{key}_flops"] = wording.percent(here.column("flops").mean() / most)
    return found


if __name__ == "__main__":
    from payattention import results
    from payattention.experiments import loss_vs_exit

    results.main(loss_vs_exit)
