"""What does a machine give of its answer after each step, and from where would it answer rightly?

Two cells learn the parity of short vectors, as in `parity_vs_penalty`, one by ACT and one by
PonderNet, and are then shown every vector that there is. Of each step is kept what the halting unit
says (`amount`), what the step is given of the answer (`share`), and the chance of "odd" that the
output unit reads from the state of that step alone (`odd`). `answer` is that chance in the answer
itself, in the row of the step at which the vector halts, and `depth` that step: PonderNet halts
where half of its shares are spent, though its shares go on.

Penalties were chosen so that every vector is answered rightly and none takes all the steps that are
allowed. `parity_vs_penalty` has more of them, with several seeds.
"""

from dataclasses import dataclass, replace
from itertools import product

import torch
from jaxtyping import Float
from torch import Tensor

from payattention import wording
from payattention.experiments import parity_vs_penalty
from payattention.experiments.parity_vs_penalty import Thinker
from payattention.records import Record, Results

TOLERANCE = {"amount": 0.05, "share": 0.05, "odd": 0.05, "answer": 0.05}
ELSEWHERE = dict.fromkeys(TOLERANCE, 0.5)
SIGNS = {1: "+", -1: "-", 0: "0"}
"""How a vector is written: +-0 for 1, -1 and 0."""


@dataclass(frozen=True)
class Config:
    """A penalty of each rule, and how the cells are trained and asked."""

    tau: float = 0.003
    rate: float = 0.5
    bits: int = 6
    d_hidden: int = 128
    max_steps: int = 20
    batch: int = 128
    steps: int = 4000
    cheap_steps: int = 20
    cheap_vectors: int = 6
    seed: int = 0


FULL = Config()
LIVE = replace(FULL, steps=1000, cheap_steps=0)


def points(config: Config) -> list[Record]:
    """A few steps, cheap to repeat; then a training by each rule."""

    def point(rule: str, penalty: float, steps: int) -> Record:
        return {"rule": rule, "penalty": penalty, "steps": steps, "seed": config.seed}

    cheap = [point("ACT", config.tau, config.cheap_steps)] if config.cheap_steps else []
    long = [("ACT", config.tau), ("PonderNet", config.rate)]
    return [*cheap, *(point(rule, penalty, config.steps) for rule, penalty in long)]


def vectors(bits: int) -> Float[Tensor, "vectors bits"]:
    """All vectors whose first places are 1 or -1 and whose others are 0, shortest first.

    >>> vectors(2).int().tolist()
    [[1, 0], [-1, 0], [1, 1], [1, -1], [-1, 1], [-1, -1]]
    """
    return torch.tensor(
        [
            [*signs, *[0.0] * (bits - places)]
            for places in range(1, bits + 1)
            for signs in product((1.0, -1.0), repeat=places)
        ]
    )


def written(vector: Float[Tensor, " bits"]) -> str:
    """The vector as text.

    >>> written(torch.tensor([1.0, -1.0, 0.0]))
    '+-0'
    """
    return "".join(SIGNS[int(place)] for place in vector)


def learn(config: Config, point: Record) -> Thinker:
    """The trained model of a point."""
    training = parity_vs_penalty.Config(
        d_hidden=config.d_hidden, max_steps=config.max_steps, batch=config.batch
    )
    return parity_vs_penalty.learn(training, {"bits": config.bits, "seen": config.bits} | point)


def measure(config: Config, point: Record) -> list[Record]:
    """All steps of all vectors, or of the first few where the training is short."""
    model = learn(config, point)
    x = vectors(config.bits)
    cheap = point["steps"] == config.cheap_steps
    return steps_of(model, x[: config.cheap_vectors] if cheap else x)


@torch.no_grad()
def steps_of(model: Thinker, x: Float[Tensor, "vectors bits"]) -> list[Record]:
    """What the model says to each vector, a record a step."""
    thought = model(x)
    logits, depth, _ = model.answer(x)
    answer = chance_of_odd(logits)
    found: list[list[Record]] = [[] for _ in x]
    for step, (rows, state, share) in enumerate(thought.stages, start=1):
        amount, odd = model.halting.amounts(state), chance_of_odd(model.output(state))
        for place, row in enumerate(rows.tolist()):
            ends = step == depth[row]
            found[row].append(
                {
                    "vector": written(x[row]),
                    "step": step,
                    "amount": amount[place].item(),
                    "share": share[place].item(),
                    "odd": odd[place].item(),
                    "answer": answer[row].item() if ends else None,
                    "depth": int(depth[row]),
                }
            )
    return [record for records in found for record in records]


def chance_of_odd(logits: Float[Tensor, "rows 2"]) -> Float[Tensor, " rows"]:
    """What the output unit gives to an odd number of ones."""
    return logits.softmax(dim=1)[:, 1]


def run(config: Config) -> list[Record]:
    """Records of all points, in order."""
    return [point | record for point in points(config) for record in measure(config, point)]


def whole(results: Results) -> Results:
    """The records of trainings of full length, without the cheap one's."""
    return results.where(steps=max(results.column("steps")))


def findings(results: Results) -> dict[str, str]:
    """What the text says: how many vectors, answered rightly how often, in how many steps."""
    found = {}
    for rule in ("ACT", "PonderNet"):
        of = [row for row in whole(results).where(rule=rule).records() if row["answer"] is not None]
        right = [(row["answer"] > 0.5) == (row["vector"].count("+") % 2 == 1) for row in of]
        depths = [row["depth"] for row in of]
        name = rule.lower()
        found["vectors"] = str(len(of))
        found[f"{name}_penalty"] = f"{of[0]['penalty']:g}"
        found[f"{name}_right"] = wording.percent(sum(right) / len(of), digits=1)
        found[f"{name}_depth"] = f"{sum(depths) / len(of):.1f}"
        found[f"{name}_least"], found[f"{name}_most"] = str(min(depths)), str(max(depths))
        for places in sorted({len(row["vector"].rstrip("0")) for row in of}):
            some = [row["depth"] for row in of if len(row["vector"].rstrip("0")) == places]
            found[f"{name}_depth_{places}"] = f"{sum(some) / len(some):.1f}"
    return found


if __name__ == "__main__":
    from payattention import results
    from payattention.experiments import shares_vs_step

    results.main(shares_vs_step)
