"""What a pattern allows is one rule, told three ways: pair by pair, as a mask, as grids."""

from dataclasses import dataclass

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from payattention.cost import operations
from payattention.patterns import (
    CAUSAL,
    FULL,
    Blocks,
    Global,
    Pattern,
    RandomBlocks,
    Strided,
    Summaries,
    Window,
    allowed,
    causal_window,
    fixed,
    strided,
)

ATOMS = {
    "causal": CAUSAL,
    "full": FULL,
    "window": Window(5),
    "wide window": Window(300),
    "strided": Strided(7),
    "blocks": Blocks(11),
    "summaries": Summaries(6, 2),
    "global": Global(3),
    "random": RandomBlocks(2, 8, tokens=400),
    "random, past": RandomBlocks(2, 8, tokens=400, past=True, seed=1),
}
atoms = st.sampled_from(list(ATOMS.values()))
patterns = st.recursive(
    atoms,
    lambda inner: st.one_of(
        st.builds(lambda a, b: a | b, inner, inner),
        st.builds(lambda a, b: a & b, inner, inner),
        st.builds(lambda a: ~a, inner),
    ),
    max_leaves=4,
)


def by_hand(rule, tokens):
    return torch.tensor([[rule(i, j) for j in range(tokens)] for i in range(tokens)])


@pytest.mark.parametrize(
    ("pattern", "rule"),
    [
        (CAUSAL, lambda i, j: j <= i),
        (FULL, lambda i, j: True),
        (Window(4), lambda i, j: abs(i - j) < 4),
        (causal_window(4), lambda i, j: 0 <= i - j < 4),
        (Strided(5), lambda i, j: (i - j) % 5 == 0),
        (Blocks(5), lambda i, j: i // 5 == j // 5),
        (Summaries(5, 2), lambda i, j: j % 5 >= 3),
        (Global(3), lambda i, j: i < 3 or j < 3),
        (strided(5), lambda i, j: j <= i and (i - j < 5 or (i - j) % 5 == 0)),
        (fixed(5, count=2), lambda i, j: j <= i and (i // 5 == j // 5 or j % 5 >= 3)),
        (~CAUSAL, lambda i, j: j > i),
    ],
)
def test_rules_are_what_they_say(pattern, rule):
    assert torch.equal(pattern.mask(23), by_hand(rule, 23))


@settings(max_examples=60, deadline=None)
@given(patterns, st.integers(1, 90))
def test_grids_hold_each_allowed_pair_once(pattern, tokens):
    counted = torch.zeros(tokens, tokens, dtype=torch.long)
    for grid in pattern.grids(tokens):
        assert grid.rows.min() >= 0 and grid.rows.max() < tokens
        pairs = allowed(grid, tokens)
        rows = grid.rows[:, :, None].expand(pairs.shape)[pairs]
        columns = grid.columns[:, None, :].expand(pairs.shape)[pairs]
        counted.index_put_((rows, columns), torch.ones_like(rows), accumulate=True)
    mask = pattern.mask(tokens)
    assert torch.equal(counted, mask.long())
    assert pattern.pairs(tokens) == int(mask.sum())


@settings(max_examples=40, deadline=None)
@given(patterns, st.integers(1, 60), st.integers(0, 30))
def test_a_longer_text_changes_nothing_in_a_shorter(pattern, tokens, more):
    longer = pattern.mask(tokens + more)
    assert torch.equal(longer[:tokens, :tokens], pattern.mask(tokens))


@settings(max_examples=40, deadline=None)
@given(patterns, patterns, st.integers(1, 40))
def test_joined_as_sets_are(one, other, tokens):
    a, b = one.mask(tokens), other.mask(tokens)
    assert torch.equal((one | other).mask(tokens), a | b)
    assert torch.equal((one & other).mask(tokens), a & b)
    assert torch.equal((~one).mask(tokens), ~a)


@settings(max_examples=40, deadline=None)
@given(patterns, st.integers(1, 60))
def test_nobody_who_looks_back_looks_further_than_told(pattern, tokens):
    if pattern.furthest is None:
        return
    rows, columns = pattern.mask(tokens).nonzero(as_tuple=True)
    assert ((rows - columns) < pattern.furthest).all()


@pytest.mark.parametrize("window", [1, 5, 64, 1000])
@pytest.mark.parametrize("tokens", [1, 7, 63, 300])
def test_windows_are_billed_as_they_count(window, tokens):
    assert causal_window(window).pairs(tokens) == operations.needed_pairs(tokens, window=window)
    assert CAUSAL.pairs(tokens) == operations.needed_pairs(tokens)


def test_reach_grows_by_a_window_less_one_in_each_layer():
    steps = causal_window(4).reach(20, layers=5)
    assert steps.flip(0).tolist() == [1] * 4 + [2] * 3 + [3] * 3 + [4] * 3 + [5] * 3 + [0] * 4


def test_strided_and_fixed_reach_everything_in_two_layers():
    for pattern in (strided(8), fixed(8)):
        assert set(pattern.reach(64, layers=2).tolist()) == {1, 2}
        assert 0 in pattern.reach(64, layers=1)


def test_reach_is_that_of_products_of_masks():
    pattern, mask = strided(5) | Global(1), (strided(5) | Global(1)).mask(31).double()
    reached = torch.eye(31).double()
    found = torch.zeros(31, dtype=torch.long)
    for layer in range(1, 4):
        reached = reached @ mask
        found[(reached[-1] > 0) & (found == 0)] = layer
    assert torch.equal(pattern.reach(31, layers=3), found)


def test_random_blocks_are_drawn_once_and_evenly():
    pattern = RandomBlocks(3, 4, tokens=4000)
    mask = pattern.mask(400)
    assert torch.equal(mask, RandomBlocks(3, 4, tokens=4000).mask(400))
    assert not torch.equal(mask, RandomBlocks(3, 4, tokens=4000, seed=1).mask(400))
    blocks = torch.arange(1000)
    drawn = torch.cat([pattern.drawn(blocks, choice) for choice in range(3)])
    times = torch.bincount(drawn, minlength=1000)
    # of 3,000 draws from 1,000, as many are never drawn as chance leaves out: 1,000 / e^3 = 50
    assert 25 < int((times == 0).sum()) < 80 and int(times.max()) < 15
    past = RandomBlocks(3, 4, tokens=4000, past=True).mask(400)
    rows, columns = past.nonzero(as_tuple=True)
    assert (columns // 4 <= rows // 4).all()
    assert set(past.sum(dim=1).tolist()) == {4, 8, 12}
    assert past[:4].sum(dim=1).tolist() == [4] * 4  # the first block has itself alone


def test_a_rule_alone_makes_a_pattern():
    @dataclass(frozen=True)
    class Odd(Pattern):
        def allows(self, rows, columns):
            return (rows + columns) % 2 == 1

    assert Odd().pairs(301) == int(Odd().mask(301).sum())
    assert (CAUSAL & Odd()).furthest is None


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: Window(0), "size: got 0; expected a whole number of at least 1"),
        (lambda: Strided(-3), "stride: got -3"),
        (lambda: Blocks(True), "size: got True"),
        (lambda: Summaries(4, 5), "count: got 5; expected at most size, 4"),
        (lambda: Global(-1), "count: got -1"),
        (lambda: RandomBlocks(1, 0, tokens=8), "size: got 0"),
        (lambda: CAUSAL.mask(0), "tokens: got 0"),
        (lambda: CAUSAL.reach(4, layers=0), "layers: got 0"),
    ],
)
def test_bad_input_is_named(make, told):
    with pytest.raises(ValueError, match=told):
        make()
