"""Recurrent cells, written as their equations, and what they leave of a gradient.

A cell turns an input and a state into the next state; a layer does so token after token, and each
token waits for the one before. The equations are those of `torch.nn` (its two bias vectors, its
order of gates, and for the GRU the reset gate behind the product with the state), so that weights
can be copied either way.

Sources: Elman 1990; Hochreiter and Schmidhuber 1997; Cho et al. 2014 (arXiv:1406.1078).
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from payattention.shape import RecurrentShape


class CellWeights(NamedTuple):
    """Weights of one cell; the rows of an LSTM are input, forget, candidate, output gate, those of
    a GRU reset, update, candidate."""

    weight_ih: Float[Tensor, "rows d_input"]
    weight_hh: Float[Tensor, "rows d_hidden"]
    bias_ih: Float[Tensor, " rows"]
    bias_hh: Float[Tensor, " rows"]


State = Float[Tensor, "batch d_hidden"]
LSTMState = tuple[State, State]


def rnn_cell(x: Float[Tensor, "batch d_input"], h: State, w: CellWeights) -> State:
    """Next state of the plain RNN: one affine map of input and state, squashed by tanh."""
    return torch.tanh(x @ w.weight_ih.T + w.bias_ih + h @ w.weight_hh.T + w.bias_hh)


def lstm_cell(
    x: Float[Tensor, "batch d_input"],
    state: LSTMState,
    w: CellWeights,
) -> LSTMState:
    """Next state (h, c) of the LSTM: gates scale the old c, add to it, and show it."""
    h, c = state
    gates = x @ w.weight_ih.T + w.bias_ih + h @ w.weight_hh.T + w.bias_hh
    write, forget, candidate, show = gates.chunk(4, dim=-1)
    c = torch.sigmoid(forget) * c + torch.sigmoid(write) * torch.tanh(candidate)
    return torch.sigmoid(show) * torch.tanh(c), c


def gru_cell(x: Float[Tensor, "batch d_input"], h: State, w: CellWeights) -> State:
    """Next state of the GRU: one gate keeps a share of the old state, and replaces the rest."""
    from_x = x @ w.weight_ih.T + w.bias_ih
    from_h = h @ w.weight_hh.T + w.bias_hh
    reset_x, keep_x, new_x = from_x.chunk(3, dim=-1)
    reset_h, keep_h, new_h = from_h.chunk(3, dim=-1)
    keep = torch.sigmoid(keep_x + keep_h)
    new = torch.tanh(new_x + torch.sigmoid(reset_x + reset_h) * new_h)
    return keep * h + (1 - keep) * new


CELLS = {"rnn": rnn_cell, "lstm": lstm_cell, "gru": gru_cell}
KERNELS = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}


class Recurrent(nn.Module):
    """One recurrent layer, to be run in two ways that agree.

    `forward` uses PyTorch's kernel, `unroll` the cells above, one token at a time.
    """

    def __init__(self, shape: RecurrentShape) -> None:
        super().__init__()
        self.shape = shape
        self.kernel = KERNELS[shape.cell](shape.d_input, shape.d_hidden, batch_first=True)

    @property
    def weights(self) -> CellWeights:
        """The layer's parameters in the order that the cells take them."""
        k = self.kernel
        return CellWeights(k.weight_ih_l0, k.weight_hh_l0, k.bias_ih_l0, k.bias_hh_l0)

    def start(self, batch: int) -> State | LSTMState:
        """The empty state: zeros."""
        zeros = self.weights.weight_hh.new_zeros(batch, self.shape.d_hidden)
        return (zeros, zeros) if self.shape.cell == "lstm" else zeros

    def step(
        self, x: Float[Tensor, "batch d_input"], state: State | LSTMState
    ) -> State | LSTMState:
        """The state after one more token."""
        return CELLS[self.shape.cell](x, state, self.weights)

    def unroll(
        self, x: Float[Tensor, "batch tokens d_input"]
    ) -> Float[Tensor, "batch tokens d_hidden"]:
        """Hidden vectors after each token, by a loop over the tokens."""
        state, hidden = self.start(len(x)), []
        for token in x.unbind(dim=1):
            state = self.step(token, state)
            hidden.append(state[0] if self.shape.cell == "lstm" else state)
        return torch.stack(hidden, dim=1)

    def forward(
        self, x: Float[Tensor, "batch tokens d_input"]
    ) -> Float[Tensor, "batch tokens d_hidden"]:
        """Hidden vectors after each token, by PyTorch's kernel: the same numbers, sooner."""
        return self.kernel(x)[0]


def set_memory_gate(layer: Recurrent, bias: Float[Tensor, " d_hidden"]) -> None:
    """Return nothing; on empty input, let unit i keep the share sigmoid(bias[i]) of its old state.

    The gate in question is the LSTM's forget gate (which, when open, keeps) and the GRU's update
    gate. PyTorch starts both near sigmoid(0) = 1/2: half of the old state goes at each token. What
    is kept must not be drowned either, so the LSTM's input gate gets the bias with its sign turned;
    in the GRU one gate does both.

    Raises:
        ValueError: for a plain RNN, which has no gate.
    """
    d = layer.shape.d_hidden
    if layer.shape.cell == "rnn":
        raise ValueError("layer: a plain 'rnn' has no gate to set; expected an 'lstm' or a 'gru'")
    with torch.no_grad():  # in both cells the gate stands in the second block of rows
        layer.weights.bias_ih[d : 2 * d] = bias
        layer.weights.bias_hh[d : 2 * d] = 0
        if layer.shape.cell == "lstm":
            layer.weights.bias_ih[:d] = -bias
            layer.weights.bias_hh[:d] = 0


def memory_gate_for(
    longest: int, d_hidden: int, generator: torch.Generator
) -> Float[Tensor, " d_hidden"]:
    """Biases log(u), u uniform in 1 .. longest - 1, for memories of up to `longest` tokens.

    A unit with bias log(u) keeps u / (u + 1) of its state at each token, so that it forgets over
    about u + 1 tokens. Source: Tallec and Ollivier 2018 (arXiv:1804.11188), section 3.

    Raises:
        ValueError: if `longest` is below 2.
    """
    if longest < 2:
        raise ValueError(f"longest={longest}: expected at least 2 tokens")
    return torch.log(1 + (longest - 2) * torch.rand(d_hidden, generator=generator))


def gradient_norms(
    layer: Recurrent, x: Float[Tensor, "tokens d_input"]
) -> Float[Tensor, " tokens"]:
    """Spectral norm of d state_T / d state_t for every gap T - t = 1 .. tokens, in float64.

    The state is all that the cell carries (h and c for an LSTM). Entry `gap - 1` is the most that
    a small change of the state, `gap` tokens before the end, can still move the last state; the
    norm is that of the product of the cell's Jacobians along the way.
    """
    weights = CellWeights(*(w.detach().double() for w in layer.weights))
    cell, pair = CELLS[layer.shape.cell], layer.shape.cell == "lstm"

    def step(state: Tensor, token: Tensor) -> Tensor:
        unpacked = tuple(state.chunk(2, dim=-1)) if pair else state
        after = cell(token, unpacked, weights)
        return torch.cat(after, dim=-1) if pair else after

    state = torch.zeros(1, layer.shape.state_size, dtype=torch.float64)
    jacobians = []
    for token in x.double():
        jacobian = torch.func.jacrev(step)(state, token[None])
        jacobians.append(jacobian[0, :, 0, :])
        state = step(state, token[None])

    product = torch.eye(layer.shape.state_size, dtype=torch.float64)
    norms = []
    for jacobian in reversed(jacobians):
        product = product @ jacobian
        norms.append(torch.linalg.matrix_norm(product, ord=2))
    return torch.stack(norms)


def spectral_bound(layer: Recurrent, gaps: Float[Tensor, " gaps"]) -> Float[Tensor, " gaps"]:
    """Upper bound ||W_hh||^gap on `gradient_norms` of a plain RNN, as tanh never steepens.

    Source: Pascanu et al. 2013 (arXiv:1211.5063), section 2.1.

    Raises:
        ValueError: for a gated cell, whose Jacobian has other terms.
    """
    if layer.shape.cell != "rnn":
        raise ValueError(f"layer: the bound holds for cell 'rnn', not {layer.shape.cell!r}")
    largest = torch.linalg.matrix_norm(layer.weights.weight_hh.detach(), ord=2)
    return largest**gaps
