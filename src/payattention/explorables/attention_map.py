"""What each head of a trained model looks at while it reads a sentence, word by word."""

import base64
from collections.abc import Sequence

import torch
import traitlets
from jaxtyping import Float
from torch import Tensor

from payattention import data
from payattention.attention_maps import AttentionMaps
from payattention.explorables.explorable import Explorable
from payattention.explorables.picture import heat_map

MOST_TOKENS = 40  # more rows than that are no picture any more
STEPS = 255  # a weight travels to the page in one byte
SHOWN = (3, 1)  # the layer and the head that are seen first, where there are as many
PRONOUN = "it"  # the word that is chosen first, where it stands in the sentence


def packed(reading: AttentionMaps) -> dict:
    """The reading as JSON can hold it: each weight in steps of 1/255, one byte, in base 64.

    Raises:
        ValueError: for no sentence at all, too long a one, or rows that do not sum to 1.
    """
    many = len(reading.tokens)
    if not 2 <= many <= MOST_TOKENS:
        raise ValueError(
            f"maps: {reading.sentence!r} has {many} tokens; expected 2 to {MOST_TOKENS}"
        )
    weights = reading.weights.detach().double().cpu()
    sums = weights.sum(dim=-1)
    worst = sums.flatten()[(sums - 1).abs().argmax()].item()
    if weights.min() < 0 or abs(worst - 1) > 1e-3:
        raise ValueError(
            f"maps: {reading.sentence!r} has weights from {weights.min().item():.3g} on, and a row "
            f"that sums to {worst:.4g}; expected none below 0, and rows that sum to 1"
        )
    layers, heads = weights.shape[:2]
    steps = (STEPS * weights).round().to(torch.uint8)
    return {
        "sentence": reading.sentence,
        "tokens": list(reading.tokens),
        "layers": layers,
        "heads": heads,
        "weights": base64.b64encode(steps.numpy().tobytes()).decode("ascii"),
    }


def unpacked(reading: dict) -> Float[Tensor, "layers heads tokens tokens"]:
    """The weights of a packed reading, each within 1/510 of what it was."""
    many = len(reading["tokens"])
    steps = torch.frombuffer(bytearray(base64.b64decode(reading["weights"])), dtype=torch.uint8)
    return steps.view(reading["layers"], reading["heads"], many, many).float() / STEPS


def on_the_one_before(
    weights: Float[Tensor, "layers heads tokens tokens"],
) -> Float[Tensor, "layers heads"]:
    """What a token gives to the one before it in each head, averaged over all but the first.

    >>> on_the_one_before(torch.tensor([[0.5, 0.5], [0.75, 0.25]]).view(1, 1, 2, 2)).item()
    0.75
    """
    return weights.diagonal(-1, dim1=-2, dim2=-1).mean(dim=-1)


def on_the_ends(weights: Float[Tensor, "layers heads tokens tokens"]) -> float:
    """What a token gives to the first and the last token together, averaged over heads and tokens.

    >>> on_the_ends(torch.eye(4).view(1, 1, 4, 4))
    0.5
    """
    return (weights[..., 0] + weights[..., -1]).mean().item()


def quoted(tokens: Sequence[str], place: int) -> str:
    """The token in quotation marks; if it stands there more than once, which one it is.

    >>> quoted(["the", "cat", "the"], 2)
    '“the” (2 of 2)'
    """
    token = tokens[place]
    many = list(tokens).count(token)
    which = f" ({list(tokens[: place + 1]).count(token)} of {many})" if many > 1 else ""
    return f"“{token}”{which}"


class AttentionMap(Explorable):
    """Choose a sentence, a layer, a head and a word, and see what the word looks at.

    `maps` are readings by one model, the stored ones of MiniLM if none are given. `sentence` and
    `word` are places in `maps` and in that sentence's tokens. The figure opens at `layer` and
    `head`, which its picture and its data show. `texts` replaces sentences of the figure.
    """

    name = "attention_map"
    maps = traitlets.List(traitlets.Dict()).tag(sync=True)
    sentence = traitlets.Int(0).tag(sync=True)
    layer = traitlets.Int(0).tag(sync=True)
    head = traitlets.Int(0).tag(sync=True)
    word = traitlets.Int(0).tag(sync=True)
    texts = traitlets.Dict().tag(sync=True)

    def __init__(self, maps: Sequence[AttentionMaps] | None = None, **state):
        readings = [
            packed(reading) for reading in (data.attention_maps() if maps is None else maps)
        ]
        shapes = {(reading["layers"], reading["heads"]) for reading in readings}
        if len(shapes) != 1:
            raise ValueError(
                f"maps: expected one reading or more, all of as many layers and heads, got "
                f"{sorted(shapes) or 'none'}"
            )
        ((layers, heads),) = shapes
        state.setdefault("layer", min(SHOWN[0], layers - 1))
        state.setdefault("head", min(SHOWN[1], heads - 1))
        state.setdefault("title", "Each head of each layer looks at something else")
        for reading in readings[state.get("sentence", 0) :][:1]:
            if PRONOUN in reading["tokens"]:
                state.setdefault("word", reading["tokens"].index(PRONOUN))
        super().__init__(maps=readings, **state)

    @traitlets.validate("sentence", "layer", "head", "word")
    def _in_range(self, proposal):
        reading = self.maps[min(self.sentence, len(self.maps) - 1)]
        many = {
            "sentence": len(self.maps),
            "layer": reading["layers"],
            "head": reading["heads"],
            "word": len(reading["tokens"]),
        }[proposal["trait"].name]
        if not 0 <= proposal["value"] < many:
            raise ValueError(
                f"{proposal['trait'].name}: expected 0 to {many - 1}, got {proposal['value']!r}"
            )
        return proposal["value"]

    def _weights(self) -> Tensor:
        return unpacked(self.maps[self.sentence])

    def findings(self) -> list[str]:
        """What the chosen word looks at, which head looks back by one, what the ends take."""
        tokens, weights = self.maps[self.sentence]["tokens"], self._weights()
        row = weights[self.layer, self.head, self.word]
        first, second = row.topk(2).indices.tolist()
        before = on_the_one_before(weights)
        layer, head = divmod(int(before.argmax()), before.shape[1])
        return [
            f"Layer {self.layer}, head {self.head}: {quoted(tokens, self.word)} gives "
            f"{_percent(row[first])} of its attention to {quoted(tokens, first)}, "
            f"{_percent(row[second])} to {quoted(tokens, second)}.",
            f"In layer {layer}, head {head}, tokens give {_percent(before.max())} of their "
            f"attention to the one before them, on average; no other of the {before.numel()} heads "
            "gives more.",
            f"Over all heads, {tokens[0]} and {tokens[-1]} take {_percent(on_the_ends(weights))} "
            "of the attention.",
        ]

    def data(self) -> list[dict]:
        """Records of layer, head, the token that looks, the token looked at, and the weight."""
        tokens, weights = self.maps[self.sentence]["tokens"], self._weights()
        return [
            {
                "layer": self.layer,
                "head": self.head,
                "token": tokens[i],
                "looks_at": tokens[j],
                "weight": f"{weight:.4f}",
            }
            for i, row in enumerate(weights[self.layer, self.head].tolist())
            for j, weight in enumerate(row)
        ]

    def picture(self) -> str:
        """A heat map of the chosen head: the token that looks in a row, those seen in columns."""
        reading = self.maps[self.sentence]
        alt = f"What each token of “{reading['sentence']}” looks at. " + " ".join(self.findings())
        return heat_map(
            reading["tokens"],
            self._weights()[self.layer, self.head].tolist(),
            rows="looks",
            columns="looked at",
            alt=self.alt or alt,
            marked=self.word,
        )


def _percent(share: Tensor | float) -> str:
    return f"{100 * float(share):.0f}\N{NO-BREAK SPACE}%"
