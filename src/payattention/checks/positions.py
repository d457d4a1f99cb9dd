"""Checks of the exercises on positions: pairs that turn, and lengths beyond the trained one."""

import math
from collections.abc import Callable

from payattention.checks.check import Check, Mistake

# A pair of numbers, turned


def _rotate_pair(x, y, position, frequency):
    """The pair of numbers, turned by position times frequency, in radians."""
    turned = complex(x, y) * complex(math.cos(position * frequency), math.sin(position * frequency))
    return turned.real, turned.imag


def _turned(
    *,
    angle: Callable = lambda position, frequency: position * frequency,
    pair: Callable = lambda x, y, cos, sin: (x * cos - y * sin, x * sin + y * cos),
) -> Callable:
    """A turn in which one thing may be other than it should be."""

    def answer(x, y, position, frequency):
        by = angle(position, frequency)
        return pair(x, y, math.cos(by), math.sin(by))

    return answer


rotate_pair = Check(
    _rotate_pair,
    cases=[(1.0, 0.0, 3, 0.5), (2.0, -3.0, 7, 0.1), (-0.5, 5.0, 11, 1.0), (0.7, 1.3, 0, 0.2)],
    mistakes={
        "other_way": Mistake(
            _turned(pair=lambda x, y, cos, sin: (x * cos + y * sin, y * cos - x * sin)),
            "you turned the other way: (1, 0) must move towards (0, 1).",
        ),
        "no_position": Mistake(
            _turned(angle=lambda position, frequency: frequency),
            "the angle is the same at every position; multiply the frequency by the position.",
        ),
        "no_frequency": Mistake(
            _turned(angle=lambda position, frequency: position),
            "every pair turns at the same pace; multiply the position by the frequency.",
        ),
        "divided": Mistake(
            _turned(angle=lambda position, frequency: position / frequency),
            "you divided by the frequency, which is in radians a token: multiply.",
        ),
        "degrees": Mistake(
            _turned(angle=lambda position, frequency: math.radians(position * frequency)),
            "the angle is in radians already; you took it for degrees.",
        ),
        "both_plus": Mistake(
            _turned(pair=lambda x, y, cos, sin: (x * cos + y * sin, x * sin + y * cos)),
            "with two plus signs the pair changes its length; one sine takes a minus.",
        ),
        "minus_in_the_wrong_row": Mistake(
            _turned(pair=lambda x, y, cos, sin: (x * cos + y * sin, x * sin - y * cos)),
            "that mirrors the pair; the minus stands in the first number, before y sin.",
        ),
        "sine_and_cosine_swapped": Mistake(
            _turned(pair=lambda x, y, cos, sin: (x * sin - y * cos, x * cos + y * sin)),
            "sine and cosine are swapped: at position 0 nothing must move.",
        ),
        "overwritten": Mistake(
            _turned(
                pair=lambda x, y, cos, sin: (x * cos - y * sin, (x * cos - y * sin) * sin + y * cos)
            ),
            "x was overwritten before y was computed from it; keep the old x until both are done.",
        ),
    },
    hints=[
        "The angle is position * frequency, in radians, as math.cos and math.sin take it.",
        "A quarter turn takes (1, 0) to (0, 1), and (0, 1) to (-1, 0).",
        "(x * cos - y * sin, x * sin + y * cos)",
    ],
)


# Positions, squeezed


def _interpolated(position, trained, wanted):
    """The position, squeezed so that ``wanted`` tokens fit between ``trained`` positions."""
    return position * trained / wanted


interpolated = Check(
    _interpolated,
    cases=[(3, 5, 13), (11, 5, 13), (199, 61, 257), (31, 61, 257)],
    mistakes={
        "clipped": Mistake(
            lambda position, trained, wanted: min(position, trained - 1),
            "all tokens beyond the trained length stand on its last place; their order is lost.",
        ),
        "clipped_at_trained": Mistake(
            lambda position, trained, wanted: min(position, trained),
            "all tokens beyond the trained length stand on one place; their order is lost.",
        ),
        "wrapped": Mistake(
            lambda position, trained, wanted: position % trained,
            "positions start again at 0, so that two tokens share a place; squeeze them all.",
        ),
        "upside_down": Mistake(
            lambda position, trained, wanted: position * wanted / trained,
            "the fraction is upside down: positions must come closer together.",
        ),
        "rounded": Mistake(
            lambda position, trained, wanted: position * trained // wanted,
            "rounded down, neighbours share a place; leave the fraction, an angle can take it.",
        ),
        "only_beyond": Mistake(
            lambda position, trained, wanted: (
                position if position < trained else position * trained / wanted
            ),
            "only positions beyond the trained length are squeezed, and land among the others; "
            "squeeze them all.",
        ),
        "shifted": Mistake(
            lambda position, trained, wanted: position - (wanted - trained),
            "shifted back, the first tokens get positions below 0; squeeze, do not shift.",
        ),
        "unchanged": Mistake(
            lambda position, trained, wanted: position,
            "the positions beyond the trained length are still new to the model.",
        ),
    },
    hints=[
        "The first of the wanted positions stays at 0; position wanted should land on trained.",
        "All distances shrink by the same factor.",
        "position * trained / wanted",
    ],
)
