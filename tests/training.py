"""A small training with dropout, for tests of the loop; run as a program it is one to be killed.

python tests/training.py CHECKPOINT EVERY SECONDS_A_STEP
"""

import sys
import time
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

from payattention.checkpoint import Checkpoint
from payattention.train import Recipe, train

RECIPE = Recipe(steps=23, learning_rate=0.05, warmup_steps=3, weight_decay=0.1, record_every=5)


def model() -> nn.Module:
    """A network with weights, gains, a buffer and dropout, the same at each call."""
    with torch.random.fork_rng():
        torch.manual_seed(11)
        return nn.Sequential(
            nn.Linear(3, 7), nn.BatchNorm1d(7), nn.Dropout(0.3), nn.Tanh(), nn.Linear(7, 1)
        )


def draw(generator: torch.Generator) -> dict[str, torch.Tensor]:
    x = torch.randn(13, 3, generator=generator)
    return {"x": x, "y": x.prod(-1, keepdim=True)}


def loss(net: nn.Module, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    return functional.mse_loss(net(batch["x"]), batch["y"])


def evaluate(net: nn.Module) -> dict[str, float]:
    batch = draw(torch.Generator().manual_seed(99))
    noise = torch.randn(()).item()  # what an evaluation may also do: use the global generator
    return {"error": loss(net, batch).item(), "noise": noise}


def run(net: nn.Module, **options):
    return train(net, draw, loss, **{"recipe": RECIPE, "evaluate": evaluate} | options)


if __name__ == "__main__":
    torch.set_num_threads(1)
    path, every, pause = Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    run(
        model(),
        checkpoint=Checkpoint(path, every=every),
        on_step=lambda share, records: time.sleep(pause),
    )
