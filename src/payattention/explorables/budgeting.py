"""The arithmetic of the budget: one question, what each law answers, and how a page says it.

Puts the formulas of `payattention.scaling_laws` together; `laws.mjs` has the same for the page.
Nothing is measured here.
"""

import math
from dataclasses import asdict, dataclass, fields

from payattention import scaling_laws
from payattention.explorables.quantities import amount, percent, rounded
from payattention.scaling_laws import AdditiveLaw, KaplanLaw, Optimum, RepeatedDataLaw

Law = AdditiveLaw | KaplanLaw
KINDS = {AdditiveLaw: "additive", RepeatedDataLaw: "repeated", KaplanLaw: "kaplan"}
PUBLISHED = {
    "kaplan": scaling_laws.KAPLAN_2020,
    "hoffmann": scaling_laws.HOFFMANN_2022,
    "hoffmann_printed": scaling_laws.HOFFMANN_2022_ROUNDED,
    "besiroglu": scaling_laws.BESIROGLU_2024,
    "muennighoff": scaling_laws.MUENNIGHOFF_2023,
}
BEYOND = 1.05
"""Times the largest run's operations, from which on a budget is said to lie beyond."""


@dataclass(frozen=True)
class Stock:
    """So many different tokens as there are to be read, or no end of them."""

    name: str
    tokens: float | None


STOCKS = {
    "endless": Stock("without end", None),
    # Villalobos et al. 2024 (arXiv:2211.04325)
    "public": Stock("all public text, 300 trillion tokens", 3e14),
    "trillion": Stock("a trillion tokens", 1e12),
    "billions": Stock("ten billion tokens", 1e10),
    "millions": Stock("a hundred million tokens", 1e8),
}


@dataclass(frozen=True)
class Plan:
    """A budget, the law that is asked about it, and a multiple of the size that it advises.

    `unique_tokens` is how many different tokens there are, None for no end of them; only a law
    that knows of repeated text makes a difference of it.

    >>> Plan(scaling_laws.BESIROGLU_2024, flops=5.76e23).sentence()
    'By Besiroglu 2024, 5.76 × 10²³ operations are best spent on 72.2 billion parameters and \
1.33 trillion tokens, 18.4 for each parameter: a loss of 1.974 nats a token. The budget is \
44.3 times the largest of the law’s own runs.'
    """

    law: Law
    flops: float
    size: float = 1.0
    unique_tokens: float | None = None

    @property
    def _text(self) -> tuple[float | None, ...]:
        return (self.unique_tokens,) if isinstance(self.law, RepeatedDataLaw) else ()

    def advice(self, flops: float | None = None) -> Optimum:
        """Size, text and loss that the law advises for the budget, or for another one."""
        return self.law.optimum(flops or self.flops, *self._text)

    def at(self, parameters: float, flops: float | None = None) -> Optimum:
        """Text and loss of a model of this size, if the budget, or another one, is spent on it."""
        tokens = (flops or self.flops) / scaling_laws.OPERATIONS / parameters
        return Optimum(parameters, tokens, self.law.loss(parameters, tokens, *self._text))

    def bought(self) -> Optimum:
        """Text and loss of a model of the chosen size."""
        return self.at(self.size * self.advice().parameters)

    def worth(self) -> float | None:
        """Share of the budget that buys the chosen size's loss at the advised one.

        None where none does.
        """
        return self._budgets_for(self.bought().loss)

    def halving(self) -> float | None:
        """By what the budget has to grow for the loss above its floor to halve; None if nothing.

        The floor is the law's E, and 0 for Kaplan's.
        """
        if not self._text or self.unique_tokens is None:
            return self.law.flops_factor()
        return self._budgets_for((self.law.E + self.advice().loss) / 2)

    def _budgets_for(self, loss: float) -> float | None:
        try:
            return self.law.flops_for(loss, *self._text) / self.flops
        except ValueError:
            return None

    # In words

    def sentence(self) -> str:
        """The advice, and a warning where the law's own runs are far."""
        best, meaning = self.advice(), self.law.meaning
        said = (
            f"By {meaning.name}, {about(self.flops)} operations are best spent on "
            f"{about(best.parameters)} parameters and {about(best.tokens)} tokens, "
            f"{about(best.tokens / best.parameters)} for each parameter: a loss of "
            f"{best.loss:.3f} {meaning.loss}."
        )
        if self._text and self.unique_tokens and best.tokens > self.unique_tokens:
            said += f" Each token is read {about(best.tokens / self.unique_tokens)} times."
        least, most = meaning.least_flops, meaning.most_flops
        if most is not None and self.flops > BEYOND * most:
            times = about(self.flops / most)
            said += f" The budget is {times} times the largest of the law’s own runs."
        if least is not None and BEYOND * self.flops < least:
            times = about(least / self.flops)
            said += f" The smallest of the law’s own runs took {times} times as much."
        return said

    def of_halving(self) -> str:
        """What it takes for the loss to come half as far above its floor."""
        times = self.halving()
        if isinstance(self.law, KaplanLaw):
            return f"Half the loss, which has no floor here, takes {about(times)} times the budget."
        floor = f"above its floor, {self.law.E:.3f} {self.law.meaning.loss}"
        if times is None:
            ends = f"with this text it ends at {self.law.least_loss(*self._text):.3f}"
            return f"No budget brings the loss half as far {floor}: {ends}."
        return f"A loss half as far {floor}, takes {about(times)} times the budget."

    def of_size(self) -> str:
        """What the chosen size costs beside the advised one."""
        bought, worth = self.bought(), self.worth()
        said = (
            f"With {about(self.size)} times the advised size, {about(bought.parameters)} "
            f"parameters, the loss is {bought.loss:.3f}."
        )
        if worth is None:
            return said
        if worth >= 1:
            return f"{said} The advised size takes {about(worth)} times the budget to reach it."
        return (
            f"{said} The advised size reaches it with {percent(worth)} of the budget: "
            f"{percent(1 - worth)} is wasted."
        )

    def of_two_fits(self) -> str:
        """Where the curve is lowest, for a law whose authors advise another size."""
        if not isinstance(self.law, KaplanLaw):
            return ""
        times = self.law.lowest(self.flops).parameters / self.advice().parameters
        return (
            "Its authors found the advised size in other runs than the curve, which is lowest at "
            f"{about(times)} times that size."
        )


def about(value: float) -> str:
    """A number in words, with three digits that count wherever there are more.

    >>> about(76_923), about(0.25)
    ('76,900', '0.25')
    """
    return amount(rounded(value))


def law_state(law: Law) -> dict:
    """A law as the page has it: its kind, its constants, and what they mean.

    >>> law_state(AdditiveLaw(E=1, A=2, B=3, alpha=0.4, beta=0.5))["kind"]
    'additive'

    Raises:
        TypeError: for a law of another kind.
    """
    if type(law) not in KINDS:
        names = ", ".join(kind.__name__ for kind in KINDS)
        raise TypeError(f"law: got a {type(law).__name__}; expected one of {names}")
    constants = {field.name: getattr(law, field.name) for field in fields(law)}
    del constants["meaning"]
    # JSON has no infinity
    finite = {name: None if math.isinf(value) else value for name, value in constants.items()}
    return {"kind": KINDS[type(law)], **finite, "meaning": asdict(law.meaning)}
