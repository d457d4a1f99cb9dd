"""How many wrong labels does a network learn by heart, with mixup and without?

Two labels in five are wrong, as in a row of the map of `error_vs_mixing`, and trained is as there.
Then the network is asked about the very images that it was trained on. `wrong_learned` is the share
of those with a wrong label that it names by that label, `right_learned` the share of the others
that it names by theirs, and `error` the share of new images named wrongly. A network that has
learned everything by heart has 1 in the first two; one that has learned none of the wrong labels
has nearly 0 in the first.
"""

from dataclasses import dataclass, replace

from payattention import wording
from payattention.experiments import error_vs_mixing
from payattention.experiments.error_vs_mixing import KINDS
from payattention.records import Record, Results

TOLERANCE = {"wrong_learned": 0.1, "right_learned": 0.1, "error": 0.05}
ELSEWHERE = {"wrong_learned": 0.4, "right_learned": 0.4, "error": 0.2}


@dataclass(frozen=True)
class Config:
    """Which rows of the map, and how they are trained."""

    maps: tuple[error_vs_mixing.Map, ...] = tuple(
        replace(part, wrong=(0.4,), alphas=(0.0, 1.0)) for part in error_vs_mixing.FULL.maps
    )
    runs: error_vs_mixing.Config = error_vs_mixing.FULL
    seeds: int = 3


FULL = Config()
LIVE = replace(
    FULL, maps=(replace(FULL.maps[0], labels=(50,)),), runs=error_vs_mixing.LIVE, seeds=1
)


def points(config: Config) -> list[Record]:
    """A training each; digits and few labels first."""
    runs = replace(config.runs, maps=config.maps, seeds=config.seeds)
    return error_vs_mixing.points(runs)


def measure(config: Config, point: Record) -> list[Record]:
    """What the trained model says to the images that it learned from, and to new ones."""
    kind, runs = KINDS[point["kind"]], config.runs
    model = error_vs_mixing.learn(
        runs, point, steps=min(kind.steps, runs.most_steps), rate=kind.rate
    )
    of = point["kind"], point["labels"]
    images, given = error_vs_mixing.labelled(*of, point["wrong"], point["seed"])
    _, true = error_vs_mixing.labelled(*of, 0.0, point["seed"])
    said = error_vs_mixing.logits_of(model, images).argmax(dim=1)
    learned, wrong = (said == given).double(), given != true
    new, named = error_vs_mixing.judged(point["kind"], runs.judged)
    missed = error_vs_mixing.logits_of(model, new).argmax(dim=1) != named
    return [
        {
            "wrong_learned": learned[wrong].mean().item(),
            "right_learned": learned[~wrong].mean().item(),
            "error": missed.double().mean().item(),
        }
    ]


def run(config: Config) -> list[Record]:
    """Records of all points, in order."""
    return [point | record for point in points(config) for record in measure(config, point)]


def findings(results: Results) -> dict[str, str]:
    """What the text says: the shares learned, by kind, labels and α."""
    found = {"seeds": str(len(set(results.columns["seed"])))}
    for metric in ("wrong_learned", "right_learned"):
        for row in results.summary(metric, by=["kind", "labels", "alpha"]):
            kind = row["kind"].replace(", ", "_").lower()
            name = f"{kind}_{row['labels']}_{row['alpha']:g}_{metric}"
            found[name] = wording.percent(row["mean"])
    return found


if __name__ == "__main__":
    from payattention import results
    from payattention.experiments import memorised_vs_mixing

    results.main(memorised_vs_mixing)
