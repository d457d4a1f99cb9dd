"""Generated tasks: sequences whose answer is known, as hard as one asks.

Every function draws one batch from a `torch.Generator` and returns integer tensors, or waves of
sound with them; the same generator state gives the same batch.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F


def _require(name: str, value: int, least: int) -> None:
    if value < least:
        raise ValueError(f"{name}={value}: expected at least {least}")


@dataclass(frozen=True)
class Recall:
    """One symbol, then `gap` distractors, then a question mark: which symbol was it?

    Symbols are numbered from 0, distractors behind them, the question mark last. Chance is
    1 / symbols.

    >>> tokens, answer = Recall(gap=3).draw(2, torch.Generator().manual_seed(0))
    >>> tokens.shape, bool((tokens[:, 0] == answer).all())
    (torch.Size([2, 5]), True)

    Raises:
        ValueError: for a negative gap, or fewer than 2 symbols or 1 distractor to choose from.
    """

    gap: int
    symbols: int = 8
    distractors: int = 8

    def __post_init__(self) -> None:
        _require("gap", self.gap, 0)
        _require("symbols", self.symbols, 2)
        _require("distractors", self.distractors, 1)

    @property
    def vocab(self) -> int:
        """Number of different tokens."""
        return self.symbols + self.distractors + 1

    def draw(
        self, batch: int, generator: torch.Generator
    ) -> tuple[Int[Tensor, "batch tokens"], Int[Tensor, " batch"]]:
        """Sequences of gap + 2 tokens, and the symbol to be named after each."""
        answer = torch.randint(self.symbols, (batch,), generator=generator)
        noise = torch.randint(self.distractors, (batch, self.gap), generator=generator)
        question = torch.full((batch, 1), self.vocab - 1)
        return torch.cat([answer[:, None], self.symbols + noise, question], dim=1), answer


@dataclass(frozen=True)
class PairRecall:
    """`pairs` different keys, each with a value, then one of the keys again: what was its value?

    Chance is 1 / value_symbols. Source of the task: Arora et al. 2024 (arXiv:2312.04927).

    Raises:
        ValueError: for fewer than 1 pair, more pairs than keys, or fewer than 2 values.
    """

    pairs: int
    key_symbols: int = 64
    value_symbols: int = 16

    def __post_init__(self) -> None:
        _require("pairs", self.pairs, 1)
        _require("value_symbols", self.value_symbols, 2)
        if self.pairs > self.key_symbols:
            raise ValueError(f"pairs={self.pairs}: expected at most key_symbols={self.key_symbols}")

    def draw(
        self, batch: int, generator: torch.Generator
    ) -> tuple[
        Int[Tensor, "batch pairs"],
        Int[Tensor, "batch pairs"],
        Int[Tensor, " batch"],
        Int[Tensor, " batch"],
    ]:
        """Keys, values, the key that is asked for, and the right value."""
        shuffled = torch.rand(batch, self.key_symbols, generator=generator).argsort(dim=1)
        keys = shuffled[:, : self.pairs]
        values = torch.randint(self.value_symbols, (batch, self.pairs), generator=generator)
        which = torch.randint(self.pairs, (batch, 1), generator=generator)
        return keys, values, keys.gather(1, which)[:, 0], values.gather(1, which)[:, 0]


@dataclass(frozen=True)
class Repeat:
    """A stretch of different symbols, some others, and the same stretch again: what comes next?

    Up to `spare` other symbols stand before the stretch, the rest of them between the two copies,
    so that the distance from one copy to the other is random; with `fixed` it is always the same.
    No symbol outside of the copies is one of theirs.

    >>> tokens, distance = Repeat(stretch=3, spare=2).draw(1, torch.Generator().manual_seed(1))
    >>> tokens.tolist(), distance.tolist()
    ([[28, 50, 34, 4, 33, 28, 50, 34]], [5])

    Raises:
        ValueError: for a stretch below 2, negative `spare`, or fewer symbols than are needed.
    """

    stretch: int = 24
    spare: int = 16
    symbols: int = 64
    fixed: bool = False

    def __post_init__(self) -> None:
        _require("stretch", self.stretch, 2)
        _require("spare", self.spare, 0)
        _require("symbols", self.symbols, self.stretch + self.spare)

    @property
    def tokens(self) -> int:
        """Length of a sequence."""
        return 2 * self.stretch + self.spare

    def draw(
        self, batch: int, generator: torch.Generator
    ) -> tuple[Int[Tensor, "batch tokens"], Int[Tensor, " batch"]]:
        """Sequences, and how far apart the two copies stand in each."""
        shuffled = torch.rand(batch, self.symbols, generator=generator).argsort(dim=1)
        stretch, others = shuffled[:, : self.stretch], shuffled[:, self.stretch :]
        before = torch.randint(self.spare + 1, (batch,), generator=generator)
        if self.fixed:
            before = torch.full((batch,), self.spare // 2)
        rows = [
            torch.cat([other[:first], copy, other[first : self.spare], copy])
            for first, copy, other in zip(before.tolist(), stretch, others, strict=True)
        ]
        return torch.stack(rows), self.stretch + self.spare - before


@dataclass(frozen=True)
class Product:
    """A number of so many digits, times a digit from 2 to 9: what is the product?

    A problem is the number, a cross, the factor and an equals sign; the answer has one digit more
    than the number. All are written as people write them, but with zeros in front where there are
    digits to spare. So the first digits of an answer have to be named before those that they carry
    over from. Tokens 0 to 9 are the digits, 10 is the cross, 11 the equals sign.

    Problems whose number is a multiple of 7 are held out: training never draws them, a test draws
    no others. What a digit of the answer depends on looks the same in both, as any digits of a
    multiple of 7 but one can be chosen at will. Up to six of the largest numbers are in neither.

    >>> problem, answer = Product(digits=3).written(torch.tensor([123]), torch.tensor([4]))
    >>> problem.tolist(), answer.tolist()
    ([[1, 2, 3, 10, 4, 11]], [[0, 4, 9, 2]])

    Raises:
        ValueError: for fewer than 2 digits, or more than 17, whose products do not fit in 64 bits.
    """

    digits: int

    CROSS, EQUALS = 10, 11
    FACTORS = range(2, 10)
    FACTOR_AT = -2
    HELD_OUT = 7

    def __post_init__(self) -> None:
        _require("digits", self.digits, 2)
        if self.digits > 17:
            raise ValueError(f"digits={self.digits}: expected at most 17")

    @property
    def vocab(self) -> int:
        """Number of different tokens."""
        return 12

    @property
    def tokens(self) -> int:
        """Length of a problem and its answer."""
        return 2 * self.digits + 4

    def draw(
        self, batch: int, generator: torch.Generator, *, held_out: bool = False
    ) -> tuple[Int[Tensor, "batch read"], Int[Tensor, "batch places"]]:
        """Problems to train on, or those held out, and their answers."""
        sevens = 10**self.digits // self.HELD_OUT
        number = self.HELD_OUT * torch.randint(sevens, (batch,), generator=generator)
        if not held_out:
            number += torch.randint(1, self.HELD_OUT, (batch,), generator=generator)
        first, last = self.FACTORS[0], self.FACTORS[-1]
        return self.written(number, torch.randint(first, last + 1, (batch,), generator=generator))

    def written(
        self, number: Int[Tensor, " batch"], factor: Int[Tensor, " batch"]
    ) -> tuple[Int[Tensor, "batch read"], Int[Tensor, "batch places"]]:
        """Problems made of these numbers and factors, and their answers, as tokens."""
        cross, equals = (torch.full_like(factor, sign) for sign in (self.CROSS, self.EQUALS))
        signs = torch.stack([cross, factor, equals], dim=1)
        problem = torch.cat([_digits(number, self.digits), signs], dim=1)
        return problem, _digits(number * factor, self.digits + 1)


def _digits(number: Int[Tensor, " batch"], digits: int) -> Int[Tensor, "batch digits"]:
    return number[:, None] // 10 ** torch.arange(digits).flip(0) % 10


@dataclass(frozen=True)
class Addition:
    """Two numbers of up to so many digits: what is their sum?

    A problem is a number, a plus, a number and an equals sign; both numbers stand to the right of
    as many places as the longest has digits, with blanks in front, and so does the answer, which
    has a digit more. Both numbers of a problem have the same number of digits, from 1 up, equally
    often; the first digit is not 0, except of numbers of one digit. Tokens 0 to 9 are the digits,
    10 is the plus, 11 the equals sign, 12 the blank.

    Problems whose first number and three times the second together are a multiple of 7 are held
    out: training never draws them, a test draws no others. So a test has every digit in every
    place, and no pair of numbers that was seen.

    >>> problem, answer = Addition(digits=3).written(torch.tensor([95]), torch.tensor([7]))
    >>> problem.tolist(), answer.tolist()
    ([[12, 9, 5, 10, 12, 12, 7, 11]], [[12, 1, 0, 2]])

    Raises:
        ValueError: for fewer than 1 digit, or more than 17, whose sums do not fit in 64 bits.
    """

    digits: int

    PLUS, EQUALS, BLANK = 10, 11, 12
    HELD_OUT = 7

    def __post_init__(self) -> None:
        _require("digits", self.digits, 1)
        if self.digits > 17:
            raise ValueError(f"digits={self.digits}: expected at most 17")

    @property
    def vocab(self) -> int:
        """Number of different tokens."""
        return 13

    @property
    def read(self) -> int:
        """Length of a problem."""
        return 2 * self.digits + 2

    @property
    def places(self) -> int:
        """Length of an answer."""
        return self.digits + 1

    def draw(
        self,
        batch: int,
        generator: torch.Generator,
        *,
        digits: int | None = None,
        held_out: bool = False,
    ) -> tuple[Int[Tensor, "batch read"], Int[Tensor, "batch places"], Int[Tensor, " batch"]]:
        """Problems, answers, and how many digits each number has: any, or so many.

        Raises:
            ValueError: for a number of digits that there is not.
        """
        if digits is not None and not 1 <= digits <= self.digits:
            raise ValueError(f"digits={digits}: expected 1 to {self.digits}")
        long = torch.randint(1, self.digits + 1, (batch,), generator=generator)
        if digits is not None:
            long = torch.full((batch,), digits)
        low = 10 ** (long - 1) * (long > 1)
        size = 10**long - low
        first, second = (
            low + (torch.rand(batch, generator=generator, dtype=torch.float64) * size).long()
            for _ in range(2)
        )
        # to a pair near by that is held out, or away from one; both stay within their digits
        over = (first + 3 * second) % self.HELD_OUT
        down = first - over
        if held_out:
            first = torch.where(down < low, down + self.HELD_OUT, down)
        else:
            first = torch.where(
                over > 0, first, torch.where(first + 1 < low + size, first + 1, first - 1)
            )
        return *self.written(first, second), long

    def written(
        self, first: Int[Tensor, " batch"], second: Int[Tensor, " batch"]
    ) -> tuple[Int[Tensor, "batch read"], Int[Tensor, "batch places"]]:
        """Problems made of these numbers, and their answers, as tokens."""
        plus, equals = (torch.full_like(first, sign)[:, None] for sign in (self.PLUS, self.EQUALS))
        numbers = (self._blanked(number, self.digits) for number in (first, second))
        one, two = numbers
        answer = self._blanked(first + second, self.places)
        return torch.cat([one, plus, two, equals], dim=1), answer

    def reach(self, problems: Int[Tensor, "batch read"]) -> Int[Tensor, "batch places"]:
        """How many columns to its right one has to look at to know each digit of the answer.

        Whether something is carried into a column is settled by the column to its right, unless the
        two digits there sum to 9: then by the next one, and so on. On the right nothing is carried.

        >>> task = Addition(digits=3)
        >>> problems, _ = task.written(torch.tensor([123, 999]), torch.tensor([123, 1]))
        >>> task.reach(problems).tolist()
        [[1, 1, 1, 0], [3, 2, 1, 0]]
        """
        upper, lower = problems[:, : self.digits], problems[:, self.digits + 1 : -1]
        nine = torch.where(upper < 10, upper, 0) + torch.where(lower < 10, lower, 0) == 9
        reach = torch.zeros(len(problems), self.places, dtype=torch.long, device=problems.device)
        for place in range(self.places - 2, -1, -1):
            passes = nine[:, place] & (reach[:, place + 1] > 0)
            reach[:, place] = 1 + torch.where(passes, reach[:, place + 1], 0)
        return reach

    def numbers(
        self, problem: Int[Tensor, "batch read"]
    ) -> tuple[Int[Tensor, " batch"], Int[Tensor, " batch"]]:
        """The two numbers that stand in a problem."""
        digits = problem.where(problem <= 9, 0)
        one, two = digits[:, : self.digits], digits[:, self.digits + 1 : -1]
        powers = 10 ** torch.arange(self.digits).flip(0)
        return (one * powers).sum(dim=1), (two * powers).sum(dim=1)

    def _blanked(self, number: Tensor, digits: int) -> Int[Tensor, "batch digits"]:
        """The number's digits, with blanks for the zeros in front of it."""
        written = _digits(number, digits)
        front = written.cumsum(dim=1) == 0
        front[:, -1] = False
        return written.masked_fill(front, self.BLANK)


@dataclass(frozen=True)
class Parity:
    """A vector of ones, minus ones and zeros: is the number of ones odd?

    The first so many places, from 1 to all, are 1 or -1 by chance, the others 0; how many is drawn
    as well. Where they are `scattered`, any places may be the ones that are not 0. Chance is a
    half. Source: Graves 2016 (arXiv:1603.08983), section 3.1.

    >>> x, odd, nonzero = Parity(bits=8).draw(2, torch.Generator().manual_seed(0))
    >>> x.shape, bool(((x == 1).sum(dim=1) % 2 == odd).all())
    (torch.Size([2, 8]), True)

    Raises:
        ValueError: for fewer than 1 bit.
    """

    bits: int = 8

    def __post_init__(self) -> None:
        _require("bits", self.bits, 1)

    def draw(
        self,
        batch: int,
        generator: torch.Generator,
        *,
        least: int = 1,
        most: int | None = None,
        scattered: bool = False,
    ) -> tuple[Float[Tensor, "batch bits"], Int[Tensor, " batch"], Int[Tensor, " batch"]]:
        """Vectors, 1 where the number of ones is odd, and how many places are not 0.

        Raises:
            ValueError: for bounds of the last that are not 1 <= least <= most <= bits.
        """
        most = self.bits if most is None else most
        if not 1 <= least <= most <= self.bits:
            raise ValueError(f"least={least}, most={most}: expected 1 to {self.bits}, in order")
        nonzero = torch.randint(least, most + 1, (batch,), generator=generator)
        signs = 2 * torch.randint(2, (batch, self.bits), generator=generator) - 1
        places = torch.arange(self.bits).expand(batch, -1)
        if scattered:
            places = torch.rand(batch, self.bits, generator=generator).argsort(dim=1)
        signs = signs * (places < nonzero[:, None])
        return signs.float(), (signs == 1).sum(dim=1) % 2, nonzero


@dataclass(frozen=True)
class Tones:
    """A melody as a wave of sound: from each note to the next, does it go up or down?

    A note is a sine of so many samples, with a phase of its own, and there is noise. Notes are
    whole tones, six to the octave, from 250 Hz up at 4,000 samples a second; a step goes by one or
    two of them, and the melody stands anywhere between the lowest and the highest. So neither the
    phase nor one note alone tells anything. Chance is 1 / classes.

    >>> Tones().draw(2, torch.Generator().manual_seed(0))[0].shape, Tones().classes
    (torch.Size([2, 384]), 4)

    Raises:
        ValueError: for fewer than 2 notes, too few samples for the lowest of them, pitches that a
            melody does not fit into or that go beyond half the rate of the samples, or negative
            noise.
    """

    notes: int = 3
    note_samples: int = 128
    pitches: int = 12
    noise: float = 0.1

    LOWEST_HERTZ = 250.0
    SAMPLES_PER_SECOND = 4000

    def __post_init__(self) -> None:
        _require("notes", self.notes, 2)
        _require("note_samples", self.note_samples, 16)
        _require("pitches", self.pitches, 2 * (self.notes - 1) + 1)
        if self.pitches > 18:
            raise ValueError(f"pitches={self.pitches}: expected at most 18, which is 1,782 Hz")
        if self.noise < 0:
            raise ValueError(f"noise={self.noise}: expected at least 0")

    @property
    def classes(self) -> int:
        """Ways that a melody can go: up or down at each step."""
        return 2 ** (self.notes - 1)

    def draw(
        self, batch: int, generator: torch.Generator
    ) -> tuple[Float[Tensor, "batch samples"], Int[Tensor, " batch"]]:
        """Waves, and which way each melody goes: a number whose bits say up, the first step last.

        Three notes that go up and then down are 1; 2 is down and then up.
        """
        up = torch.randint(2, (batch, self.notes - 1), generator=generator)
        wide = 1 + torch.randint(2, up.shape, generator=generator)
        walk = F.pad(torch.cumsum((2 * up - 1) * wide, dim=1), (1, 0))
        walk = walk - walk.min(dim=1, keepdim=True).values
        room = self.pitches - walk.max(dim=1, keepdim=True).values
        start = (torch.rand(batch, 1, generator=generator) * room).long()
        waves = self.sound(start + walk, generator)
        return waves, (up * 2 ** torch.arange(self.notes - 1)).sum(dim=1)

    def sound(
        self, pitches: Int[Tensor, "batch notes"], generator: torch.Generator
    ) -> Float[Tensor, "batch samples"]:
        """The waves of melodies whose notes are known, in whole tones above the lowest."""
        hertz = self.LOWEST_HERTZ * 2 ** (pitches[..., None] / 6)
        seconds = torch.arange(self.note_samples) / self.SAMPLES_PER_SECOND
        phase = torch.rand(*pitches.shape, 1, generator=generator)
        waves = torch.sin(2 * math.pi * (hertz * seconds + phase)).flatten(1)
        return waves + self.noise * torch.randn(waves.shape, generator=generator)


@dataclass(frozen=True)
class Moons:
    """Points on two half circles that reach into one another, moved a little by chance.

    The upper one is centred on 0, 0, the lower one on 1, 0.5; both have a radius of 1. `noise` is
    the standard deviation of each coordinate.

    >>> points, classes = Moons(noise=0.0).draw(6, torch.Generator().manual_seed(0))
    >>> upper = points[classes == 0]
    >>> bool(torch.allclose(upper.norm(dim=1), torch.ones(len(upper))))
    True

    Raises:
        ValueError: for noise that is negative or not finite.
    """

    noise: float = 0.2

    def __post_init__(self) -> None:
        if not 0 <= self.noise < math.inf:
            raise ValueError(f"noise={self.noise}: expected a finite number from 0 up")

    def draw(
        self, batch: int, generator: torch.Generator
    ) -> tuple[Float[Tensor, "batch 2"], Int[Tensor, " batch"]]:
        """Points, and which of the two half circles each is from."""
        lower = torch.randint(2, (batch,), generator=generator)
        angle = math.pi * torch.rand(batch, generator=generator)
        arc = torch.stack([angle.cos(), angle.sin()], dim=1)
        points = torch.where(lower[:, None] == 1, torch.tensor([1.0, 0.5]) - arc, arc)
        return points + self.noise * torch.randn(batch, 2, generator=generator), lower


@dataclass(frozen=True)
class Needle:
    """Facts hidden in a text, and at its end a question about each of them.

    A fact is a key and the value behind it; a question is a key alone. `text` holds the tokens of
    the haystack, numbered below `text_symbols`; keys are numbered behind them, values behind the
    keys. No key and no value stands in a text twice, so that chance is 1 / values, and 1 / facts
    for one who names any value of the text.

    Raises:
        ValueError: for fewer than 1 fact, or more facts than keys or values.
    """

    text: Int[Tensor, " characters"]
    text_symbols: int
    facts: int = 8
    keys: int = 16
    values: int = 16

    def __post_init__(self) -> None:
        _require("facts", self.facts, 1)
        _require("keys", self.keys, self.facts)
        _require("values", self.values, max(self.facts, 2))

    @property
    def vocab(self) -> int:
        """Number of different tokens."""
        return self.text_symbols + self.keys + self.values

    def draw(
        self, batch: int, generator: torch.Generator, *, tokens: int, place: float | None = None
    ) -> tuple[Int[Tensor, "batch tokens"], Int[Tensor, "batch facts"]]:
        """Texts of `tokens` tokens, and the values asked for by the last of them, from 0.

        The fact that the last token asks for stands at `place` before the questions, 0 the
        beginning of the text and 1 its end, or anywhere; the others stand anywhere.

        Raises:
            ValueError: for texts that do not fit, or a place outside 0 to 1.
        """
        least, most = 3 * self.facts, len(self.text)
        if not least <= tokens <= most:
            raise ValueError(f"tokens={tokens}: expected {least} to {most}")
        if place is not None and not 0 <= place <= 1:
            raise ValueError(f"place={place}: expected 0 to 1")
        starts = torch.randint(most - tokens + 1, (batch, 1), generator=generator)
        ids = self.text[starts + torch.arange(tokens)]
        slots = (tokens - self.facts) // 2  # pairs of neighbours before the questions
        order = torch.rand(batch, slots, generator=generator)
        if place is not None:
            order[:, round(place * (slots - 1))] = 2  # sorted to the end
        at = 2 * order.argsort(dim=1)[:, -self.facts :]
        keys = torch.rand(batch, self.keys, generator=generator).argsort(dim=1)[:, : self.facts]
        values = torch.rand(batch, self.values, generator=generator).argsort(dim=1)
        values = values[:, : self.facts]
        ids.scatter_(1, at, self.text_symbols + keys)
        ids.scatter_(1, at + 1, self.text_symbols + self.keys + values)
        ids[:, -self.facts :] = self.text_symbols + keys
        return ids, values
