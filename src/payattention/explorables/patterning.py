"""Patterns as a reader chooses and draws them: rules by name, drawings as text, how far news gets.

The rules are those of `payattention.patterns`.
"""

import torch
from jaxtyping import Bool
from torch import Tensor

from payattention import patterns
from payattention.cost.arguments import one_of

RULES = {
    "dense": "dense attention",
    "window": "a window of {size}",
    "strided": "a stride of {size}",
    "fixed": "blocks of {size}, with {count} of each open to all",
    "global": "a window of {size}, with {count} open to all",
    "random": "blocks of {size}, with {count} drawn for each",
}
"""What is chosen, in words; "own" is what the reader draws."""


def rule_of(
    preset: str, tokens: int, *, size: int, count: int = 1, back: bool = True, seed: int = 0
) -> patterns.Pattern:
    """The pattern of that name, for a text of so many tokens, which only "random" has to know.

    >>> rule_of("strided", 7, size=3).mask(7)[-1].int().tolist()
    [1, 0, 0, 1, 1, 1, 1]

    Raises:
        ValueError: for a name that is none of `RULES`.
    """
    one_of("preset", preset, RULES)
    rules = {
        "dense": lambda: patterns.FULL,
        "window": lambda: patterns.Window(size),
        "strided": lambda: patterns.Window(size) | patterns.Strided(size),
        "fixed": lambda: patterns.Blocks(size) | patterns.Summaries(size, min(count, size)),
        "global": lambda: patterns.Window(size) | patterns.Global(count),
        "random": lambda: (
            patterns.Blocks(size) | patterns.RandomBlocks(count, size, tokens, past=back, seed=seed)
        ),
    }
    rule = rules[preset]()
    if not back:
        return rule
    return patterns.CAUSAL if preset == "dense" else patterns.CAUSAL & rule


def heard_by(mask: Bool[Tensor, "tokens tokens"], asked: int, *, layers: int) -> list[int]:
    """For each token, in how many layers news of it gets to the row `asked`; 0 where they do not.

    >>> heard_by(patterns.causal_window(2).mask(4), 3, layers=2)
    [0, 2, 1, 1]
    """
    found = torch.zeros(len(mask), dtype=torch.long)
    rows = torch.arange(len(mask)) == asked
    for layer in range(1, layers + 1):
        rows = mask[rows].any(dim=0)
        found[rows & (found == 0)] = layer
    return found.tolist()


def packed(mask: Bool[Tensor, "tokens tokens"]) -> str:
    """The mask as hexadecimal digits, four squares each, row after row.

    >>> packed(patterns.CAUSAL.mask(4))
    '8cef'
    """
    bits = "".join(str(int(bit)) for bit in mask.flatten())
    digits = -(-len(bits) // 4)
    return f"{int(bits.ljust(4 * digits, '0'), 2):0{digits}x}"


def unpacked(own: str, tokens: int) -> Bool[Tensor, "tokens tokens"]:
    """The mask that was packed; nothing is drawn in an empty text.

    >>> unpacked("8cef", 4).equal(patterns.CAUSAL.mask(4))
    True
    """
    bits = f"{int(own or '0', 16):0{4 * len(own)}b}".ljust(tokens**2, "0")[: tokens**2]
    return torch.tensor([bit == "1" for bit in bits]).view(tokens, tokens)
