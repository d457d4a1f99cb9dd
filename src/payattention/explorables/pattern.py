"""A pattern of attention to choose or to draw: what it allows, how far news gets, what it saves.

A small square of rows and columns shows the pattern; its pairs are counted there and over a text of
real length, where the same rule has a size of its own. The rules are those of
`payattention.patterns`.
"""

from statistics import mean
from typing import Any

import traitlets
from jaxtyping import Bool
from torch import Tensor

from payattention import patterns
from payattention.cost.arguments import one_of, whole
from payattention.explorables.explorable import Explorable
from payattention.explorables.patterning import RULES, heard_by, rule_of, unpacked
from payattention.explorables.picture import mask_and_strip
from payattention.explorables.quantities import amount, counted, percent, rounded
from payattention.records import Results

RANGES = {
    "tokens": (24, 32),
    "size": (1, 16),
    "count": (1, 8),
    "seed": (0, 9999),
    "layers": (1, 6),
    "long_tokens": (1024, 32_768),
    "long_size": (16, 1024),
}
"""Least and most of each number."""
COLUMNS = ("way", "tokens", "seconds")


class Pattern(Explorable):
    """Choose a pattern or draw one; see what it allows, how far news gets, and what it saves.

    `preset` is a name in `RULES`, or "own" for what is drawn, which is `own`, a mask `packed`.
    `size` is that of a window, a stride or a block; `count` the global tokens, the open tokens of a
    block, or the blocks drawn for each; with `back` nobody looks ahead. `token`, counted from 1 and
    the last if none is given, hears through so many `layers`. The long text has `long_tokens` and
    its rule the size `long_size`. On a page the address holds what was chosen.

    `times` are measured: ``way`` a name in `RULES`, ``tokens``, ``seconds``, and perhaps ``size``;
    without it they hold for whatever size they were measured at. They are of patterns that look
    back only. `texts` replaces sentences of the figure.

    >>> Pattern(preset="strided", size=5).findings()[0]
    'In 2 layers token 24 hears from all 24 tokens.'

    Raises:
        TypeError, ValueError: for a value that no control reaches, and times without one of their
            columns.
    """

    name = "pattern"
    tokens = traitlets.Int(24).tag(sync=True)
    preset = traitlets.Unicode("window").tag(sync=True)
    size = traitlets.Int(4).tag(sync=True)
    count = traitlets.Int(1).tag(sync=True)
    back = traitlets.Bool(True).tag(sync=True)
    seed = traitlets.Int(0).tag(sync=True)
    own = traitlets.Unicode("").tag(sync=True)
    token = traitlets.Int(24).tag(sync=True)
    layers = traitlets.Int(2).tag(sync=True)
    long_tokens = traitlets.Int(4096).tag(sync=True)
    long_size = traitlets.Int(64).tag(sync=True)
    times = traitlets.List(traitlets.Dict()).tag(sync=True)
    ranges = traitlets.Dict().tag(sync=True)
    texts = traitlets.Dict().tag(sync=True)

    def __init__(self, times: Results | None = None, **state: Any):
        least, most = RANGES["tokens"]
        tokens = whole("tokens", state.get("tokens", 24), least=least, most=most)
        state.setdefault("token", tokens)
        state.setdefault("title", "Draw who looks at whom")
        ranges = {name: list(bounds) for name, bounds in RANGES.items() if name != "tokens"}
        super().__init__(
            times=[] if times is None else _means(times),
            ranges=ranges | {"token": [1, tokens]},
            **state,
        )

    @traitlets.validate("preset")
    def _is_known(self, proposal):
        one_of("preset", proposal["value"], {**RULES, "own": "what is drawn"})
        return proposal["value"]

    @traitlets.validate("token", *RANGES)
    def _in_range(self, proposal):
        name, value = proposal["trait"].name, proposal["value"]
        least, most = RANGES.get(name, (1, self.tokens))
        return whole(name, value, least=least, most=most)

    @traitlets.validate("own")
    def _is_mask(self, proposal):
        own, digits = proposal["value"], -(-(self.tokens**2) // 4)
        if own and (len(own) != digits or set(own) - set("0123456789abcdef")):
            raise ValueError(f"own: got {own[:20]!r}…; expected {digits} digits, as `packed` gives")
        return own

    def rule(self, tokens: int, size: int) -> patterns.Pattern:
        """The chosen rule for a text of so many tokens; what is drawn has none."""
        return rule_of(
            self.preset, tokens, size=size, count=self.count, back=self.back, seed=self.seed
        )

    def mask(self) -> Bool[Tensor, "tokens tokens"]:
        """The square that is shown: who may look at whom."""
        if self.preset != "own":
            return self.rule(self.tokens, self.size).mask(self.tokens)
        drawn = unpacked(self.own, self.tokens)
        return drawn & patterns.CAUSAL.mask(self.tokens) if self.back else drawn

    def findings(self) -> list[str]:
        """How far news gets, who looks at nothing, the pairs, and what the clock says of it."""
        said = [self._of_news()]
        blind = (~self.mask().any(dim=1)).nonzero().flatten().tolist()
        if blind:
            who = f"token {blind[0] + 1}"
            one = len(blind) == 1
            who = f"{who.capitalize()} looks" if one else f"{len(blind)} tokens, {who} first, look"
            said.append(f"{who} at nothing: attention has no answer there.")
        pairs, dense = int(self.mask().sum()), _dense(self.tokens, back=self.back)
        share = percent(pairs / dense)
        said.append(f"This square of {self.tokens} tokens: {pairs} of {dense} pairs, {share}.")
        return [*said, *self._of_length()]

    def _of_news(self) -> str:
        mask, asked, layers = self.mask(), self.token - 1, self.layers
        heard = heard_by(mask, asked, layers=layers)
        ever = heard_by(mask, asked, layers=self.tokens)
        many, most = (sum(one > 0 for one in found) for found in (heard, ever))
        possible = self.token if self.back else self.tokens
        end = " up to itself" if possible < self.tokens else ""
        share = f"all {possible}" if many == possible else f"{many} of the {possible}"
        whom = "itself" if possible == 1 else f"{share} tokens{end}"
        whom = whom if many else "nobody"
        said = f"In {counted(layers, 'layer')} token {self.token} hears from {whom}."
        if many == possible:
            return said
        if most == possible:
            return f"{said} For all of them it takes {max(ever)} layers."
        return f"{said} More layers bring no more{f' than {most}' if most > many else ''}."

    def _of_length(self) -> list[str]:
        if self.preset == "own":
            return ["What is drawn has no rule by which a longer text would go on."]
        tokens, dense = self.long_tokens, _dense(self.long_tokens, back=self.back)
        plain = self.preset == "dense"
        pairs = dense if plain else self.rule(tokens, self.long_size).pairs(tokens)
        count = min(self.count, self.long_size) if self.preset == "fixed" else self.count
        name = RULES[self.preset].format(size=self.long_size, count=count)
        share = percent(pairs / dense)
        said = f"Over {tokens:,} tokens, {name}: {pairs:,} pairs, {share} of dense."
        return [said] if plain else [said, self._of_clock()]

    def _of_clock(self) -> str:
        found = [
            next((one["seconds"] for one in self.times if _is_of(one, self, way)), None)
            for way in ("dense", self.preset)
        ]
        if not self.back or None in found:
            return "This one was not timed."
        ratio = found[0] / found[1]
        if ratio < 1:
            return f"On the clock it takes {amount(rounded(1 / ratio, 2))} times as long as dense."
        return f"On the clock dense takes {amount(rounded(ratio, 2))} times as long."

    def data(self) -> list[dict]:
        """Records of each token, whom it looks at, and in how many layers the chosen one hears."""
        heard = heard_by(self.mask(), self.token - 1, layers=self.layers)
        return [
            {
                "token": i + 1,
                "looks_at": " ".join(str(j + 1) for j, bit in enumerate(row) if bit),
                "heard_in_layers": heard[i] or "",
            }
            for i, row in enumerate(self.mask().tolist())
        ]

    def picture(self) -> str:
        """The square of rows that look at columns, and below it the layers that news takes."""
        heard = heard_by(self.mask(), self.token - 1, layers=self.layers)
        return mask_and_strip(
            self.mask().tolist(),
            [str(layers or "") for layers in heard],
            marked=self.token - 1,
            titles=("rows look at columns", f"layers until token {self.token} hears of it"),
            alt=self.alt or " ".join(self.findings()),
        )


def _dense(tokens: int, *, back: bool) -> int:
    return tokens * (tokens + 1) // 2 if back else tokens**2


def _means(times: Results) -> list[dict]:
    """One time for each way, length and size: the mean of its runs."""
    missing = [name for name in COLUMNS if name not in times.columns]
    if missing:
        raise ValueError(
            f"times: got columns {[*times.columns]}; expected {', '.join(missing)} too"
        )
    runs: dict[tuple, list[float]] = {}
    for record in times.records():
        key = record["way"], record["tokens"], record.get("size")
        runs.setdefault(key, []).append(record["seconds"])
    return [
        {"way": way, "tokens": tokens, "size": size, "seconds": mean(seconds)}
        for (way, tokens, size), seconds in runs.items()
    ]


def _is_of(time: dict, asked: Pattern, way: str) -> bool:
    sizes = (None,) if way == "dense" else (None, asked.long_size)
    same = time["way"] == way and time["tokens"] == asked.long_tokens
    return same and (way == "dense" or time["size"] in sizes)
