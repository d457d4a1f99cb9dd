"""What does each way of spending less buy, for its operations and for its seconds?

Small models of this book read Shakespeare, all 48 wide, with the same batches, for as many steps.
Plain decoders of one, two, four and eight layers are what the others are held against; beside them
stand an LSTM, four layers that look at the last 16 characters alone, four with eight experts of
which each character uses one, one block that is applied four times, four layers of which half of
the weights are set to 0 after training, four of which every second one takes a quarter of the
characters, four with doors that were trained together, and one block that each character applies
until it has had enough, by ACT.

Bits are those of the validation plays, in stretches of 64 characters, each from its first. `flops`
are the operations of reading a character, those executed, with the full square of scores where
nothing is left out, and with doors, routers and halting units; those who leave by doors owe their
keys and values even where nobody looks at them. `times` are the seconds of reading 64 texts, next
to a plain model of four layers in the same round, so that a busy machine slows both alike: the
median over the rounds.

The rate of learning is that of `loss_vs_flops` for the width. For the LSTM, to which that does not
apply, 0.004, 0.01 and 0.02 were tried with one seed: 2.68, 2.53 and 2.49 bits.
Mixup has no part in this: it changes what is learned from, and here is nothing to mix.
"""

import math
import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from payattention import data, experts, pruning, train, wording
from payattention import measure as clock
from payattention.adaptive_compute.depth_routing import DepthRouted
from payattention.adaptive_compute.early_exit import EarlyExit
from payattention.adaptive_compute.halting import ACT, Thought
from payattention.adaptive_compute.repeated import RepeatedBlock
from payattention.cost import operations
from payattention.experiments import loss_vs_exit, loss_vs_flops, loss_vs_routing
from payattention.patterns import causal_window
from payattention.records import Record, Results
from payattention.recurrence import Recurrent
from payattention.shape import RecurrentShape, TransformerShape
from payattention.transformer import Decoder, Embedding, norm

TOLERANCE = {"bits": 0.05, "flops": None, "times": None}
ELSEWHERE = {"bits": 0.3, "flops": None, "times": None}
PLAIN = {"1 layer": 1, "2 layers": 2, "4 layers": 4, "8 layers": 8}
SETTINGS = {
    "doors": (0.5, 0.7, 0.9),
    "until enough": (0.001, 0.01),
}
"""Thresholds of doors, for one training; penalties τ of ACT, a training each."""
OTHERS = ("LSTM", "window of 16", "8 experts", "one block, 4 times", "a quarter of the tokens")
WINDOW, EXPERTS, CAPACITY, BALANCE = 16, 8, 0.25, 0.01


@dataclass(frozen=True)
class Config:
    """Sizes of the models, how they learn, and how they are tested and timed."""

    plain: tuple[str, ...] = tuple(PLAIN)
    others: tuple[str, ...] = (*OTHERS, *SETTINGS)
    d_model: int = 48
    d_lstm: int = 128
    lstm_rate: float = 2e-2
    heads: int = 4
    max_steps: int = 8
    tokens: int = 64
    batch: int = 16
    steps: int = 1200
    cheap_steps: int = 5
    tests: int = 256
    timed: int = 64
    repeats: int = 9
    seeds: int = 3


FULL = Config()
LIVE = replace(
    FULL, plain=("2 layers",), others=("LSTM",), steps=100, cheap_steps=0, tests=64, seeds=1
)


def points(config: Config) -> list[Record]:
    """A short training, cheap to repeat; then one for each design, penalty and seed."""
    designs: list[tuple[str, float | None]] = [(name, None) for name in config.plain]
    for name in config.others:
        taus = SETTINGS[name] if name == "until enough" else (None,)
        designs += [(name, tau) for tau in taus]
    cheap: list[Record] = [{"design": "2 layers", "tau": None, "steps": config.cheap_steps}]
    return [
        *([each | {"seed": 0} for each in cheap] if config.cheap_steps else []),
        *(
            {"design": design, "tau": tau, "steps": config.steps, "seed": seed}
            for design, tau in designs
            for seed in range(config.seeds)
        ),
    ]


def shape(config: Config, **options: int | bool | None) -> TransformerShape:
    """The shape of a plain model of four layers, or with other options."""
    return replace(
        TransformerShape(
            layers=4,
            d_model=config.d_model,
            heads=config.heads,
            kv_heads=config.heads,
            d_ff=4 * config.d_model,
            vocab=len(data.VOCABULARY),
            context=data.CONTEXT,
            biases="none",
        ),
        **options,
    )


class Letters(nn.Module):
    """An LSTM that writes."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        vocab, d_model, d_hidden = len(data.VOCABULARY), config.d_model, config.d_lstm
        self.embedding = nn.Embedding(vocab, d_model)
        self.layer = Recurrent(RecurrentShape("lstm", d_input=d_model, d_hidden=d_hidden))
        self.output = nn.Linear(d_hidden, vocab)

    def forward(self, ids: Int[Tensor, "batch tokens"]) -> Float[Tensor, "batch tokens vocab"]:
        """Logits of the token that follows each place."""
        return self.output(self.layer(self.embedding(ids)))

    def flops(self, tokens: int) -> int:
        """Operations to read one text."""
        layer = sum(operations.recurrent(self.layer.shape, tokens=tokens).values())
        return layer + operations.matmul(tokens, *reversed(self.output.weight.shape))


class UntilEnough(nn.Module):
    """One block that each character applies until it has had enough, by ACT."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.shape = shape(config, layers=1)
        self.embedding = Embedding(self.shape)
        self.step = RepeatedBlock(self.shape, halts="token")
        self.halting = ACT(config.d_model, max_steps=config.max_steps, bias=-1.0)
        self.norm = norm(self.shape)
        self.output = nn.Linear(config.d_model, self.shape.vocab, bias=False)

    def forward(self, ids: Int[Tensor, "batch tokens"]) -> tuple[Tensor, Thought]:
        """Logits of the token that follows each place, and how they were come by."""
        thought = self.halting(self.step.begin(self.embedding(ids), mask="causal"))
        return self.output(self.norm(thought.mixed)).view(*ids.shape, -1), thought


class Way(NamedTuple):
    """A trained model as it reads: logits and operations of some texts; how it is set, if it is."""

    setting: float | None
    read: Callable[[Tensor], tuple[Tensor, int]]
    name: str


def build(config: Config, design: str, seed: int) -> nn.Module:
    """The untrained model of the seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if design in PLAIN:
            return Decoder(shape(config, layers=PLAIN[design]))
        if design == "LSTM":
            return Letters(config)
        if design == "8 experts":
            return Decoder(shape(config, experts=EXPERTS, chosen=1))
        if design == "one block, 4 times":
            return Decoder(shape(config, shared=True))
        if design == "a quarter of the tokens":
            return DepthRouted(shape(config), capacity=CAPACITY)
        if design == "doors":
            return EarlyExit(Decoder(shape(config)), behind=(1, 2, 3), own=False)
        if design == "until enough":
            return UntilEnough(config)
        return Decoder(shape(config))  # which looks through a window


def nats(model: nn.Module, batch: tuple[Tensor, Tensor], point: Record) -> Tensor:
    """What is trained for: the loss, and what some designs have to learn besides."""
    ids, following = batch
    if point["design"] == "doors":
        return loss_vs_exit.joint_loss(model, batch)
    if point["design"] == "until enough":
        logits, thought = model(ids)
        return F.cross_entropy(logits.mT, following) + point["tau"] * thought.ponder.mean()
    window = {"mask": causal_window(WINDOW)} if point["design"] == "window of 16" else {}
    loss = F.cross_entropy(model(ids, **window).mT, following)
    if point["design"] == "8 experts":
        loss = loss + BALANCE * experts.balance(model)
    if isinstance(model, DepthRouted):
        loss = loss + loss_vs_routing.LESSON * model.lesson
    return loss


def learn(config: Config, point: Record) -> nn.Module:
    """The trained model of a point."""
    model = build(config, point["design"], point["seed"])
    steps, size = point["steps"], loss_vs_flops.Size(4, config.d_model)
    rate = loss_vs_flops.rate(loss_vs_flops.FULL, size, steps)
    train.train(
        model,
        data.language_batches("train", batch=config.batch, context=config.tokens),
        lambda model, batch: nats(model, batch, point),
        recipe=train.Recipe(
            steps=steps,
            learning_rate=config.lstm_rate if point["design"] == "LSTM" else rate,
            warmup_steps=max(1, steps // 10),
            seed=point["seed"],
            record_every=steps,
        ),
    )
    return model.eval()


def ways(model: nn.Module, design: str) -> Iterator[Way]:
    """How the trained model reads, at each setting; the plain one of four layers also pruned."""

    def whole(ids: Tensor) -> tuple[Tensor, int]:
        window = {"mask": causal_window(WINDOW)} if design == "window of 16" else {}
        tokens = ids.shape[1]
        if isinstance(model, Letters):
            return model(ids), len(ids) * model.flops(tokens)
        pairs = window["mask"].pairs(tokens) if window else None
        once = sum(operations.forward(model.shape, tokens=tokens, pairs=pairs).values())
        return model(ids, **window), len(ids) * once

    def until_enough(ids: Tensor) -> tuple[Tensor, int]:
        logits, thought = model(ids)
        output = operations.matmul(ids.numel(), model.shape.d_model, model.shape.vocab)
        return logits, sum(thought.flops.values()) + output

    def left(ids: Tensor, **options: float) -> tuple[Tensor, int]:
        found = model.read(ids, **options)
        return found.logits, sum(found.flops.values()) + found.unpaid

    if design == "doors":
        for threshold in SETTINGS[design]:
            yield Way(threshold, lambda ids, at=threshold: left(ids, threshold=at), design)
    elif design == "until enough":
        yield Way(None, until_enough, design)
    elif isinstance(model, DepthRouted):
        model.by("predictor")
        yield Way(None, left, design)
    else:
        yield Way(None, whole, design)
    if design == "4 layers":
        masks = pruning.keep_largest(pruning.magnitudes(model), 0.5, among="map")
        with pruning.pruned(model, masks):
            yield Way(None, whole, "half of the weights")


@torch.no_grad()
def measure(config: Config, point: Record) -> list[Record]:
    """Bits, operations of a character, and seconds next to a plain model, of each way to read."""
    with torch.enable_grad():
        model = learn(config, point)
    draw = data.language_batches("validation", batch=config.tests, context=config.tokens)
    ids, following = draw(torch.Generator().manual_seed(0))
    plain = build(config, "4 layers", 0).eval()
    found = []
    for way in ways(model, point["design"]):
        logits, flops = way.read(ids)
        some = ids[: config.timed]
        times = clock.ratios(
            lambda way=way, some=some: way.read(some),
            lambda some=some: plain(some),
            repeats=config.repeats,
            warmup=2,
        )
        found.append(
            {
                "way": way.name,
                "setting": way.setting,
                "bits": F.cross_entropy(logits.mT, following).item() / math.log(2),
                "flops": flops / ids.numel(),
                "times": statistics.median(times),
            }
        )
    return found


def run(config: Config) -> list[Record]:
    """Records of all points, in order."""
    return [point | record for point in points(config) for record in measure(config, point)]


def whole(results: Results) -> Results:
    """The records of the trainings of full length, in the order in which they stand."""
    return results.where(steps=int(max(results.column("steps"))))


def means(results: Results) -> list[Record]:
    """One record for each way: means over seeds of bits, operations and times, and bits' bounds."""
    rows = whole(results)
    keys = dict.fromkeys(
        zip(*(rows.columns[name] for name in ("way", "setting", "tau")), strict=True)
    )
    found = []
    for way, setting, tau in keys:
        of = rows.where(way=way, setting=setting, tau=tau)
        bits = clock.interval(of.column("bits").tolist())
        found.append(
            {"way": way, "setting": setting, "tau": tau, "low": bits.low, "high": bits.high}
            | {name: of.column(name).mean().item() for name in ("bits", "flops", "times")}
        )
    return found


def findings(results: Results) -> dict[str, str]:
    """What the text says: bits, operations and seconds of each way, next to four plain layers."""
    rows = means(results)
    [plain] = [row for row in rows if row["way"] == "4 layers"]
    found = {"seeds": str(len(set(whole(results).columns["seed"])))}
    for row in rows:
        mark = row["setting"] if row["tau"] is None else row["tau"]
        name = row["way"].replace(",", "").replace(" ", "_")
        name = name if mark is None else f"{name}_{mark:g}"
        runs = whole(results).where(way=row["way"], setting=row["setting"], tau=row["tau"])
        found[f"{name}_bits"] = f"{row['bits']:.3f}"
        found[f"{name}_bounds"] = wording.of_values(runs.column("bits").tolist(), digits=3)
        found[f"{name}_flops"] = f"{row['flops'] / plain['flops']:.2f}"
        found[f"{name}_seconds"] = f"{row['times']:.2f}"
    return found


if __name__ == "__main__":
    from payattention import results
    from payattention.experiments import bits_vs_bill

    results.main(bits_vs_bill)
