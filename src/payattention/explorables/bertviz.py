"""bertviz's three views of attention (Vig 2019), with all that they need inside.

The drawing is bertviz 1.4.1's own, unchanged. That package's HTML asks a content delivery network
for three libraries and stays blank where there is none, and it hangs a browser that is given too
many tokens; here the libraries travel along and long texts are refused in words. Weights are
rounded to three decimals, as a thousandth cannot be seen.
"""

import base64
import html
import struct
import zlib
from collections.abc import Sequence

import torch
import traitlets
from jaxtyping import Float, UInt8
from torch import Tensor

from payattention.attention_maps import AttentionMaps
from payattention.explorables.bundle import colour, palette
from payattention.explorables.explorable import Explorable

ROW, LETTER = 22, 8  # pixels of a row of words and of a letter
FAINT = 0.02  # a smaller share is no line in a still picture
LINES_ALT = "Lines from each token to those that it looks at."


class BertViz(Explorable):
    """One of the views; use `HeadView`, `ModelView` or `NeuronView`.

    `layers` chooses a part of the model, by numbers from 0; `title`, `alt` and `texts` replace
    sentences of the figure.

    Raises:
        ValueError: for more tokens than a browser draws at once, and for a layer or a head that
            the maps do not have.
    """

    name = "bertviz"
    # tokens; Chromium draws so many in about two seconds on two cores of a small server
    most = 0
    view = traitlets.Unicode("").tag(sync=True)
    params = traitlets.Dict().tag(sync=True)
    numbers = traitlets.List(traitlets.Int()).tag(sync=True)
    texts = traitlets.Dict().tag(sync=True)

    def __init__(
        self,
        maps: AttentionMaps,
        *,
        layers: Sequence[int] | None = None,
        heads: Sequence[int] | None = None,
        **state,
    ):
        many = len(maps.tokens)
        if many > self.most:
            raise ValueError(
                f"maps: got {many} tokens; a browser draws at most {self.most} of them in this "
                "view: read a shorter text, or keep a part of the tokens and of the weights"
            )
        self.maps = maps
        self.layers = _chosen("layers", layers, maps.weights.shape[0])
        self.heads = _chosen("heads", heads, maps.weights.shape[1])
        super().__init__(params=self.as_bertviz(), numbers=self.layers, **state)

    def as_bertviz(self) -> dict:
        """The parameters that bertviz's script is given, but for the id of its element."""
        raise NotImplementedError

    def words_for(self, drawing: str) -> str:
        """The alternative text: the reader's own, or what is drawn and what it shows."""
        return self.alt or " ".join([drawing, *self.findings()])

    @property
    def weights(self) -> Float[Tensor, "layers heads tokens tokens"]:
        """The weights of the chosen layers and heads, rounded."""
        return _rounded(self.maps.weights[self.layers][:, self.heads])

    def _attention(self) -> dict:
        tokens = list(self.maps.tokens)
        return {"attn": self.weights.tolist(), "left_text": tokens, "right_text": tokens}

    def data(self) -> list[dict]:
        """A row for each layer, head and token that looks: the shares that it gives."""
        names = [f"{place} {token}" for place, token in enumerate(self.maps.tokens)]
        return [
            {"layer": layer, "head": head, "token": name, **dict(zip(names, row, strict=True))}
            for layer, by_head in zip(self.layers, self.weights.tolist(), strict=True)
            for head, rows in zip(self.heads, by_head, strict=True)
            for name, row in zip(names, rows, strict=True)
        ]


class HeadView(BertViz):
    """One layer at a time: a line from each token to each, coloured by head.

    `layer` is shown first, and `heads` are turned on at first; the reader can change both.
    """

    most = 64

    def __init__(
        self,
        maps: AttentionMaps,
        *,
        layer: int | None = None,
        heads: Sequence[int] | None = None,
        layers: Sequence[int] | None = None,
        **state,
    ):
        self.layer = _first(layer, layers)
        self.on = _chosen("heads", heads, maps.weights.shape[1])
        state.setdefault("title", "What the heads of a layer look at")
        super().__init__(maps, layers=layers, view="head", **state)

    def as_bertviz(self) -> dict:
        """As bertviz.head_view makes them."""
        _expect_among("layer", self.layer, self.layers)
        return {
            "attention": [{"name": None, **self._attention()}],
            "default_filter": "0",
            "layer": self.layer,
            "heads": self.on,
            "include_layers": self.layers,
        }

    @property
    def _turned_on(self) -> Float[Tensor, "heads tokens tokens"]:
        return self.weights[self.layers.index(self.layer), self.on]

    def findings(self) -> list[str]:
        """The largest share that one word gives to another, and what goes to special tokens."""
        found = _to_special(self._turned_on, self.maps.tokens)
        pair = _strongest(self._turned_on, self.maps.tokens)
        if pair is None:
            return found
        head, share, asker, asked = pair
        return [
            f"In layer {self.layer}, head {self.on[head]}, “{asker}” gives {share:.0%} of its "
            f"attention to “{asked}”: the largest share that one word gives to another here.",
            *found,
        ]

    def picture(self) -> str:
        """The mean over the heads that are on, as lines between two columns of tokens."""
        return _lines(self._turned_on.mean(dim=0), self.maps.tokens, self.words_for(LINES_ALT))


class ModelView(BertViz):
    """Every head of every layer at once, small; one of them large."""

    most = 40

    def __init__(self, maps: AttentionMaps, **state):
        state.setdefault("title", "Every head of every layer")
        super().__init__(maps, view="model", **state)

    def as_bertviz(self) -> dict:
        """As bertviz.model_view makes them."""
        return {
            "attention": [{"name": None, **self._attention()}],
            "default_filter": "0",
            "display_mode": "light",
            "include_layers": self.layers,
            "include_heads": self.heads,
            "total_heads": self.maps.weights.shape[1],
        }

    def findings(self) -> list[str]:
        """How many heads mostly look one token back, one ahead, or at themselves."""
        weights = self.weights
        before, after, same = (
            int((weights.diagonal(offset, dim1=-2, dim2=-1).mean(dim=-1) > 0.5).sum())
            if abs(offset) < weights.shape[-1]
            else 0
            for offset in (-1, 1, 0)
        )
        return [
            f"Heads that give more than half of their attention to the token before: {before} of "
            f"{weights.shape[0] * weights.shape[1]}; to the token after: {after}; to the token "
            f"itself: {same}.",
            *_to_special(weights, self.maps.tokens),
        ]

    def picture(self) -> str:
        """A small heat map for each head: layers downwards, heads to the right."""
        alt = self.words_for("A small heat map for each head of each layer.")
        return _heat_maps(self.weights, self.layers, self.heads, alt)


class NeuronView(BertViz):
    """Where one head's weights come from: queries, keys, and their products number by number.

    The maps must hold queries and keys. `layer` and `head` are shown first.
    """

    most = 64

    def __init__(
        self,
        maps: AttentionMaps,
        *,
        layer: int | None = None,
        head: int = 0,
        layers: Sequence[int] | None = None,
        **state,
    ):
        if maps.queries is None:
            raise ValueError("maps: got none of queries and keys; expected both for this view")
        self.layer, self.head = _first(layer, layers), head
        state.setdefault("title", "From queries and keys to the weights of one head")
        super().__init__(maps, layers=layers, view="neuron", **state)

    def as_bertviz(self) -> dict:
        """As bertviz.neuron_view makes them."""
        _expect_among("layer", self.layer, self.layers)
        _expect_among("head", self.head, self.heads)
        vectors = {
            name: _rounded(getattr(self.maps, name)[self.layers]).tolist()
            for name in ("queries", "keys")
        }
        return {
            "attention": {"all": {**self._attention(), **vectors}},
            "default_filter": "all",
            "bidirectional": True,
            "display_mode": "light",
            "layer": self.layers.index(self.layer),
            "head": self.head,
        }

    @property
    def _one_head(self) -> Float[Tensor, "1 tokens tokens"]:
        return self.weights[self.layers.index(self.layer), [self.head]]

    def findings(self) -> list[str]:
        """The best fit of a query to another word's key, as score and as share."""
        pair = _strongest(self._one_head, self.maps.tokens)
        found = []
        if pair:
            _, share, asker, asked = pair
            places = self.maps.place(asker), self.maps.place(asked)
            query, key = (
                vectors[self.layer, self.head, place]
                for vectors, place in zip((self.maps.queries, self.maps.keys), places, strict=True)
            )
            score = float(query @ key) / len(query) ** 0.5
            found.append(
                f"In layer {self.layer}, head {self.head}, the query of “{asker}” and the key of "
                f"“{asked}” score {score:.1f}; softmax makes {share:.0%} of it, the largest share "
                "that one word gives to another."
            )
        return [*found, *_to_special(self._one_head, self.maps.tokens)]

    def picture(self) -> str:
        """The head's weights as lines between two columns of tokens."""
        return _lines(self._one_head[0], self.maps.tokens, self.words_for(LINES_ALT))


def _rounded(x: Tensor) -> Tensor:
    return x.double().round(decimals=3)


def _first(layer: int | None, layers: Sequence[int] | None) -> int:
    return layer if layer is not None else next(iter(layers or [0]))


def _chosen(name: str, numbers: Sequence[int] | None, many: int) -> list[int]:
    chosen = list(range(many)) if numbers is None else list(numbers)
    if not chosen or len(set(chosen)) < len(chosen) or not set(chosen) <= set(range(many)):
        raise ValueError(f"{name}: got {chosen}; expected different numbers from 0 to {many - 1}")
    return chosen


def _expect_among(name: str, number: int, numbers: Sequence[int]) -> None:
    if number not in numbers:
        raise ValueError(f"{name}: got {number}; expected one of {list(numbers)}")


def _is_special(token: str) -> bool:
    return token.startswith("[") and token.endswith("]")


def _strongest(
    weights: Float[Tensor, "heads tokens tokens"], tokens: Sequence[str]
) -> tuple[int, float, str, str] | None:
    """Head, share, asker and asked of the largest weight from a word to another word."""
    words = torch.tensor([any(map(str.isalnum, t)) and not _is_special(t) for t in tokens])
    asking = words[:, None] & words & ~torch.eye(len(tokens), dtype=torch.bool)
    if not asking.any():
        return None
    masked = weights * asking
    head, row, column = (int(i) for i in torch.unravel_index(masked.argmax(), masked.shape))
    return head, masked[head, row, column].item(), tokens[row], tokens[column]


def _to_special(weights: Float[Tensor, "... tokens tokens"], tokens: Sequence[str]) -> list[str]:
    """What all rows together give to each special token, as a sentence; none without any."""
    received = weights.flatten(0, -2).mean(dim=0)
    said = [
        f"{share:.0%} to {token}"
        for token, share in zip(tokens, received.tolist(), strict=True)
        if _is_special(token)
    ]
    return [f"Of all attention, {' and '.join(said)}."] if said else []


# Still pictures


def _svg(width: float, height: float, parts: Sequence[str], alt: str) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" '
        f'width="{width:.0f}" height="{height:.0f}" role="img" aria-label="{html.escape(alt)}" '
        f'font-family="inherit" font-size="14" fill="{colour("ink")}">{"".join(parts)}</svg>'
    )


def _lines(weights: Float[Tensor, "tokens tokens"], tokens: Sequence[str], alt: str) -> str:
    """Tokens on the left look at tokens on the right; the stronger, the darker the line."""
    margin = max(map(len, tokens)) * LETTER + 16
    middles = [ROW * (place + 0.5) + 4 for place in range(len(tokens))]
    parts = [
        f'<line x1="{margin}" y1="{middles[row]}" x2="{margin + 150}" y2="{middles[column]}" '
        f'stroke="{colour("attention")}" stroke-width="2" stroke-opacity="{share:.3g}"/>'
        for row, shares in enumerate(weights.tolist())
        for column, share in enumerate(shares)
        if share >= FAINT
    ]
    for token, middle in zip(tokens, middles, strict=True):
        for x, anchor in ((margin - 8, "end"), (margin + 158, "start")):
            parts.append(
                f'<text x="{x}" y="{middle + 5}" text-anchor="{anchor}">{html.escape(token)}</text>'
            )
    return _svg(2 * margin + 150, ROW * len(tokens) + 8, parts, alt)


def _heat_maps(
    weights: Float[Tensor, "layers heads tokens tokens"],
    layers: Sequence[int],
    heads: Sequence[int],
    alt: str,
) -> str:
    """Heat maps in rows and columns, as one image whose colour is the thicker the more weight."""
    tokens = weights.shape[-1]
    side = max(24, 640 // (len(heads) + 1))
    gap = max(1, tokens // 8)
    tiled = torch.nn.functional.pad(weights, (0, gap, 0, gap)).permute(0, 2, 1, 3)
    pixels = (tiled.flatten(2).flatten(0, 1) * 255).round().to(torch.uint8)
    size = side * tokens / (tokens + gap)  # of a map without the gap beside it
    xs, ys = (
        [40 + side * i for i in range(len(heads))],
        [26 + side * i for i in range(len(layers))],
    )
    parts = [
        f'<image x="40" y="26" width="{side * len(heads)}" height="{side * len(layers)}" '
        'preserveAspectRatio="none" image-rendering="pixelated" '
        f'href="{_png(pixels, palette()["attention"]["light"])}"/>'
    ]
    frame = f'width="{size:.1f}" height="{size:.1f}" fill="none" stroke="{colour("grid")}"'
    parts += [f'<rect x="{x}" y="{y}" {frame}/>' for y in ys for x in xs]
    for layer, y in zip(layers, ys, strict=True):
        parts.append(f'<text x="32" y="{y + size / 2 + 5:.1f}" text-anchor="end">{layer}</text>')
    for head, x in zip(heads, xs, strict=True):
        parts.append(f'<text x="{x + size / 2:.1f}" y="20" text-anchor="middle">{head}</text>')
    return _svg(40 + side * len(heads), 26 + side * len(layers), parts, alt)


def _png(alpha: UInt8[Tensor, "height width"], hexadecimal: str) -> str:
    """An image of one colour as an address that holds it; `alpha` says how much of it."""
    height, width = alpha.shape
    pixels = torch.empty(height, width, 4, dtype=torch.uint8)
    pixels[:] = torch.tensor([*bytes.fromhex(hexadecimal.removeprefix("#")), 0])
    pixels[..., 3] = alpha
    rows = b"".join(b"\0" + row.numpy().tobytes() for row in pixels)  # 0: the row as it is

    def chunk(kind: bytes, content: bytes) -> bytes:
        body = kind + content
        return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))

    # 8 bits for each of red, green, blue and alpha; no interlacing
    header = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    image = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
    image += chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")
    return "data:image/png;base64," + base64.b64encode(image).decode()
