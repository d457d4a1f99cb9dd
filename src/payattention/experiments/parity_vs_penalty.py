"""How long does a cell think about a parity, and what does it take to make it stop in time?

A recurrent cell is given a vector of ones, minus ones and zeros all at once, and may take several
steps before it says whether the number of ones is odd. How many is its own affair, by ACT, which
pays a penalty τ for every step, or by PonderNet, which is held to a prior: a geometric
distribution, at whose rate it would halt at every step. Both are trained at several penalties, for
as many steps of training, and judged on each number of ones and minus ones by itself. There are 510
vectors of 8 places, and training sees them all: what is learned is a table, and how long it takes
to read it. PonderNet halts where half of its shares are spent. Beside them stands the cell that
takes as many steps for all (`fixed`; its penalty is their number).

Longer vectors are tried at one penalty. `seen` is the most places that are not zero in training,
here all of them; `parity_vs_places` sees fewer.

`operations` are those of a vector, of the cell and the halting unit, of the packed form. `times`
are the seconds in which some vectors of all lengths are answered together, next to those of an
untrained cell that takes two steps for all, in the same round; they are the same in all records of
a training.

Sources: Graves 2016 (arXiv:1603.08983), section 3.1, for the task and τ; Banino et al. 2021
(arXiv:2107.05407), section 3.1, for the extrapolation.
"""

import statistics
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from payattention import measure as clock
from payattention import train, wording
from payattention.adaptive_compute.halting import ACT, Flops, PonderNet, Thought, geometric
from payattention.adaptive_compute.repeated import RepeatedCell
from payattention.records import Record, Results
from payattention.shape import RecurrentShape
from payattention.tasks import Parity

TOLERANCE = {"accuracy": 0.05, "depth": 1.0, "operations": None, "times": None}
ELSEWHERE = {"accuracy": 0.6, "depth": 12.0, "operations": None, "times": None}
BETA = 0.01
"""What PonderNet pays for a nat of divergence from its prior."""
TIMED, ROUNDS = 512, 9
"""How many vectors are timed, and how often."""


@dataclass(frozen=True)
class Config:
    """Penalties of each rule, and how the cells are trained and judged."""

    taus: tuple[float, ...] = (0.0001, 0.001, 0.01, 0.03, 0.1)
    rates: tuple[float, ...] = (0.4, 0.8)
    fixed: tuple[int, ...] = (1, 2, 3)
    bits: int = 8
    long_bits: tuple[int, ...] = (16, 32)
    long_tau: float = 0.001
    long_rate: float = 0.4
    long_fixed: int = 2
    d_hidden: int = 128
    max_steps: int = 12
    batch: int = 128
    steps: int = 3000
    long_steps: int = 8000
    cheap_steps: int = 20
    judged: int = 4000
    seeds: int = 3


FULL = Config()
LIVE = replace(
    FULL,
    taus=(0.001, 0.1),
    rates=(),
    fixed=(),
    long_bits=(),
    steps=1000,
    cheap_steps=0,
    seeds=1,
    judged=1000,
)


def points(config: Config) -> list[Record]:
    """A few steps, cheap to repeat; then a training each, short vectors first."""

    def point(rule: str, penalty: float, bits: int, seen: int, steps: int, seed: int) -> Record:
        return {
            "rule": rule,
            "penalty": penalty,
            "bits": bits,
            "seen": seen,
            "steps": steps,
            "seed": seed,
        }

    bits, seeds = config.bits, range(config.seeds)
    penalties = [("ACT", tau) for tau in config.taus]
    penalties += [("PonderNet", rate) for rate in config.rates]
    penalties += [("fixed", steps) for steps in config.fixed]
    short = [
        point(rule, penalty, bits, bits, config.steps, seed)
        for rule, penalty in penalties
        for seed in seeds
    ]
    long = [
        point(rule, penalty, bits, bits, config.long_steps, seed)
        for bits in config.long_bits
        for rule, penalty in (
            ("ACT", config.long_tau),
            ("fixed", config.long_fixed),
            ("PonderNet", config.long_rate),
        )
        for seed in seeds
    ]
    cheap = [point("ACT", config.long_tau, bits, bits, config.cheap_steps, 0)]
    return [*(cheap if config.cheap_steps else []), *short, *long]


class Thinker(nn.Module):
    """A cell that takes several steps on a vector, and says how often its number of ones is odd."""

    def __init__(self, rule: str, *, bits: int, d_hidden: int, max_steps: int) -> None:
        super().__init__()
        self.step = RepeatedCell(RecurrentShape("gru", d_input=bits, d_hidden=d_hidden))
        kind, bias = {"PonderNet": (PonderNet, -1.0)}.get(rule, (ACT, 1.0))
        self.halting = kind(d_hidden, max_steps=max_steps, bias=bias)
        self.output = nn.Linear(d_hidden, 2)
        self.fixed = rule == "fixed"

    def forward(self, x: Float[Tensor, "batch bits"]) -> Thought:
        """All steps, with their shares; where depth is fixed, the last one has all."""
        until = torch.full((len(x),), self.halting.max_steps) if self.fixed else None
        return self.halting(self.step.begin(x), until=until)

    def loss(
        self, x: Float[Tensor, "batch bits"], odd: Int[Tensor, " batch"], penalty: float
    ) -> Tensor:
        """What is trained for: the answer, and the cost of its depth."""
        thought = self(x)
        if isinstance(self.halting, ACT):
            answer = F.cross_entropy(self.output(thought.mixed), odd)
            return answer if self.fixed else answer + penalty * thought.ponder.mean()
        answer = thought.expected(
            lambda state, rows: F.cross_entropy(self.output(state), odd[rows], reduction="none")
        )
        prior = geometric(penalty, self.halting.max_steps)
        return answer + BETA * thought.divergence(prior)

    @torch.no_grad()
    def answer(self, x: Float[Tensor, "batch bits"]) -> tuple[Tensor, Tensor, Flops]:
        """Logits, how many steps each took, and operations."""
        if self.fixed:
            run, rows = self.step.begin(x), torch.arange(len(x))
            for _ in range(self.halting.max_steps):
                run.state = run.advance(run.state, rows)
            depth = torch.full((len(x),), self.halting.max_steps)
            return self.output(run.state), depth, run.flops
        if isinstance(self.halting, ACT):
            thought = self(x)
            return self.output(thought.mixed), thought.depth, thought.flops
        state, depth, flops = self.halting.draw(self.step.begin(x))
        return self.output(state), depth, flops


def learn(config: Config, point: Record) -> Thinker:
    """The trained model of a point."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(point["seed"])
        model = Thinker(
            point["rule"],
            bits=point["bits"],
            d_hidden=config.d_hidden,
            max_steps=point["penalty"] if point["rule"] == "fixed" else config.max_steps,
        )
    task = Parity(point["bits"])
    train.train(
        model,
        lambda generator: task.draw(
            config.batch,
            generator,
            most=point["seen"],
            scattered=point.get("scattered", False),
        )[:2],
        lambda model, batch: model.loss(*batch, point["penalty"]),
        recipe=train.Recipe(
            steps=point["steps"],
            learning_rate=1e-3,
            warmup_steps=min(100, point["steps"]),
            seed=point["seed"],
            record_every=point["steps"],
        ),
    )
    return model.eval()


def seconds(config: Config, model: Thinker, x: Float[Tensor, "batch bits"]) -> float:
    """Seconds to answer, next to those of two steps for all: the median of the rounds."""
    two = Thinker("fixed", bits=x.shape[1], d_hidden=config.d_hidden, max_steps=2).eval()
    return statistics.median(
        clock.ratios(lambda: model.answer(x), lambda: two.answer(x), repeats=ROUNDS, warmup=2)
    )


def measure(config: Config, point: Record) -> list[Record]:
    """Share answered rightly, depth, operations and seconds, by how many places are not zero."""
    model = learn(config, point)
    x, odd, nonzero = Parity(point["bits"]).draw(config.judged, torch.Generator().manual_seed(1))
    times = seconds(config, model, x[:TIMED])
    found = []
    for count in range(1, point["bits"] + 1):
        rows = nonzero == count
        if not rows.any():
            continue
        logits, depth, flops = model.answer(x[rows])
        right = (logits.argmax(dim=1) == odd[rows]).double()
        found.append(
            {
                "nonzero": count,
                "accuracy": right.mean().item(),
                "depth": depth.double().mean().item(),
                "operations": sum(flops.values()) / int(rows.sum()),
                "times": times,
            }
        )
    return found


def run(config: Config) -> list[Record]:
    """Records of all points, in order."""
    return [point | record for point in points(config) for record in measure(config, point)]


def means(results: Results) -> Results:
    """One record a training: means over the numbers of places that are not zero."""
    by = ("rule", "penalty", "bits", "seen", "steps", "seed")
    rows = {}
    for row in results.records():
        rows.setdefault(tuple(row[name] for name in by), []).append(row)
    return Results.from_records(
        results.question,
        [
            dict(zip(by, key, strict=True))
            | {
                name: sum(row[name] for row in of) / len(of)
                for name in ("accuracy", "depth", "operations", "times")
            }
            for key, of in rows.items()
            if key[4] > FULL.cheap_steps
        ],
    )


def findings(results: Results) -> dict[str, str]:
    """What the text says: accuracy and depth at each penalty, and how many of the seeds learn."""
    rows = means(results)
    found = {
        "seeds": str(len(set(rows.columns["seed"]))),
        "steps": f"{FULL.steps:,}",
        "long_steps": f"{FULL.long_steps:,}",
    }
    for key in dict.fromkeys(
        zip(*(rows.columns[name] for name in ("rule", "penalty", "bits", "seen")), strict=True)
    ):
        rule, penalty, bits, seen = key
        of = rows.where(rule=rule, penalty=penalty, bits=bits, seen=seen)
        name = f"{rule.lower()}_{penalty:g}_{bits}_{seen}"
        accuracy = of.column("accuracy")
        found[f"{name}_accuracy"] = wording.of_values(accuracy.tolist(), digits=1, share=True)
        found[f"{name}_least"] = wording.percent(accuracy.min(), digits=1)
        found[f"{name}_learned"] = str(int((accuracy >= 0.98).sum()))
        found[f"{name}_depth"] = f"{of.column('depth').mean():.1f}"
        found[f"{name}_times"] = wording.of_values(of.column("times").tolist(), digits=1)
        by_count = results.where(rule=rule, penalty=penalty, bits=bits, seen=seen)
        by_count = by_count.where(steps=int(max(by_count.column("steps"))))
        for nonzero in sorted({1, min(3, bits), bits}):
            depth = by_count.where(nonzero=nonzero).column("depth").mean()
            found[f"{name}_nonzero_{nonzero}_depth"] = f"{depth:.1f}"
    return found


if __name__ == "__main__":
    from payattention import results
    from payattention.experiments import parity_vs_penalty

    results.main(parity_vs_penalty)
