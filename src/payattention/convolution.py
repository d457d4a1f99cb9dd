"""Causal convolutions, plain and dilated, and how far back they reach.

A layer of kernel k sees its own token and k - 1 before it, `dilation` tokens apart. What a stack of
them sees is a matter of counting, and `reach` counts it by trying.

Source: van den Oord et al. 2016 (arXiv:1609.03499).
"""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F


def receptive_field(kernel: int, dilations: Sequence[int]) -> int:
    """Tokens that one output sees, itself included: 1 + (kernel - 1) x the sum of the dilations.

    >>> receptive_field(2, [1, 1, 1, 1]), receptive_field(2, [1, 2, 4, 8])
    (5, 16)
    """
    return 1 + (kernel - 1) * sum(dilations)


class CausalConvolution(nn.Module):
    """A residual stack of causal convolutions with ReLU, one layer for each dilation."""

    def __init__(self, d_model: int, *, kernel: int, dilations: Sequence[int]) -> None:
        super().__init__()
        if kernel < 2:
            raise ValueError(f"kernel={kernel}: expected at least 2, or no token sees another")
        if not dilations or min(dilations) < 1:
            raise ValueError(f"dilations={dilations!r}: expected one or more numbers from 1 up")
        self.kernel, self.dilations = kernel, tuple(dilations)
        self.layers = nn.ModuleList(
            nn.Conv1d(d_model, d_model, kernel, dilation=dilation) for dilation in dilations
        )

    def forward(
        self, x: Float[Tensor, "batch tokens d_model"]
    ) -> Float[Tensor, "batch tokens d_model"]:
        """Outputs at every token; none depends on a later token."""
        x = x.transpose(1, 2)
        for layer, dilation in zip(self.layers, self.dilations, strict=True):
            past = (self.kernel - 1) * dilation
            x = x + F.relu(layer(F.pad(x, (past, 0))))
        return x.transpose(1, 2)


def reach(model: Callable[[Tensor], Tensor], *, tokens: int, d_model: int, draws: int = 10) -> int:
    """Tokens that the last output of `model` really depends on, itself included, found by trying.

    One token after another is changed, and the last output watched; the distance of the farthest
    token that moves it, plus one. `model` maps (batch, tokens, d_model) to the same shape. A ReLU
    that is off cuts its path, so several inputs are tried; they are drawn in float64 with a fixed
    seed, so that no difference is lost to rounding.
    """
    generator = torch.Generator().manual_seed(0)
    farthest = 0
    for _ in range(draws):
        x = torch.randn(1, tokens, d_model, dtype=torch.float64, generator=generator)
        changed = x.repeat(tokens, 1, 1)
        changed[torch.arange(tokens), torch.arange(tokens)] += 1.0  # row t changes token t alone
        with torch.no_grad():
            moved = (model(changed)[:, -1] != model(x)[:, -1]).any(dim=-1)
        if moved.any():
            farthest = max(farthest, tokens - int(moved.nonzero()[0]))
    return farthest
