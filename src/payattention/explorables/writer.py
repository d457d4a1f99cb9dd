"""The book's GPT at work on the page: what comes next, and whom each character looks at.

The reader's browser computes: the weights travel in 16 bits, when the reader asks for them, and
`decoder.mjs` does with them what `transformer.Decoder` does. A page loads them as classic scripts
(`scripts`), which also run from a disk; a notebook asks its kernel, and keeps nothing of them when
it is saved. Where no script runs, what Python has computed is seen instead.
"""

import base64
import html
import math
from collections.abc import Sequence
from typing import Any

import torch
import traitlets
from jaxtyping import Float
from torch import Tensor

from payattention import data, generation, weights
from payattention.explorables import bundle
from payattention.explorables.explorable import Explorable
from payattention.explorables.picture import bars_and_letters
from payattention.generation import Sampler
from payattention.shape import TransformerShape
from payattention.transformer import Decoder

PROMPT = "HAMLET:\nTo be, or not to "  # from a play that is kept for testing
MOST_CHARACTERS = 40  # of a prompt: its attention weights stand in the page
STEPS = 255  # a stored weight travels in one byte
LIKELIEST = 10
HOTTEST = 2.0
TOP_KS = (0, 10, 3)  # 0: all
SAMPLED = (0.0, 0.8, 1.2)  # temperatures of the stored texts
SAMPLE_CHARACTERS = 160
COMPUTED = {
    "positions": "rotary",
    "norm": "layer",
    "order": "pre",
    "activation": "gelu",
    "biases": "none",
    "tied": True,
    "shared": False,
    "segments": None,
    "d_attention": None,
    "d_embedding": None,
}
"""What `decoder.mjs` takes for granted of a shape."""


def shipped() -> bytes:
    """The file of the book's GPT."""
    return data.content(data.GPT)


def scripts() -> dict[str, str]:
    """The shipped weights as the scripts that a page loads, by path beside the figure's script."""
    return bundle.part_scripts(shipped(), name="gpt")


def computable(shape: TransformerShape) -> None:
    """Return nothing for a shape that the page can compute.

    Raises:
        ValueError: for any other; it names what the page would need.
    """
    wanted = COMPUTED | {"kv_heads": shape.heads, "vocab": len(data.VOCABULARY)}
    for name, value in wanted.items():
        if getattr(shape, name) != value:
            raise ValueError(
                f"model: its {name} is {getattr(shape, name)!r}; the page computes {value!r} alone"
            )
    if shape.context is None:
        raise ValueError("model: its context is None; the page needs a number")


def packed(model: Decoder | None) -> tuple[bytes, dict[str, Any]]:
    """The file of a model, of the book's GPT for None, and what a page must know to ask for it.

    Raises:
        ValueError: for a model that the page cannot compute.
    """
    if model is None:
        content, name = shipped(), "gpt"
    else:
        computable(model.shape)
        content, name = weights.pack(model, dtype=torch.float16), "model"
    return content, {
        "name": bundle.part_name(content, name=name),
        "parts": len(bundle.parts(content)),
        "bytes": len(content),
        "on_pages": model is None,
    }


def send_parts(figure: Explorable, content: bytes) -> None:
    """Send a file, part by part, to the page that shows the figure."""
    for place, part in enumerate(bundle.parts(content)):
        figure.send({"kind": "part", "place": place}, [part])


class Writer(Explorable):
    """Type a text, watch the next character's chances, and see whom a character looks at.

    `model` is the book's GPT if none is given; another one can be loaded in a notebook, while a
    page shows what is stored of it. The figure opens with `prompt`, and at the `layer` and `head`
    where the last character looks far back, if none are given. `place` is the character that
    looks, -1 the last. `temperature` and `top_k` (0 for all) say how the next character is drawn;
    `texts` replaces sentences of the figure.

    Raises:
        ValueError: for a prompt that is empty, too long or has a character that the model does not
            know, a model that the page cannot compute, and a value out of range.
    """

    name = "writer"
    prompt = traitlets.Unicode(PROMPT).tag(sync=True)
    vocabulary = traitlets.Unicode(data.VOCABULARY).tag(sync=True)
    sizes = traitlets.Dict().tag(sync=True)
    weights = traitlets.Dict().tag(sync=True)
    stored = traitlets.Dict().tag(sync=True)
    temperature = traitlets.Float(0.8).tag(sync=True)
    top_k = traitlets.Int(0).tag(sync=True)
    layer = traitlets.Int(0).tag(sync=True)
    head = traitlets.Int(0).tag(sync=True)
    place = traitlets.Int(-1).tag(sync=True)
    seed = traitlets.Int(0).tag(sync=True)
    texts = traitlets.Dict().tag(sync=True)

    def __init__(self, model: Decoder | None = None, *, prompt: str = PROMPT, **state: Any):
        if not 1 <= len(prompt) <= MOST_CHARACTERS:
            raise ValueError(
                f"prompt: got {len(prompt)} characters; expected 1 to {MOST_CHARACTERS}"
            )
        ids = data.encode(prompt)[None]
        self._content, asked = packed(model)
        self._model = weights.unpack(self._content)  # with the page's own, rounded weights
        with torch.inference_mode():
            logits = self._model.following(ids)[0]
            shares = self._model.attention_weights(ids)[:, 0]
        for which, place in zip(("layer", "head"), far_looking(shares), strict=True):
            state.setdefault(which, place)
        state.setdefault("title", "A small GPT writes here, one character after another")
        shape = self._model.shape
        super().__init__(
            prompt=prompt,
            sizes={name: getattr(shape, name) for name in ("layers", "heads", "context")}
            | {"parameters": sum(p.numel() for p in self._model.parameters())},
            weights=asked,
            stored={
                "logits": [round(logit, 4) for logit in logits.tolist()],
                "weights": in_bytes(shares),
            },
            **state,
        )
        self.on_msg(self._answer)

    @traitlets.validate("temperature", "top_k", "layer", "head", "place")
    def _in_range(self, proposal):
        name, value = proposal["trait"].name, proposal["value"]
        if name == "temperature":
            right, expected = 0 <= value <= HOTTEST, f"0 to {HOTTEST}"
        elif name == "top_k":
            right, expected = value in TOP_KS, f"one of {TOP_KS}"
        else:
            least = -1 if name == "place" else 0
            many = len(self.prompt) if name == "place" else self.sizes[f"{name}s"]
            right, expected = least <= value < many, f"{least} to {many - 1}"
        if not right:
            raise ValueError(f"{name}: got {value!r}; expected {expected}")
        return value

    def _answer(self, _, content: dict, buffers: Sequence[bytes]) -> None:
        """Send the weights, part by part, to a page that asks for them."""
        if content.get("kind") == "weights":
            send_parts(self, self._content)

    def _shares(self) -> list[float]:
        sampler = Sampler(self.temperature, top_k=self.top_k or None)
        logits = torch.tensor([self.stored["logits"]], dtype=torch.float64)
        return sampler.probabilities(logits)[0].tolist()

    def _likeliest(self) -> list[tuple[str, float]]:
        shares = self._shares()
        order = sorted(range(len(shares)), key=lambda i: -self.stored["logits"][i])
        return [(data.VOCABULARY[i], shares[i]) for i in order[:LIKELIEST]]

    def _looks(self) -> tuple[int, list[float]]:
        """The place that looks, and what it gives to each place up to itself."""
        place = self.place % len(self.prompt)
        shares = from_bytes(self.stored["weights"], self.sizes, len(self.prompt))
        return place, shares[self.layer, self.head, place, : place + 1].tolist()

    def findings(self) -> list[str]:
        """The likeliest next characters, and what the chosen one looks at."""
        likely = [f"{quoted(one)} ({_percent(share)})" for one, share in self._likeliest()[:3]]
        place, row = self._looks()
        order = sorted(range(place + 1), key=lambda j: -row[j])
        first, *others = [j for rank, j in enumerate(order[:3]) if rank == 0 or row[j] >= 0.03]
        more = "".join(f", {_percent(row[j])} to {self._seen(place, j)}" for j in others)
        return [
            f"After “{ending(self.prompt)}” the likeliest next characters are {likely[0]}, "
            f"{likely[1]} and {likely[2]}.",
            f"In layer {self.layer}, head {self.head}, {quoted(self.prompt[place])} gives "
            f"{_percent(row[first])} of its attention to {self._seen(place, first)}{more}.",
        ]

    def _seen(self, place: int, other: int) -> str:
        if other == place:
            return "itself"
        return f"{quoted(self.prompt[other])}, {place - other} before it"

    def data(self) -> list[dict]:
        """Records of every character that may come next, its logit and its chance."""
        rows = zip(data.VOCABULARY, self.stored["logits"], self._shares(), strict=True)
        return [
            {"character": named(one), "logit": f"{logit:.4f}", "probability": f"{share:.6f}"}
            for one, logit, share in rows
        ]

    def picture(self) -> str:
        """Bars of the likeliest next characters, and the text inked by what the chosen one sees."""
        place, row = self._looks()
        ink = row + [0.0] * (len(self.prompt) - len(row))
        return bars_and_letters(
            [(named(one), share) for one, share in self._likeliest()],
            list(zip(map(mark, self.prompt), ink, strict=True)),
            marked=place,
            above=("next character", f"layer {self.layer}, head {self.head}: whom it looks at"),
            alt=self.alt or " ".join(self.findings()),
        )

    def samples(self) -> list[tuple[float, str]]:
        """Texts that Python has written on from the prompt, each with its temperature."""
        return [
            (
                temperature,
                generation.write(
                    self._model,
                    self.prompt,
                    characters=SAMPLE_CHARACTERS,
                    sampler=Sampler(temperature),
                    seed=self.seed,
                ),
            )
            for temperature in SAMPLED
        ]

    def examples(self) -> str:
        """The samples as HTML."""
        return "\n".join(
            f'<p class="explorable-label">Written on at a temperature of {temperature:g}:</p>\n'
            f'<pre class="explorable-sample">{html.escape(text)}</pre>'
            for temperature, text in self.samples()
        )


def in_bytes(shares: Float[Tensor, "layers heads rows columns"]) -> str:
    """Attention weights in steps of 1/255, one byte each, in base 64."""
    steps = (STEPS * shares).round().to(torch.uint8).cpu()
    return base64.b64encode(steps.numpy().tobytes()).decode("ascii")


def from_bytes(text: str, sizes: dict, tokens: int) -> Float[Tensor, "layers heads tokens tokens"]:
    """The weights of such a text, each within 1/510 of what it was."""
    steps = torch.frombuffer(bytearray(base64.b64decode(text)), dtype=torch.uint8)
    return steps.view(sizes["layers"], sizes["heads"], tokens, tokens).double() / STEPS


def far_looking(shares: Float[Tensor, "layers heads tokens tokens"]) -> tuple[int, int]:
    """Layer and head where the last token gives most to a single one that is not near nor first.

    Near are itself and the three before it; many heads give to the first what they have no use for.
    """
    far = shares[..., -1, 1:-4]
    if not far.numel():
        return 0, 0
    layer, head = divmod(int(far.amax(dim=-1).argmax()), shares.shape[1])
    return layer, head


def named(character: str) -> str:
    """A character, or a word for one that leaves no ink.

    >>> named("a"), named(" ")
    ('a', 'space')
    """
    return {" ": "space", "\n": "new line"}.get(character, character)


def quoted(character: str) -> str:
    """A character in quotation marks, or words for one that leaves no ink."""
    return {" ": "the space", "\n": "the new line"}.get(character, f"“{character}”")


def mark(character: str) -> str:
    """A character, or a sign for one that leaves no ink."""
    return {" ": "·", "\n": "⏎"}.get(character, character)


def ending(text: str, most: int = 16) -> str:
    """The end of a text, in one line.

    >>> ending("To be, or not to be, that is")
    '…t to be, that is'
    """
    return ("…" if len(text) > most else "") + text[-most:].replace("\n", "⏎")


def _percent(share: float) -> str:
    return f"{math.floor(100 * share + 0.5)}\N{NO-BREAK SPACE}%"
