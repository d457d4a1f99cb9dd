"""Generated tasks: right answers, draws that repeat, wrong sizes refused."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from payattention.tasks import PairRecall, Recall


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
    ],
)
def test_bad_sizes(make, message):
    with pytest.raises(ValueError, match=message):
        make()
