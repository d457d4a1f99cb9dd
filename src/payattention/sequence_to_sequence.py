"""From letters to phonemes, with one vector in between or with a look back at every letter.

Three models behind one interface. `GRUPronouncer` reads the word in both directions and writes with
a GRU. Without attention the decoder gets the encoder's last states, one vector, before each phoneme
(Cho et al. 2014, arXiv:1406.1078); with attention it gets a mixture of the encoder's outputs, which
its state asks for anew each time (Bahdanau et al. 2014, arXiv:1409.0473, appendix A). Nothing else
differs. `TransformerPronouncer` does both with attention alone. Stress is left out.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import rnn

from payattention import data
from payattention.attention import AdditiveScores, padding_mask, to_weights
from payattention.pronunciation import CONSONANTS, VOWELS, without_stress
from payattention.shape import TransformerShape
from payattention.transformer import EncoderDecoder

LETTERS = ["<pad>", *"abcdefghijklmnopqrstuvwxyz"]
PHONEMES = ["<pad>", "<s>", "</s>", *sorted(VOWELS.split() + CONSONANTS.split())]
PAD, START, END = range(3)
LETTER_IDS = {letter: i for i, letter in enumerate(LETTERS)}
PHONEME_IDS = {phoneme: i for i, phoneme in enumerate(PHONEMES) if i > END}

# Words and phonemes as numbers


def spell(
    words: Sequence[str],
) -> tuple[Int[Tensor, "batch letters"], Int[Tensor, " batch"]]:
    """Numbers of the letters, filled up to the longest word, and the lengths of the words.

    >>> spell(["ab", "c"])
    (tensor([[1, 2],
            [3, 0]]), tensor([2, 1]))

    Raises:
        ValueError: for no words, or one with other characters than a to z.
    """
    if not words:
        raise ValueError("words: got none; expected at least one")
    for word in words:
        if not (word.isascii() and word.isalpha() and word.islower()):
            raise ValueError(f"word={word!r}: expected letters a to z only")
    rows = [torch.tensor([LETTER_IDS[letter] for letter in word]) for word in words]
    return rnn.pad_sequence(rows, batch_first=True), torch.tensor([len(row) for row in rows])


def transcribe(
    said: Sequence[Sequence[str]],
) -> tuple[Int[Tensor, "batch phonemes"], Int[Tensor, "batch phonemes"]]:
    """What a decoder reads, `<s>` and the phonemes, and what it should write, them and `</s>`.

    >>> before, after = transcribe([("AY",)])
    >>> [PHONEMES[i] for i in before[0]], [PHONEMES[i] for i in after[0]]
    (['<s>', 'AY'], ['AY', '</s>'])

    Raises:
        ValueError: for what is no phoneme; stress marks are not part of one.
    """
    try:
        rows = [torch.tensor([START, *(PHONEME_IDS[p] for p in one), END]) for one in said]
    except KeyError as error:
        raise ValueError(f"said: got {error}; expected some of {PHONEMES[END + 1 :]}") from None
    before = rnn.pad_sequence([row[:-1] for row in rows], batch_first=True)
    return before, rnn.pad_sequence([row[1:] for row in rows], batch_first=True)


@dataclass(frozen=True)
class Reading:
    """A batch of words, read: a vector for each letter, which of them count, and the last state."""

    vectors: Float[Tensor, "batch letters d_vector"]
    mask: Bool[Tensor, "batch 1 letters"]
    last: Float[Tensor, "batch d_vector"] | None = None


# Models


class Pronouncer(nn.Module):
    """What the models share: writing phoneme after phoneme, each time the likeliest.

    A model offers `read`; `start` and `step`, for one phoneme after another; `forward`, for all at
    once when they are known; and, if it has attention, `weights`.
    """

    @torch.no_grad()
    def pronounce(self, words: Sequence[str], *, longest: int = 40) -> list[tuple[str, ...]]:
        """Phonemes of each word, in the order given, at most `longest` of them.

        Raises:
            ValueError: for a word with other characters than a to z.
        """
        said: dict[str, tuple[str, ...]] = {}
        distinct = sorted(set(words), key=lambda word: (len(word), word))
        for start in range(0, len(distinct), 512):
            some = distinct[start : start + 512]
            for word, row in zip(some, self._write(*spell(some), longest).tolist(), strict=True):
                end = row.index(END) if END in row else len(row)
                said[word] = tuple(PHONEMES[i] for i in row[:end])
        return [said[word] for word in words]

    def _write(self, letters: Tensor, lengths: Tensor, longest: int) -> Tensor:
        reading = self.read(letters, lengths)
        state, before = self.start(reading), torch.full_like(lengths, START)
        written, done = [], torch.zeros_like(lengths, dtype=torch.bool)
        while len(written) < longest and not done.all():
            logits, state = self.step(reading, state, before)
            before = logits[:, END:].argmax(dim=-1) + END  # never padding, nor another start
            written.append(before)
            done = done | (before == END)
        return torch.stack(written, dim=1)

    @torch.no_grad()
    def alignment(
        self, word: str, phonemes: Sequence[str] | None = None
    ) -> Float[Tensor, "phonemes letters"]:
        """How much each phoneme, and behind the last the end mark, looks at each letter.

        The phonemes are those that the model itself writes, unless others are given.

        Raises:
            ValueError: for a bad word, what is no phoneme, or a model without attention.
        """
        said = self.pronounce([word])[0] if phonemes is None else phonemes
        return self.weights(*spell([word]), transcribe([said])[0])[0]


class GRUPronouncer(Pronouncer):
    """A GRU that reads both ways and a GRU that writes, with additive attention or one vector."""

    def __init__(self, d_hidden: int, *, attention: bool, d_embedding: int = 64) -> None:
        super().__init__()
        if d_hidden < 2 or d_hidden % 2:
            raise ValueError(f"d_hidden={d_hidden}: expected an even number, half for each way")
        self.letters = nn.Embedding(len(LETTERS), d_embedding)
        self.phonemes = nn.Embedding(len(PHONEMES), d_embedding)
        self.encoder = nn.GRU(d_embedding, d_hidden // 2, bidirectional=True, batch_first=True)
        self.first = nn.Linear(d_hidden, d_hidden)
        self.decoder = nn.GRUCell(d_embedding + d_hidden, d_hidden)
        self.output = nn.Linear(2 * d_hidden, len(PHONEMES))
        self.scores = None
        if attention:
            self.scores = AdditiveScores(d_query=d_hidden, d_key=d_hidden, d_score=d_hidden // 2)

    def read(
        self, letters: Int[Tensor, "batch letters"], lengths: Int[Tensor, " batch"]
    ) -> Reading:
        """A vector for each letter, and the last state of each direction; padding is not read."""
        mask = padding_mask(lengths, tokens=letters.shape[1])
        # packed, the backward direction starts at each word's own end
        packed = rnn.pack_padded_sequence(
            self.letters(letters), lengths.cpu(), batch_first=True, enforce_sorted=False
        )
        vectors, last = self.encoder(packed)
        vectors, _ = rnn.pad_packed_sequence(
            vectors, batch_first=True, total_length=letters.shape[1]
        )
        return Reading(vectors, mask, torch.cat([*last], dim=-1))

    def start(self, reading: Reading) -> Float[Tensor, "batch d_hidden"]:
        """The decoder's state before the first phoneme."""
        return torch.tanh(self.first(reading.last))

    def step(
        self,
        reading: Reading,
        state: Float[Tensor, "batch d_hidden"],
        before: Int[Tensor, " batch"],
    ) -> tuple[Float[Tensor, "batch vocab"], Float[Tensor, "batch d_hidden"]]:
        """Logits of the phoneme after `before`, and the state with which to go on."""
        if self.scores is None:
            context = reading.last
        else:
            context = (self._look(reading, state) @ reading.vectors)[:, 0]
        state = self.decoder(torch.cat([self.phonemes(before), context], dim=-1), state)
        return self.output(torch.cat([state, context], dim=-1)), state

    def _look(self, reading: Reading, state: Tensor) -> Tensor:
        return to_weights(self.scores(state[:, None], reading.vectors), reading.mask)

    def forward(
        self,
        letters: Int[Tensor, "batch letters"],
        lengths: Int[Tensor, " batch"],
        before: Int[Tensor, "batch phonemes"],
    ) -> Float[Tensor, "batch phonemes vocab"]:
        """Logits of what follows each phoneme of `before`."""
        reading = self.read(letters, lengths)
        state, logits = self.start(reading), []
        for phoneme in before.unbind(dim=1):
            out, state = self.step(reading, state, phoneme)
            logits.append(out)
        return torch.stack(logits, dim=1)

    def weights(
        self,
        letters: Int[Tensor, "batch letters"],
        lengths: Int[Tensor, " batch"],
        before: Int[Tensor, "batch phonemes"],
    ) -> Float[Tensor, "batch phonemes letters"]:
        """Where the decoder looks for what follows each phoneme of `before`.

        Raises:
            ValueError: for a model without attention.
        """
        if self.scores is None:
            raise ValueError("attention=False: this model has one vector and looks at no letter")
        reading = self.read(letters, lengths)
        state, looks = self.start(reading), []
        for phoneme in before.unbind(dim=1):
            looks.append(self._look(reading, state)[:, 0])
            _, state = self.step(reading, state, phoneme)
        return torch.stack(looks, dim=1)


class TransformerPronouncer(Pronouncer):
    """A small Transformer that reads letters and writes phonemes."""

    def __init__(self, d_model: int, *, layers: int = 2, heads: int = 4, d_ff: int = 256) -> None:
        super().__init__()
        shape = TransformerShape(
            layers=layers,
            d_model=d_model,
            heads=heads,
            kv_heads=heads,
            d_ff=d_ff,
            vocab=len(PHONEMES),
        )
        self.model = EncoderDecoder(shape, vocab_read=len(LETTERS))

    def read(
        self, letters: Int[Tensor, "batch letters"], lengths: Int[Tensor, " batch"]
    ) -> Reading:
        """A vector for each letter."""
        mask = padding_mask(lengths, tokens=letters.shape[1])
        return Reading(self.model.encode(letters, mask), mask)

    def start(self, reading: Reading) -> Int[Tensor, "batch 0"]:
        """What is written so far: nothing."""
        return torch.empty(len(reading.vectors), 0, dtype=torch.long, device=reading.mask.device)

    def step(
        self, reading: Reading, state: Int[Tensor, "batch written"], before: Int[Tensor, " batch"]
    ) -> tuple[Float[Tensor, "batch vocab"], Int[Tensor, "batch more"]]:
        """Logits of the phoneme after `before`, and what is written so far; nothing is cached."""
        state = torch.cat([state, before[:, None]], dim=1)
        return self.model.decode(state, reading.vectors, reading.mask)[:, -1], state

    def forward(
        self,
        letters: Int[Tensor, "batch letters"],
        lengths: Int[Tensor, " batch"],
        before: Int[Tensor, "batch phonemes"],
    ) -> Float[Tensor, "batch phonemes vocab"]:
        """Logits of what follows each phoneme of `before`."""
        reading = self.read(letters, lengths)
        return self.model.decode(before, reading.vectors, reading.mask)

    def weights(
        self,
        letters: Int[Tensor, "batch letters"],
        lengths: Int[Tensor, " batch"],
        before: Int[Tensor, "batch phonemes"],
    ) -> Float[Tensor, "batch phonemes letters"]:
        """Where the last layer of the decoder looks for what follows: the mean over its heads."""
        reading = self.read(letters, lengths)
        return self.model.alignment(before, reading.vectors, reading.mask)[-1].mean(dim=1)


# The three models, and their training

MODELS: dict[str, Callable[[], Pronouncer]] = {
    "vector": lambda: GRUPronouncer(134, attention=False),
    "additive": lambda: GRUPronouncer(128, attention=True),
    "transformer": lambda: TransformerPronouncer(64, layers=2, heads=4, d_ff=224),
}
"""A GRU with one vector, one with attention, a Transformer: about 222,000 parameters each."""


def build(name: str, *, seed: int) -> Pronouncer:
    """One of `MODELS`, untrained; the global generator stays as it was.

    Raises:
        ValueError: for a name that is not in `MODELS`.
    """
    if name not in MODELS:
        raise ValueError(f"name={name!r}: expected one of {', '.join(MODELS)}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return MODELS[name]()


def trained(name: str) -> Pronouncer:
    """The model with the weights that come with the library, in evaluation mode.

    There are weights of "additive" and of "transformer", in half precision.

    >>> " ".join(trained("additive").pronounce(["knight"])[0])
    'N AY T'

    Raises:
        ValueError: for a name without weights.
    """
    weights = data.pronouncer_weights(name)
    model = build(name, seed=0)
    model.load_state_dict(weights)
    return model.eval()


Batch = tuple[Tensor, Tensor, Tensor, Tensor]
"""Letters, lengths, phonemes before and phonemes after."""


def batches(split: str = "train", *, batch: int) -> Callable[[torch.Generator], Batch]:
    """A function that draws a batch of dictionary words with their most usual pronunciation.

    All words of a batch have the same number of letters, so that none is filled up. A length is
    drawn as often as it has words, so that every word has the same chance.
    """
    if batch < 1:
        raise ValueError(f"batch={batch}: expected at least 1")
    dictionary = data.pronunciations(split)
    counts = torch.bincount(torch.tensor([len(word) for word in dictionary])).float()
    by_length = [[word for word in dictionary if len(word) == n] for n in range(len(counts))]

    def draw(generator: torch.Generator) -> Batch:
        words = by_length[int(torch.multinomial(counts, 1, generator=generator))]
        rows = torch.randint(len(words), (batch,), generator=generator)
        drawn = [words[row] for row in rows]
        return *spell(drawn), *transcribe([without_stress(dictionary[w][0]) for w in drawn])

    return draw


def loss(model: nn.Module, batch: Any) -> Tensor:
    """Cross-entropy of the phonemes and end marks, padding left out."""
    letters, lengths, before, after = batch
    logits = model(letters, lengths, before)
    return F.cross_entropy(logits.flatten(0, 1), after.flatten(), ignore_index=PAD)
