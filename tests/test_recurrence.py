"""Recurrent cells against torch.nn, gradient norms against autograd, and their bounds."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from payattention import recurrence
from payattention.recurrence import CellWeights, Recurrent
from payattention.shape import RecurrentShape

CELLS = ["rnn", "lstm", "gru"]
TORCH_CELLS = {"rnn": nn.RNNCell, "lstm": nn.LSTMCell, "gru": nn.GRUCell}


def layer(cell: str, d_input: int = 5, d_hidden: int = 7, seed: int = 0) -> Recurrent:
    torch.manual_seed(seed)
    return Recurrent(RecurrentShape(cell, d_input=d_input, d_hidden=d_hidden))


@pytest.mark.parametrize("cell", CELLS)
@given(batch=st.sampled_from([1, 2, 11]), seed=st.integers(0, 99))
@settings(max_examples=15, deadline=None)
def test_cell_equals_torch(cell, batch, seed):
    torch.manual_seed(seed)
    theirs = TORCH_CELLS[cell](5, 7)
    weights = CellWeights(theirs.weight_ih, theirs.weight_hh, theirs.bias_ih, theirs.bias_hh)
    x, h = torch.randn(batch, 5), torch.randn(batch, 7)
    state = (h, torch.randn(batch, 7)) if cell == "lstm" else h
    ours = recurrence.CELLS[cell](x, state, weights)
    torch.testing.assert_close(ours, theirs(x, state), atol=1e-6, rtol=0)


@pytest.mark.parametrize("cell", CELLS)
def test_loop_equals_kernel_with_gradients(cell):
    x = torch.randn(3, 13, 5, requires_grad=True)
    a = layer(cell)
    fast, slow = a(x), a.unroll(x)
    torch.testing.assert_close(slow, fast, atol=1e-6, rtol=0)
    probe = torch.randn_like(fast)
    wanted = [*a.parameters(), x]
    for ours, theirs in zip(
        torch.autograd.grad((slow * probe).sum(), wanted),
        torch.autograd.grad((fast * probe).sum(), wanted),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("cell", CELLS)
def test_the_past_does_not_see_the_future(cell):
    a, x = layer(cell), torch.randn(2, 11, 5)
    changed = x.clone()
    changed[:, 7:] += 1
    assert torch.equal(a.unroll(x)[:, :7], a.unroll(changed)[:, :7])
    assert not torch.equal(a.unroll(x)[:, 7:], a.unroll(changed)[:, 7:])


@pytest.mark.parametrize("cell", CELLS)
def test_gradient_norms_equal_autograd_through_the_kernel(cell):
    """Two roads: products of Jacobians, and autograd of the whole run of torch's own cell."""
    a, x = layer(cell, d_hidden=3), torch.randn(6, 5)
    norms = recurrence.gradient_norms(a, x)
    theirs = TORCH_CELLS[cell](5, 3).double()
    theirs.load_state_dict(dict(zip(theirs.state_dict(), a.weights, strict=True)))

    def run(state, first):
        state = tuple(state.chunk(2, dim=-1)) if cell == "lstm" else state
        for token in x.double()[first:]:
            state = theirs(token[None], state)
        return torch.cat(state, dim=-1) if cell == "lstm" else state

    start = torch.zeros(1, a.shape.state_size, dtype=torch.float64)
    whole = torch.autograd.functional.jacobian(lambda s: run(s, 0), start)[0, :, 0]
    torch.testing.assert_close(norms[-1], torch.linalg.matrix_norm(whole, ord=2))
    assert norms.shape == (6,)


def test_gradient_norms_obey_the_spectral_bound():
    a = layer("rnn", d_hidden=11)
    gaps = torch.arange(1, 41).double()
    norms = recurrence.gradient_norms(a, torch.randn(40, 5))
    assert (norms <= recurrence.spectral_bound(a, gaps) * (1 + 1e-6)).all()


def test_bound_is_reached_without_inputs_by_an_orthogonal_matrix():
    """tanh'(0) = 1: with zero input and zero state, the norm is exactly ||W||^gap."""
    a = layer("rnn", d_hidden=11)
    with torch.no_grad():
        nn.init.orthogonal_(a.kernel.weight_hh_l0)
        a.kernel.weight_hh_l0.mul_(0.9)
        a.kernel.bias_ih_l0.zero_()
        a.kernel.bias_hh_l0.zero_()
    gaps = torch.arange(1, 21).double()
    norms = recurrence.gradient_norms(a, torch.zeros(20, 5))
    torch.testing.assert_close(norms, 0.9**gaps, rtol=1e-5, atol=0)
    torch.testing.assert_close(recurrence.spectral_bound(a, gaps), 0.9**gaps, rtol=1e-4, atol=0)


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_memory_gate_keeps_the_share_that_it_says(cell):
    """Without input and with zero weights, the state shrinks by the gate at each token."""
    a = layer(cell)
    with torch.no_grad():
        for parameter in a.parameters():
            parameter.zero_()
    recurrence.set_memory_gate(a, torch.full((7,), 2.0))
    kept = torch.full((1, 7), 0.5)
    state = (torch.zeros(1, 7), kept) if cell == "lstm" else kept
    after = a.step(torch.zeros(1, 5), state)
    after = after[1] if cell == "lstm" else after
    torch.testing.assert_close(after, 0.5 * torch.sigmoid(torch.tensor(2.0)).expand(1, 7))


def test_what_an_lstm_keeps_is_not_drowned_by_what_it_writes():
    """The input gate is closed by as much as the forget gate is open."""
    a = layer("lstm")
    with torch.no_grad():
        for parameter in a.parameters():
            parameter.zero_()
        a.weights.bias_ih[14:21] = 1.0  # what the candidate would write is tanh(1)
    recurrence.set_memory_gate(a, torch.full((7,), 2.0))
    _, c = a.step(torch.zeros(1, 5), (torch.zeros(1, 7), torch.full((1, 7), 0.5)))
    open_gate, written = torch.sigmoid(torch.tensor(2.0)), torch.tanh(torch.tensor(1.0))
    torch.testing.assert_close(c, (open_gate * 0.5 + (1 - open_gate) * written).expand(1, 7))


def test_gates_need_a_gate():
    with pytest.raises(ValueError, match="plain 'rnn' has no gate"):
        recurrence.set_memory_gate(layer("rnn"), torch.zeros(7))
    with pytest.raises(ValueError, match="the bound holds for cell 'rnn', not 'gru'"):
        recurrence.spectral_bound(layer("gru"), torch.ones(1).double())


def test_memory_gates_cover_every_length_up_to_the_longest():
    biases = recurrence.memory_gate_for(100, 5000, torch.Generator().manual_seed(0))
    kept = torch.sigmoid(biases)
    lengths = 1 / (1 - kept)  # tokens until 1/e is left, nearly
    assert 2.0 <= lengths.min() < 3 and 99 < lengths.max() <= 100
    torch.testing.assert_close(lengths.mean(), torch.tensor(51.0), rtol=0.02, atol=0)
    with pytest.raises(ValueError, match="longest=1: expected at least 2"):
        recurrence.memory_gate_for(1, 3, torch.Generator())
