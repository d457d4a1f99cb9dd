"""Do the fit's intervals hold the truth as often as they say?

Losses are drawn from a law that is known, with 1 % of noise on each, and fitted as if it were not.
Done 200 times, the fits should scatter around the truth, and 95 % of the intervals, each from 200
resamples of its runs, should hold it. Once with as many runs as Hoffmann et al. 2022 had, over the
sizes and texts of theirs; once with 60, over the book's own, which are fewer and closer together.
"""

from dataclasses import dataclass, replace

import numpy as np

from payattention import fits, resampling, wording
from payattention.measure import Interval
from payattention.records import Record, Results
from payattention.scaling_laws import BESIROGLU_2024, AdditiveLaw

EXPONENTS = ("alpha", "beta")
TOLERANCE = {f"{name}{end}": 1e-3 for name in EXPONENTS for end in ("", "_low", "_high")}


@dataclass(frozen=True)
class Region:
    """A law, how many runs there are of it, and between which sizes and texts they lie."""

    law: AdditiveLaw
    runs: int
    parameters: tuple[float, float]
    tokens: tuple[float, float]


REGIONS = {
    "the book's": Region(
        AdditiveLaw(E=2.0, A=50.0, B=80.0, alpha=0.56, beta=0.36),
        runs=60,
        parameters=(2e3, 2e5),
        tokens=(8e4, 8e6),
    ),
    "Chinchilla's": Region(BESIROGLU_2024, runs=240, parameters=(7e7, 1.6e10), tokens=(5e9, 5e11)),
}


@dataclass(frozen=True)
class Config:
    """How often runs are drawn, with how much noise, and how often each set is resampled."""

    regions: tuple[str, ...] = tuple(REGIONS)
    noise: float = 0.01
    repeats: int = 200
    resamples: int = 200
    starts: int = 2


FULL = Config()
LIVE = replace(FULL, repeats=3, resamples=30)


def points(config: Config) -> list[Record]:
    """One set of runs each, the small sets first."""
    return [
        {"region": region, "seed": seed}
        for region in config.regions
        for seed in range(config.repeats)
    ]


def drawn(config: Config, region: Region, seed: int) -> dict[str, np.ndarray]:
    """Sizes and texts, evenly on logarithmic axes, and their losses with noise."""
    generator = np.random.default_rng(seed)
    sizes, texts = (
        np.exp(generator.uniform(*np.log(bounds), region.runs))
        for bounds in (region.parameters, region.tokens)
    )
    loss = np.array([region.law.loss(n, d) for n, d in zip(sizes, texts, strict=True)])
    noise = np.exp(config.noise * generator.standard_normal(region.runs))
    return {"parameters": sizes, "tokens": texts, "loss": loss * noise}


def measure(config: Config, point: Record) -> list[Record]:
    """The two exponents as they were fitted, with their intervals."""
    runs = drawn(config, REGIONS[point["region"]], point["seed"])
    fitted = fits.additive(**runs, starts=config.starts)

    def exponents(**runs: np.ndarray) -> dict[str, float]:
        again = fits.additive(**runs, near=fitted)
        return {"alpha": again.alpha, "beta": again.beta}

    again = resampling.bootstrap(exponents, runs, repeats=config.resamples, seed=point["seed"])
    record = {}
    for name in EXPONENTS:
        found = again.interval(name)
        value = getattr(fitted, name)
        record |= {name: value, f"{name}_low": found.low, f"{name}_high": found.high}
    return [record]


def run(config: Config) -> list[Record]:
    """Records of all points, in order."""
    return [point | record for point in points(config) for record in measure(config, point)]


def off(results: Results, region: str, name: str) -> float:
    """How far the median of the fits lies from the truth, as a share of it."""
    truth = getattr(REGIONS[region].law, name)
    return abs(float(np.median(results.where(region=region).column(name))) / truth - 1)


def coverage(results: Results, region: str, name: str) -> float:
    """Share of the intervals that hold the truth."""
    truth, chosen = getattr(REGIONS[region].law, name), results.where(region=region)
    held = (chosen.column(f"{name}_low") <= truth) & (truth <= chosen.column(f"{name}_high"))
    return float(held.mean())


def width(results: Results, region: str, name: str) -> Interval:
    """A typical interval: the truth, and the medians of the lower and the upper bounds."""
    chosen = results.where(region=region)
    low, high = (float(np.median(chosen.column(f"{name}_{end}"))) for end in ("low", "high"))
    return Interval(getattr(REGIONS[region].law, name), low, high)


def findings(results: Results) -> dict[str, str]:
    """What the text says: by region and exponent, error of the median, coverage, and width."""
    found = {"repeats": str(FULL.repeats), "noise": wording.percent(FULL.noise)}
    for region in dict.fromkeys(results.column("region").tolist()):
        key = region.partition("'")[0].replace("the ", "").lower()
        found[f"{key}_runs"] = str(REGIONS[region].runs)
        for name in EXPONENTS:
            bounds = width(results, region, name)
            found |= {
                f"{key}_{name}_off": wording.percent(off(results, region, name), digits=1),
                f"{key}_{name}_coverage": wording.percent(coverage(results, region, name)),
                f"{key}_{name}_width": wording.with_bounds(bounds.value, bounds.low, bounds.high),
            }
    return found


if __name__ == "__main__":
    from payattention import results
    from payattention.experiments import interval_vs_truth

    results.main(interval_vs_truth)
