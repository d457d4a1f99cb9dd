"""What a model attended to while it read a sentence: one small square for each head of each layer.

`pack` writes a few such readings into one small file: weights in steps of 1/65535, queries and keys
in steps of 1/1024. `unpack` reads them, and lets each row of weights sum to 1 again.
"""

import io
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

WEIGHT_STEPS = 65535
VECTOR_STEPS = 1024


@dataclass(frozen=True, eq=False)
class AttentionMaps:
    """A sentence, its tokens, and the attention weights of every layer and head.

    `weights[layer, head, row, column]` is the share of its attention that token `row` gives to
    token `column`. `queries` and `keys` are what the weights come from, where they were kept.

    Raises:
        ValueError: for weights, queries or keys whose shapes do not fit the tokens.
    """

    sentence: str
    tokens: tuple[str, ...]
    weights: Float[Tensor, "layers heads tokens tokens"]
    queries: Float[Tensor, "layers heads tokens d_head"] | None = None
    keys: Float[Tensor, "layers heads tokens d_head"] | None = None

    def __post_init__(self) -> None:
        many = len(self.tokens)
        got = tuple(self.weights.shape)
        if len(got) != 4 or got[2:] != (many, many):
            raise ValueError(f"weights: got shape {got}; expected (layers, heads, {many}, {many})")
        if (self.queries is None) != (self.keys is None):
            raise ValueError("queries, keys: got one of them; expected both or neither")
        for name in ("queries", "keys"):
            vectors = getattr(self, name)
            if vectors is not None and tuple(vectors.shape[:-1]) != got[:3]:
                raise ValueError(
                    f"{name}: got shape {tuple(vectors.shape)}; expected {(*got[:3], 'd_head')}"
                )

    def place(self, token: str) -> int:
        """Where the token stands, counted from 0; the first place, if it stands at several.

        Raises:
            ValueError: for a token that is not in the sentence.
        """
        if token not in self.tokens:
            raise ValueError(f"token={token!r}: expected one of {', '.join(self.tokens)}")
        return self.tokens.index(token)

    def weight(self, layer: int, head: int, asker: str, asked: str) -> float:
        """The share of its attention that one token gives to another, in one head."""
        return self.weights[layer, head, self.place(asker), self.place(asked)].item()


def pack(maps: Iterable[AttentionMaps]) -> bytes:
    """The readings as one compressed numpy archive."""
    arrays: dict[str, np.ndarray] = {}
    for place, reading in enumerate(maps):
        arrays[f"{place}_sentence"] = np.array(reading.sentence)
        arrays[f"{place}_tokens"] = np.array(reading.tokens)
        arrays[f"{place}_weights"] = _in_steps(reading.weights, WEIGHT_STEPS, np.uint16)
        if reading.queries is not None:
            for name in ("queries", "keys"):
                vectors = getattr(reading, name)
                arrays[f"{place}_{name}"] = _in_steps(vectors, VECTOR_STEPS, np.int16)
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def _in_steps(x: Tensor, steps: int, kind: type) -> np.ndarray:
    whole = np.rint(x.double().numpy() * steps)
    limits = np.iinfo(kind)
    if whole.min() < limits.min or whole.max() > limits.max:
        raise ValueError(
            f"got numbers from {x.min():.3g} to {x.max():.3g}; expected "
            f"{limits.min / steps:.3g} to {limits.max / steps:.3g}"
        )
    return whole.astype(kind)


def unpack(content: bytes) -> tuple[AttentionMaps, ...]:
    """What `pack` packed, in the same order."""
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        arrays = dict(archive)
    readings = []
    for place in range(sum(name.endswith("_sentence") for name in arrays)):
        weights = torch.from_numpy(arrays[f"{place}_weights"].astype(np.float64))
        vectors = {
            name: torch.from_numpy(arrays[f"{place}_{name}"].astype(np.float32)) / VECTOR_STEPS
            for name in ("queries", "keys")
            if f"{place}_{name}" in arrays
        }
        readings.append(
            AttentionMaps(
                str(arrays[f"{place}_sentence"]),
                tuple(arrays[f"{place}_tokens"].tolist()),
                (weights / weights.sum(dim=-1, keepdim=True)).float(),
                **vectors,
            )
        )
    return tuple(readings)
