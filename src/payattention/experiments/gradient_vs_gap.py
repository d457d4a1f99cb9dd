"""How much of a gradient is left after a gap of so many tokens?

A recurrent layer reads Shakespeare, each character as a random vector of unit variance, and we
follow d state_T / d state_t back from the last token. Nothing is trained: this is what training
starts from. Six layers of one width: each cell as PyTorch initialises it, the plain RNN with an
orthogonal matrix, and the gated cells with their memory gates set for the longest gap.
"""

import math
import statistics
from dataclasses import dataclass, replace

import torch
from torch import nn

from payattention import data, recurrence, wording
from payattention.records import Record, Results
from payattention.recurrence import Recurrent
from payattention.shape import RecurrentShape

LAYERS = ("rnn", "rnn_orthogonal", "lstm", "lstm_open", "gru", "gru_open")
TOLERANCE = {"log10_norm": 1e-3, "spectral_norm": 1e-6, "spectral_radius": 1e-5}


@dataclass(frozen=True)
class Config:
    """Sizes of the measurement."""

    d_input: int = 16
    d_hidden: int = 32
    gaps: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
    longest: int = 512  # what open gates are set for
    seeds: int = 5


FULL = Config()
LIVE = replace(FULL, gaps=(1, 2, 4, 8, 16, 32, 64, 128), seeds=3)


def points(config: Config) -> list[Record]:
    """One run for each layer and seed."""
    return [{"layer": name, "seed": seed} for name in LAYERS for seed in range(config.seeds)]


def build(name: str, config: Config, seed: int) -> Recurrent:
    """The layer of that name, initialised from the seed."""
    cell, _, start = name.partition("_")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layer = Recurrent(RecurrentShape(cell, d_input=config.d_input, d_hidden=config.d_hidden))
        if start == "orthogonal":
            nn.init.orthogonal_(layer.weights.weight_hh)
    if start == "open":
        generator = torch.Generator().manual_seed(seed)
        bias = recurrence.memory_gate_for(config.longest, config.d_hidden, generator)
        recurrence.set_memory_gate(layer, bias)
    return layer


def measure(config: Config, point: Record) -> list[Record]:
    """The norm at each gap; for a plain RNN also the norm and radius of its matrix."""
    layer = build(point["layer"], config, point["seed"])
    generator = torch.Generator().manual_seed(point["seed"])
    text = data.shakespeare("train")
    start = int(torch.randint(len(text) - max(config.gaps), (1,), generator=generator))
    characters = data.encode(text[start : start + max(config.gaps)])
    vectors = torch.randn(len(data.VOCABULARY), config.d_input, generator=generator)
    norms = recurrence.gradient_norms(layer, vectors[characters])
    records: list[Record] = [
        {"gap": gap, "norm": norms[gap - 1].item(), "log10_norm": norms[gap - 1].log10().item()}
        for gap in config.gaps
    ]
    if layer.shape.cell == "rnn":
        matrix = layer.weights.weight_hh.detach()
        about = {
            "spectral_norm": torch.linalg.matrix_norm(matrix, ord=2).item(),
            "spectral_radius": torch.linalg.eigvals(matrix).abs().max().item(),
        }
        records = [record | about for record in records]
    return records


def run(config: Config) -> list[Record]:
    """Records of all points, in order."""
    return [point | record for point in points(config) for record in measure(config, point)]


def typical(results: Results, layer: str, gap: int) -> float:
    """Geometric mean of the norm over the seeds."""
    norms = results.where(layer=layer, gap=gap).column("norm")
    return math.exp(statistics.fmean(math.log(norm) for norm in norms))


def findings(results: Results) -> dict[str, str]:
    """What the text says: the typical norm of each layer at a few gaps, and the half-life."""
    found = {}
    for layer in LAYERS:
        for gap in (16, 64, 512):
            if gap in results.column("gap"):
                found[f"{layer}_{gap}"] = wording.magnitude(typical(results, layer, gap))
        factor = (typical(results, layer, 64) / typical(results, layer, 16)) ** (1 / 48)
        found[f"{layer}_factor"] = f"{factor:.2f}"
        if factor < 0.99:
            found[f"{layer}_half_life"] = f"{math.log(0.5) / math.log(factor):.1f}"
    matrices = results.where(layer="rnn", gap=1)
    found["rnn_spectral_norm"] = f"{matrices.column('spectral_norm').mean():.2f}"
    found["rnn_spectral_radius"] = f"{matrices.column('spectral_radius').mean():.2f}"
    found["seeds"] = str(len(matrices))
    return found


if __name__ == "__main__":
    from payattention import results
    from payattention.experiments import gradient_vs_gap

    results.main(gradient_vs_gap)
