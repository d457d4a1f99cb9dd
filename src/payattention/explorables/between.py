"""What two models say to images between two: one was trained without mixup, one with it.

A share λ of one image and the rest of another are mixed, as mixup does it in training. All that the
models say along the line was measured, and travels in thousandths; so do the images, in letters.
"""

from collections.abc import Callable, Sequence
from itertools import groupby
from string import ascii_lowercase, ascii_uppercase, digits
from typing import Any

import torch
import traitlets
from jaxtyping import Float
from torch import Tensor

from payattention import data
from payattention.cost.arguments import whole
from payattention.explorables.explorable import Explorable
from payattention.explorables.picture import Panel, Photograph, Trace, images_over_panels
from payattention.explorables.quantities import percent
from payattention.records import Results

COLUMNS = ("alpha", "share", "pair", "named", "probability")
LETTERS = ascii_uppercase + ascii_lowercase + digits + "+/"
"""One for each step of grey, as in base 64."""
DARKEST = len(LETTERS) - 1
THOUSAND = 1000
SURE_OF_ALL = 0.01
"""How far from 1 the probabilities of a model may sum."""


class Between(Explorable):
    """Move between two images, and see what two models answer along the line.

    `results` hold ``alpha`` (0 for the model without mixup, and one more), ``share``, ``pair``,
    ``named`` (the number of a class) and ``probability``, as `answer_vs_share` measures them; rows
    without a pair are left out. `places` are those of each pair's two images in
    ``data.fashion("test")``: at a share λ of 1 the first is seen, at 0 the second.

    The figure opens with `pair` and `share`, which is in the middle if none is given. On a page the
    address holds what was chosen. `texts` replaces sentences of the figure.

    Raises:
        TypeError, ValueError: for results without one of their columns, without two models, or with
            a probability that is missing, given twice, or no share of a whole; for places that are
            not two images of unlike classes for each pair; and for a pair or a share that nobody
            was asked about.
    """

    name = "between"
    pair = traitlets.Int(0).tag(sync=True)
    share = traitlets.Float(0.5).tag(sync=True)
    lines = traitlets.List(traitlets.Dict()).tag(sync=True)
    shares = traitlets.List(traitlets.Float()).tag(sync=True)
    alphas = traitlets.List(traitlets.Float()).tag(sync=True)
    classes = traitlets.List(traitlets.Unicode()).tag(sync=True)
    texts = traitlets.Dict().tag(sync=True)

    def __init__(self, results: Results, places: Sequence[tuple[int, int]], **state: Any):
        answers = _answers(results)
        alphas, pairs, shares = (sorted({key[i] for key in answers}) for i in range(3))
        if len(alphas) != 2 or alphas[0] != 0:
            raise ValueError(f"results: got the α {_listed(alphas)}; expected 0 and one more")
        if pairs != [*range(len(places))]:
            raise ValueError(
                f"places: got {len(places)} of them; expected those of the pairs {_listed(pairs)}"
            )
        lines = [
            _images(number, ends)
            | {
                "answers": [
                    [_parts(answers, alpha, number, share) for share in shares] for alpha in alphas
                ]
            }
            for number, ends in enumerate(places)
        ]
        state.setdefault("title", "Between two images: what two models answer")
        state.setdefault("share", shares[len(shares) // 2])
        super().__init__(
            lines=lines, shares=shares, alphas=alphas, classes=[*data.FASHION_CLASSES], **state
        )

    @traitlets.validate("pair")
    def _is_a_pair(self, proposal):
        return whole("pair", proposal["value"], least=0, most=len(self.lines) - 1)

    @traitlets.validate("share")
    def _was_asked(self, proposal):
        if proposal["value"] not in self.shares:
            known = ", ".join(f"{share:g}" for share in self.shares)
            raise ValueError(f"share={proposal['value']!r}: expected one of {known}")
        return proposal["value"]

    # What is said

    def findings(self) -> list[str]:
        """What mixup asks for, what each model says to it, and what it says along the line."""
        names = "Without mixup", f"With mixup ({_is('α', self.alphas[1])})"
        said = [f"{name} the model says {self._here(m)}." for m, name in enumerate(names)]
        along = [f"{name} the first choice is {self._along(m)}." for m, name in enumerate(names)]
        return [self._label(), *said, *along]

    def _label(self) -> str:
        one, other = self._ends()
        at = f"At {_is('λ', self.share)}"
        if self.share in (0, 1):
            return f"{at} nothing is mixed: the label says {one if self.share else other}."
        shares = percent(self.share), percent(_rest(self.share))
        return f"{at} mixup asks for {shares[0]} {one} and {shares[1]} {other}."

    def _here(self, model: int) -> str:
        """The first choice of a model at the share, and what the others get."""
        line = self.lines[self.pair]
        said = line["answers"][model][self.shares.index(self.share)]
        part = [percent(one / THOUSAND) for one in said]
        first, ends = first_choice(said), [line["one"], line["other"]]
        if first not in ends:
            gets = f"{self.classes[ends[0]]} gets {part[ends[0]]}"
            also = f"{self.classes[ends[1]]} {part[ends[1]]}"
            return f"{self.classes[first]}, neither of the two, with {part[first]}; {gets}, {also}"
        [second] = {*ends} - {first}
        rest = percent((THOUSAND - said[first] - said[second]) / THOUSAND)
        return (
            f"{self.classes[first]} with {part[first]}; {self.classes[second]} gets "
            f"{part[second]}, all others {rest}"
        )

    def _along(self, model: int) -> str:
        """Where along the line the first choice of a model changes."""
        choices = map(first_choice, self.lines[self.pair]["answers"][model])
        said = []
        for choice, run in groupby(zip(choices, self.shares, strict=True), lambda at: at[0]):
            shares, name = [share for _, share in run], self.classes[choice]
            first, last = shares[0], shares[-1]
            if (first, last) == (self.shares[0], self.shares[-1]):
                return f"{name} all along the line"
            if first == self.shares[0]:
                said.append(f"{name} up to {_is('λ', last)}")
            elif last == self.shares[-1]:
                said.append(f"{name} from {first:g} on")
            elif first == last:
                said.append(f"{name} at {first:g}")
            else:
                said.append(f"{name} from {first:g} to {last:g}")
        return ", ".join(said)

    def _ends(self) -> tuple[str, str]:
        line = self.lines[self.pair]
        return self.classes[line["one"]], self.classes[line["other"]]

    def data(self) -> list[dict]:
        """Records of what each model says to the pair in view, a column for each class."""
        one, other = self._ends()
        return [
            {"one": one, "other": other, "alpha": f"{alpha:g}", "share": f"{share:g}"}
            | {name: f"{part / THOUSAND:g}" for name, part in zip(self.classes, said, strict=True)}
            for alpha, answers in zip(self.alphas, self.lines[self.pair]["answers"], strict=True)
            for share, said in zip(self.shares, answers, strict=True)
        ]

    # What is drawn

    def picture(self) -> str:
        """The two images and the one between, over what each model says along the line."""
        line, (one, other) = self.lines[self.pair], self._ends()
        first, second = map(unpacked, line["images"])
        images = [
            Photograph(second, (other, f"1 − λ = {_rest(self.share):g}")),
            Photograph(self.share * first + (1 - self.share) * second, ("the mixture", "")),
            Photograph(first, (one, f"λ = {self.share:g}")),
        ]
        names = "without mixup", f"with mixup, α = {self.alphas[1]:g}"
        panels = [
            Panel(f"probability, {name}", self._traces(model)) for model, name in enumerate(names)
        ]
        alt = self.alt or " ".join(self.findings())
        return images_over_panels(
            images, panels, at=self.share, below=f"λ, the share of {one}", alt=alt
        )

    def _traces(self, model: int) -> list[Trace]:
        line, (one, other) = self.lines[self.pair], self._ends()
        answers = line["answers"][model]

        def along(part: Callable[[list[int]], int]) -> list[tuple[float, float]]:
            said = [part(answer) / THOUSAND for answer in answers]
            return [*zip(self.shares, said, strict=True)]

        ends = line["one"], line["other"]
        return [
            Trace([(0, 0), (1, 1)], "muted", "what mixup asks for", width=1),
            Trace([(0, 1), (1, 0)], "muted", "", width=1),
            Trace(
                along(lambda s: THOUSAND - s[ends[0]] - s[ends[1]]), "muted", "all others", "2 4"
            ),
            Trace(along(lambda s: s[ends[1]]), "convolution", other, "7 4"),
            Trace(along(lambda s: s[ends[0]]), "convolution", one),
        ]


# What was measured, as it travels

Answers = dict[tuple[float, int, float], dict[int, float]]
"""Probabilities by class, of each α, pair and share."""


def _answers(results: Results) -> Answers:
    missing = [name for name in COLUMNS if name not in results.columns]
    if missing:
        raise ValueError(
            f"results: got columns {[*results.columns]}; expected {', '.join(missing)} too"
        )
    found: Answers = {}
    for row in results.records():
        alpha, share, pair, named, probability = (row[name] for name in COLUMNS)
        if pair is None:
            continue
        key = float(alpha), pair, round(float(share), 3)
        if not 0 <= key[-1] <= 1:
            raise ValueError(f"results: got the share {share!r}; expected 0 to 1")
        said = found.setdefault(key, {})
        if named in said:
            raise ValueError(f"results: {_of(key)} has the class {named} twice; expected it once")
        said[named] = probability
    return found


def _parts(answers: Answers, alpha: float, pair: int, share: float) -> list[int]:
    """What a model says to a mixture, in thousandths, class by class."""
    key = alpha, pair, share
    said = answers.get(key, {})
    wanted = range(len(data.FASHION_CLASSES))
    if {*said} != {*wanted}:
        raise ValueError(
            f"results: {_of(key)} has the classes {_listed(sorted(said))}; "
            f"expected 0 to {wanted[-1]}"
        )
    probabilities = [said[named] for named in wanted]
    if min(probabilities) < 0 or abs(sum(probabilities) - 1) > SURE_OF_ALL:
        raise ValueError(
            f"results: {_of(key)} has probabilities from {min(probabilities):g} on that sum to "
            f"{sum(probabilities):.3g}; expected 0 or more, and 1"
        )
    return thousandths(probabilities)


def _of(key: tuple[float, int, float]) -> str:
    return "α = {:g}, pair {}, share {:g}".format(*key)


def _listed(values: Sequence[float]) -> str:
    return ", ".join(f"{value:g}" for value in values) or "none"


def _images(number: int, ends: tuple[int, int]) -> dict[str, Any]:
    """The two images of a pair, and the numbers of their classes."""
    images, classes = data.fashion("test")
    one, other = (whole(f"places[{number}]", end, least=0, most=len(images) - 1) for end in ends)
    if classes[one] == classes[other]:
        raise ValueError(f"places[{number}]={ends}: expected images of two classes")
    return {
        "one": int(classes[one]),
        "other": int(classes[other]),
        "images": [packed(images[one]), packed(images[other])],
    }


def thousandths(probabilities: Sequence[float]) -> list[int]:
    """The probabilities in thousandths that sum to 1,000: the largest remainders are rounded up.

    >>> thousandths([0.3334, 0.3334, 0.3332])
    [334, 333, 333]
    """
    scaled = [THOUSAND * probability / sum(probabilities) for probability in probabilities]
    kept = [int(one) for one in scaled]
    order = sorted(range(len(kept)), key=lambda place: kept[place] - scaled[place])
    for place in order[: THOUSAND - sum(kept)]:
        kept[place] += 1
    return kept


def first_choice(said: Sequence[int]) -> int:
    """The number of the class that gets most, the lowest one where several do.

    >>> first_choice([2, 5, 5])
    1
    """
    return max(range(len(said)), key=lambda place: said[place])


def packed(image: Float[Tensor, "height width"]) -> str:
    """A letter for each pixel, "A" for 0 and "/" for 1."""
    return "".join(LETTERS[grey] for grey in (DARKEST * image).round().int().flatten().tolist())


def unpacked(text: str, *, width: int = 28) -> Float[Tensor, "height width"]:
    """The image of such a text.

    >>> unpacked("A/Af", width=2).tolist()
    [[0.0, 1.0], [0.0, 0.4920634925365448]]
    """
    return torch.tensor([LETTERS.index(letter) for letter in text]).view(-1, width) / DARKEST


def _rest(share: float) -> float:
    return round(1 - share, 3)


def _is(symbol: str, value: float) -> str:
    return f"{symbol}\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}{value:g}"
