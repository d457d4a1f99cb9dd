"""A text whose characters went through as many layers as it took to be sure enough of each.

A reader moves the threshold: fewer layers and operations, and more bits. All of it was measured, of
a model with doors behind its layers; it travels in digits and letters, a few for each character.
"""

import math
import re
from collections.abc import Callable, Sequence
from typing import Any

import traitlets

from payattention.cost.arguments import positive, whole
from payattention.explorables.between import LETTERS
from payattention.explorables.explorable import Explorable
from payattention.explorables.mixing import fixed
from payattention.explorables.picture import Axis, Dot, Line, line_chart, tinted_text
from payattention.explorables.quantities import percent
from payattention.records import Record, Results

COLUMNS = ("kind", "play", "text", "places", "threshold", "depths", "bits", "said", "flops")
PLACES = ("names", "first letters", "further letters", "spaces and line ends", "other marks")
"""Where a character may stand, in the order of the digits in ``places``."""
KINDS = {"verse": "verse", "prose": "prose", "exchange": "an exchange"}
IDEA = "time"
MOST_LAYERS = 9
MOST_HUNDREDTHS = len(LETTERS) ** 2 - 1
LINE_END = "¶"
_WORD = re.compile(r"[A-Za-z]+(?:['-][A-Za-z]+)*")


class Depths(Explorable):
    """Move the threshold, and see which characters leave a model early, and what that costs.

    `results` hold, as `depth_vs_character` measures them, of each passage and ``threshold`` its
    ``kind``, ``play`` and ``text``; for each character a digit in ``places`` and one in ``depths``,
    hundredths of a bit in ``bits``, and one in ``said``; and the ``flops`` of a character. A row
    without a threshold is of the model without doors, and there is one for each passage. Of
    trainings with unlike ``steps`` the longest is shown.

    The figure opens with `passage` and `threshold`, which is in the middle if none is given, and
    tells of the character at `place`, counted from 0: if none is given, of the first that leaves
    early. On a page the address holds what was chosen. `texts` replaces sentences of the figure.

    Raises:
        TypeError, ValueError: for results without one of their columns, without a row that the
            figure needs, or with one of which the parts are not of one length; and for a passage, a
            threshold or a place that there is not.
    """

    name = "depths"
    passage = traitlets.Int(0).tag(sync=True)
    threshold = traitlets.Float().tag(sync=True)
    place = traitlets.Int(0).tag(sync=True)
    passages = traitlets.List(traitlets.Dict()).tag(sync=True)
    thresholds = traitlets.List(traitlets.Float()).tag(sync=True)
    layers = traitlets.Int().tag(sync=True)
    texts = traitlets.Dict().tag(sync=True)

    def __init__(self, results: Results, **state: Any):
        rows = _rows(results)
        thresholds = sorted({row["threshold"] for row in rows} - {None})
        layers = _layers(rows)
        of = {text: [row for row in rows if row["text"] == text] for text in _texts(rows)}
        passages = [_passage(some, thresholds, layers) for some in of.values()]
        state.setdefault("title", "As many layers as it takes to be sure enough")
        state.setdefault("threshold", thresholds[len(thresholds) // 2])
        place = state.pop("place", None)
        super().__init__(passages=passages, thresholds=thresholds, layers=layers, **state)
        self.place = self._first_to_leave() if place is None else place

    @traitlets.validate("passage")
    def _is_a_passage(self, proposal):
        return whole("passage", proposal["value"], least=0, most=len(self.passages) - 1)

    @traitlets.validate("threshold")
    def _is_a_threshold(self, proposal):
        if proposal["value"] not in self.thresholds:
            known = ", ".join(f"{threshold:g}" for threshold in self.thresholds)
            raise ValueError(f"threshold={proposal['value']!r}: expected one of {known}")
        return proposal["value"]

    @traitlets.validate("place")
    def _is_a_place(self, proposal):
        return whole("place", proposal["value"], least=0, most=len(self._now()["text"]) - 1)

    @traitlets.observe("passage")
    def _stay_inside(self, change):
        """A passage may be shorter than the one before: its last character is taken then."""
        self.place = min(self.place, len(self._now()["text"]) - 1)

    def _now(self) -> dict[str, Any]:
        return self.passages[self.passage]

    def _read(self) -> dict[str, Any]:
        """What was read of the passage at the threshold."""
        return self._now()["read"][self.thresholds.index(self.threshold)]

    def _first_to_leave(self) -> int:
        depths = [int(depth) for depth in self._read()["depths"]]
        return next((at for at, depth in enumerate(depths) if depth < self.layers), 0)

    # What is said

    def findings(self) -> list[str]:
        """The passage at the threshold, where in it layers are few, a character, and the ends."""
        return [self._summary(), self._by_place(), self._character(), self._curve()]

    def _summary(self) -> str:
        read, whole_bits = self._read(), mean_bits(self._now()["whole"]["bits"])
        values = f"{percent(read['share'])} of the whole model’s operations"
        bits = f"{mean_bits(read['bits'])} bits a character"
        at = f"Sure enough at {self.threshold:g}"
        if set(read["depths"]) == {str(self.layers)}:
            return (
                f"{at}: nobody leaves. The doors come on top: {values}, for {bits}; the whole "
                f"model needs {whole_bits}."
            )
        return (
            f"{at}: {_mean(read['depths'])} of {self.layers} layers on average. With doors, and "
            f"keys and values owed, that is {values}, for {bits}; the whole model needs "
            f"{whole_bits}."
        )

    def _by_place(self) -> str:
        """Mean layers for each kind of character that there is."""
        kinds: dict[str, list[str]] = {}
        for kind, depth in zip(self._now()["places"], self._read()["depths"], strict=True):
            kinds.setdefault(kind, []).append(depth)
        said = [f"{PLACES[int(kind)]} {_mean(kinds[kind])}" for kind in sorted(kinds)]
        return f"Layers on average: {', '.join(said)}."

    def _character(self) -> str:
        now, read, at = self._now(), self._read(), self.place
        here, whole = (
            f"{bits_at(one['bits'], at) / 100:.2f} bits, first choice {_quoted(one['said'][at])}"
            for one in (read, now["whole"])
        )
        depth = read["depths"][at]
        return (
            f"{standing(now['text'], at)}, after {depth} of {self.layers} layers: {here}. "
            f"The whole model: {whole}."
        )

    def _curve(self) -> str:
        """How operations and bits move together."""
        first, last = (self._now()["read"][end] for end in (0, -1))
        low, high = self.thresholds[0], self.thresholds[-1]
        return (
            f"From a threshold of {low:g} to one of {high:g} the operations go from "
            f"{percent(first['share'])} to {percent(last['share'])} of the whole model’s, and the "
            f"bits a character from {mean_bits(first['bits'])} to {mean_bits(last['bits'])}."
        )

    def data(self) -> list[dict]:
        """Records of the characters of the passage in view, at the threshold in view."""
        now, read = self._now(), self._read()
        return [
            {
                "threshold": f"{self.threshold:g}",
                "place": at,
                "character": named(character),
                "layers": read["depths"][at],
                "bits": f"{bits_at(read['bits'], at) / 100:.2f}",
                "says": named(read["said"][at]),
                "whole_bits": f"{bits_at(now['whole']['bits'], at) / 100:.2f}",
                "whole_says": named(now["whole"]["said"][at]),
            }
            for at, character in enumerate(now["text"])
        ]

    # What is drawn

    def picture(self) -> str:
        """The passage, with the layers of each character."""
        now, read = self._now(), self._read()
        depths = [int(depth) for depth in read["depths"]]
        return tinted_text(
            now["text"].replace("\n", LINE_END),
            depths,
            levels=self.layers,
            idea=IDEA,
            names=[
                f"{_layers_said(layer)}: {depths.count(layer)}"
                for layer in range(1, self.layers + 1)
            ],
            title=f"{now['name']}, sure enough at {self.threshold:g}",
            marked=self.place,
            alt=self.alt or " ".join(self.findings()[:3]),
        )

    def examples(self) -> str:
        """A chart of bits against operations, at all thresholds of the passage."""
        now = self._now()
        points = [(read["share"], _mean_of_bits(read["bits"])) for read in now["read"]]
        whole_bits = _mean_of_bits(now["whole"]["bits"])
        x = axis(
            [share for share, _ in points],
            0.25,
            label="operations, of the whole model’s",
            text=percent,
        )
        y = axis(
            [whole_bits, *(bits for _, bits in points)],
            0.5,
            label="bits a character",
            text="{:.1f}".format,
        )
        at = points[self.thresholds.index(self.threshold)]
        (low, high), above = x.domain, (y.domain[1] - y.domain[0]) / 12
        chosen = f"at {self.threshold:g}"
        ends = [(low, whole_bits), (high, whole_bits)]
        chart = line_chart(
            [
                Line(points, IDEA, chosen, (at[0], at[1] + above)),
                Line(ends, "muted", "the whole model", (low, whole_bits + above / 2), dashed=True),
            ],
            x=x,
            y=y,
            alt=self._curve(),
            dots=[Dot(at, "ink")],
        )
        return f'<p class="explorable-label">Bits and operations at all thresholds</p>\n{chart}'


# What was measured, as it travels


def _rows(results: Results) -> list[Record]:
    missing = [name for name in COLUMNS if name not in results.columns]
    if missing:
        raise ValueError(
            f"results: got columns {[*results.columns]}; expected {', '.join(missing)} too"
        )
    if "steps" in results.columns:
        results = results.where(steps=max(results.columns["steps"]))
    rows = results.records()
    if not any(row["threshold"] is not None for row in rows):
        raise ValueError("results: got no threshold; expected one or more")
    return rows


def _texts(rows: list[Record]) -> list[str]:
    return list(dict.fromkeys(row["text"] for row in rows))


def _layers(rows: list[Record]) -> int:
    """How many layers the model has: those of every character in a row without a threshold."""
    digits = {digit for row in rows if row["threshold"] is None for digit in row["depths"]}
    if len(digits) != 1 or not digits <= set("123456789"):
        raise ValueError(
            f"results: rows without a threshold have the depths {', '.join(sorted(digits))}; "
            f"expected one, from 1 to {MOST_LAYERS}"
        )
    return int(digits.pop())


def _passage(rows: list[Record], thresholds: list[float], layers: int) -> dict[str, Any]:
    """A passage as the page holds it: what the whole model says, and what is read by thresholds."""
    by = {row["threshold"]: row for row in rows}
    text = rows[0]["text"]
    if sorted(by.keys() - {None}) != thresholds or None not in by or len(by) != len(rows):
        asked = [row["threshold"] for row in rows]
        raise ValueError(
            f"results: {text[:20]!r} has the thresholds {asked}; expected None and each of "
            f"{thresholds} once"
        )
    for row in rows:
        _expect_parts(row, layers)
    whole_flops = by[None]["flops"]
    return {
        "name": f"{_play(rows[0]['play'])}, {KINDS.get(rows[0]['kind'], rows[0]['kind'])}",
        "text": text,
        "places": rows[0]["places"],
        "whole": {"bits": packed(by[None]["bits"]), "said": by[None]["said"]},
        "read": [
            {
                "depths": by[threshold]["depths"],
                "bits": packed(by[threshold]["bits"]),
                "said": by[threshold]["said"],
                "share": round(by[threshold]["flops"] / whole_flops, 6),
            }
            for threshold in thresholds
        ],
    }


def _expect_parts(row: Record, layers: int) -> None:
    """Return nothing; refuse a row of which the parts do not belong to its characters."""
    text = row["text"]
    of = f"results: {text[:20]!r} at the threshold {row['threshold']}"
    positive(f"{of}: flops", row["flops"])
    parts = {name: len(row[name]) for name in ("places", "depths", "said")}
    parts["bits"] = len(row["bits"].split())
    wrong = [f"{count} {name}" for name, count in parts.items() if count != len(text)]
    if wrong or not text:
        raise ValueError(f"{of} has {', '.join(wrong) or 'no text'}; expected {len(text) or 'one'}")
    for name, least, most in (("depths", 1, layers), ("places", 0, len(PLACES) - 1)):
        strange = set(row[name]) - set(map(str, range(least, most + 1)))
        if strange:
            raise ValueError(f"{of}: {name} has {min(strange)!r}; expected {least} to {most}")


def packed(bits: str) -> str:
    """Hundredths of a bit, two letters for each character; what is more than fits is the most.

    >>> packed("0 64 4096")
    'AABA//'

    Raises:
        ValueError: for one that is no whole number from 0 on.
    """
    found = []
    for one in bits.split():
        if not one.isdecimal():
            raise ValueError(f"bits: got {one!r}; expected hundredths, whole numbers from 0 on")
        upper, lower = divmod(min(int(one), MOST_HUNDREDTHS), len(LETTERS))
        found.append(LETTERS[upper] + LETTERS[lower])
    return "".join(found)


def bits_at(text: str, place: int) -> int:
    """The hundredths of a bit of the character at a place.

    >>> bits_at("AABA//", 1)
    64
    """
    upper, lower = text[2 * place : 2 * place + 2]
    return LETTERS.index(upper) * len(LETTERS) + LETTERS.index(lower)


def _mean_of_bits(text: str) -> float:
    many = len(text) // 2
    return sum(bits_at(text, place) for place in range(many)) / (100 * many)


def mean_bits(text: str) -> str:
    """The mean in bits, with two decimals.

    >>> mean_bits("AABA")
    '0.32'
    """
    return fixed(_mean_of_bits(text), 2)


def _mean(depths: str | list[str]) -> str:
    return fixed(sum(map(int, depths)) / len(depths), 1)


# A text in words


def named(character: str) -> str:
    """A character as a table names it.

    >>> named("e"), named(" ")
    ('e', 'space')
    """
    return {" ": "space", "\n": "line end"}.get(character, character)


def _quoted(character: str) -> str:
    return {" ": "a space", "\n": "a line end"}.get(character, f"“{character}”")


def standing(text: str, place: int) -> str:
    """A character and the word to which it belongs.

    >>> standing("Go, I say", 1), standing("Go, I say", 2), standing("Go, I say", 3)
    ('“o” of “Go”', '“,” behind “Go”', 'The space behind “Go,”')
    """
    character = text[place]
    if character in " \n":
        before = re.search(r"\S+\Z", text[:place])
        if before is None:
            return "A space" if character == " " else "The empty line"
        return f"The {named(character)} behind “{before[0]}”"
    start = text.rfind("\n", 0, place) + 1
    line = text[start:].partition("\n")[0]
    words = [*_WORD.finditer(line)]
    quoted = _quoted(character)
    for word in words:
        if word.start() <= place - start < word.end():
            return f"{quoted} of “{word[0]}”"
    before = [word[0] for word in words if word.end() <= place - start]
    if before:
        return f"{quoted} behind “{before[-1]}”"
    return f"{quoted} in front of “{words[0][0]}”" if words else quoted


def _play(name: str) -> str:
    return name.replace("-", " ").title()


def _layers_said(layers: int) -> str:
    return "1 layer" if layers == 1 else f"{layers} layers"


def axis(values: Sequence[float], step: float, *, label: str, text: Callable[[float], str]) -> Axis:
    """An axis with ticks at multiples of a step: from one on, to a little behind the values.

    >>> axis([0.29, 1.04], 0.25, label="", text=str).ticks
    [0.25, 0.5, 0.75, 1.0]
    """
    low, high = math.floor(min(values) / step) * step, max(values) + step / 4
    ticks = [low + step * count for count in range(math.floor((high - low) / step) + 1)]
    return Axis(label, (low, high), ticks, text)
