"""Does a cell that takes several steps go on where its training stopped?

The parities of `parity_vs_penalty`, of 8 places of which any may be the ones that are not zero, so
that every place is trained. Some trainings see vectors with at most four such places, others all;
both are judged by how many there are. A cell that had learned to go from place to place, a step for
each, would only have to take more steps.

Source: Banino et al. 2021 (arXiv:2107.05407), section 3.1, where 96 places are seen up to 48.
"""

from dataclasses import dataclass, replace

import torch

from payattention import wording
from payattention.experiments import parity_vs_penalty
from payattention.records import Record, Results
from payattention.tasks import Parity

TOLERANCE = {"accuracy": 0.05, "depth": 1.0}
ELSEWHERE = {"accuracy": 0.6, "depth": 12.0}


@dataclass(frozen=True)
class Config:
    """Rules with their penalties, and how many places are seen."""

    rules: tuple[tuple[str, float], ...] = (("ACT", 0.001), ("PonderNet", 0.4), ("fixed", 3))
    seen: tuple[int, ...] = (4, 8)
    cells: parity_vs_penalty.Config = parity_vs_penalty.FULL
    steps: int = 6000
    cheap_steps: int = 20
    judged: int = 1000
    seeds: int = 3


FULL = Config()
LIVE = replace(FULL, rules=(("fixed", 3),), seen=(4,), steps=300, cheap_steps=0, seeds=1)


def points(config: Config) -> list[Record]:
    """A few steps, cheap to repeat; then a training each."""
    common = {"bits": config.cells.bits, "scattered": True}
    cheap = {"rule": "fixed", "penalty": 3, "seen": 4, "steps": config.cheap_steps, "seed": 0}
    return [
        *([common | cheap] if config.cheap_steps else []),
        *(
            common
            | {"rule": rule, "penalty": penalty, "seen": seen, "steps": config.steps, "seed": seed}
            for rule, penalty in config.rules
            for seen in config.seen
            for seed in range(config.seeds)
        ),
    ]


def measure(config: Config, point: Record) -> list[Record]:
    """Share answered rightly and depth, by how many places are not zero."""
    model = parity_vs_penalty.learn(config.cells, point)
    task, found = Parity(point["bits"]), []
    for nonzero in range(1, point["bits"] + 1):
        chance = torch.Generator().manual_seed(nonzero)
        x, odd, _ = task.draw(config.judged, chance, least=nonzero, most=nonzero, scattered=True)
        logits, depth, _ = model.answer(x)
        right = (logits.argmax(dim=1) == odd).double().mean().item()
        found.append({"nonzero": nonzero, "accuracy": right, "depth": depth.double().mean().item()})
    return found


def run(config: Config) -> list[Record]:
    """Records of all points, in order."""
    return [point | record for point in points(config) for record in measure(config, point)]


def ends(results: Results) -> Results:
    """The records of the trainings of full length."""
    return results.where(steps=int(max(results.column("steps"))))


def findings(results: Results) -> dict[str, str]:
    """What the text says: right answers up to four places, and with each number beyond."""
    rows = ends(results)
    found = {
        "seeds": str(len(set(rows.columns["seed"]))),
        "steps": f"{int(max(rows.columns['steps'])):,}",
    }
    counts = {"up_to_4": (1, 2, 3, 4)} | {str(count): (count,) for count in (5, 6, 7, 8)}
    for rule, seen in dict.fromkeys(zip(rows.columns["rule"], rows.columns["seen"], strict=True)):
        of = rows.where(rule=rule, seen=seen)
        for name, some in counts.items():
            accuracy = of.among(nonzero=some).column("accuracy").mean()
            found[f"{rule.lower()}_{seen}_{name}"] = wording.percent(accuracy)
    return found


if __name__ == "__main__":
    from payattention import results
    from payattention.experiments import parity_vs_places

    results.main(parity_vs_places)
