"""The limit of adaptive depth: hand the problem to something that is not a network.

A unit reads what a model has made of a problem after its first steps, and says how likely it is
that the rest should be left to a tool. While it learns, it pays either for the model's own answer,
as surprised as it would be by the right one, or a price for the call; so it comes to call where the
own answer would cost more than that. The model learns from all problems, handed over or not: one
that is not taught what it hands over never learns to keep it. Afterwards it calls where the unit
says more than a half, and what is called for is not computed any further.

The tool here adds two numbers, which takes a processor one operation.

Source of the idea that a model learns when to call: Schick et al. 2023, Toolformer
(arXiv:2302.04761); the price is ours.
"""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from payattention.tasks import Addition


def calculate(task: Addition, problems: Int[Tensor, "batch read"]) -> Int[Tensor, "batch places"]:
    """What a calculator writes below each sum.

    >>> task = Addition(digits=2)
    >>> problems, answers, _ = task.draw(3, torch.Generator().manual_seed(0))
    >>> bool((calculate(task, problems) == answers).all())
    True
    """
    return task.written(*task.numbers(problems))[1]


class HandOver(nn.Module):
    """A unit that says whether a problem is handed over, from the mean of its tokens.

    Raises:
        ValueError: for a price that is not a positive number.
    """

    def __init__(self, d_model: int, *, price: float) -> None:
        super().__init__()
        if not 0 < price < math.inf:
            raise ValueError(f"price={price}: expected a positive number of nats")
        self.price = price
        self.unit = nn.Linear(d_model, 1)

    def forward(self, x: Float[Tensor, "batch tokens d_model"]) -> Float[Tensor, " batch"]:
        """How likely each problem is handed over."""
        return torch.sigmoid(self.unit(x.mean(dim=1))[:, 0])

    def loss(
        self, chance: Float[Tensor, " batch"], own: Float[Tensor, " batch"]
    ) -> Float[Tensor, ""]:
        """What the unit is to pay, on average: the loss of the own answer, or the price.

        The loss of the own answer is taken as it is: no gradient goes through it.

        >>> unit = HandOver(2, price=0.5)
        >>> unit.loss(torch.tensor([0.0, 1.0]), torch.tensor([3.0, 3.0])).item()
        1.75
        """
        return ((1 - chance) * own.detach() + chance * self.price).mean()
