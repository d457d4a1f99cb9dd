"""From letters to phonemes with a fixed vector in between: a pretrained GRU encoder and decoder.

The encoder reads a word letter by letter; its last state, 256 numbers, is all that the decoder
gets; there is no attention. The weights are those of the package g2p-en 2.1.0 (Park and Kim 2019),
run here by the book's own `gru_cell`.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from payattention.recurrence import CellWeights, gru_cell

LETTERS = ["<pad>", "<unk>", "</s>", *"abcdefghijklmnopqrstuvwxyz"]
VOWELS = "AA AE AH AO AW AY EH ER EY IH IY OW OY UH UW"
CONSONANTS = "B CH D DH F G HH JH K L M N NG P R S SH T TH V W Y Z ZH"
PHONEMES = [
    "<pad>",
    "<unk>",
    "<s>",
    "</s>",
    *sorted(CONSONANTS.split() + [v + stress for v in VOWELS.split() for stress in "012"] + ["UW"]),
]
"""ARPAbet in the order of the decoder's output, with its one stray "UW".

The digit behind a vowel is its stress: 1 main, 2 second, 0 none.
"""


class Speller:
    """Pronounces words by the pretrained weights, given as by `data.speller_weights()`."""

    def __init__(self, weights: Mapping[str, np.ndarray]) -> None:
        self.weights = {name: torch.from_numpy(array).float() for name, array in weights.items()}

    def _cell(self, side: str) -> CellWeights:
        return CellWeights(*(self.weights[f"{side}_{n}"] for n in ("w_ih", "w_hh", "b_ih", "b_hh")))

    @torch.no_grad()
    def encode(self, words: Sequence[str]) -> Float[Tensor, "words d_hidden"]:
        """The state after each word and its end mark: all that the decoder will know of it.

        Raises:
            ValueError: for words of different lengths, or with other characters than a to z.
        """
        if len({len(word) for word in words}) != 1:
            raise ValueError(
                f"words={list(words)[:3]}...: expected words of one length, at least one"
            )
        for word in words:
            if not (word.isascii() and word.isalpha() and word.islower()):
                raise ValueError(f"word={word!r}: expected letters a to z only")
        ids = torch.tensor([[LETTERS.index(c) for c in (*word, "</s>")] for word in words])
        h = torch.zeros(len(words), self.weights["enc_w_hh"].shape[1])
        for letter in ids.T:
            h = gru_cell(self.weights["enc_emb"][letter], h, self._cell("enc"))
        return h

    @torch.no_grad()
    def decode(
        self, h: Float[Tensor, "words d_hidden"], *, longest: int = 40
    ) -> list[tuple[str, ...]]:
        """The likeliest phonemes, one after another, from each state; at most `longest` of them."""
        before = torch.full((len(h),), PHONEMES.index("<s>"))
        written = []
        for _ in range(longest):
            h = gru_cell(self.weights["dec_emb"][before], h, self._cell("dec"))
            before = (h @ self.weights["fc_w"].T + self.weights["fc_b"]).argmax(dim=-1)
            written.append(before)
        end = PHONEMES.index("</s>")
        rows = torch.stack(written, dim=1).tolist()
        return [
            tuple(PHONEMES[i] for i in row[: row.index(end) if end in row else len(row)])
            for row in rows
        ]

    def pronounce(self, words: Sequence[str]) -> list[tuple[str, ...]]:
        """Phonemes of each word, in the order given; words may differ in length."""
        said: dict[str, tuple[str, ...]] = {}
        for length in sorted({len(word) for word in words}):
            group = sorted({word for word in words if len(word) == length})
            for start in range(0, len(group), 512):
                batch = group[start : start + 512]
                said.update(zip(batch, self.decode(self.encode(batch)), strict=True))
        return [said[word] for word in words]


def edit_distance(a: Sequence[str], b: Sequence[str]) -> int:
    """Fewest insertions, deletions and substitutions that turn `a` into `b` (Levenshtein 1966).

    >>> edit_distance("kitten", "sitting")
    3
    """
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, start=1):
        corner, row[0] = row[0], i
        for j, y in enumerate(b, start=1):
            corner, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, corner + (x != y))
    return row[-1]


def without_stress(phonemes: Iterable[str]) -> tuple[str, ...]:
    """The same phonemes with the stress marks of the vowels taken off.

    >>> without_stress(["HH", "AH0", "L", "OW1"])
    ('HH', 'AH', 'L', 'OW')
    """
    return tuple(phoneme.rstrip("012") for phoneme in phonemes)


def phoneme_errors(said: Sequence[str], accepted: Sequence[Sequence[str]]) -> tuple[int, int]:
    """Edits to the closest accepted pronunciation, and that pronunciation's length; stress counts.

    >>> phoneme_errors(("K", "AE1", "T"), [("K", "AA1", "T"), ("K", "AE1", "T", "S")])
    (1, 3)
    """
    return min((edit_distance(said, word), len(word)) for word in accepted)
