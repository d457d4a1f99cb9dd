"""Checks of the exercises on scaling laws: the best size, the bottom of a valley, a fit."""

import math
from collections.abc import Callable

import numpy as np

from payattention import fits, isoflop
from payattention.checks.check import Check, Mistake
from payattention.scaling_laws import BESIROGLU_2024, HOFFMANN_2022, AdditiveLaw

# The best size and text for a budget


def _best_size(A, B, alpha, beta, flops):
    """(parameters, tokens) where E + A / N^alpha + B / D^beta is least, with 6 N D = flops."""
    law = AdditiveLaw(E=1.0, A=A, B=B, alpha=alpha, beta=beta)
    best = law.optimum(flops)
    return best.parameters, best.tokens


def _sized(
    *,
    per_pair: float = 6,
    ratio: Callable = lambda A, B, a, b: a * A / (b * B),
    root: Callable = lambda a, b: 1 / (a + b),
    exponent: Callable = lambda a, b: b / (a + b),
) -> Callable:
    """An answer in which one thing may be other than it should be."""

    def answer(A, B, alpha, beta, flops):
        product = flops / per_pair
        size = ratio(A, B, alpha, beta) ** root(alpha, beta) * product ** exponent(alpha, beta)
        return size, product / size

    return answer


best_size = Check(
    _best_size,
    cases=[
        (400.0, 900.0, 0.5, 0.25, 6e18),
        (HOFFMANN_2022.A, HOFFMANN_2022.B, HOFFMANN_2022.alpha, HOFFMANN_2022.beta, 5.76e23),
        (BESIROGLU_2024.A, BESIROGLU_2024.B, BESIROGLU_2024.alpha, BESIROGLU_2024.beta, 1e21),
    ],
    mistakes={
        "without_the_six": Mistake(
            _sized(per_pair=1),
            "you took the budget for N times D; each parameter costs six operations a token.",
        ),
        "exponents_swapped": Mistake(
            _sized(exponent=lambda a, b: a / (a + b)),
            "N grows with beta / (alpha + beta): the faster text stops helping, the more of the "
            "budget goes into the model.",
        ),
        "exponents_left_out": Mistake(
            _sized(ratio=lambda A, B, a, b: A / B),
            "you made the two terms equal; at the best size it is alpha times the one and beta "
            "times the other that are.",
        ),
        "ratio_upside_down": Mistake(
            _sized(ratio=lambda A, B, a, b: b * B / (a * A)),
            "the ratio is upside down: a larger A asks for a larger model.",
        ),
        "no_root": Mistake(
            _sized(root=lambda a, b: 1),
            "the ratio of the two terms still has to be raised to 1 / (alpha + beta).",
        ),
        "half_and_half": Mistake(
            lambda A, B, alpha, beta, flops: (math.sqrt(flops / 6),) * 2,
            "you gave both the same number; the law's constants decide how the budget is shared.",
        ),
    },
    hints=[
        "With D = C / 6N the loss depends on N alone. Where is its slope zero?",
        "There alpha A / N^alpha = beta B / D^beta. Put D = C / 6N into it.",
        "N^(alpha + beta) = alpha A / (beta B) times (C / 6)^beta; D is what is left.",
    ],
)

# The bottom of a valley


def _valley_bottom(parameters, losses):
    """Size at the bottom of a parabola through the losses against the logarithm of the size."""
    return isoflop.valley(parameters, losses).parameters


def _bottom(x: Callable, back: Callable) -> Callable:
    """A parabola over some function of the size, and what is made of its bottom."""

    def answer(parameters, losses):
        a, b, _ = np.polyfit(x(np.asarray(parameters, float)), losses, 2)
        return float(back(-b / (2 * a)))

    return answer


def _valley_case(best: float, curvature: float, tilt: float, sizes: tuple[float, ...]) -> tuple:
    """Sizes and losses of a valley that is a little steeper on one side."""
    x = np.log(np.array(sizes) / best)
    return np.array(sizes), 2.5 + curvature * x**2 + tilt * x**3


valley_bottom = Check(
    _valley_bottom,
    cases=[
        _valley_case(7e3, 0.09, 0.0, (2e3, 4e3, 8e3, 2e4)),
        _valley_case(3e4, 0.11, 0.01, (8e3, 1.5e4, 4e4, 6e4, 2e5)),
        _valley_case(6e4, 0.1, -0.005, (3e4, 4e4, 9e4, 1.5e5)),
    ],
    mistakes={
        "in_the_size_itself": Mistake(
            _bottom(lambda n: n, lambda bottom: bottom),
            "the parabola goes through losses against the size itself. The valley is one on a "
            "logarithmic axis, where half the size is as far away as twice the size.",
        ),
        "left_as_a_logarithm": Mistake(
            _bottom(np.log, lambda bottom: bottom),
            "this is the logarithm of the size.",
        ),
        "other_base": Mistake(
            _bottom(np.log10, np.exp),
            "you took logarithms to the base 10, and came back with that of e.",
        ),
        "lowest_run": Mistake(
            lambda parameters, losses: float(parameters[int(np.argmin(losses))]),
            "this is the best of the sizes that were tried; the bottom lies between them.",
        ),
        "wrong_sign": Mistake(
            lambda parameters, losses: float(
                np.exp(np.divide(*np.polyfit(np.log(parameters), losses, 2)[[1, 0]]) / 2)
            ),
            "the bottom of a x² + b x + c is at -b / 2a: a minus is missing.",
        ),
    },
    hints=[
        "np.polyfit(x, y, 2) gives a, b and c of a x² + b x + c. What should x be?",
        "x = np.log(parameters); the bottom is at -b / (2 * a), still a logarithm.",
        "Bring it back: np.exp(-b / (2 * a)).",
    ],
)

# A fit that foretells

FAR = (2e6, 1e8)
"""Parameters and tokens at which a fit is asked, far beyond the runs that it is given."""


def _foretold(fit: Callable, parameters, tokens, losses) -> float:
    """What the fitted law says far away, to two decimals: a fit need not be exact."""
    law = fit(parameters, tokens, losses)
    E, A, B, alpha, beta = law
    n, d = FAR
    return round(float(E + A / n**alpha + B / d**beta), 2)


def _fit_law(parameters, tokens, losses):
    """(E, A, B, alpha, beta) of the law that fits these runs."""
    law = fits.additive(parameters, tokens, losses, starts=5)
    return law.E, law.A, law.B, law.alpha, law.beta


def _without_floor(parameters, tokens, losses):
    law = fits.additive(parameters, tokens, losses, floor=False, starts=5)
    return law.E, law.A, law.B, law.alpha, law.beta


def _only_size(parameters, tokens, losses):
    law = fits.power_law(parameters, losses, starts=5)
    return law.floor, law.scale**law.exponent, 0.0, law.exponent, 1.0


def _only_text(parameters, tokens, losses):
    law = fits.power_law(tokens, losses, starts=5)
    return law.floor, 0.0, law.scale**law.exponent, 1.0, law.exponent


def _floor_left_off(parameters, tokens, losses):
    _, *others = _fit_law(parameters, tokens, losses)
    return 0.0, *others


def _runs_case(law: AdditiveLaw, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Thirty runs of a law that is not known to the reader."""
    generator = np.random.default_rng(seed)
    n, d = (np.exp(generator.uniform(*np.log(b), 30)) for b in ((2e3, 2e5), (1e5, 8e6)))
    return n, d, law.E + law.A / n**law.alpha + law.B / d**law.beta


foretold = Check(
    _fit_law,
    use=_foretold,
    cases=[
        _runs_case(AdditiveLaw(E=1.9, A=40.0, B=70.0, alpha=0.5, beta=0.35), seed=1),
        _runs_case(AdditiveLaw(E=1.2, A=25.0, B=90.0, alpha=0.4, beta=0.4), seed=2),
    ],
    mistakes={
        "no_floor": Mistake(
            _without_floor,
            "your law falls for ever; without a floor it fits well enough here and foretells too "
            "little loss far away.",
        ),
        "only_size": Mistake(
            _only_size, "your law knows parameters only; the runs differ in their text as well."
        ),
        "only_text": Mistake(
            _only_text, "your law knows text only; the runs differ in their parameters as well."
        ),
        "floor_left_off": Mistake(
            _floor_left_off, "you fitted a floor, and left it off at the end."
        ),
    },
    hints=[
        "`fits.additive` does the search; what does it take, and what does it give?",
        "It gives a law with the fields E, A, B, alpha and beta.",
        "law = fits.additive(parameters, tokens, losses, starts=5), and return its five fields.",
    ],
)
