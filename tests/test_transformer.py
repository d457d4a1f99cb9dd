"""The small Transformer: two forms, its laws, what reaches its parameters, what it refuses."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from payattention import attention
from payattention.positions import LearnedPositions, Rotary
from payattention.shape import CHOICES, TransformerShape
from payattention.transformer import Block, Decoder, EncoderDecoder, FeedForward

SHAPE = TransformerShape(layers=3, d_model=12, heads=3, kv_heads=1, d_ff=7, vocab=11)
LONGEST = 29
POSITIONS = CHOICES["positions"]
READ_VOCAB = 17
CLOSE = dict(atol=2e-6, rtol=1e-5)  # three layers, one upon the other


def decoder(positions: str, **changes) -> Decoder:
    torch.manual_seed(3)
    return Decoder(replace(SHAPE, positions=positions, context=LONGEST, **changes))


def encoder_decoder(**changes) -> EncoderDecoder:
    torch.manual_seed(3)
    return EncoderDecoder(replace(SHAPE, **changes), vocab_read=READ_VOCAB)


def draw_ids(vocab: int, *shape: int) -> Tensor:
    return torch.randint(vocab, shape, generator=torch.Generator().manual_seed(1))


def read_by(model: nn.Module, *, fused: bool) -> None:
    for layer in model.modules():
        if isinstance(layer, attention.MultiHeadAttention):
            layer.fused = fused


def close(ours, theirs) -> None:
    torch.testing.assert_close(ours, theirs, **CLOSE)


every_kind = pytest.mark.parametrize("positions", POSITIONS)
PREFIX = attention.prefix_mask(13, prefix=5)
every_mask = pytest.mark.parametrize(
    "mask", ["causal", None, PREFIX], ids=["causal", "all", "prefix"]
)


# The decoder


@every_kind
@every_mask
def test_fused_equals_readable(positions, mask):
    model, ids = decoder(positions), draw_ids(11, 2, 13)
    answers = []
    for fused in (True, False):
        read_by(model, fused=fused)
        logits = model(ids, mask)
        answers.append((logits, torch.autograd.grad(logits.square().mean(), model.parameters())))
    assert answers[0][0].shape == (2, 13, 11)
    close(*answers)


def readable_decoder(model: Decoder, ids: Tensor, turned, penalties: Tensor) -> Tensor:
    """The logits, written out for one head and one sequence without the library."""
    x = math.sqrt(model.shape.d_model) * model.embedding.table.weight[ids]
    for block in model.blocks:
        layer, read = block.attention, F.layer_norm(x, x.shape[-1:], *block.norm.parameters())
        q, k = (turned(read @ one.weight.T) for one in (layer.queries, layer.keys))
        gathered = []
        for row in range(len(ids)):
            scores = k[: row + 1] @ q[row] / math.sqrt(model.shape.d_model)
            shares = (scores - penalties[row, : row + 1]).softmax(dim=0)
            gathered.append(shares @ (read @ layer.values.weight.T)[: row + 1])
        x = x + torch.stack(gathered) @ layer.output.weight.T
        read = F.layer_norm(x, x.shape[-1:], *block.mlp_norm.parameters())
        inside = F.gelu(read @ block.mlp.widen.weight.T + block.mlp.widen.bias)
        x = x + inside @ block.mlp.narrow.weight.T + block.mlp.narrow.bias
    x = F.layer_norm(x, x.shape[-1:], *model.norm.parameters())
    return x @ model.output.weight.T + model.output.bias


@pytest.mark.parametrize("positions", ["none", "rotary", "alibi"])
def test_decoder_is_its_equations(positions):
    model, ids = decoder(positions, heads=1, kv_heads=1), draw_ids(11, 2, 13)
    turned = Rotary() if positions == "rotary" else (lambda x: x)
    places = torch.arange(13)
    distance = (places[:, None] - places).clamp(min=0)
    penalties = distance / 256 if positions == "alibi" else torch.zeros(13, 13)
    for row, logits in zip(ids, model(ids), strict=True):
        close(logits, readable_decoder(model, row, turned, penalties))


@every_kind
def test_the_future_does_not_move_the_past(positions):
    model, ids = decoder(positions), draw_ids(11, 2, 13)
    changed = ids.clone()
    changed[:, 7:] = (changed[:, 7:] + 1) % 11
    before, after = model(ids), model(changed)
    close(after[:, :7], before[:, :7])
    assert (after[:, 7:] - before[:, 7:]).abs().amax(dim=(0, 2)).min() > 1e-3
    close(model(ids[:, :7]), before[:, :7])  # and a longer text begins like a shorter one


@every_kind
@every_mask
def test_attention_weights_are_what_forward_mixes_by(positions, mask):
    model, ids = decoder(positions), draw_ids(11, 2, 13)
    weights = model.attention_weights(ids, mask)
    assert weights.shape == (3, 2, 3, 13, 13)
    close(weights.sum(dim=-1), torch.ones(3, 2, 3, 13))
    allowed = {"causal": attention.causal_mask(13), None: attention.full_mask(13)}.get(mask, PREFIX)
    assert (weights[..., ~allowed] == 0).all() and (weights[..., allowed] > 0).all()
    x = model.embedding(ids)
    for block, shares in zip(model.blocks, weights, strict=True):
        values = block.attention.values(block.norm(x))[:, None]  # one head, which all three share
        mixed = (shares @ values).transpose(1, 2).flatten(-2)
        x = x + block.attention.output(mixed)
        x = x + block.mlp(block.mlp_norm(x))
    close(model(ids, mask), model.output(model.norm(x)))


def moved_by_order(positions: str) -> float:
    """How far the last answer moves when two earlier tokens change places."""
    model, ids = decoder(positions, layers=1), torch.tensor([[1, 2, 3, 4, 5, 6, 7]])
    swapped = ids[:, [4, 1, 2, 3, 0, 5, 6]]
    return (model(ids) - model(swapped))[:, -1].abs().max().item()


def test_order_is_seen_by_positions_alone():
    """One causal layer without positions mixes a set; with any of the four kinds it does not."""
    assert moved_by_order("none") < 1e-5
    assert all(moved_by_order(kind) > 1e-4 for kind in POSITIONS if kind != "none")


@every_kind
def test_gradients_reach_every_parameter(positions):
    model, ids = decoder(positions), draw_ids(11, 5, LONGEST)
    F.cross_entropy(model(ids).flatten(0, 1), ids.flatten()).backward()
    reached = {name: bool(p.grad.abs().sum() > 0) for name, p in model.named_parameters()}
    assert all(reached.values()), reached


@every_kind
@pytest.mark.parametrize("kv_heads", [1, 3])
def test_parameters_are_those_of_the_shape(positions, kv_heads):
    model = decoder(positions, kv_heads=kv_heads)
    mixing = 2 * 12 * 12 + 2 * 12 * 4 * kv_heads
    feeding = 2 * 12 * 7 + 7 + 12
    norms = 2 * 2 * 12
    table = LONGEST * 12 if positions == "learned" else 0
    expected = 3 * (mixing + feeding + norms) + 2 * 12 + 11 * 12 + (12 * 11 + 11) + table
    assert sum(p.numel() for p in model.parameters()) == expected


@pytest.mark.parametrize("kv_heads", [1, 3])
def test_operations_are_those_of_the_shape(kv_heads):
    """Multiplications and additions of the readable form, counted for matrices alone."""
    model, tokens = decoder("rotary", kv_heads=kv_heads), 13
    read_by(model, fused=False)
    with FlopCounterMode(display=False) as counter:
        model(draw_ids(11, 1, tokens))
    maps = 2 * 12 * 12 + 2 * 12 * 4 * kv_heads + 2 * 12 * 7
    pairs = 2 * tokens * 12  # scores and mixtures: each row and head, each column
    assert counter.get_total_flops() == 2 * tokens * (3 * (maps + pairs) + 12 * 11)


@every_kind
@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision(positions, fused, dtype):
    """Close to the answer in 64 bits from the same weights; 16 bits lose digits in each layer."""
    model, ids = decoder(positions, layers=1).to(dtype), draw_ids(11, 2, 13)
    read_by(model, fused=fused)
    logits, weights = model(ids), model.attention_weights(ids)
    assert logits.dtype == weights.dtype == dtype
    model = model.double()
    digits = 5e-2 if dtype == torch.bfloat16 else 5e-3
    torch.testing.assert_close(logits.double(), model(ids), atol=digits, rtol=digits)
    exact = model.attention_weights(ids)
    torch.testing.assert_close(weights.double(), exact, atol=digits, rtol=digits)


# Positions of a decoder


def test_learned_positions_end_with_their_table():
    model = decoder("learned")
    assert isinstance(model.embedding.learned, LearnedPositions)
    assert model(draw_ids(11, 1, LONGEST)).shape == (1, LONGEST, 11)
    with pytest.raises(ValueError, match=r"tokens=30: this table of learned positions ends at 29"):
        model(draw_ids(11, 1, LONGEST + 1))


@pytest.mark.parametrize("positions", [kind for kind in POSITIONS if kind != "learned"])
def test_other_positions_go_on(positions):
    model = Decoder(replace(SHAPE, positions=positions))
    assert model(draw_ids(11, 1, 2 * LONGEST)).isfinite().all()


def test_a_squeeze_divides_the_positions():
    """Every second place of a text twice as long meets the angles of the shorter one."""
    model = decoder("rotary", layers=1)
    ids = draw_ids(11, 2, 7)
    spread = ids.repeat_interleave(2, dim=1)
    # in a text that says each token twice, let everyone see the first of the two alone
    mask = torch.tensor([True, False]).repeat(7)
    before = model(ids, None)
    model.squeeze(2.0)
    close(model(spread, mask.expand(14, 14))[:, 0::2], before)
    model.squeeze(1.0)
    close(model(ids, None), before)
    assert (model(spread, mask.expand(14, 14))[:, 0::2] - before).abs().max() > 1e-3


@pytest.mark.parametrize("positions", [kind for kind in POSITIONS if kind != "rotary"])
def test_a_squeeze_is_for_rotary_positions(positions):
    with pytest.raises(ValueError, match=f"positions='{positions}': expected 'rotary' ones"):
        decoder(positions).squeeze(2.0)


@pytest.mark.parametrize("factor", [0.0, -2.0])
def test_a_squeeze_must_be_positive(factor):
    with pytest.raises(ValueError, match=f"squeeze={factor}: expected a positive number"):
        decoder("rotary").squeeze(factor)


# The parts


def test_feed_forward_works_on_each_token_alone():
    part, x = FeedForward(5, 7), torch.randn(2, 3, 5)
    close(part(x)[1, 2], part(x[1, 2]))
    close(part(x[:, [2, 0, 1]]), part(x)[:, [2, 0, 1]])


def test_a_block_adds_to_the_stream():
    block, x = Block(SHAPE, reads_context=True), torch.randn(2, 13, 12)
    for last in (block.attention.output, block.cross.output, block.mlp.narrow):
        for weights in last.parameters():
            nn.init.zeros_(weights)
    torch.testing.assert_close(block(x, context=torch.randn(2, 5, 12)), x, atol=0, rtol=0)


def test_a_block_reads_its_context_as_a_set():
    """What turns its own tokens by their places does not turn those of another sequence."""
    block = Block(SHAPE, rotate=Rotary(), reads_context=True)
    x, context = torch.randn(2, 13, 12), torch.randn(2, 5, 12)
    close(block(x, context=context[:, [3, 0, 4, 1, 2]]), block(x, context=context))


# The encoder and decoder


def padded(ids: Tensor, by: int) -> tuple[Tensor, Tensor]:
    """The sequences with junk behind them, and the mask that hides it."""
    batch, tokens = ids.shape
    lengths = torch.full((batch,), tokens)
    junk = torch.cat([ids, draw_ids(READ_VOCAB, batch, by)], dim=1)
    return junk, attention.padding_mask(lengths, tokens=tokens + by)


@pytest.mark.parametrize("fused", [False, True])
def test_padding_changes_nothing(fused):
    model = encoder_decoder()
    read_by(model, fused=fused)
    source, target = draw_ids(READ_VOCAB, 2, 5), draw_ids(11, 2, 7)
    context = model.encode(source)
    longer, mask = padded(source, by=3)
    hidden = model.encode(longer, mask)
    close(hidden[:, :5], context)
    close(model.decode(target, hidden, mask), model.decode(target, context))
    alignment = model.alignment(target, hidden, mask)
    close(alignment[..., :5], model.alignment(target, context))
    assert (alignment[..., 5:] == 0).all()
    # which says something only if the junk is seen without the mask
    assert (model.encode(longer)[:, :5] - context).abs().max() > 1e-3


def test_sequences_of_unlike_lengths_are_read_as_if_alone():
    model, lengths = encoder_decoder(), torch.tensor([3, 5, 2])
    source, target = draw_ids(READ_VOCAB, 3, 5), draw_ids(11, 3, 7)
    mask = attention.padding_mask(lengths, tokens=5)
    together = model.decode(target, model.encode(source, mask), mask)
    for row, length in enumerate(lengths):
        alone = model.encode(source[row : row + 1, :length])
        close(together[row], model.decode(target[row : row + 1], alone)[0])


def test_the_encoder_looks_both_ways_and_the_decoder_back():
    model = encoder_decoder()
    source, target = draw_ids(READ_VOCAB, 2, 5), draw_ids(11, 2, 7)
    changed = source.clone()
    changed[:, -1] = (changed[:, -1] + 1) % READ_VOCAB
    context = model.encode(source)
    assert (model.encode(changed) - context).abs().amax(dim=(0, 2)).min() > 1e-3
    written = target.clone()
    written[:, 4:] = (written[:, 4:] + 1) % 11
    before, after = model.decode(target, context), model.decode(written, context)
    close(after[:, :4], before[:, :4])
    assert (after[:, 4:] - before[:, 4:]).abs().amax(dim=(0, 2)).min() > 1e-3


def test_fused_equals_readable_for_both_halves():
    model = encoder_decoder()
    source, target = draw_ids(READ_VOCAB, 2, 5), draw_ids(11, 2, 7)
    longer, mask = padded(source, by=3)
    answers = []
    for fused in (True, False):
        read_by(model, fused=fused)
        logits = model.decode(target, model.encode(longer, mask), mask)
        gradients = torch.autograd.grad(logits.square().mean(), model.parameters())
        answers.append((logits, gradients))
    assert answers[0][0].shape == (2, 7, 11)
    close(*answers)


def test_alignment_is_what_decode_mixes_by():
    model = encoder_decoder()
    target, context = draw_ids(11, 2, 7), model.encode(draw_ids(READ_VOCAB, 2, 5))
    mask = attention.padding_mask(torch.tensor([3, 5]), tokens=5)
    alignment = model.alignment(target, context, mask)
    assert alignment.shape == (3, 2, 3, 7, 5)
    close(alignment.sum(dim=-1), torch.ones(3, 2, 3, 7))
    assert (alignment[:, 0, ..., 3:] == 0).all()
    x = model.write(target)
    for block, shares in zip(model.decoder, alignment, strict=True):
        x = x + block.attention(block.norm(x), mask="causal")
        mixed = (shares @ block.cross.values(context)[:, None]).transpose(1, 2).flatten(-2)
        x = x + block.cross.output(mixed)
        x = x + block.mlp(block.mlp_norm(x))
    close(model.decode(target, context, mask), model.output(model.norm(x)))


def test_gradients_reach_every_parameter_of_both_halves():
    model = encoder_decoder()
    source, target = torch.arange(READ_VOCAB)[None], torch.arange(11)[None]
    F.cross_entropy(model.decode(target, model.encode(source))[0], target[0]).backward()
    reached = {name: bool(p.grad.abs().sum() > 0) for name, p in model.named_parameters()}
    assert all(reached.values()), reached


def test_no_context_row_is_blind():
    model = encoder_decoder()
    source, target = draw_ids(READ_VOCAB, 2, 5), draw_ids(11, 2, 7)
    mask = torch.ones(2, 1, 5, dtype=torch.bool)
    mask[1] = False
    with pytest.raises(ValueError, match=r"mask: row 0 of \(1,\) may look at nothing"):
        model.decode(target, model.encode(source), mask)
