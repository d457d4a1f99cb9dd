"""What is repeated: a recurrent cell on one input, or one Transformer block on a sequence.

Each is begun on an input and then takes the rows that still run one step further. Rows are examples
for a cell, and for a block whole sequences or single tokens. A block knows no positions but rotary
ones, and those that are in its input. A token that has halted stays as it is, and the others go on
looking at it: its keys and values are computed once more, from what it ended as, and kept.

Operations are counted as in `cost.operations`: matrix products only, the full square of attention.

Sources: Graves 2016 (arXiv:1603.08983), section 2, for the flag that marks the first step; Dehghani
et al. 2018, Universal Transformer (arXiv:1807.03819), section 2.2, for a block that halts token by
token.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from payattention.adaptive_compute.halting import Run
from payattention.adaptive_compute.some import Mask, QueriesOfSome
from payattention.cost import operations
from payattention.positions import Rotary
from payattention.recurrence import CELLS, Recurrent
from payattention.shape import RecurrentShape, TransformerShape
from payattention.transformer import Block


class RepeatedCell(nn.Module):
    """A recurrent cell that may take several steps on one input; a flag marks the first of them.

    The state of an LSTM is its two vectors, one behind the other.
    """

    def __init__(self, shape: RecurrentShape) -> None:
        super().__init__()
        self.shape = shape
        self.layer = Recurrent(
            RecurrentShape(shape.cell, d_input=shape.d_input + 1, d_hidden=shape.d_hidden)
        )

    @property
    def state_size(self) -> int:
        """Numbers in a state."""
        return self.shape.state_size

    def begin(
        self,
        x: Float[Tensor, "rows d_input"],
        state: Float[Tensor, "rows state_size"] | None = None,
    ) -> Run:
        """The cell on one input for each row, from a state, or from zeros."""
        if state is None:
            state = x.new_zeros(len(x), self.state_size)
        flagged = F.pad(x, (0, 1), value=1.0), F.pad(x, (0, 1))
        steps = 0

        def advance(state: Tensor, rows: Tensor) -> Tensor:
            nonlocal steps
            x = flagged[0] if steps == 0 else flagged[1]
            steps += 1
            run.spend(operations.recurrent(self.layer.shape, tokens=len(rows)))
            return self._step(x if len(rows) == len(x) else x[rows], state)

        run = Run(state, advance)
        return run

    def _step(self, x: Tensor, state: Tensor) -> Tensor:
        weights = self.layer.weights
        if self.shape.cell == "lstm":
            return torch.cat(CELLS["lstm"](x, state.chunk(2, dim=-1), weights), dim=-1)
        return CELLS[self.shape.cell](x, state, weights)


class RepeatedBlock(nn.Module):
    """One Transformer block that may be applied several times; sequences halt, or single tokens.

    Raises:
        ValueError: for another `halts`, and for positions that are neither "rotary" nor "none".
    """

    def __init__(self, shape: TransformerShape, *, halts: str = "sequence") -> None:
        super().__init__()
        if halts not in ("sequence", "token"):
            raise ValueError(f"halts={halts!r}: expected 'sequence' or 'token'")
        if shape.positions not in ("rotary", "none"):
            raise ValueError(f"positions={shape.positions!r}: expected 'rotary' or 'none'")
        self.shape, self.halts = shape, halts
        self.block = Block(shape, rotate=Rotary() if shape.positions == "rotary" else None)

    @property
    def state_size(self) -> int:
        """Numbers in the state of a token."""
        return self.shape.d_model

    def begin(self, x: Float[Tensor, "batch tokens d_model"], *, mask: Mask = None) -> Run:
        """The block on each sequence; where tokens halt, a row is a token, sequence by sequence.

        The `mask` is the same for all sequences: None, "causal", or a square of tokens.
        """
        return self._sequences(x, mask) if self.halts == "sequence" else self._tokens(x, mask)

    def _sequences(self, x: Tensor, mask: Mask) -> Run:
        tokens = x.shape[1]

        def advance(state: Tensor, rows: Int[Tensor, " rows"]) -> Tensor:
            once = operations.block(self.shape, tokens=tokens)
            run.spend({part: len(rows) * flops for part, flops in once.items()})
            return self.block(state, mask=mask)

        run = Run(x, advance)
        return run

    def _tokens(self, x: Tensor, mask: Mask) -> Run:
        attending = QueriesOfSome(self.block, x, shape=self.shape, mask=mask)

        def advance(state: Tensor, rows: Int[Tensor, " rows"]) -> Tensor:
            after, flops = attending(state, rows)
            run.spend(flops)
            return after

        run = Run(x.flatten(0, 1), advance)
        return run
