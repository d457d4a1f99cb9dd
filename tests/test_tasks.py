"""Generated tasks: right answers, draws that repeat, wrong sizes refused."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from payattention.tasks import Addition, Needle, PairRecall, Parity, Product, Recall, Repeat, Tones


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@given(gap=st.integers(0, 40), batch=st.integers(1, 9), seed=st.integers(0, 99))
def test_recall(gap, batch, seed):
    task = Recall(gap=gap, symbols=5, distractors=3)
    tokens, answer = task.draw(batch, generator(seed))
    assert tokens.shape == (batch, gap + 2) and answer.shape == (batch,)
    assert torch.equal(tokens[:, 0], answer) and (answer < 5).all()
    assert (tokens[:, -1] == task.vocab - 1).all()
    between = tokens[:, 1:-1]
    assert ((between >= 5) & (between < 8)).all()


@given(pairs=st.integers(1, 11), seed=st.integers(0, 99))
def test_pair_recall(pairs, seed):
    task = PairRecall(pairs=pairs, key_symbols=11, value_symbols=5)
    keys, values, asked, answer = task.draw(7, generator(seed))
    for row in range(7):
        book = dict(zip(keys[row].tolist(), values[row].tolist(), strict=True))
        assert len(book) == pairs  # no key twice
        assert book[int(asked[row])] == int(answer[row])
    assert (values < 5).all() and (keys < 11).all()


@pytest.mark.parametrize("task", [Recall(gap=5), PairRecall(pairs=3)])
def test_the_same_seed_draws_the_same_batch(task):
    first, second, other = (task.draw(4, generator(seed)) for seed in (1, 1, 2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(first, other, strict=True))


def test_every_symbol_is_asked_for():
    _, answer = Recall(gap=1, symbols=5).draw(500, generator())
    assert set(answer.tolist()) == set(range(5))
    assert answer.bincount().min() > 60  # 100 each, were it exact


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Recall(gap=-1), "gap=-1: expected at least 0"),
        (lambda: Recall(gap=1, symbols=1), "symbols=1: expected at least 2"),
        (lambda: Recall(gap=1, distractors=0), "distractors=0: expected at least 1"),
        (lambda: PairRecall(pairs=0), "pairs=0: expected at least 1"),
        (lambda: PairRecall(pairs=65), "pairs=65: expected at most key_symbols=64"),
        (lambda: PairRecall(pairs=2, value_symbols=1), "value_symbols=1: expected at least 2"),
        (lambda: Product(digits=1), "digits=1: expected at least 2"),
        (lambda: Product(digits=18), "digits=18: expected at most 17"),
    ],
)
def test_bad_sizes(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@given(
    stretch=st.integers(2, 7), spare=st.integers(0, 5), fixed=st.booleans(), seed=st.integers(0, 99)
)
def test_repeat(stretch, spare, fixed, seed):
    task = Repeat(stretch=stretch, spare=spare, symbols=13, fixed=fixed)
    tokens, distance = task.draw(5, generator(seed))
    assert tokens.shape == (5, task.tokens) == (5, 2 * stretch + spare)
    for row, apart in zip(tokens.tolist(), distance.tolist(), strict=True):
        second = row[-stretch:]
        first = task.tokens - stretch - apart
        assert row[first : first + stretch] == second
        assert len(set(row)) == stretch + spare  # each symbol of the copies twice, others once
    if fixed:
        assert len(set(distance.tolist())) == 1


def test_the_distance_between_copies_takes_every_value():
    _, distance = Repeat(stretch=3, spare=4).draw(400, generator())
    assert set(distance.tolist()) == {3, 4, 5, 6, 7}


def number(digits):
    """What the digits say, the ones last."""
    return int("".join(map(str, digits)))


@given(digits=st.integers(2, 17), held_out=st.booleans(), seed=st.integers(0, 99))
def test_product(digits, held_out, seed):
    task = Product(digits)
    problem, answer = task.draw(7, generator(seed), held_out=held_out)
    assert problem.shape == (7, digits + 3) and answer.shape == (7, digits + 1)
    assert problem.shape[1] + answer.shape[1] == task.tokens
    for asked, said in zip(problem.tolist(), answer.tolist(), strict=True):
        *number_read, cross, factor, equals = asked
        assert (cross, equals) == (10, 11) and factor == asked[task.FACTOR_AT]
        assert max(number_read + said) < 10
        assert 2 <= factor <= 9 and number(number_read) * factor == number(said)
        assert (number(number_read) % 7 == 0) is held_out  # none is in both


def test_every_number_and_factor_is_drawn_for_training_or_for_tests():
    drawn = set()
    for held_out in (False, True):
        problem, _ = Product(2).draw(9000, generator(), held_out=held_out)
        drawn |= {(number(row[:2]), row[3]) for row in problem.tolist()}
    assert drawn == {(n, factor) for n in range(98) for factor in range(2, 10)}


def test_what_a_digit_depends_on_looks_the_same_in_the_problems_held_out():
    """Any three neighbours among five digits, and so what is carried along them."""
    shares = []
    for held_out in (False, True):
        problem, _ = Product(5).draw(200_000, generator(), held_out=held_out)
        neighbours = (problem[:, 1:4] * torch.tensor([1, 10, 100])).sum(dim=1)
        shares.append(neighbours.bincount(minlength=1000) / len(problem))
    assert (shares[0] - shares[1]).abs().max() < 6 * (2 * 1e-3 / 200_000) ** 0.5


HAY = torch.arange(40) % 7


@given(
    tokens=st.integers(9, 31),
    place=st.sampled_from([None, 0.0, 0.3, 1.0]),
    seed=st.integers(0, 99),
)
def test_needle(tokens, place, seed):
    task = Needle(HAY, text_symbols=7, facts=3, keys=5, values=11)
    ids, answers = task.draw(4, generator(seed), tokens=tokens, place=place)
    assert ids.shape == (4, tokens) and answers.shape == (4, 3)
    assert (ids < task.vocab).all()
    for row, wanted in zip(ids.tolist(), answers.tolist(), strict=True):
        assert len(set(wanted)) == 3  # else one value would be a better guess than another
        text, questions = row[:-3], row[-3:]
        for key, value in zip(questions, wanted, strict=True):
            assert 7 <= key < 12 and text.count(key) == 1
            assert text[text.index(key) + 1] == 12 + value
        hidden = [at for at, token in enumerate(text) if token >= 7]
        assert len(hidden) == 6  # three keys, three values, and nothing else but text
        if place == 0.0:
            assert text.index(questions[-1]) == 0
        if place == 1.0:
            assert text.index(questions[-1]) >= len(text) - 3


def test_the_last_question_is_about_a_fact_anywhere():
    task = Needle(HAY, text_symbols=7, facts=3, keys=5, values=11)
    ids, _ = task.draw(300, generator(), tokens=29)
    at = (ids[:, :-3] == ids[:, -1:]).int().argmax(dim=1)
    assert set(at.tolist()) == set(range(0, 26, 2))


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda: Repeat(stretch=1), "stretch=1: expected at least 2"),
        (lambda: Repeat(spare=-1), "spare=-1: expected at least 0"),
        (lambda: Repeat(stretch=5, spare=2, symbols=6), "symbols=6: expected at least 7"),
        (lambda: Needle(HAY, 7, facts=0), "facts=0: expected at least 1"),
        (lambda: Needle(HAY, 7, facts=9, keys=8), "keys=8: expected at least 9"),
        (lambda: Needle(HAY, 7, facts=1, values=1), "values=1: expected at least 2"),
        (lambda: Needle(HAY, 7, facts=5, values=4), "values=4: expected at least 5"),
        (
            lambda: Needle(HAY, 7, facts=3).draw(2, generator(), tokens=8),
            "tokens=8: expected 9 to 40",
        ),
        (
            lambda: Needle(HAY, 7, facts=3).draw(2, generator(), tokens=41),
            "tokens=41: expected 9 to 40",
        ),
        (
            lambda: Needle(HAY, 7, facts=3).draw(2, generator(), tokens=20, place=1.5),
            "place=1.5: expected 0 to 1",
        ),
    ],
)
def test_wrong_sizes_of_copies_and_needles_are_named(make, complaint):
    with pytest.raises(ValueError, match=complaint):
        make()


def shown(tokens):
    """The number that a row of tokens shows, blanks in front."""
    text = "".join(" " if token == Addition.BLANK else str(token) for token in tokens)
    assert text == text.strip().rjust(len(text))
    return int(text)


@given(
    digits=st.integers(1, 17),
    long=st.integers(0, 17),
    held_out=st.booleans(),
    seed=st.integers(0, 99),
)
def test_addition(digits, long, held_out, seed):
    task = Addition(digits=digits)
    wanted = min(long, digits) or None
    problem, answer, drawn = task.draw(9, generator(seed), digits=wanted, held_out=held_out)
    assert problem.shape == (9, task.read) and answer.shape == (9, task.places)
    assert int(max(problem.max(), answer.max())) < task.vocab
    for row in range(9):
        tokens = problem[row].tolist()
        assert tokens[digits] == task.PLUS and tokens[-1] == task.EQUALS
        one, two = shown(tokens[:digits]), shown(tokens[digits + 1 : -1])
        assert shown(answer[row].tolist()) == one + two
        assert len(str(one)) == len(str(two)) == drawn[row]
        assert ((one + 3 * two) % 7 == 0) == held_out
    assert wanted is None or (drawn == wanted).all()
    first, second = task.numbers(problem)
    again, sums = task.written(first, second)
    assert torch.equal(again, problem) and torch.equal(sums, answer)


def test_reach_is_how_far_one_has_to_look():
    """By trying: the nearest columns that fix a digit, whatever stands to the right of them."""
    task = Addition(digits=3)
    pairs = torch.tensor([[a, b] for a in range(0, 1000, 13) for b in range(4, 1000, 29)])
    reach = task.reach(task.written(*pairs.T)[0])
    for column in range(task.places):  # from the right
        power = 10**column
        digit = pairs.sum(dim=1) // power % 10
        for near in range(column + 1):
            unknown = 10 ** (column - near)
            low = (pairs // unknown * unknown).sum(dim=1)  # the least and the most that it can be
            fixed = low // power % 10 == (low + 2 * (unknown - 1)) // power % 10
            assert torch.equal(fixed, reach[:, task.places - 1 - column] <= near)
            assert torch.equal(digit[fixed], (low // power % 10)[fixed])


def test_every_sum_of_two_digits_is_drawn_for_training_or_for_tests():
    task, seen = Addition(digits=2), set()
    for held_out in (False, True):
        for digits in (1, 2):
            problem, _, _ = task.draw(120_000, generator(1), digits=digits, held_out=held_out)
            seen |= {(int(a), int(b)) for a, b in zip(*task.numbers(problem), strict=True)}
    assert len(seen) == 10**2 + 90**2


def test_numbers_of_all_lengths_are_drawn_equally_often():
    _, _, long = Addition(digits=4).draw(40_000, generator())
    assert torch.bincount(long)[1:].float().div(40_000).sub(0.25).abs().max() < 0.01


@given(bits=st.integers(1, 19), least=st.integers(1, 19), seed=st.integers(0, 99))
def test_parity(bits, least, seed):
    least = min(least, bits)
    x, odd, nonzero = Parity(bits=bits).draw(7, generator(seed), least=least)
    assert x.shape == (7, bits) and least <= int(nonzero.min()) and int(nonzero.max()) <= bits
    for row in range(7):
        values = x[row].tolist()
        assert all(value in (1, -1) for value in values[: nonzero[row]])
        assert not any(values[nonzero[row] :])
        assert odd[row] == values.count(1) % 2


def test_scattered_parities_use_every_place():
    x, odd, nonzero = Parity(bits=8).draw(40_000, generator(), most=4, scattered=True)
    assert torch.equal((x != 0).sum(dim=1), nonzero) and nonzero.max() == 4
    assert torch.equal((x == 1).sum(dim=1) % 2, odd)
    often = (x != 0).double().mean(dim=0)
    torch.testing.assert_close(often, torch.full_like(often, 2.5 / 8), atol=0.01, rtol=0)


def test_both_parities_are_equally_likely():
    _, odd, nonzero = Parity(bits=8).draw(40_000, generator())
    assert abs(odd.float().mean() - 0.5) < 0.01
    assert torch.bincount(nonzero)[1:].float().div(40_000).sub(1 / 8).abs().max() < 0.01


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda: Addition(digits=0), "digits=0: expected at least 1"),
        (lambda: Addition(digits=18), "digits=18: expected at most 17"),
        (lambda: Addition(digits=3).draw(1, generator(), digits=4), "digits=4: expected 1 to 3"),
        (lambda: Parity(bits=0), "bits=0: expected at least 1"),
        (lambda: Parity(bits=4).draw(1, generator(), most=5), "least=1, most=5: expected 1 to 4"),
        (lambda: Parity(bits=4).draw(1, generator(), least=0), "least=0, most=4"),
    ],
)
def test_wrong_sizes_of_sums_and_vectors_are_named(make, complaint):
    with pytest.raises(ValueError, match=complaint):
        make()


class TestTones:
    def heard(self, wave, task):
        """Pitch of each note: the one whose sine and cosine hold the most of it."""
        seconds = torch.arange(task.note_samples) / task.SAMPLES_PER_SECOND
        hertz = task.LOWEST_HERTZ * 2 ** (torch.arange(task.pitches)[:, None] / 6)
        turns = 2 * torch.pi * hertz * seconds
        notes = wave.view(task.notes, task.note_samples)
        strength = (notes @ turns.sin().T).square() + (notes @ turns.cos().T).square()
        return strength.argmax(dim=1)

    @given(notes=st.integers(2, 5), seed=st.integers(0, 99))
    def test_which_way_it_goes_is_what_is_heard(self, notes, seed):
        task = Tones(notes=notes, note_samples=200)
        waves, classes = task.draw(7, generator(seed))
        assert waves.shape == (7, notes * 200)
        for wave, which in zip(waves, classes.tolist(), strict=True):
            steps = self.heard(wave, task).diff()
            assert set(steps.abs().tolist()) <= {1, 2}
            assert sum(2**place for place, step in enumerate(steps) if step > 0) == which

    def test_every_pitch_and_class_is_drawn_and_no_note_alone_tells_which(self):
        task = Tones(notes=3, pitches=7, noise=0)
        waves, classes = task.draw(3000, generator())
        counts = classes.bincount(minlength=task.classes)
        assert counts.min() > 600 and len(counts) == 4
        pitches = torch.stack([self.heard(wave, task) for wave in waves])
        assert set(pitches.flatten().tolist()) == set(range(7))
        for which in range(4):
            assert len(pitches[classes == which][:, 1].unique()) >= 3

    def test_phases_differ_and_noise_is_as_strong_as_asked_for(self):
        pitches = torch.zeros(500, 3, dtype=torch.long)
        clean, noisy = (Tones(noise=n).sound(pitches, generator()) for n in (0, 0.3))
        assert (noisy - clean).std().item() == pytest.approx(0.3, rel=0.02)
        starts = clean.view(500, 3, -1)[..., 0]
        assert starts.mean().abs() < 0.1 and starts.std().item() == pytest.approx(
            0.5**0.5, rel=0.05
        )

    @pytest.mark.parametrize(
        ("sizes", "complaint"),
        [
            ({"notes": 1}, "notes=1: expected at least 2"),
            ({"note_samples": 15}, "note_samples=15: expected at least 16"),
            ({"notes": 4, "pitches": 6}, "pitches=6: expected at least 7"),
            ({"pitches": 19}, "pitches=19: expected at most 18"),
            ({"noise": -0.1}, "noise=-0.1: expected at least 0"),
        ],
    )
    def test_bad_sizes_are_named(self, sizes, complaint):
        with pytest.raises(ValueError, match=complaint):
            Tones(**sizes)
