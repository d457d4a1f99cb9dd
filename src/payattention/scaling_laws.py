"""Published scaling laws: the loss of a language model, foretold from its size and its text.

A law gives the loss, mostly in nats a token, of a model of so many ``parameters`` that was trained
once over so many ``tokens``. From it follows what to buy: at a budget of C operations the two are
tied by C = 6 N D, so there is one size at which the loss is lowest. Each law says what its authors
counted as N, D and C; the numbers of one law mean nothing in another, as a token of one vocabulary
is not a token of another. How laws are found from runs stands in `payattention.fits`.

Ignored: the shape of the model, its data's quality, the rate of learning, all that is not size.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

from scipy.optimize import brentq, minimize_scalar

from payattention.cost.arguments import positive, share

OPERATIONS = 6
"""For each parameter and token of a training, forward and backward; Kaplan et al. 2020, 2.1."""
PETAFLOP_DAY = 1e15 * 86_400
"""Operations of a day at 10¹⁵ a second, Kaplan et al.'s unit of C."""


class Optimum(NamedTuple):
    """What a budget buys at best: a size, a length of text, and the loss that it ends at."""

    parameters: float
    tokens: float
    loss: float


@dataclass(frozen=True)
class Meaning:
    """What the letters of a law stand for, where it comes from, and the runs behind it.

    `loss` is its unit; nats times 1.44 are bits. The operations of the smallest and of the largest
    run are None where nobody says them.
    """

    name: str
    source: str
    parameters: str = "all parameters"
    tokens: str = "tokens of training text"
    flops: str = "operations of the training, 6 N D"
    loss: str = "nats a token"
    runs: str = "none"
    least_flops: float | None = None
    most_flops: float | None = None


@dataclass(frozen=True)
class AdditiveLaw:
    """L(N, D) = E + A / N^α + B / D^β: what no model can know, too few parameters, too little text.

    >>> law = AdditiveLaw(E=1.0, A=100.0, B=100.0, alpha=0.5, beta=0.5)
    >>> law.loss(10_000, 40_000)
    2.5
    >>> law.optimum(6 * 1e8)
    Optimum(parameters=10000.0..., tokens=10000.0..., loss=3.0)

    Source: Hoffmann et al. 2022 (arXiv:2203.15556), equation 2 and, for the optimum, equation 4.

    Raises:
        ValueError: for a constant that is not finite, a negative floor, or another constant that is
            not positive.
    """

    E: float
    A: float
    B: float
    alpha: float
    beta: float
    meaning: Meaning = Meaning("additive", "no source")

    def __post_init__(self) -> None:
        positive("E", self.E, zero=True)
        for name in ("A", "B", "alpha", "beta"):
            positive(name, getattr(self, name))

    def loss(self, parameters: float, tokens: float) -> float:
        """Loss of a model of this size after this much text."""
        n, d = positive("parameters", parameters), positive("tokens", tokens)
        return self.E + self.A / n**self.alpha + self.B / d**self.beta

    @property
    def parameters_exponent(self) -> float:
        """a in N ∝ C^a along the optimum."""
        return self.beta / (self.alpha + self.beta)

    @property
    def loss_exponent(self) -> float:
        """γ in L - E ∝ C^-γ along the optimum."""
        return self.alpha * self.beta / (self.alpha + self.beta)

    @property
    def _balance(self) -> float:
        ratio = self.alpha * self.A / (self.beta * self.B)
        return ratio ** (1 / (self.alpha + self.beta))

    def optimum(self, flops: float) -> Optimum:
        """Size, text and loss where a training of so many operations ends lowest."""
        product = positive("flops", flops) / OPERATIONS
        parameters = self._balance * product**self.parameters_exponent
        return self._bought(parameters, product / parameters)

    def _bought(self, parameters: float, tokens: float) -> Optimum:
        return Optimum(parameters, tokens, self.loss(parameters, tokens))

    def tokens_per_parameter(self, flops: float) -> float:
        """D / N at the optimum."""
        best = self.optimum(flops)
        return best.tokens / best.parameters

    def flops_for(self, loss: float) -> float:
        """Operations that a training needs to end at this loss, at its optimum.

        Raises:
            ValueError: for a loss at or below the floor, which no budget buys.
        """
        self._expect_above_floor(loss)
        excess = self.optimum(OPERATIONS).loss - self.E
        return OPERATIONS * (excess / (loss - self.E)) ** (1 / self.loss_exponent)

    def flops_factor(self, of_excess: float = 0.5) -> float:
        """By what a budget has to grow, for the loss above its floor to fall to this share.

        >>> round(AdditiveLaw(E=0.0, A=1.0, B=1.0, alpha=0.5, beta=0.5).flops_factor())
        16
        """
        return share("of_excess", of_excess) ** (-1 / self.loss_exponent)

    def cheapest(self, loss: float, *, served_tokens: float = 0.0) -> Optimum:
        """Size and text that reach the loss with the fewest operations, its use included.

        Training takes 6 operations for each parameter and token, and serving 2. The more tokens
        are served, the smaller a model is worth training, and the longer.

        Source: Sardana et al. 2024 (arXiv:2401.00448), equation 2.
        """
        self._expect_above_floor(loss)
        served = positive("served_tokens", served_tokens, zero=True)
        excess = loss - self.E
        smallest = (self.A / excess) ** (1 / self.alpha)  # with endless text

        def needed(size: float) -> float:
            return (self.B / (excess - self.A / size**self.alpha)) ** (1 / self.beta)

        def operations(log_ratio: float) -> float:
            size = smallest * (1 + math.exp(log_ratio))
            return math.log(size) + math.log(OPERATIONS * needed(size) + 2 * served)

        found = minimize_scalar(operations, bounds=(-25, 25), options={"xatol": 1e-10})
        size = smallest * (1 + math.exp(found.x))
        return Optimum(size, needed(size), loss)

    def _expect_above_floor(self, loss: float) -> None:
        if not loss > self.E or not math.isfinite(loss):
            raise ValueError(f"loss={loss!r}: expected more than the floor, {self.E:.4g} nats")


@dataclass(frozen=True)
class RepeatedDataLaw(AdditiveLaw):
    """The additive law where text is repeated: a token that was seen before is worth less.

    Of ``unique_tokens`` U read D/U times, the text counts as D' = U + U R (1 - exp(-(D/U - 1)/R)),
    R being `repeats_of_tokens`; no repetition makes it more than U (1 + R). Parameters beyond those
    that U tokens can feed lose their worth alike. Where the text is not read to its end, the
    authors count those that its read part feeds; here it is all of it, and endless text gives the
    additive law.

    Source: Muennighoff et al. 2023 (arXiv:2305.16264), equations 5 and 6.
    """

    repeats_of_tokens: float = math.inf
    repeats_of_parameters: float = math.inf

    def effective_tokens(self, tokens: float, unique_tokens: float) -> float:
        """Fresh tokens that are worth as much as this many, of which so many differ.

        >>> round(MUENNIGHOFF_2023.effective_tokens(4e9, unique_tokens=1e9) / 1e9, 3)
        3.726
        """
        unique = min(positive("tokens", tokens), positive("unique_tokens", unique_tokens))
        return _worth(tokens, unique, self.repeats_of_tokens)

    def loss(self, parameters: float, tokens: float, unique_tokens: float | None = None) -> float:
        """Loss where only so many of the tokens differ; all, where nothing is said."""
        if unique_tokens is None:
            return super().loss(parameters, tokens)
        text = self.effective_tokens(tokens, unique_tokens)
        fed = self._fed_by(unique_tokens)
        size = _worth(positive("parameters", parameters), fed, self.repeats_of_parameters)
        return super().loss(size, text)

    def _fed_by(self, tokens: float) -> float:
        """Parameters that are best for this much text."""
        exponent = self.parameters_exponent / (1 - self.parameters_exponent)
        return self._balance * (tokens * self._balance) ** exponent

    def optimum(self, flops: float, unique_tokens: float | None = None) -> Optimum:
        """Size, tokens and loss where the training ends lowest, with this much text to be had."""
        fresh = super().optimum(flops)
        if unique_tokens is None or unique_tokens >= fresh.tokens:
            return fresh
        product = flops / OPERATIONS
        fed = self._fed_by(unique_tokens)

        def tilt(log_size: float) -> float:
            """How much more, by its logarithm, the next bit of text is worth than of size."""
            size = math.exp(log_size)
            text = self._log_gain(product / size, unique_tokens, of="text")
            return text - self._log_gain(size, fed, of="size")

        # a larger model than the text can feed, and all of the text at least once
        size = math.exp(brentq(tilt, math.log(fed), math.log(product / unique_tokens), xtol=1e-14))
        tokens = product / size
        return Optimum(size, tokens, self.loss(size, tokens, unique_tokens))

    def _log_gain(self, amount: float, fresh: float, *, of: str) -> float:
        """Logarithm of what the loss falls by when the amount's logarithm grows.

        Its logarithm, as repetition soon gains less than any number that can be written.
        """
        scale, exponent, repeats = {
            "size": (self.A, self.alpha, self.repeats_of_parameters),
            "text": (self.B, self.beta, self.repeats_of_tokens),
        }[of]
        worth = _worth(amount, fresh, repeats)
        again = max(amount / fresh - 1, 0) / repeats
        return math.log(exponent * scale * amount) - (exponent + 1) * math.log(worth) - again

    def least_loss(self, unique_tokens: float | None = None) -> float:
        """Loss that no budget buys, with this much text to be had; E, where nothing is said."""
        repeats = self.repeats_of_tokens, self.repeats_of_parameters
        if unique_tokens is None or math.isinf(max(repeats)):
            return self.E
        tokens = positive("unique_tokens", unique_tokens)
        size = self._fed_by(tokens) * (1 + self.repeats_of_parameters)
        return super().loss(size, tokens * (1 + self.repeats_of_tokens))

    def flops_for(self, loss: float, unique_tokens: float | None = None) -> float:
        """Operations that a training needs to end at this loss, at its optimum.

        >>> law = MUENNIGHOFF_2023
        >>> law.flops_for(2.3, unique_tokens=1e11) / law.flops_for(2.3) > 1
        True

        Raises:
            ValueError: for a loss at or below the least, which no budget buys.
        """
        least = self.least_loss(unique_tokens)
        if unique_tokens is None or least == self.E:
            return super().flops_for(loss)
        if not loss > least:
            raise ValueError(f"loss={loss!r}: expected more than {least:.4g}, where the text ends")
        return _flops_where(lambda flops: self.optimum(flops, unique_tokens).loss, loss)


def _flops_where(loss_at: Callable[[float], float], loss: float) -> float:
    """Operations at which a loss that falls with them is this one."""
    bounds = 0.0, math.log(1e39)
    most, least = (loss_at(math.exp(bound)) for bound in bounds)
    if not least <= loss <= most:
        raise ValueError(f"loss={loss!r}: expected {least:.4g} to {most:.4g}")
    return math.exp(brentq(lambda log_flops: loss_at(math.exp(log_flops)) - loss, *bounds))


def _worth(amount: float, fresh: float, repeats: float) -> float:
    """What an amount is worth of which only the fresh part counts in full."""
    if math.isinf(repeats):
        return amount
    again = max(amount / fresh - 1, 0)
    return min(amount, fresh) + fresh * repeats * -math.expm1(-again / repeats)


@dataclass(frozen=True)
class KaplanLaw:
    """L(N, D) = ((N_c / N)^(α_N / α_D) + D_c / D)^α_D, and a best size that was fitted apart.

    The loss has no floor. The optimum is the authors' own fit, N = N_e C^0.73, with C in
    petaflop-days at small batches; trained at the critical batch, a model needs twice that C, and
    it is this doubled C that `optimum` takes.

    >>> f"{KAPLAN_2020.optimum(1e21).parameters / 1e9:.2f} billion"
    '4.68 billion'

    Source: Kaplan et al. 2020 (arXiv:2001.08361), equation 1.5 with table 2, and table 6. The
    doctest's number is what Hoffmann et al. trained to hold against their own, section D.4.
    """

    alpha_N: float
    alpha_D: float
    N_c: float
    D_c: float
    N_e: float
    parameters_exponent: float
    loss_exponent: float
    meaning: Meaning = Meaning("Kaplan", "no source")

    def __post_init__(self) -> None:
        for name in ("alpha_N", "alpha_D", "N_c", "D_c", "N_e", "parameters_exponent"):
            positive(name, getattr(self, name))

    def loss(self, parameters: float, tokens: float) -> float:
        """Loss of a model of this size after this much text."""
        n, d = positive("parameters", parameters), positive("tokens", tokens)
        return ((self.N_c / n) ** (self.alpha_N / self.alpha_D) + self.D_c / d) ** self.alpha_D

    def optimum(self, flops: float) -> Optimum:
        """Size, text and loss that the authors advise for a training of so many operations."""
        least = positive("flops", flops) / 2 / PETAFLOP_DAY
        parameters = self.N_e * least**self.parameters_exponent
        tokens = flops / OPERATIONS / parameters
        return Optimum(parameters, tokens, self.loss(parameters, tokens))

    def lowest(self, flops: float) -> Optimum:
        """Size, text and loss where equation 1.5 is lowest, which the authors do not advise.

        >>> best, advised = KAPLAN_2020.lowest(1e24), KAPLAN_2020.optimum(1e24)
        >>> round(best.parameters / advised.parameters, 2), best.loss < advised.loss
        (0.46, True)
        """
        ratio = self.alpha_N / self.alpha_D
        product = positive("flops", flops) / OPERATIONS
        parameters = (ratio * self.N_c**ratio * product / self.D_c) ** (1 / (1 + ratio))
        tokens = product / parameters
        return Optimum(parameters, tokens, self.loss(parameters, tokens))

    def tokens_per_parameter(self, flops: float) -> float:
        """D / N at the optimum."""
        best = self.optimum(flops)
        return best.tokens / best.parameters

    def flops_for(self, loss: float) -> float:
        """Operations that a training of the advised size needs to end at this loss.

        Raises:
            ValueError: for a loss that less than one operation buys, or more than 1e39.
        """
        return _flops_where(lambda flops: self.optimum(flops).loss, loss)

    def flops_factor(self, of_excess: float = 0.5) -> float:
        """By what a budget has to grow, for the loss to fall to this share.

        >>> round(KAPLAN_2020.flops_factor())
        1048576
        """
        return share("of_excess", of_excess) ** (-1 / self.loss_exponent)


_KAPLAN = Meaning(
    "Kaplan 2020",
    "Kaplan et al. 2020 (arXiv:2001.08361), tables 2, 5 and 6",
    parameters="parameters without embeddings",
    tokens="tokens of WebText2, 50,257 of them",
    flops="6 N D without embeddings; twice the C of small batches",
    runs="768 to 1.5 billion parameters, to 2.3e10 tokens",
    # 6 N D of the smallest and the largest, at their 250,000 steps of 2**19 tokens
    least_flops=OPERATIONS * 768 * 2.5e5 * 2**19,
    most_flops=OPERATIONS * 1.5e9 * 2.5e5 * 2**19,
)
_HOFFMANN = Meaning(
    "Hoffmann 2022",
    "Hoffmann et al. 2022 (arXiv:2203.15556), equation 10, as in their TeX source",
    tokens="tokens of MassiveText, 32,000 of them",
    runs="70 million to 16 billion parameters, 5 to 500 billion tokens",
    # of the 245 that Besiroglu et al. read off figure 4
    least_flops=1.4e18,
    most_flops=1.3e22,
)
_BESIROGLU = Meaning(
    "Besiroglu 2024",
    "Besiroglu et al. 2024 (arXiv:2404.10102), table 1, from 240 of Hoffmann et al.'s runs",
    tokens=_HOFFMANN.tokens,
    runs=_HOFFMANN.runs,
    least_flops=_HOFFMANN.least_flops,
    most_flops=_HOFFMANN.most_flops,
)
_MUENNIGHOFF = Meaning(
    "Muennighoff 2023",
    "Muennighoff et al. 2023 (arXiv:2305.16264), section 4 and the authors' code",
    tokens="tokens of C4",
    runs="to 9 billion parameters, to 900 billion tokens",
    most_flops=OPERATIONS * 8.67e9 * 178e9,  # of the largest model
)

KAPLAN_2020 = KaplanLaw(0.076, 0.103, 6.4e13, 1.8e13, 1.3e9, 0.73, 0.050, _KAPLAN)
HOFFMANN_2022 = AdditiveLaw(
    E=math.exp(0.5267228),
    A=math.exp(6.0073404),
    B=math.exp(6.0179186),
    alpha=0.33917084,
    beta=0.2849083,
    meaning=_HOFFMANN,
)
HOFFMANN_2022_ROUNDED = AdditiveLaw(
    E=1.69,
    A=406.4,
    B=410.7,
    alpha=0.34,
    beta=0.28,
    meaning=replace(
        _HOFFMANN,
        name="Hoffmann 2022, as printed",
        source="Hoffmann et al. 2022 (arXiv:2203.15556), equation 10",
    ),
)
BESIROGLU_2024 = AdditiveLaw(
    E=1.8172, A=482.01, B=2085.43, alpha=0.3478, beta=0.3658, meaning=_BESIROGLU
)
MUENNIGHOFF_2023 = RepeatedDataLaw(
    E=math.exp(0.6254804),
    A=math.exp(6.255414),
    B=math.exp(7.3049974),
    alpha=0.3526596,
    beta=0.3526596,
    meaning=_MUENNIGHOFF,
    repeats_of_tokens=15.387756,
    repeats_of_parameters=5.309743,
)
LAWS = (KAPLAN_2020, HOFFMANN_2022, HOFFMANN_2022_ROUNDED, BESIROGLU_2024, MUENNIGHOFF_2023)
