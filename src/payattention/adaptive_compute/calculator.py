"""The limit of adaptive depth: hand the problem to something that is not a network.

A unit reads what a model has made of a problem after its first steps, and foretells what the
model's own answer will cost: how surprised, in nats, it would be by the right one. A call has a
price in nats as well. Where the own answer is foretold to cost more, the problem is handed over,
and nothing more is computed for it. The price may be set when the model is used.

The tool here adds two numbers, which takes a processor one operation.

Source of the idea that a model learns when to call: Schick et al. 2023, Toolformer
(arXiv:2302.04761); the price is ours.
"""

import math

from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from payattention.tasks import Addition


def calculate(task: Addition, problems: Int[Tensor, "batch read"]) -> Int[Tensor, "batch places"]:
    """What a calculator writes below each sum.

    >>> import torch
    >>> task = Addition(digits=2)
    >>> problems, answers, _ = task.draw(3, torch.Generator().manual_seed(0))
    >>> bool((calculate(task, problems) == answers).all())
    True
    """
    return task.written(*task.numbers(problems))[1]


class HandOver(nn.Module):
    """A unit that foretells what the own answer to a problem will cost.

    It reads the mean of the tokens, and foretells the logarithm of a cost of at least `LEAST` nats.
    """

    LEAST = 1e-3

    def __init__(self, d_model: int) -> None:
        super().__init__()
        self.unit = nn.Linear(d_model, 1)

    def forward(self, x: Float[Tensor, "batch tokens d_model"]) -> Float[Tensor, " batch"]:
        """What each own answer is foretold to cost, in nats."""
        return self._log(x).exp()

    def loss(
        self, x: Float[Tensor, "batch tokens d_model"], own: Float[Tensor, " batch"]
    ) -> Float[Tensor, ""]:
        """How far off the unit is: the mean squared difference of logarithms.

        What the own answers cost, in nats, is taken as it is: no gradient goes through it, nor
        into `x`.
        """
        cost = own.detach().clamp_min(self.LEAST)
        return (self._log(x.detach()) - cost.log()).square().mean()

    def calls(
        self, x: Float[Tensor, "batch tokens d_model"], *, price: float
    ) -> Bool[Tensor, " batch"]:
        """Which problems are handed over, if a call costs so many nats.

        Raises:
            ValueError: for a price that is not a number above 0.
        """
        if not 0 < price < math.inf:
            raise ValueError(f"price={price}: expected a positive number of nats")
        return self(x) > price

    def _log(self, x: Tensor) -> Tensor:
        return self.unit(x.mean(dim=1))[:, 0]
