"""Real data that comes with the library: plays, pronunciations, trained networks, images.

Every language model of the book reads the same text, in the same characters, with
the same context, and is judged by the same metric. The splits are fixed: whole
plays, whole words and whole runs of images are kept apart. Sources and licences
stand in ``assets/NOTICE.md``.
"""

import gzip
import hashlib
import io
import json
import lzma
import math
from collections.abc import Callable, Iterator
from functools import cache
from importlib import resources
from itertools import count
from typing import NamedTuple

import numpy as np
import safetensors.torch
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor
from torch.nn import functional

from payattention.attention_maps import AttentionMaps, unpack

SPLITS = ("train", "validation", "test")
# One of each genre, none of them part of a series; about a twentieth of the text each.
VALIDATION_PLAYS = ("king-john", "twelfth-night")
TEST_PLAYS = ("hamlet", "the-tempest")
VOCABULARY = "\n !$&'(),-.0123456789:;?ABCDEFGHIJKLMNOPQRSTUVWXYZ[]abcdefghijklmnopqrstuvwxyz"
"""The characters of the training plays, in the order of their numbers; there are no others."""
FASHION_CLASSES = (
    *("T-shirt", "trousers", "pullover", "dress", "coat"),
    *("sandal", "shirt", "sneaker", "bag", "ankle boot"),
)
"""What the images of clothes show, in the order of their numbers."""
CONTEXT = 128
"""Characters that a language model of the book sees at most."""
MASK = len(VOCABULARY)
"""What stands for a hidden character; a model that fills gaps knows this number as well."""


class Asset(NamedTuple):
    """A file that comes with the library, and what its bytes must be."""

    name: str
    sha256: str


SHAKESPEARE = Asset(
    "shakespeare.json.xz", "5dc446da4cd7e9a8e98b85304c7ffe79701391e3d33a2699bfd60afebcd6655d"
)
CMUDICT = Asset(
    "cmudict.txt.xz", "a015bd92efbd99d42d12ae1ad7a1552be9c4b84025def46699a1064f1e23e54c"
)
SPELLER = Asset("g2p_en.npz", "b8af35e4596d8dd5836dfd3fe9b2ba4f97b9c311efe8879544cbcfcbd566d8c6")
DIGITS = Asset("digits.csv.gz", "09f66e6debdee2cd2b5ae59e0d6abbb73fc2b0e0185d2e1957e9ebb51e23aa22")
FASHION = Asset(
    "fashion_mnist.npy.xz", "8439c01bd6ac4a16b583be167ef476da1b5cfe64403b955d13cea9e40c5762be"
)
MINILM_MAPS = Asset(
    "minilm_maps.npz", "b5653135eaaea4cfb29dce285e36771bf2d363461a7c0f77f17d1c5e691b60e1"
)
PRONOUNCERS = Asset(
    "pronouncers.safetensors", "00b7a4ef31b17bc77928665bb456945afa7733f299462c63ea158537ff975027"
)
GPT = Asset("gpt.safetensors", "91ce414b7b0faa43e68bba3d0d7e8224ff6d2de982b5d449aee5c2cf9d9b5ae6")
VIT = Asset("vit.safetensors", "cb098dfaaa1a179368644fa8a5c06a6ac6f3c6b5e3aff3bfa3801498005d04e2")
ASSETS = (SHAKESPEARE, CMUDICT, SPELLER, DIGITS, FASHION, MINILM_MAPS, PRONOUNCERS, GPT, VIT)

Tokens = Int[Tensor, "batch tokens"]
LanguageModel = Callable[[Tensor], Tensor]


class DataError(RuntimeError):
    """A file that comes with the library is missing or not the one that was packed."""


def content(asset: Asset) -> bytes:
    """The bytes of a file that comes with the library.

    Raises ``DataError`` when it is missing or not the one that was packed.
    """
    path = f"payattention/assets/{asset.name}"
    try:
        packed = resources.files("payattention").joinpath("assets", asset.name).read_bytes()
    except OSError as error:
        raise DataError(f"{path} is missing: install the library again") from error
    if hashlib.sha256(packed).hexdigest() != asset.sha256:
        raise DataError(f"{path} is damaged: install the library again")
    return packed


def _expect_split(split: str) -> None:
    if split not in SPLITS:
        raise ValueError(f"split: got {split!r}; expected one of {SPLITS}")


# Plays


@cache
def plays() -> dict[str, str]:
    """Shakespeare's 37 plays as plain text, by name, in alphabetical order.

    Speakers end in a colon, stage directions and headings stand in lines of their own.
    """
    return json.loads(lzma.decompress(content(SHAKESPEARE)))


@cache
def shakespeare(split: str) -> str:
    """The plays of the split, one after another, with an empty line between them.

    ``VALIDATION_PLAYS`` and ``TEST_PLAYS`` are kept apart; the other 33 are for training.
    """
    _expect_split(split)
    apart = {"validation": VALIDATION_PLAYS, "test": TEST_PLAYS}
    chosen = apart.get(
        split, [name for name in plays() if name not in VALIDATION_PLAYS + TEST_PLAYS]
    )
    return "\n\n".join(plays()[name] for name in chosen)


def encode(text: str) -> Int[Tensor, " tokens"]:
    """Numbers of the characters: their places in ``VOCABULARY``.

    Raises ``ValueError`` for a character that is not in the vocabulary; there is no
    stand-in for it, because a model has learned nothing about one.

    >>> encode("To be").tolist()
    [43, 66, 1, 53, 56]
    """
    codes = np.frombuffer(text.encode("utf-32-le"), dtype=np.uint32)
    places = np.full(max(map(ord, VOCABULARY)) + 2, -1)
    places[[ord(character) for character in VOCABULARY]] = range(len(VOCABULARY))
    ids = places[np.minimum(codes, len(places) - 1)]  # the last place stands for all beyond
    if (ids < 0).any():
        where = int((ids < 0).argmax())
        raise ValueError(
            f"text: character {where} is {text[where]!r}; expected one of {VOCABULARY!r}"
        )
    return torch.from_numpy(ids)


def decode(ids: Int[Tensor, " tokens"]) -> str:
    """The text whose characters have these numbers.

    Raises ``ValueError`` for a number that no character has.
    """
    wrong = [number for number in ids.tolist() if not 0 <= number < len(VOCABULARY)]
    if wrong:
        raise ValueError(f"ids: got {wrong[0]}; expected numbers from 0 to {len(VOCABULARY) - 1}")
    return "".join(VOCABULARY[number] for number in ids.tolist())


def language_batches(
    split: str = "train", *, batch: int, context: int = CONTEXT
) -> Callable[[torch.Generator], tuple[Tokens, Tokens]]:
    """A function that draws a batch: stretches of the split, and the same one character later.

    It takes a generator, and gives the same batch for the same state of it: what
    ``train`` asks of its ``draw``. Stretches start anywhere with equal chance.
    """
    ids = encode(shakespeare(split))
    if batch < 1:
        raise ValueError(f"batch: got {batch}; expected at least 1")
    if not 1 <= context < len(ids):
        raise ValueError(f"context: got {context}; expected 1 to {len(ids) - 1}")

    def draw(generator: torch.Generator) -> tuple[Tokens, Tokens]:
        starts = torch.randint(len(ids) - context, (batch,), generator=generator)
        rows = ids[starts[:, None] + torch.arange(context + 1)]
        return rows[:, :-1], rows[:, 1:]

    return draw


def language_passes(
    split: str = "train",
    *,
    batch: int,
    context: int = CONTEXT,
    starts: Int[Tensor, " stretches"] | None = None,
    seed: int = 0,
) -> Callable[[torch.Generator], tuple[Tokens, Tokens]]:
    """A function that draws batches which go through the split in order, pass after pass.

    A pass shows every stretch of ``context`` characters once, in an order and from a start
    that ``seed`` and the number of the pass decide; so nothing is seen a second time before
    all has been seen once. With ``starts`` it shows the stretches that begin there, and no
    others. It is what ``train`` asks of its ``draw``, with one difference: it counts its
    calls, so that a training cannot be resumed in the middle.

    Raises ``ValueError`` where there are fewer stretches than a batch has, or one that the
    text does not hold.
    """
    ids = encode(shakespeare(split))
    if batch < 1:
        raise ValueError(f"batch: got {batch}; expected at least 1")
    if not 1 <= context < len(ids):
        raise ValueError(f"context: got {context}; expected 1 to {len(ids) - 1}")
    last = len(ids) - context - 1
    if starts is not None and not ((starts >= 0) & (starts <= last)).all():
        raise ValueError(f"starts: got one that is not from 0 to {last}")
    # a pass over all may start anywhere in the first stretch
    stretches = (len(ids) - context) // context if starts is None else len(starts)
    if stretches < batch:
        raise ValueError(f"starts: got {stretches}; expected at least a batch, {batch}")

    def ordered() -> Iterator[Tensor]:
        for again in count():
            generator = torch.Generator().manual_seed(seed * 1_000_003 + again)
            first = torch.randint(context, (1,), generator=generator)
            order = torch.randperm(stretches, generator=generator)
            yield first + context * order if starts is None else starts[order]

    passes = ordered()
    waiting = next(passes)

    def draw(generator: torch.Generator) -> tuple[Tokens, Tokens]:
        nonlocal waiting
        while len(waiting) < batch:
            waiting = torch.cat([waiting, next(passes)])
        drawn, waiting = waiting[:batch], waiting[batch:]
        rows = ids[drawn[:, None] + torch.arange(context + 1)]
        return rows[:, :-1], rows[:, 1:]

    return draw


def masked_batches(
    split: str = "train", *, batch: int, context: int = CONTEXT, hidden: float = 0.15
) -> Callable[[torch.Generator], tuple[Tokens, Tokens, Bool[Tensor, "batch tokens"]]]:
    """A function that draws a batch: stretches with gaps, the same without, and where the gaps are.

    In each stretch the same number of characters, a share ``hidden`` of them, is replaced by
    ``MASK``, wherever they stand. Otherwise as ``language_batches``.
    """
    draw = language_batches(split, batch=batch, context=context)
    gaps = round(hidden * context)
    if not 1 <= gaps <= context:
        raise ValueError(
            f"hidden: got {hidden}; expected a share that hides 1 to {context} of {context}"
        )

    def draw_masked(
        generator: torch.Generator,
    ) -> tuple[Tokens, Tokens, Bool[Tensor, "batch tokens"]]:
        ids, _ = draw(generator)
        places = torch.rand(ids.shape, generator=generator).argsort(dim=1)[:, :gaps]
        where = torch.zeros_like(ids, dtype=torch.bool).scatter(1, places, True)
        return ids.masked_fill(where, MASK), ids, where

    return draw_masked


def letter_bits(split: str = "validation") -> float:
    """Bits for a character of the split, on average, of one who knows only how frequent each is.

    The frequencies are those of the training plays. A model that has learned
    anything of the order of characters needs fewer.
    """
    _expect_split(split)
    counts = torch.bincount(encode(shakespeare("train")), minlength=len(VOCABULARY)).double()
    return -(counts / counts.sum()).log2()[encode(shakespeare(split))].mean().item()


def pair_bits(split: str = "validation") -> float:
    """Bits for a character of the split, on average, of one who knows the character before.

    Pairs are counted in the training plays, each once more than it occurs there.
    """
    _expect_split(split)
    size = len(VOCABULARY)

    def pairs(of: str) -> Int[Tensor, " pairs"]:
        ids = encode("\n" + shakespeare(of))
        return ids[:-1] * size + ids[1:]

    counts = torch.bincount(pairs("train"), minlength=size**2).view(size, size).double() + 1
    bits = -(counts / counts.sum(dim=1, keepdim=True)).log2()
    return bits.flatten()[pairs(split)].mean().item()


@torch.no_grad()
def bits_per_character(
    model: LanguageModel,
    split: str = "validation",
    *,
    stride: int = CONTEXT // 2,
    characters: int | None = None,
    batch: int = 64,
    device: torch.device | str = "cpu",
) -> float:
    """Bits that the model needs for a character of the split, on average: the book's metric.

    Every character is predicted once. A newline goes before the text, so that the
    first has something before it. Windows of ``CONTEXT`` characters start at every
    ``stride``-th; each predicts its characters' successors, and those count that no
    earlier window has predicted. So with the default each character, but for the
    first ones, is predicted from 65 to 128 characters before it; ``stride=CONTEXT``
    is faster and gives it 1 to 128, ``stride=1`` always 128.

    ``model`` takes numbers (batch, tokens) and gives logits (batch, tokens, vocab);
    a module is put into evaluation mode meanwhile. ``characters`` limits the text to
    its beginning.
    """
    if not 1 <= stride <= CONTEXT:
        raise ValueError(f"stride: got {stride}; expected 1 to CONTEXT, {CONTEXT}")
    text = shakespeare(split)
    if characters is not None and not 1 <= characters <= len(text):
        raise ValueError(f"characters: got {characters}; expected 1 to {len(text)}")
    ids = encode("\n" + text[:characters]).to(device)
    training = isinstance(model, torch.nn.Module) and model.training
    if training:
        model.eval()
    try:
        nats = sum(
            functional.cross_entropy(model(inputs)[counted], targets[counted], reduction="sum")
            .double()
            .item()
            for inputs, targets, counted in _windows(ids, stride=stride, batch=batch)
        )
    finally:
        if training:
            model.train()
    return nats / (len(ids) - 1) / math.log(2)


def _windows(
    ids: Tensor, *, stride: int, batch: int
) -> Iterator[tuple[Tokens, Tokens, Bool[Tensor, "batch tokens"]]]:
    """Inputs, targets and which targets count, batch by batch; the last window is filled up."""
    predicted = len(ids) - 1
    starts = torch.arange(0, max(predicted - CONTEXT, 0) + stride, stride, device=ids.device)
    places = starts[:, None] + torch.arange(CONTEXT, device=ids.device)
    new = places >= torch.cat([starts[:1], starts[:-1] + CONTEXT])[:, None]
    counted = new & (places < predicted)
    for rows in range(0, len(starts), batch):
        part = places[rows : rows + batch]
        inputs, targets = ids[part.clamp(max=predicted)], ids[(part + 1).clamp(max=predicted)]
        yield inputs, targets, counted[rows : rows + batch]


# Pronunciations, a network that guesses them, what another one attends to, images


@cache
def _dictionary() -> dict[str, dict[str, tuple[tuple[str, ...], ...]]]:
    splits: dict[str, dict[str, tuple[tuple[str, ...], ...]]] = {split: {} for split in SPLITS}
    for line in lzma.decompress(content(CMUDICT)).decode().splitlines():
        word, *phonemes = line.split()
        entries = splits[_split_of(word)]
        entries[word] = (*entries.get(word, ()), tuple(phonemes))
    return splits


def pronunciations(split: str) -> dict[str, tuple[tuple[str, ...], ...]]:
    """Every pronunciation of each word, most usual first: tuples of ARPAbet phonemes.

    The words of CMUdict that consist of letters only. A hash of the word decides its
    split: one in twenty for validation, one for test, and all its variants with it.

    >>> pronunciations("train")["attention"]
    (('AH0', 'T', 'EH1', 'N', 'SH', 'AH0', 'N'),)
    """
    _expect_split(split)
    return dict(_dictionary()[split])


def _split_of(word: str) -> str:
    twentieth = int.from_bytes(hashlib.sha256(word.encode()).digest()[:8], "big") % 20
    return {0: "test", 1: "validation"}.get(twentieth, "train")


def speller_weights() -> dict[str, np.ndarray]:
    """Weights of the GRU encoder and decoder of g2p-en 2.1.0, float32, as that package names them.

    ``enc_`` reads letters, ``dec_`` writes phonemes, each with embeddings ``emb``
    and PyTorch's ``w_ih, w_hh, b_ih, b_hh``; ``fc_w, fc_b`` give the logits.
    """
    with np.load(io.BytesIO(content(SPELLER)), allow_pickle=False) as arrays:
        return dict(arrays)


def pronouncer_weights(name: str) -> dict[str, Tensor]:
    """Weights of a model of `sequence_to_sequence`, "additive" or "transformer", as float32.

    Raises ``ValueError`` for another name.
    """
    packed = safetensors.torch.load(content(PRONOUNCERS))
    models = sorted({key.partition("/")[0] for key in packed})
    if name not in models:
        raise ValueError(f"name: got {name!r}; expected one of {models}")
    return {
        key.partition("/")[2]: tensor.float()
        for key, tensor in packed.items()
        if key.startswith(f"{name}/")
    }


@cache
def attention_maps() -> tuple[AttentionMaps, ...]:
    """What MiniLM, a pretrained encoder, attends to in eight sentences.

    The two short sentences at the end have their queries and keys too.

    >>> tired = attention_maps()[0]
    >>> " ".join(tired.tokens[8:14])
    'street because it was too tired'
    >>> round(tired.weight(3, 1, "it", "animal"), 2)
    0.68
    """
    return unpack(content(MINILM_MAPS))


def digits(split: str) -> tuple[Float[Tensor, "images 8 8"], Int[Tensor, " images"]]:
    """Handwritten digits, 0 for paper to 1 for ink, and which digits they are.

    1,797 images by 13 people, in the order in which they were collected. Neighbours
    share a hand, so the last two blocks of 270 are kept apart as they are.
    """
    _expect_split(split)
    packed = io.BytesIO(gzip.decompress(content(DIGITS)))
    table = torch.from_numpy(np.loadtxt(packed, delimiter=",", dtype=np.int64))
    part = {"train": table[:-540], "validation": table[-540:-270], "test": table[-270:]}[split]
    return part[:, :64].view(-1, 8, 8).float() / 16, part[:, 64]


@cache
def _fashion() -> UInt8[Tensor, "images pixels_and_class"]:
    return torch.from_numpy(np.load(io.BytesIO(lzma.decompress(content(FASHION)))))


def fashion(split: str) -> tuple[Float[Tensor, "images 28 28"], Int[Tensor, " images"]]:
    """Photographs of clothes, 0 for black to 1 for white, and which of `FASHION_CLASSES` they show.

    An extract of Fashion-MNIST: 10,000 images to train, 2,000 for validation and 2,000 to test, in
    64 steps of grey. Every ten in a row from a multiple of ten hold one of each class.

    >>> images, classes = fashion("test")
    >>> [FASHION_CLASSES[one] for one in classes[:3]]
    ['T-shirt', 'trousers', 'pullover']
    """
    _expect_split(split)
    table = _fashion()
    part = {"train": table[:-4000], "validation": table[-4000:-2000], "test": table[-2000:]}[split]
    return part[:, :-1].view(-1, 28, 28).float() / 63, part[:, -1].long()
