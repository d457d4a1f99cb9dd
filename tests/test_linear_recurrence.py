"""The scan against the loop, and the algebra that allows it."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from payattention import linear_recurrence as lr

NUMBER = st.floats(-2, 2, width=32)
STEP = st.tuples(NUMBER, NUMBER)


@pytest.mark.parametrize("tokens", [1, 2, 3, 7, 8, 13, 64, 101])
def test_scan_equals_loop_with_gradients(tokens):
    generator = torch.Generator().manual_seed(tokens)
    a = torch.rand(2, tokens, 3, generator=generator).requires_grad_()
    b = torch.randn(2, tokens, 3, generator=generator).requires_grad_()
    probe = torch.randn(2, tokens, 3, generator=generator)
    slow, fast = lr.loop(a, b), lr.scan(a, b)
    torch.testing.assert_close(fast, slow, atol=1e-5, rtol=1e-5)

    def gradients(states):  # a is not used by a sequence of one token
        return torch.autograd.grad((states * probe).sum(), (a, b), materialize_grads=True)

    for ours, theirs in zip(gradients(fast), gradients(slow), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)  # products of many terms


def test_loop_by_hand():
    a, b = torch.tensor([2.0, 3.0, 5.0]), torch.tensor([1.0, 1.0, 1.0])
    states = lr.loop(a[None, :, None], b[None, :, None])[0, :, 0]
    assert states.tolist() == [1.0, 4.0, 21.0]


@given(STEP, STEP, STEP)
def test_combine_is_associative(first, second, third):
    left = lr.combine(lr.combine(first, second), third)
    right = lr.combine(first, lr.combine(second, third))
    assert left == pytest.approx(right, abs=1e-9)


@given(STEP, STEP, NUMBER)
def test_combined_step_does_what_the_two_do(first, then, h):
    a, b = lr.combine(first, then)
    assert a * h + b == pytest.approx(then[0] * (first[0] * h + first[1]) + then[1], abs=1e-9)


@given(st.integers(1, 70))
@settings(max_examples=30, deadline=None)
def test_rounds_are_the_rounds_that_the_scan_takes(tokens):
    calls = []
    original = lr.combine
    try:
        lr.combine = lambda *steps: calls.append(1) or original(*steps)
        lr.scan(torch.ones(1, tokens, 1), torch.ones(1, tokens, 1))
    finally:
        lr.combine = original
    assert len(calls) == lr.rounds(tokens)
