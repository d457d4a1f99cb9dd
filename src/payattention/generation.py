"""Writing: one token after another, each drawn from what the model says of the next.

The keys and values of what has been read are kept (the KV cache), so that a new token costs one
pass over itself, not over the whole text again; `cached=False` is the plain form, which gives the
same text. Source of nucleus sampling: Holtzman et al. 2019 (arXiv:1904.09751); of top-k: Fan et al.
2018 (arXiv:1805.04833).
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from payattention import data
from payattention.attention import KeysAndValues
from payattention.patterns import Pattern
from payattention.transformer import Decoder


@dataclass(frozen=True)
class Sampler:
    """How the next token is drawn from the logits.

    They are divided by `temperature`: below 1 the likely become likelier, and 0 takes the
    likeliest. `top_k` leaves the k likeliest; `top_p` the fewest that have that share together, at
    least one. Both together: top_k first.

    >>> halves = torch.tensor([[0.5, 0.25, 0.125, 0.125]])
    >>> Sampler(top_p=0.75).probabilities(halves.log())[0, :2]
    tensor([0.6667, 0.3333])

    Raises:
        ValueError: for a negative temperature, `top_k` that is not a whole number of at least 1,
            `top_p` not above 0 and up to 1.
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.temperature < math.inf:
            raise ValueError(f"temperature={self.temperature}: expected a number of 0 or more")
        whole = isinstance(self.top_k, int) and not isinstance(self.top_k, bool)
        if self.top_k is not None and not (whole and self.top_k >= 1):
            raise ValueError(f"top_k={self.top_k}: expected a whole number of at least 1")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise ValueError(f"top_p={self.top_p}: expected more than 0 and at most 1")

    def probabilities(self, logits: Float[Tensor, "batch vocab"]) -> Float[Tensor, "batch vocab"]:
        """The chance of each token to be drawn; each row sums to 1."""
        if self.temperature == 0:
            likeliest = logits.argmax(dim=-1, keepdim=True)
            return torch.zeros_like(logits).scatter_(-1, likeliest, 1.0)
        # 16 bits are too few to add shares up; and below 0, what is divided cannot become +inf
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        logits = (logits - logits.amax(dim=-1, keepdim=True)) / max(self.temperature, 1e-30)
        if self.top_k is not None and self.top_k < logits.shape[-1]:
            likeliest, places = logits.topk(self.top_k, dim=-1)
            logits = torch.full_like(logits, -math.inf).scatter_(-1, places, likeliest)
        shares = logits.softmax(dim=-1)
        if self.top_p is not None and self.top_p < 1:
            ranked, order = shares.sort(dim=-1, descending=True)
            before = ranked.cumsum(dim=-1) - ranked  # what the likelier ones have together
            kept = torch.zeros_like(shares).scatter_(-1, order, ranked * (before < self.top_p))
            shares = kept / kept.sum(dim=-1, keepdim=True)
        return shares

    def draw(
        self, logits: Float[Tensor, "batch vocab"], generator: torch.Generator | None = None
    ) -> Int[Tensor, " batch"]:
        """A token for each row."""
        if self.temperature == 0:
            return logits.argmax(dim=-1)
        return torch.multinomial(self.probabilities(logits), 1, generator=generator)[:, 0]


GREEDY = Sampler(temperature=0)
"""Always the likeliest token."""


def generate(
    model: Decoder,
    prompts: Int[Tensor, "batch tokens"] | Sequence[Int[Tensor, " _"]],
    *,
    tokens: int,
    sampler: Sampler = GREEDY,
    generator: torch.Generator | None = None,
    mask: Pattern | Literal["causal"] = "causal",
    when_full: Literal["stop", "slide"] = "stop",
    cached: bool = True,
) -> Int[Tensor, "batch longer"] | list[Int[Tensor, " _"]]:
    """Each prompt with `tokens` more tokens: a tensor, or a list where a list was given.

    Prompts of one length are written on side by side; others in groups of one length. A model with
    a `context` reads no more than that: "stop" refuses what it could not read, "slide" lets the
    model forget the first half of what it has read whenever its context is full, and read the rest
    anew from place 0. `mask` says who may look at whom; behind a window, no more is kept than that.

    Raises:
        TypeError: for a prompt that is not a tensor of whole numbers.
        ValueError: for an empty prompt, an id that the model does not have, fewer than 1 token,
            and, with "stop", for a text that does not fit; it names the prompt.
    """
    _expect("tokens", tokens >= 1, tokens, "at least 1")
    _expect("when_full", when_full in ("stop", "slide"), when_full, "'stop' or 'slide'")
    _expect("prompts", len(prompts) >= 1, "none", "at least one")
    for row, prompt in enumerate(prompts):
        _expect_prompt(model, row, prompt, tokens=tokens, stop=when_full == "stop")

    def write(ids: Tensor) -> Tensor:
        new = stream(model, ids, sampler=sampler, generator=generator, mask=mask, cached=cached)
        return torch.stack([next(new) for _ in range(tokens)], dim=1)

    if isinstance(prompts, Tensor):
        return torch.cat([prompts, write(prompts)], dim=1)
    written: dict[int, Tensor] = {}
    for length in sorted({len(prompt) for prompt in prompts}):
        rows = [row for row, prompt in enumerate(prompts) if len(prompt) == length]
        together = torch.stack([prompts[row] for row in rows])
        written |= zip(rows, torch.cat([together, write(together)], dim=1), strict=True)
    return [written[row] for row in range(len(prompts))]


def stream(
    model: Decoder,
    ids: Int[Tensor, "batch tokens"],
    *,
    sampler: Sampler = GREEDY,
    generator: torch.Generator | None = None,
    mask: Pattern | Literal["causal"] = "causal",
    cached: bool = True,
    kept: list[KeysAndValues] | None = None,
) -> Iterator[Int[Tensor, " batch"]]:
    """One more token for each row, again and again without an end, as "slide" does.

    See `generate`, which also checks what it is given. With `kept`, from `model.room`, the text of
    a model without a `context` goes on behind what was read there.
    """
    context = model.shape.context
    new = read = ids if context is None else ids[:, -context:]
    while True:
        with torch.inference_mode():
            if cached:
                kept = model.room(mask) if kept is None else kept
                logits = model.following(new, mask, kept=kept)
            else:
                logits = model.following(read, mask)
            drawn = sampler.draw(logits, generator)
        drawn = drawn.clone()  # an ordinary tensor, which may be trained on
        yield drawn
        new = drawn[:, None]
        if cached and context is None:  # what comes before is kept, or out of sight
            continue
        read = torch.cat([read, new], dim=1)
        if context is not None and read.shape[1] > context:
            new = read = read[:, -(context // 2 + 1) :]
            kept = None


def write(
    model: Decoder,
    prompt: str,
    *,
    characters: int = 200,
    sampler: Sampler = Sampler(temperature=0.8),
    seed: int = 0,
) -> str:
    """The prompt and so many more characters, by a model of the book's `data.VOCABULARY`.

    Raises:
        ValueError: for an empty prompt, a character that is not in the vocabulary, fewer than 1
            character, and a model of another vocabulary.
    """
    _expect("characters", characters >= 1, characters, "at least 1")
    vocab = model.shape.vocab
    _expect("model", vocab == len(data.VOCABULARY), f"vocab={vocab}", "that of data.VOCABULARY")
    ids = data.encode(prompt)[None].to(next(model.parameters()).device)
    generator = torch.Generator(ids.device).manual_seed(seed)
    longer = generate(
        model, ids, tokens=characters, sampler=sampler, generator=generator, when_full="slide"
    )
    return data.decode(longer[0].cpu())


def _expect(name: str, right: bool, got: object, expected: str) -> None:
    if not right:
        raise ValueError(f"{name}: got {got!r}; expected {expected}")


def _expect_prompt(model: Decoder, row: int, ids: Any, *, tokens: int, stop: bool) -> None:
    name, context = f"prompts: prompt {row}", model.shape.context
    if not isinstance(ids, Tensor) or ids.ndim != 1:
        got = f"{ids.ndim} axes" if isinstance(ids, Tensor) else type(ids).__name__
        raise TypeError(f"{name}: got {got}; expected a tensor of one axis, ids of tokens")
    _expect(name, len(ids) >= 1, "no tokens", "at least one")
    if ids.is_floating_point() or ids.dtype == torch.bool:
        raise TypeError(f"{name}: got {ids.dtype}; expected whole numbers, ids of tokens")
    wrong = ids[(ids < 0) | (ids >= model.shape.vocab)]
    if len(wrong):
        _expect(name, False, int(wrong[0]), f"ids from 0 to {model.shape.vocab - 1}")
    read = len(ids) + tokens - 1  # the last one is written and not read
    if stop and context is not None and read > context:
        raise ValueError(
            f"{name} has {len(ids)} tokens; to write {tokens} more, the model would read {read}, "
            f"and its context is {context}; when_full='slide' lets it forget"
        )
