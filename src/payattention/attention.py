"""Attention: every token asks every token how much it matters.

Scores are dot products of queries and keys over the square root of their width; softmax turns each
row into shares that sum to 1; the output is the values, mixed by those shares.
Source: Vaswani et al. 2017 (arXiv:1706.03762), equation 1.
"""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F


def full_mask(tokens: int) -> Bool[Tensor, "tokens tokens"]:
    """A mask in which every token may look at every token: tokens^2 pairs.

    >>> int(full_mask(3).sum())
    9
    """
    return torch.ones(tokens, tokens, dtype=torch.bool)


def causal_mask(tokens: int) -> Bool[Tensor, "tokens tokens"]:
    """A mask in which a token looks at itself and at the past: tokens (tokens + 1) / 2 pairs.

    >>> int(causal_mask(3).sum())
    6
    """
    return full_mask(tokens).tril()


def attend(
    queries: Float[Tensor, "*batch rows d_head"],
    keys: Float[Tensor, "*batch columns d_head"],
    values: Float[Tensor, "*batch columns d_value"],
    mask: Bool[Tensor, "rows columns"] | None = None,
) -> Float[Tensor, "*batch rows d_value"]:
    """For each query, the mixture of values whose keys fit it; `mask` says who may look at whom.

    The readable form: every score is computed and stored.
    """
    scores = queries @ keys.transpose(-1, -2) / math.sqrt(queries.shape[-1])
    if mask is not None:
        scores = scores.masked_fill(~mask, -math.inf)
    return scores.softmax(dim=-1) @ values


class CausalAttention(nn.Module):
    """One layer of causal attention, one head and no biases, by the platform's fused kernel."""

    def __init__(self, d_model: int) -> None:
        super().__init__()
        self.queries = nn.Linear(d_model, d_model, bias=False)
        self.keys = nn.Linear(d_model, d_model, bias=False)
        self.values = nn.Linear(d_model, d_model, bias=False)
        self.output = nn.Linear(d_model, d_model, bias=False)

    @property
    def inputs(self) -> tuple[nn.Linear, nn.Linear, nn.Linear]:
        """The maps that make queries, keys and values."""
        return self.queries, self.keys, self.values

    def forward(
        self, x: Float[Tensor, "batch tokens d_model"]
    ) -> Float[Tensor, "batch tokens d_model"]:
        """What each token gathers from itself and the past, added to the token."""
        # with an axis for the one head: without it, the CPU's fused kernel is not taken
        queries, keys, values = (layer(x)[:, None] for layer in self.inputs)
        mixed = F.scaled_dot_product_attention(queries, keys, values, is_causal=True)
        return x + self.output(mixed[:, 0])

    def look_back(
        self,
        x: Float[Tensor, "batch d_model"],
        keys: Float[Tensor, "batch past d_model"],
        values: Float[Tensor, "batch past d_model"],
    ) -> Float[Tensor, "batch d_model"]:
        """What one token gathers from keys and values that were kept, added to the token."""
        mixed = attend(self.queries(x)[:, None], keys, values)[:, 0]
        return x + self.output(mixed)

    def step(
        self,
        x: Float[Tensor, "batch d_model"],
        cache: tuple[Float[Tensor, "batch past d_model"], Float[Tensor, "batch past d_model"]],
    ) -> tuple[Float[Tensor, "batch d_model"], tuple[Tensor, Tensor]]:
        """Output for one more token, and the cache of keys and values with this token in it."""
        keys = torch.cat([cache[0], self.keys(x)[:, None]], dim=1)
        values = torch.cat([cache[1], self.values(x)[:, None]], dim=1)
        return self.look_back(x, keys, values), (keys, values)
