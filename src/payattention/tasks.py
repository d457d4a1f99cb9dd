"""Generated tasks: sequences whose answer is known, as hard as one asks.

Every function draws one batch from a `torch.Generator` and returns integer tensors; the same
generator state gives the same batch.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor


def _require(name: str, value: int, least: int) -> None:
    if value < least:
        raise ValueError(f"{name}={value}: expected at least {least}")


@dataclass(frozen=True)
class Recall:
    """One symbol, then `gap` distractors, then a question mark: which symbol was it?

    Symbols are numbered from 0, distractors behind them, the question mark last. Chance is
    1 / symbols.

    >>> tokens, answer = Recall(gap=3).draw(2, torch.Generator().manual_seed(0))
    >>> tokens.shape, bool((tokens[:, 0] == answer).all())
    (torch.Size([2, 5]), True)

    Raises:
        ValueError: for a negative gap, or fewer than 2 symbols or 1 distractor to choose from.
    """

    gap: int
    symbols: int = 8
    distractors: int = 8

    def __post_init__(self) -> None:
        _require("gap", self.gap, 0)
        _require("symbols", self.symbols, 2)
        _require("distractors", self.distractors, 1)

    @property
    def vocab(self) -> int:
        """Number of different tokens."""
        return self.symbols + self.distractors + 1

    def draw(
        self, batch: int, generator: torch.Generator
    ) -> tuple[Int[Tensor, "batch tokens"], Int[Tensor, " batch"]]:
        """Sequences of gap + 2 tokens, and the symbol to be named after each."""
        answer = torch.randint(self.symbols, (batch,), generator=generator)
        noise = torch.randint(self.distractors, (batch, self.gap), generator=generator)
        question = torch.full((batch, 1), self.vocab - 1)
        return torch.cat([answer[:, None], self.symbols + noise, question], dim=1), answer


@dataclass(frozen=True)
class PairRecall:
    """`pairs` different keys, each with a value, then one of the keys again: what was its value?

    Chance is 1 / value_symbols. Source of the task: Arora et al. 2024 (arXiv:2312.04927).

    Raises:
        ValueError: for fewer than 1 pair, more pairs than keys, or fewer than 2 values.
    """

    pairs: int
    key_symbols: int = 64
    value_symbols: int = 16

    def __post_init__(self) -> None:
        _require("pairs", self.pairs, 1)
        _require("value_symbols", self.value_symbols, 2)
        if self.pairs > self.key_symbols:
            raise ValueError(f"pairs={self.pairs}: expected at most key_symbols={self.key_symbols}")

    def draw(
        self, batch: int, generator: torch.Generator
    ) -> tuple[
        Int[Tensor, "batch pairs"],
        Int[Tensor, "batch pairs"],
        Int[Tensor, " batch"],
        Int[Tensor, " batch"],
    ]:
        """Keys, values, the key that is asked for, and the right value."""
        shuffled = torch.rand(batch, self.key_symbols, generator=generator).argsort(dim=1)
        keys = shuffled[:, : self.pairs]
        values = torch.randint(self.value_symbols, (batch, self.pairs), generator=generator)
        which = torch.randint(self.pairs, (batch, 1), generator=generator)
        return keys, values, keys.gather(1, which)[:, 0], values.gather(1, which)[:, 0]
