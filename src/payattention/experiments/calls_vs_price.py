"""When does a model that may call a calculator do so, and what does 2 + 2 cost each way?

The sums of `depth_vs_digits`. A model applies its block once, and a unit foretells what the model's
own answer would cost, in nats, the loss of a sum being that of all its columns. Where that is more
than the price of a call, the sum is handed to a calculator; where not, the block is applied again
and the model answers itself. One training serves all prices. It is shorter than there, so that long
sums are hard. Beside it stand the same model without a calculator, and one of more depth.

`exact` is the share of right sums, the calculator's among them, `called` the share handed over, and
`operations` those of the network, for one sum; the calculator's one addition is left out.
"""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from payattention import train, wording
from payattention.adaptive_compute.calculator import HandOver, calculate
from payattention.cost import operations
from payattention.experiments import depth_vs_digits
from payattention.experiments.depth_vs_digits import Adder
from payattention.records import Record, Results

TOLERANCE = {"exact": 0.1, "called": 0.2, "operations": None}
ELSEWHERE = {"exact": 1.0, "called": 1.0, "operations": None}


@dataclass(frozen=True)
class Config:
    """Prices, depths without a calculator, and how the models are trained and judged."""

    prices: tuple[float, ...] = (0.01, 0.1, 1.0)
    depths: tuple[int, ...] = (2, 4)
    """The first may call."""
    sums: depth_vs_digits.Config = depth_vs_digits.FULL
    steps: int = 500
    cheap_steps: int = 20
    seeds: int = 3


FULL = Config()
LIVE = replace(FULL, prices=(0.1,), depths=(2,), steps=200, cheap_steps=0, seeds=1)


def points(config: Config) -> list[Record]:
    """A short training, cheap to repeat; then one for each depth and seed."""
    cheap: list[Record] = [{"depth": config.depths[0], "steps": config.cheap_steps, "seed": 0}]
    return [
        *(cheap if config.cheap_steps else []),
        *(
            {"depth": depth, "steps": config.steps, "seed": seed}
            for depth in config.depths
            for seed in range(config.seeds)
        ),
    ]


class Reckoner(nn.Module):
    """An `Adder` of fixed depth that may hand a sum over behind its first step."""

    def __init__(self, config: Config, *, depth: int) -> None:
        super().__init__()
        self.adder = Adder(config.sums, fixed=depth, sees="all")
        self.hand_over = HandOver(config.sums.d_model)

    def loss(self, problems: Int[Tensor, "batch read"], answers: Tensor) -> Float[Tensor, ""]:
        """What is trained for: right answers, and to foretell what they cost."""
        first = self.first(problems)
        own = F.cross_entropy(self.rest(first).mT, answers, reduction="none").sum(dim=1)
        return own.mean() + self.hand_over.loss(first, own)

    def first(self, problems: Tensor) -> Tensor:
        """The columns behind the first step."""
        return self.adder.step.block(self.adder.columns(problems))

    def rest(self, x: Tensor) -> Tensor:
        """The answer of the network, from there on."""
        for _ in range(self.adder.fixed - 1):
            x = self.adder.step.block(x)
        return self.adder.output(self.adder.norm(x))

    def answer(
        self, problems: Int[Tensor, "batch read"], *, price: float | None
    ) -> tuple[Int[Tensor, "batch places"], Bool[Tensor, " batch"], int]:
        """Sums, which of them were handed over, and operations of the network.

        Without a price nothing is handed over, and the unit is not asked.
        """
        first = self.first(problems)
        shape, columns = self.adder.shape, first.shape[1]
        once = sum(operations.block(shape, tokens=columns).values())
        called = torch.zeros(len(problems), dtype=torch.bool)
        flops = len(problems) * once
        if price is not None:
            called = self.hand_over.calls(first, price=price)
            flops += operations.matmul(len(problems), shape.d_model, 1)
        sums = calculate(self.adder.task, problems)
        own = ~called
        if own.any():
            sums[own] = self.rest(first[own]).argmax(dim=-1)
            count = int(own.sum())
            flops += count * (self.adder.fixed - 1) * once
            flops += operations.matmul(count * columns, shape.d_model, shape.vocab)
        return sums, called, flops


def learn(config: Config, point: Record) -> Reckoner:
    """The trained model of a point."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(point["seed"])
        model = Reckoner(config, depth=point["depth"])
    train.train(
        model,
        lambda generator: model.adder.task.draw(config.sums.batch, generator)[:2],
        lambda model, batch: model.loss(*batch),
        recipe=train.Recipe(
            steps=point["steps"],
            learning_rate=2e-3,
            warmup_steps=min(150, point["steps"]),
            weight_decay=0.01,
            seed=point["seed"],
            record_every=point["steps"],
        ),
    )
    return model.eval()


@torch.no_grad()
def measure(config: Config, point: Record) -> list[Record]:
    """Right sums, calls and operations, by how many digits the numbers have."""
    with torch.enable_grad():
        model = learn(config, point)
    found = []
    for digits in range(1, config.sums.digits + 1):
        chance = torch.Generator().manual_seed(digits)
        problems, answers, _ = model.adder.task.draw(
            config.sums.judged, chance, digits=digits, held_out=True
        )
        may_call = config.prices if point["depth"] == config.depths[0] else ()
        for price in (None, *may_call):
            sums, called, flops = model.answer(problems, price=price)
            found.append(
                {
                    "digits": digits,
                    "price": price,
                    "exact": (sums == answers).all(dim=1).double().mean().item(),
                    "called": called.double().mean().item(),
                    "operations": flops / len(problems),
                }
            )
    return found


def run(config: Config) -> list[Record]:
    """Records of all points, in order."""
    return [point | record for point in points(config) for record in measure(config, point)]


def whole(results: Results) -> Results:
    """The records without the short training."""
    return results.where(steps=int(max(results.column("steps"))))


def findings(results: Results) -> dict[str, str]:
    """What the text says: right sums, calls and operations of each, short and long sums."""
    rows = whole(results)
    found = {"seeds": str(len(set(rows.columns["seed"]))), "steps": f"{rows.columns['steps'][0]:,}"}
    for depth, price in dict.fromkeys(
        zip(rows.columns["depth"], rows.columns["price"], strict=True)
    ):
        of = rows.where(depth=depth, price=price)
        name = f"depth_{depth}" if price is None else f"price_{price:g}"
        for digits in ("", *sorted(set(of.columns["digits"]))):
            some = of if digits == "" else of.where(digits=digits)
            key = f"{name}_{digits}".strip("_")
            by_seed = [some.where(seed=seed) for seed in dict.fromkeys(some.columns["seed"])]
            exact = [runs.column("exact").mean() for runs in by_seed]
            found[f"{key}_exact"] = wording.percent(sum(exact) / len(exact), digits=1)
            found[f"{key}_bounds"] = wording.of_values(exact, digits=1, share=True)
            found[f"{key}_called"] = wording.percent(some.column("called").mean())
            found[f"{key}_operations"] = f"{some.column('operations').mean() / 1e6:.2f} million"
    return found


if __name__ == "__main__":
    from payattention import results
    from payattention.experiments import calls_vs_price

    results.main(calls_vs_price)
