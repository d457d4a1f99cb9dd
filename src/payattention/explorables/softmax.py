"""How wide vectors sharpen softmax until it stops learning, and what dividing by a root mends.

Queries and keys are independent standard normal numbers, as in the footnote of Vaswani et al. 2017
(arXiv:1706.03762), section 3.2.1: their dot product has variance d_head. Trained ones are neither.
"""

import math
from functools import cache

import torch
import traitlets
from jaxtyping import Float
from torch import Tensor

from payattention.attention import dot_product_scores, to_weights
from payattention.explorables.explorable import Explorable
from payattention.explorables.picture import Axis, Line, line_chart

KEYS = 8
WIDTHS = tuple(2**power for power in range(11))
TEMPERATURES = (0.25, 32.0)
DRAWS = 1000
GUESSES = (13, 100)  # per cent; the largest of 8 weights is never below 12.5


def largest_weight(weights: Float[Tensor, "*batch keys"]) -> Float[Tensor, "*batch"]:
    """The share that the first choice takes.

    >>> largest_weight(torch.tensor([0.5, 0.25, 0.25])).item()
    0.5
    """
    return weights.amax(dim=-1)


def entropy_bits(weights: Float[Tensor, "*batch keys"]) -> Float[Tensor, "*batch"]:
    """How undecided the weights are: 0 bits when one takes all, log2(keys) when all are equal.

    >>> entropy_bits(torch.tensor([0.5, 0.25, 0.25])).item()
    1.5
    """
    return torch.special.entr(weights).sum(dim=-1) / math.log(2)


def slope(weights: Float[Tensor, "*batch keys"]) -> Float[Tensor, "*batch"]:
    """Sum of p (1 - p): the trace of softmax's Jacobian, diag(p) - p p^T.

    It sums how much each weight moves with its own score: 0 when one key takes all, and
    1 - 1 / keys when all are equal.

    >>> slope(torch.tensor([0.5, 0.25, 0.25])).item()
    0.625
    """
    return (weights * (1 - weights)).sum(dim=-1)


MEASURES = {"largest_weight": largest_weight, "entropy_bits": entropy_bits, "slope": slope}


def averages(
    d_head: int, *, divided: bool, temperature: float = 1.0, draws: int = DRAWS, seed: int = 0
) -> dict[str, float]:
    """Each of MEASURES, averaged over draws of one query and 8 keys of `d_head` normal numbers.

    `divided` says whether the scores are divided by the root of `d_head`.
    """
    if d_head < 1 or temperature <= 0:
        raise ValueError(
            f"expected at least 1 as d_head and a temperature above 0, "
            f"got d_head={d_head}, temperature={temperature}"
        )
    generator = torch.Generator().manual_seed(seed)
    query = torch.randn(draws, 1, d_head, generator=generator)
    keys = torch.randn(draws, KEYS, d_head, generator=generator)
    scores = dot_product_scores(query, keys) / temperature
    weights = to_weights(scores if divided else scores * math.sqrt(d_head))
    return {name: measure(weights).mean().item() for name, measure in MEASURES.items()}


@cache
def _curves() -> dict[bool, dict[int, dict[str, float]]]:
    """Averages by divided and d_head, at temperature 1."""
    return {
        divided: {d_head: averages(d_head, divided=divided) for d_head in WIDTHS}
        for divided in (False, True)
    }


class Softmax(Explorable):
    """Widen a query and 8 keys, divide their scores or not, and watch softmax decide.

    The reader's browser draws the vectors (from `seed` on). `guess` is the reader's own largest
    weight in per cent, 0 for none; `revealed` shows the weights. `texts` replaces sentences.
    """

    name = "softmax"
    d_head = traitlets.Int(512).tag(sync=True)
    divided = traitlets.Bool(False).tag(sync=True)
    temperature = traitlets.Float(1.0).tag(sync=True)
    guess = traitlets.Int(0).tag(sync=True)
    revealed = traitlets.Bool(False).tag(sync=True)
    seed = traitlets.Int(1).tag(sync=True)
    texts = traitlets.Dict().tag(sync=True)

    def __init__(self, **state):
        state.setdefault("title", "Wide vectors leave softmax no doubt, unless scores are divided")
        super().__init__(**state)

    @traitlets.validate("d_head")
    def _known_width(self, proposal):
        if proposal["value"] not in WIDTHS:
            raise ValueError(f"d_head: expected one of {WIDTHS}, got {proposal['value']!r}")
        return proposal["value"]

    @traitlets.validate("temperature")
    def _temperature_in_range(self, proposal):
        low, high = TEMPERATURES
        if not low <= proposal["value"] <= high:
            raise ValueError(f"temperature: expected {low} to {high}, got {proposal['value']!r}")
        return proposal["value"]

    @traitlets.validate("guess")
    def _guess_in_range(self, proposal):
        low, high = GUESSES
        if proposal["value"] and not low <= proposal["value"] <= high:
            raise ValueError(
                f"guess: expected {low} to {high} per cent, or 0 for none, "
                f"got {proposal['value']!r}"
            )
        return proposal["value"]

    def findings(self) -> list[str]:
        """What the largest weight, the entropy and the slope do as the width grows."""
        curves = _curves()
        first, wide, last = WIDTHS[0], 512, WIDTHS[-1]

        def ends(measure: str, divided: bool, digits: int) -> str:
            return " to ".join(f"{curves[divided][d][measure]:.{digits}f}" for d in (first, last))

        return [
            f"At a width of {wide} the largest of {KEYS} weights takes "
            f"{_percent(curves[False][wide]['largest_weight'])} on average; with scores divided "
            f"by √{wide} it takes {_percent(curves[True][wide]['largest_weight'])}.",
            f"From a width of {first} to one of {last} the entropy goes from "
            f"{ends('entropy_bits', False, 2)} bits, of at most {math.log2(KEYS):.0f}; divided, "
            f"from {ends('entropy_bits', True, 2)}.",
            f"What is left to learn by, Σ p (1 − p), the trace of softmax’s Jacobian, goes from "
            f"{ends('slope', False, 3)}, of at most {1 - 1 / KEYS:.3f}; divided, from "
            f"{ends('slope', True, 3)}.",
            f"Averages over {DRAWS:,} draws of independent normal numbers; a temperature T divides "
            "all scores by T, as the root does.",
        ]

    def data(self) -> list[dict]:
        """Records of d_head, divided, and the three averages at temperature 1."""
        return [
            {"d_head": d_head, "divided": divided}
            | {name: round(value, 4) for name, value in measured.items()}
            for divided, by_width in _curves().items()
            for d_head, measured in by_width.items()
        ]

    def picture(self) -> str:
        """The average largest weight against the width, with and without the division."""
        x = Axis("d_head", (1, WIDTHS[-1]), WIDTHS[::2], log=True)
        y = Axis("largest of 8 weights", (0, 1), (0, 0.5, 1), _percent)
        lines = [
            _width_line(False, "undivided", (32, 0.87)),
            _width_line(True, "divided by √d_head", (64, 0.41)),
        ]
        alt = self.alt or "The largest weight grows with the width: " + " ".join(self.findings())
        return line_chart(lines, x=x, y=y, alt=alt)


def _width_line(divided: bool, name: str, name_at: tuple[float, float]) -> Line:
    by_width = _curves()[divided].items()
    points = [(d_head, measured["largest_weight"]) for d_head, measured in by_width]
    return Line(points, "attention", name, name_at, dashed=not divided, before=not divided)


def _percent(share: float) -> str:
    return f"{100 * share:.0f}\N{NO-BREAK SPACE}%"
