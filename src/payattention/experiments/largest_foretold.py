"""What loss will the largest model reach? Said before it was trained.

The law that fits the runs of `loss_vs_flops` is asked for a model with more than twice the
parameters of the largest of them, and eight times the operations, after one pass over the training
plays. The answer was stored before `largest_trained` trained that model; the two files' dates, and
the history of the repository, show the order.

The interval is of a single run: of the law's answers on resamples of the runs, each times a
deviation that one of the runs shows from the law.
"""

from dataclasses import dataclass, replace

import numpy as np

from payattention import data, fits, resampling
from payattention import results as stored
from payattention.experiments import loss_vs_flops
from payattention.experiments.loss_vs_flops import Size, spent
from payattention.records import Record, Results

TOLERANCE = dict.fromkeys(("bits", "low", "high"), 0.01) | dict.fromkeys(
    ("parameters", "blocks", "steps", "tokens", "passes", "from_runs"), 1e-8
)
TOLERANCE["flops"] = loss_vs_flops.TOLERANCE["flops"]


@dataclass(frozen=True)
class Config:
    """Layers and width of the largest model, and how often the runs are resampled."""

    layers: int = 4
    d_model: int = 96
    resamples: int = 1000
    seed: int = 0
    runs: loss_vs_flops.Config = loss_vs_flops.FULL


FULL = Config()
LIVE = replace(FULL, resamples=50)


def points(config: Config) -> list[Record]:
    """One point: the largest model."""
    return [{"layers": config.layers, "d_model": config.d_model}]


def steps(config: Config) -> int:
    """Steps of one pass over the training plays."""
    return len(data.shakespeare("train")) // (config.runs.batch * config.runs.tokens)


def foretell(
    results: Results, *, parameters: float, tokens: float, resamples: int, seed: int = 0
) -> tuple[float, float, float]:
    """Bits that the law foretells, and the bounds within which 95 % of runs should end."""
    fitted = loss_vs_flops.law(results)
    sizes, texts, bits = (
        results.column(name).astype(float) for name in ("parameters", "tokens", "bits")
    )
    deviations = loss_vs_flops.over_law(results, fitted)

    def answer(parameters_: np.ndarray, tokens_: np.ndarray, bits_: np.ndarray) -> dict[str, float]:
        again = fits.additive(parameters_, tokens_, bits_, near=fitted)
        return {"bits": again.loss(parameters, tokens)}

    columns = {"parameters_": sizes, "tokens_": texts, "bits_": bits}
    again = resampling.bootstrap(
        answer, columns, strata=results.column("budget"), repeats=resamples, seed=seed
    ).again["bits"]
    drawn = np.random.default_rng(seed).choice(deviations, size=len(again))
    low, high = np.quantile(again * drawn, (0.025, 0.975))
    return fitted.loss(parameters, tokens), float(low), float(high)


def measure(config: Config, point: Record) -> list[Record]:
    """What the stored runs foretell of the model, and what its training will be made of."""
    size = Size(point["layers"], point["d_model"])
    made_of = spent(config.runs, size, steps(config))
    runs = stored.read("loss_vs_flops")
    bits, low, high = foretell(
        runs,
        parameters=float(made_of["parameters"]),
        tokens=float(made_of["tokens"]),
        resamples=config.resamples,
        seed=config.seed,
    )
    return [made_of | {"from_runs": len(runs), "bits": bits, "low": low, "high": high}]


def run(config: Config) -> list[Record]:
    """Records of all points, in order."""
    return [point | record for point in points(config) for record in measure(config, point)]


def findings(results: Results) -> dict[str, str]:
    """What the text says: the model, what was foretold, and the day on which it was."""
    row = results.records()[0]
    runs = stored.read("loss_vs_flops")
    return {
        "parameters": f"{row['parameters']:,}",
        "tokens": f"{row['tokens']:,}",
        "from_runs": str(row["from_runs"]),
        "bits": f"{row['bits']:.2f}",
        "low": f"{row['low']:.2f}",
        "high": f"{row['high']:.2f}",
        "times_parameters": f"{row['parameters'] / runs.column('parameters').max():.1f}",
        "times_flops": f"{row['flops'] / runs.column('flops').max():.1f}",
        "date": str(results.environment.get("date", "not yet")),
    }


if __name__ == "__main__":
    from payattention import results
    from payattention.experiments import largest_foretold

    results.main(largest_foretold)
