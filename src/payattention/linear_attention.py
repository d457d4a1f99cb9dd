"""Attention without its softmax: linear in the number of tokens, with a state of fixed size.

Where softmax takes exp(q · k), here stands φ(q) · φ(k), a product that can be taken in another
order: first φ(k) vᵀ, summed over the past, then φ(q) times that sum. So a token is read in d²
operations however much came before it, and what came before is one matrix, as in a recurrent
network. What is given up is the sharp choice that softmax makes among many keys.

Source: Katharopoulos et al. 2020 (arXiv:2006.16236), equations 7 to 12.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from payattention.attention import MultiHeadAttention, _expect_pairs

TILE = 64
"""Tokens that are read together; among them the square is computed."""


def features(x: Float[Tensor, "*batch d_head"]) -> Float[Tensor, "*batch d_head"]:
    """φ: elu(x) + 1, numbers above 0.

    >>> features(torch.tensor([0.0, 2.0])).tolist()
    [1.0, 3.0]
    """
    return F.elu(x) + 1


def attend_by_square(
    queries: Float[Tensor, "*batch tokens d_head"],
    keys: Float[Tensor, "*batch tokens d_head"],
    values: Float[Tensor, "*batch tokens d_value"],
) -> Float[Tensor, "*batch tokens d_value"]:
    """The readable form: each token mixes the values up to its own by φ(q) · φ(k)."""
    _expect_pairs(queries, keys, values)
    weights = (features(queries) @ features(keys).mT).tril()
    return weights @ values / weights.sum(dim=-1, keepdim=True)


def attend_linearly(
    queries: Float[Tensor, "*batch tokens d_head"],
    keys: Float[Tensor, "*batch tokens d_head"],
    values: Float[Tensor, "*batch tokens d_value"],
    *,
    tile: int = TILE,
) -> Float[Tensor, "*batch tokens d_value"]:
    """What `attend_by_square` gives, in time and memory that are linear in `tokens`.

    Raises:
        ValueError: for shapes that do not fit, and a `tile` below 1.
    """
    _expect_pairs(queries, keys, values)
    if tile < 1:
        raise ValueError(f"tile={tile!r}: expected a whole number of at least 1")
    tokens = queries.shape[-2]
    more = -tokens % tile  # padding behind the text: nobody looks there
    q, k = features(queries), features(keys)
    # a column of ones is summed along with the values: what is divided by in the end
    v = torch.cat([values, torch.ones_like(values[..., :1])], dim=-1)
    q, k, v = (F.pad(x, (0, 0, 0, more)).unflatten(-2, (-1, tile)) for x in (q, k, v))
    written = (k.mT @ v).cumsum(dim=-3)  # by each tile and those before it
    before = torch.cat([torch.zeros_like(written[..., :1, :, :]), written[..., :-1, :, :]], dim=-3)
    mixed = (q @ before + (q @ k.mT).tril() @ v).flatten(-3, -2)[..., :tokens, :]
    return mixed[..., :-1] / mixed[..., -1:]


@dataclass(frozen=True)
class State:
    """What was read: the sum of φ(k) vᵀ, and of φ(k)."""

    mixed: Float[Tensor, "*batch d_head d_value"]
    total: Float[Tensor, "*batch d_head"]

    def step(
        self,
        query: Float[Tensor, "*batch d_head"],
        key: Float[Tensor, "*batch d_head"],
        value: Float[Tensor, "*batch d_value"],
    ) -> tuple[Float[Tensor, "*batch d_value"], "State"]:
        """The answer to one more token, and the state with that token read."""
        k, q = features(key), features(query)
        state = State(self.mixed + k[..., :, None] * value[..., None, :], self.total + k)
        mixed = (q[..., None, :] @ state.mixed)[..., 0, :]
        return mixed / (q * state.total).sum(dim=-1, keepdim=True), state


def use(model: nn.Module) -> nn.Module:
    """The model, whose attention layers from now on do without a softmax; they look back only."""
    for module in model.modules():
        if isinstance(module, MultiHeadAttention):
            module.mix = attend_linearly
    return model
