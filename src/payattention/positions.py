"""Positions: how attention, which sees a set, is told the order.

Four ways. `sinusoidal` and `LearnedPositions` add a vector to each token; `Rotary` turns queries
and keys, so that their product depends on the distance; `alibi` takes a penalty for distance off
the scores. Position interpolation squeezes all positions of a long text into the trained length.

Sources: Vaswani et al. 2017 (arXiv:1706.03762), section 3.5; Su et al. 2021 (arXiv:2104.09864),
section 3.2; Press et al. 2021 (arXiv:2108.12409), section 3; Chen et al. 2023 (arXiv:2306.15595).
"""

from dataclasses import dataclass
from functools import lru_cache

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

BASE = 10_000.0
"""The slowest pair of numbers turns by about this many tokens a radian."""


def frequencies(width: int, *, base: float = BASE) -> Float[Tensor, " pairs"]:
    """Radians a token for each of the width / 2 pairs of numbers: 1, and then ever slower.

    >>> [round(f, 4) for f in frequencies(8).tolist()]
    [1.0, 0.1, 0.01, 0.001]

    Raises:
        ValueError: for a width that is not even.
    """
    if width < 2 or width % 2:
        raise ValueError(f"width={width}: expected an even number of at least 2")
    return base ** (-torch.arange(0, width, 2) / width)


def sinusoidal(tokens: int, d_model: int, *, base: float = BASE) -> Float[Tensor, "tokens d_model"]:
    """A vector for each position: sine and cosine of every frequency, side by side.

    >>> [round(number, 2) for number in sinusoidal(2, 4)[1].tolist()]
    [0.84, 0.54, 0.01, 1.0]
    """
    angles = torch.arange(tokens)[:, None] * frequencies(d_model, base=base)
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(-2)


class LearnedPositions(nn.Module):
    """A table of trained vectors, one for each position up to `tokens`, and none beyond."""

    def __init__(self, tokens: int, d_model: int) -> None:
        super().__init__()
        self.table = nn.Parameter(0.02 * torch.randn(tokens, d_model))

    def forward(self, tokens: int) -> Float[Tensor, "tokens d_model"]:
        """The vectors of the first `tokens` positions.

        Raises:
            ValueError: for more tokens than the table has positions.
        """
        if tokens > len(self.table):
            raise ValueError(
                f"tokens={tokens}: this table of learned positions ends at {len(self.table)}"
            )
        return self.table[:tokens]


@dataclass(frozen=True)
class Rotary:
    """Turns each pair of numbers of a query or key by its position times the pair's frequency.

    A query at m and a key at n meet at an angle that depends on m - n alone. Neighbouring numbers
    make a pair. `squeeze` divides the positions: trained on 64 tokens, a model that reads 256 with
    a squeeze of 4 meets no position beyond those, and fractions in between (Chen et al. 2023).

    Raises:
        ValueError: for a base or a squeeze that is not positive.
    """

    base: float = BASE
    squeeze: float = 1.0

    def __post_init__(self) -> None:
        for name in ("base", "squeeze"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name}={getattr(self, name)}: expected a positive number")

    def __call__(
        self, x: Float[Tensor, "*batch tokens d_head"], *, start: int = 0
    ) -> Float[Tensor, "*batch tokens d_head"]:
        """The vectors, turned as those of positions `start`, `start + 1` and so on."""
        end = start + x.shape[-2]
        return _turned(x, *(angles[start:end] for angles in self._table(end, x)))

    def at(
        self, x: Float[Tensor, "*batch d_head"], places: Int[Tensor, "*#batch"], *, tokens: int
    ) -> Float[Tensor, "*batch d_head"]:
        """The vectors, each turned as that of its place, in texts of so many tokens.

        >>> x = torch.randn(5, 4)
        >>> bool((Rotary().at(x, torch.arange(5), tokens=5) == Rotary()(x)).all())
        True
        """
        return _turned(x, *(angles[places] for angles in self._table(tokens, x)))

    def _table(self, tokens: int, x: Tensor) -> tuple[Tensor, Tensor]:
        # for a power of two, so that a text that grows by a token finds what it needs
        room = 1 << (tokens - 1).bit_length()
        return _turns(room, x.shape[-1], self.base, self.squeeze, x.device)


def _turned(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Each pair of neighbours turned by its angle."""
    cos, sin = cos.to(x.dtype), sin.to(x.dtype)
    even, odd = x[..., 0::2], x[..., 1::2]
    turned = torch.stack([even * cos - odd * sin, even * sin + odd * cos], dim=-1)
    return turned.flatten(-2)


@lru_cache(maxsize=32)
def _turns(
    tokens: int, d_head: int, base: float, squeeze: float, device: torch.device
) -> tuple[Float[Tensor, "tokens pairs"], Float[Tensor, "tokens pairs"]]:
    """Cosine and sine of the angle of each pair of numbers at each place."""
    with torch.inference_mode(False):  # or training could not use what inference has made
        places = torch.arange(tokens, device=device) / squeeze
        angles = places[:, None] * frequencies(d_head, base=base).to(device)
        return angles.cos(), angles.sin()


def alibi_slopes(heads: int) -> Float[Tensor, " heads"]:
    """The penalty for one token of distance, by head: a geometric sequence that ends at 2^-8.

    Where `heads` is no power of two, the sequence of the next smaller power is filled up with every
    other slope of the next larger one, as the paper's code does.

    >>> alibi_slopes(8).tolist()[:3]
    [0.5, 0.25, 0.125]

    Raises:
        ValueError: for fewer than one head.
    """
    if heads < 1:
        raise ValueError(f"heads={heads}: expected at least 1")
    whole = 1 << (heads.bit_length() - 1)
    slopes = [2 ** (-8 * (head + 1) / whole) for head in range(whole)]
    between = [2 ** (-4 * (head + 1) / whole) for head in range(0, 2 * whole, 2)]
    return torch.tensor((slopes + between)[:heads])


def alibi(
    heads: int, tokens: int, *, rows: int | None = None
) -> Float[Tensor, "heads rows tokens"]:
    """What is added to the scores: minus slope times distance; meant for a causal mask.

    With `rows`, for the last so many tokens alone.
    """
    places = torch.arange(tokens)
    looking = places if rows is None else places[-rows:]
    distance = (looking[:, None] - places).clamp(min=0)
    return -alibi_slopes(heads)[:, None, None] * distance
