"""A mixture of experts: many feed-forward parts, of which each token uses few.

A router gives each expert a probability, token by token, and the likeliest `chosen` experts work on
it; their answers are mixed by those probabilities. All parameters have to be kept, and few are
multiplied with: the tokens are sorted by their expert, so that each expert works on its own in one
product, and nothing is computed to be thrown away.

Left alone, routers come to send everything to the few experts that were better first. `balance` is
a loss that is least when all get the same share; a `capacity` bounds what one expert may take, and
what is over passes by.

Sources: Shazeer et al. 2017 (arXiv:1701.06538); Fedus et al. 2021, Switch (arXiv:2101.03961),
section 2, for one expert a token, capacity and balance; Jiang et al. 2024, Mixtral
(arXiv:2401.04088), section 2.1, for two, whose probabilities sum to 1.
"""

import math
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn


class Routing(NamedTuple):
    """Where tokens are sent: to which experts, with which weights, and whether there was room."""

    probabilities: Float[Tensor, "tokens experts"]
    experts: Int[Tensor, "tokens chosen"]
    weights: Float[Tensor, "tokens chosen"]
    kept: Bool[Tensor, "tokens chosen"]

    @property
    def load(self) -> Float[Tensor, " experts"]:
        """The share of all choices that fell on each expert."""
        count = self.probabilities.shape[1]
        return torch.bincount(self.experts.flatten(), minlength=count) / self.experts.numel()

    @property
    def balance(self) -> Float[Tensor, ""]:
        """Experts x the sum of load times mean probability: 1 if all are equal, larger if not.

        The load has no gradient; the probabilities have. Source: Switch, equations 4 to 6.
        """
        return len(self.load) * (self.load * self.probabilities.mean(dim=0)).sum()


class Experts(nn.Module):
    """Parts side by side, of which each token uses the `chosen` likeliest.

    With one, its answer is multiplied by its probability, so that the router learns; with more,
    their probabilities are scaled to sum to 1. An expert takes at most `capacity` times its equal
    share of the tokens, first come first served; None is no bound. What it does not take is 0 in
    the output. `routing` is that of the last forward pass.

    Raises:
        ValueError: for fewer than one expert, more `chosen` than there are, and a capacity of 0 or
            less.
    """

    def __init__(
        self,
        experts: Iterable[nn.Module],
        *,
        d_model: int,
        chosen: int = 1,
        capacity: float | None = None,
    ) -> None:
        super().__init__()
        self.experts = nn.ModuleList(experts)
        count = len(self.experts)
        if count < 1:
            raise ValueError("experts: got none; expected at least one")
        if not 1 <= chosen <= count:
            raise ValueError(f"chosen: got {chosen}; expected 1 to {count}, the experts there are")
        if capacity is not None and not 0 < capacity < math.inf:
            raise ValueError(f"capacity: got {capacity}; expected more than 0, or None")
        self.router = nn.Linear(d_model, count, bias=False)
        self.chosen, self.capacity = chosen, capacity
        self.routing: Routing | None = None

    def forward(self, x: Float[Tensor, "*batch d_model"]) -> Float[Tensor, "*batch d_model"]:
        """What the experts of each token add to it."""
        tokens = x.reshape(-1, x.shape[-1])
        self.routing = routing = self.route(tokens)
        order, sizes = _by_expert(routing, len(self.experts))
        asking = order // self.chosen
        # by index_select, whose gradient takes half the time of that of tokens[asking]
        parts = tokens.index_select(0, asking).split(sizes)
        answers = [expert(part) for expert, part in zip(self.experts, parts, strict=True)]
        weights = routing.weights.flatten().index_select(0, order)
        answers = torch.cat(answers) * weights[:, None]
        return torch.zeros_like(tokens).index_add(0, asking, answers).view_as(x)

    def everywhere(self, x: Float[Tensor, "*batch d_model"]) -> Float[Tensor, "*batch d_model"]:
        """The same, the plain way: all experts work on all tokens, and most of it is weighed 0."""
        tokens = x.reshape(-1, x.shape[-1])
        self.routing = routing = self.route(tokens)
        weights = torch.zeros_like(routing.probabilities)
        weights = weights.scatter(1, routing.experts, routing.weights * routing.kept)
        answers = [weights[:, n, None] * expert(tokens) for n, expert in enumerate(self.experts)]
        return torch.stack(answers).sum(dim=0).view_as(x)

    def route(self, tokens: Float[Tensor, "tokens d_model"]) -> Routing:
        """Where each token is sent."""
        probabilities = self.router(tokens).softmax(dim=-1)
        weights, experts = probabilities.topk(self.chosen, dim=-1)
        if self.chosen > 1:
            weights = weights / weights.sum(dim=-1, keepdim=True)
        return Routing(probabilities, experts, weights, self._room(experts))

    def _room(self, experts: Int[Tensor, "tokens chosen"]) -> Bool[Tensor, "tokens chosen"]:
        """Whether each choice is among the first that its expert has room for."""
        if self.capacity is None:
            return torch.ones_like(experts, dtype=torch.bool)
        room = math.ceil(self.capacity * experts.numel() / len(self.experts))
        # first choices come before second ones, and within them the text's order counts
        asked = nn.functional.one_hot(experts.T.flatten(), len(self.experts))
        place = (asked.cumsum(dim=0) * asked).sum(dim=-1)
        return (place <= room).view(self.chosen, -1).T


def _by_expert(routing: Routing, experts: int) -> tuple[Int[Tensor, " kept"], list[int]]:
    """The choices that were kept, numbered token by token, in order of experts; how many each."""
    flat = routing.experts.flatten()
    asked = flat.where(routing.kept.flatten(), experts)  # behind the last: nobody's
    order = asked.argsort(stable=True)
    sizes = torch.bincount(asked, minlength=experts + 1).tolist()[:experts]
    return order[: sum(sizes)], sizes


def experts_of(model: nn.Module) -> Iterator[Experts]:
    """The mixtures of experts in a model, in order."""
    return (module for module in model.modules() if isinstance(module, Experts))


def balance(model: nn.Module) -> Float[Tensor, ""]:
    """Mean `Routing.balance` of the mixtures in a model, of their last forward pass.

    Raises:
        ValueError: for a model without experts, or one that has not run.
    """
    losses = [each.routing.balance for each in experts_of(model) if each.routing is not None]
    if not losses:
        raise ValueError("model: got one whose experts have not run; expected a forward pass first")
    return torch.stack(losses).mean()
