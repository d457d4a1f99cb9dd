"""The small Transformer: two forms, its laws, what reaches its parameters, what it refuses."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from payattention import attention
from payattention.positions import LearnedPositions, Rotary, sinusoidal
from payattention.shape import CHOICES, TransformerShape
from payattention.transformer import (
    Block,
    Blocks,
    Classifier,
    Decoder,
    Embedding,
    Encoder,
    EncoderDecoder,
    FeedForward,
    frames,
    norm,
    patches,
)

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


# Norms, and their order


def test_layer_norm_and_rms_norm_are_their_equations():
    x = 3 + 2 * torch.randn(5, 12)
    layer, rms = (norm(replace(SHAPE, norm=kind)) for kind in CHOICES["norm"])
    centred = x - x.mean(dim=-1, keepdim=True)
    close(layer(x), centred / (centred.square().mean(dim=-1, keepdim=True) + 1e-5).sqrt())
    close(rms(x), x / (x.square().mean(dim=-1, keepdim=True) + 1e-5).sqrt())
    nn.init.constant_(rms.weight, 3.0)
    nn.init.constant_(layer.bias, 5.0)
    close(rms(x).square().mean(dim=-1), torch.full((5,), 9.0))
    close(layer(x).mean(dim=-1), torch.full((5,), 5.0))


def test_both_norms_ignore_scale_and_one_ignores_the_mean():
    x = 30 * torch.randn(5, 12)  # large, so that the epsilon does not count
    layer, rms = (norm(replace(SHAPE, norm=kind)) for kind in CHOICES["norm"])
    for kind in (layer, rms):
        close(kind(7 * x), kind(x))
        close(kind(-x), -kind(x))
    close(layer(x + 11), layer(x))
    assert (rms(x + 11) - rms(x)).abs().max() > 1e-2


@pytest.mark.parametrize("kind", CHOICES["norm"])
def test_the_stream_is_normalised_behind_each_part_in_post_norm_alone(kind):
    ids = draw_ids(11, 2, 13)
    post, pre = (list(decoder("none", norm=kind, order=o).stream(ids)) for o in ("post", "pre"))
    for x in post:
        size = x.square().mean(dim=-1)
        torch.testing.assert_close(size, torch.ones(2, 13), atol=1e-4, rtol=0)  # for the epsilon
        if kind == "layer":
            close(x.mean(dim=-1), torch.zeros(2, 13))
    sizes = [x.square().mean().item() for x in pre]
    assert sizes == sorted(sizes) and sizes[-1] > sizes[0]  # each part adds what it has to say


def test_a_block_that_adds_nothing_still_normalises_in_post_norm():
    """Where pre-norm hands the stream on as it is, from the first layer to the last."""
    block, x = Block(replace(SHAPE, order="post"), reads_context=True), 7 + torch.randn(2, 13, 12)
    for last in (block.attention.output, block.cross.output, block.mlp.narrow):
        for weights in last.parameters():
            nn.init.zeros_(weights)
    once = F.layer_norm(x, (12,))
    after = block(x, context=torch.randn(2, 5, 12))
    torch.testing.assert_close(after, once, atol=1e-4, rtol=0)  # thrice: the epsilon counts
    assert (after - x).abs().min() > 1


# Feed-forward parts


@pytest.mark.parametrize("activation", CHOICES["activation"])
@pytest.mark.parametrize("linear_bias", [True, False])
def test_feed_forward_is_its_equation(activation, linear_bias):
    part, x = FeedForward(5, 7, activation=activation, linear_bias=linear_bias), torch.randn(3, 5)
    wide = part.widen(x)
    root = math.sqrt(2 / math.pi)
    bent = {
        "relu": wide.clamp(min=0),
        "gelu": wide * (1 + torch.erf(wide / math.sqrt(2))) / 2,
        "gelu_tanh": wide * (1 + torch.tanh(root * (wide + 0.044715 * wide**3))) / 2,
        "swiglu": wide,
    }[activation]
    if activation == "swiglu":
        gate = part.gate(x)
        bent = gate * torch.sigmoid(gate) * bent
    close(part(x), part.narrow(bent))
    linear = [module for module in part.modules() if isinstance(module, nn.Linear)]
    assert len(linear) == (3 if activation == "swiglu" else 2)
    assert all((module.bias is not None) == linear_bias for module in linear)


def test_the_two_gelus_differ_a_little():
    x = torch.randn(13, 5)
    exact, fast = FeedForward(5, 7), FeedForward(5, 7, activation="gelu_tanh")
    fast.load_state_dict(exact.state_dict())
    assert 0 < (exact(x) - fast(x)).abs().max() < 2e-3


# Any shape


@pytest.mark.parametrize("order", CHOICES["order"])
@pytest.mark.parametrize("activation", CHOICES["activation"])
@pytest.mark.parametrize(
    "changed",
    [
        {"norm": "rms", "biases": "none"},
        {"biases": "all", "tied": True},
        {"d_attention": 42, "kv_heads": 3, "shared": True},
        {"d_embedding": 5, "segments": 2, "positions": "learned"},
    ],
    ids=str,
)
def test_a_decoder_of_any_shape(order, activation, changed):
    """It is causal, its two forms agree, and a gradient reaches all of it."""
    kinds = {"positions": "none"} | changed
    model = decoder(order=order, activation=activation, **kinds)
    ids = draw_ids(11, 2, LONGEST)
    logits = model(ids)
    assert logits.shape == (2, LONGEST, 11)
    changed_ids = ids.clone()
    changed_ids[:, 7:] = (ids[:, 7:] + 1) % 11
    close(model(changed_ids)[:, :7], logits[:, :7])
    read_by(model, fused=False)
    close(model(ids), logits)
    close(model.following(ids), logits[:, -1])
    F.cross_entropy(logits.flatten(0, 1), ids.flatten()).backward()
    segments = "embedding.segments.weight"  # all tokens are in the first
    for name, weights in model.named_parameters():
        if not name.endswith("keys.bias"):  # which moves no share
            assert weights.grad.abs().sum() > 0, name
        if name == segments:
            assert (weights.grad.abs().sum(dim=1) > 0).tolist() == [True, False]


def test_biases_are_where_the_shape_says():
    found = {}
    for biases in CHOICES["biases"]:
        model = decoder("none", biases=biases)
        found[biases] = {
            name.split(".")[-1]
            for name, part in model.named_modules()
            if isinstance(part, nn.Linear) and part.bias is not None
        }
    fed = {"widen", "narrow", "output"}  # the output to logits; that of attention shares its name
    assert found["none"] == set()
    assert found["feed-forward"] == fed
    assert found["all"] == fed | {"queries", "keys", "values"}
    assert decoder("none", biases="feed-forward").blocks[0].attention.output.bias is None
    assert decoder("none", biases="all", tied=True).output.bias is None


def test_a_tied_output_is_the_table():
    tied, untied = decoder("none", tied=True), decoder("none")
    assert tied.output.weight is tied.embedding.table.weight
    assert untied.output.weight is not untied.embedding.table.weight
    ids = draw_ids(11, 2, 13)
    x = tied.norm(list(tied.stream(ids))[-1])
    close(tied(ids), x @ tied.embedding.table.weight.T)


def test_a_shared_block_is_one_whose_gradient_is_the_sum():
    """Against as many blocks of their own with the same weights."""
    shared, ids = decoder("rotary", shared=True), draw_ids(11, 2, 13)
    apart = decoder("rotary")
    for block in apart.blocks:
        block.load_state_dict(shared.blocks[0].state_dict())
    for part in ("embedding", "norm", "output"):
        getattr(apart, part).load_state_dict(getattr(shared, part).state_dict())
    assert len(shared.blocks) == 3 and len(set(shared.blocks)) == 1 and len(set(apart.blocks)) == 3
    close(shared(ids), apart(ids))
    for model in (shared, apart):
        F.cross_entropy(model(ids).flatten(0, 1), ids.flatten()).backward()
    several = [dict(block.named_parameters()) for block in apart.blocks]
    for name, weights in shared.blocks[0].named_parameters():
        gradients = [parameters[name].grad for parameters in several]
        close(weights.grad, sum(gradients))
        assert not torch.equal(gradients[0], gradients[1])


def test_blocks_are_as_many_as_layers():
    assert len(Blocks(SHAPE)) == 3
    assert all(block.cross is None for block in Blocks(SHAPE))
    assert all(block.cross is not None for block in Blocks(SHAPE, reads_context=True))


@pytest.mark.parametrize("order", CHOICES["order"])
def test_the_stream_is_layers_and_one_and_ends_in_the_answer(order):
    kinds = dict(order=order, context=LONGEST, positions="learned", biases="all")
    ids, vectors = draw_ids(11, 2, 13), torch.randn(2, 13, 5)
    shape = replace(SHAPE, **kinds)
    writer, reader, classes = Decoder(shape), Encoder(shape), Classifier(shape, d_input=5)
    written, read, seen = (
        list(model.stream(x)) for model, x in ((writer, ids), (reader, ids), (classes, vectors))
    )
    assert len(written) == len(read) == len(seen) == SHAPE.layers + 1
    assert {x.shape for x in written + read} == {(2, 13, 12)}
    assert {x.shape for x in seen} == {(2, 14, 12)}
    close(writer(ids), writer.output(writer.norm(written[-1])))
    close(reader(ids), reader.norm(read[-1]))
    close(classes(vectors), classes.output(classes.norm(seen[-1][:, 0])))
    for model, stream in ((writer, written), (reader, read), (classes, seen)):
        mask = "causal" if model is writer else None
        for block, x, after in zip(model.blocks, stream, stream[1:], strict=False):
            close(block(x, mask=mask), after)


# In front of the blocks


def test_a_token_enters_at_the_scale_that_its_table_is_for():
    """About 1 where positions of that size are added; small where the table makes logits too."""
    wide = replace(SHAPE, d_model=60, vocab=1009, positions="none")
    ids = torch.arange(1009)[None]
    for shape, size in ((wide, 1), (replace(wide, tied=True), 0.02)):
        assert Embedding(shape)(ids).std().item() == pytest.approx(size, rel=0.02)
    part = Embedding(wide)
    close(part(ids)[0], math.sqrt(60) * part.table.weight)


def test_positions_and_segments_are_added():
    ids = draw_ids(11, 2, 13)
    segments = (torch.arange(13) >= 5).long().expand(2, 13)
    shape = replace(SHAPE, tied=True, segments=2, context=LONGEST)
    torch.manual_seed(3)
    learned = Embedding(replace(shape, positions="learned"))
    waves = Embedding(replace(shape, positions="sinusoidal"))
    waves.load_state_dict(learned.state_dict(), strict=False)
    plain = learned.table(ids)
    first, second = learned.segments.weight
    close(learned(ids), plain + learned.learned.table[:13] + first)
    close(learned(ids, start=11), plain + learned.learned.table[11:24] + first)
    given = learned(ids, segments=segments)
    close(given[:, :5], learned(ids)[:, :5])
    close(given[:, 5:], learned(ids)[:, 5:] - first + second)
    close(waves(ids, start=11), plain + sinusoidal(24, 12)[11:] + first)


def test_a_narrow_table_is_normalised_and_then_widened():
    shape = replace(SHAPE, d_embedding=5, order="post", positions="learned", context=LONGEST)
    part, ids = Embedding(shape), draw_ids(11, 2, 13)
    assert part.table.weight.shape == (11, 5) and part.learned.table.shape == (LONGEST, 5)
    narrow = F.layer_norm(part.table(ids) + part.learned.table[:13], (5,))
    close(part(ids), narrow @ part.widen.weight.T + part.widen.bias)


# A model that reads


def encoder(**changes) -> Encoder:
    torch.manual_seed(3)
    kinds = {"positions": "learned", "context": LONGEST} | changes
    return Encoder(replace(SHAPE, **kinds))


@pytest.mark.parametrize("positions", [kind for kind in POSITIONS if kind != "alibi"])
@pytest.mark.parametrize("order", CHOICES["order"])
def test_an_encoder_looks_both_ways(positions, order):
    """A change of any token moves every vector; a causal mask makes it look back."""
    model, ids = encoder(positions=positions, order=order, tied=True), draw_ids(11, 2, 7)
    before = model(ids)
    assert before.shape == (2, 7, 12)
    for place in (0, 3, 6):
        changed = ids.clone()
        changed[:, place] = (changed[:, place] + 1) % 11
        moved = (model(changed) - before).abs().amax(dim=-1)
        assert moved.min() > 1e-6
    close(model(changed, "causal")[:, :6], model(ids, "causal")[:, :6])


def test_an_encoder_does_not_see_padding():
    model, lengths = encoder(), torch.tensor([7, 4])
    ids = draw_ids(11, 2, 7)
    together = model(ids, attention.padding_mask(lengths, tokens=7))
    close(together[1, :4], model(ids[1:, :4])[0])
    assert (model(ids)[1, :4] - together[1, :4]).abs().max() > 1e-3


def test_without_positions_an_encoder_reads_a_set():
    model, ids = encoder(positions="none"), draw_ids(11, 2, 7)
    order = torch.tensor([3, 0, 6, 2, 5, 1, 4])
    close(model(ids[:, order]), model(ids)[:, order])
    known = encoder(positions="learned")
    assert (known(ids[:, order]) - known(ids)[:, order]).abs().max() > 1e-3


def test_to_fill_gaps_is_to_compare_with_the_table():
    model, ids = encoder(tied=True), draw_ids(11, 2, 7)
    mask = attention.padding_mask(torch.tensor([7, 4]), tokens=7)
    logits = model.fill(ids, mask)
    close(logits, model(ids, mask) @ model.embedding.table.weight.T)
    assert logits.shape == (2, 7, 11)
    F.cross_entropy(logits.flatten(0, 1), ids.flatten()).backward()
    assert all(weights.grad.abs().sum() > 0 for weights in model.parameters())


def test_a_text_is_pooled_from_its_first_token():
    model, x = encoder(pooler=True), torch.randn(2, 7, 12)
    pooled = model.pooled(x)
    close(pooled, torch.tanh(x[:, 0] @ model.pooler.weight.T + model.pooler.bias))
    changed = x.clone()
    changed[:, 1:] += 1
    close(model.pooled(changed), pooled)


@pytest.mark.parametrize("order", CHOICES["order"])
def test_readers_mix_by_their_attention_weights(order):
    """Encoder and classifier, rebuilt from the weights that they show."""
    ids, vectors = draw_ids(11, 2, 7), torch.randn(2, 6, 5)
    mask = attention.padding_mask(torch.tensor([7, 4]), tokens=7)
    shape = replace(SHAPE, order=order, positions="learned", context=LONGEST)
    reader, classes = Encoder(shape), Classifier(shape, d_input=5)
    shown = (reader.attention_weights(ids, mask), classes.attention_weights(vectors))
    assert (shown[0][:, 1, :, :, 4:] == 0).all()
    starts = (next(reader.stream(ids)), next(classes.stream(vectors)))
    ends = (list(reader.stream(ids, mask))[-1], list(classes.stream(vectors))[-1])
    for model, weights, x, end in zip((reader, classes), shown, starts, ends, strict=True):
        assert weights.shape == (3, 2, 3, 7, 7)
        close(weights.sum(dim=-1), torch.ones(3, 2, 3, 7))
        for block, shares in zip(model.blocks, weights, strict=True):
            values = block.attention.values(block.norm(x) if order == "pre" else x)[:, None]
            x = x + block.attention.output((shares @ values).transpose(1, 2).flatten(-2))
            if order == "pre":
                x = x + block.mlp(block.mlp_norm(x))
            else:
                x = block.norm(x)
                x = block.mlp_norm(x + block.mlp(x))
        close(x, end)


# A model that reads vectors


def classifier(**changes) -> Classifier:
    torch.manual_seed(3)
    kinds = {"positions": "learned", "context": LONGEST, "vocab": 5} | changes
    return Classifier(replace(SHAPE, **kinds), d_input=6)


def test_a_classifier_is_its_equations():
    model, x = classifier(), torch.randn(2, 7, 6)
    nn.init.normal_(model.first)
    tokens = x @ model.input.weight.T + model.input.bias
    stream = torch.cat([model.first.expand(2, 1, 12), tokens], dim=1) + model.learned.table[:8]
    close(next(model.stream(x)), stream)
    for block in model.blocks:
        stream = block(stream)
    logits = model.norm(stream)[:, 0] @ model.output.weight.T + model.output.bias
    close(model(x), logits)
    assert logits.shape == (2, 5)


def test_a_classifier_needs_the_order_of_its_tokens():
    """Its table of positions alone tells it; without, an image is a bag of patches."""
    model, x = classifier(), torch.randn(2, 7, 6)
    shuffled = x[:, [3, 0, 6, 2, 5, 1, 4]]
    assert (model(shuffled) - model(x)).abs().max() > 1e-3
    nn.init.zeros_(model.learned.table)
    close(model(shuffled), model(x))


def test_a_classifier_learns_in_every_part():
    model, x = classifier(), torch.randn(3, LONGEST - 1, 6)
    F.cross_entropy(model(x), torch.tensor([1, 4, 2])).backward()
    assert all(weights.grad.abs().sum() > 0 for weights in model.parameters())


def test_patches_put_every_pixel_where_it_belongs():
    images = torch.arange(2 * 6 * 9.0).view(2, 6, 9)
    squares = patches(images, size=3)
    assert squares.shape == (2, 2 * 3, 9)
    for row in range(6):
        for column in range(9):
            patch, pixel = 3 * (row // 3) + column // 3, 3 * (row % 3) + column % 3
            assert torch.equal(squares[:, patch, pixel], images[:, row, column])


@given(
    tall=st.integers(1, 4),
    wide=st.integers(1, 4),
    size=st.integers(1, 5),
)
def test_patches_can_be_undone(tall, wide, size):
    images = torch.randn(2, tall * size, wide * size)
    squares = patches(images, size=size)
    folded = F.fold(squares.transpose(1, 2), images.shape[1:], kernel_size=size, stride=size)
    assert torch.equal(folded[:, 0], images)


def test_frames_are_pieces_of_the_wave():
    waves = torch.randn(2, 35)
    pieces = frames(waves, size=7)
    assert pieces.shape == (2, 5, 7)
    assert torch.equal(pieces.flatten(1), waves)
    assert torch.equal(pieces[:, 2], waves[:, 14:21])


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


@pytest.mark.parametrize("order", CHOICES["order"])
def test_alignment_is_what_decode_mixes_by(order):
    model = encoder_decoder(order=order)
    target, context = draw_ids(11, 2, 7), model.encode(draw_ids(READ_VOCAB, 2, 5))
    mask = attention.padding_mask(torch.tensor([3, 5]), tokens=5)
    alignment = model.alignment(target, context, mask)
    assert alignment.shape == (3, 2, 3, 7, 5)
    close(alignment.sum(dim=-1), torch.ones(3, 2, 3, 7))
    assert (alignment[:, 0, ..., 3:] == 0).all()
    x = model.write(target)
    for block, shares in zip(model.decoder, alignment, strict=True):
        mixed = (shares @ block.cross.values(context)[:, None]).transpose(1, 2).flatten(-2)
        if order == "pre":
            x = x + block.attention(block.norm(x), mask="causal")
            x = x + block.cross.output(mixed)
            x = x + block.mlp(block.mlp_norm(x))
        else:
            x = block.norm(x + block.attention(x, mask="causal"))
            x = block.cross_norm(x + block.cross.output(mixed))
            x = block.mlp_norm(x + block.mlp(x))
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


def test_both_halves_have_sinusoidal_positions_whatever_the_shape_says():
    for positions in ("learned", "rotary", "none"):
        model = encoder_decoder(positions=positions, context=LONGEST)
        assert model.shape.positions == "sinusoidal"
        assert model.decode(draw_ids(11, 1, 31), model.encode(draw_ids(17, 1, 37))).isfinite().all()
    tied = encoder_decoder(tied=True)
    assert tied.output.weight is tied.write.table.weight


# What is refused

MODELS = {
    "decoder": lambda: decoder("learned"),
    "encoder": lambda: encoder(segments=2),
    "encode": lambda: encoder_decoder().encode,
    "decode": lambda: lambda ids: encoder_decoder().decode(ids, torch.randn(2, 5, 12)),
}
every_reader_of_ids = pytest.mark.parametrize("build", MODELS.values(), ids=MODELS)


@every_reader_of_ids
@pytest.mark.parametrize("wrong", [-1, 17, 1000])
def test_an_id_out_of_range_is_named(build, wrong):
    model, ids = build(), draw_ids(11, 2, 7)
    model(ids)
    ids[1, 3] = wrong
    with pytest.raises(ValueError, match=rf"^ids: got {wrong}; expected 0 to 1[06]$"):
        model(ids)


@every_reader_of_ids
def test_an_empty_text_is_refused(build):
    with pytest.raises(ValueError, match="ids: got no tokens; expected at least one"):
        build()(torch.empty(2, 0, dtype=torch.long))


def test_a_text_longer_than_its_table_is_refused():
    message = "tokens=30: this table of learned positions ends at 29"
    with pytest.raises(ValueError, match=message):
        encoder()(draw_ids(11, 1, LONGEST + 1))
    with pytest.raises(ValueError, match=message):  # the first token takes a place
        classifier()(torch.randn(1, LONGEST, 6))
    assert classifier()(torch.randn(1, LONGEST - 1, 6)).shape == (1, 5)


def test_segments_must_be_in_their_table_and_the_table_in_the_shape():
    ids = draw_ids(11, 2, 7)
    with pytest.raises(ValueError, match=r"^segments: got 2; expected 0 to 1$"):
        encoder(segments=2)(ids, segments=torch.full((2, 7), 2))
    with pytest.raises(ValueError, match=r"^segments: expected None, for the shape has none$"):
        encoder()(ids, segments=torch.zeros(2, 7, dtype=torch.long))


def test_what_an_encoder_cannot_be():
    with pytest.raises(ValueError, match="positions='alibi': expected others"):
        encoder(positions="alibi")
    with pytest.raises(ValueError, match="pooler=False: expected a shape with a pooler"):
        encoder().pooled(torch.randn(2, 7, 12))
    with pytest.raises(ValueError, match="d_embedding=5: expected d_model=12, to fill gaps"):
        encoder(d_embedding=5).fill(draw_ids(11, 2, 7))


@pytest.mark.parametrize("positions", [kind for kind in POSITIONS if kind != "learned"])
def test_a_classifier_has_learned_positions(positions):
    with pytest.raises(ValueError, match=f"positions='{positions}': expected 'learned'"):
        classifier(positions=positions)


@pytest.mark.parametrize("size", [0, -2, 4, 9])
def test_sizes_that_do_not_divide_are_refused(size):
    with pytest.raises(ValueError, match=f"size={size}: expected a divisor of height=6 and wid"):
        patches(torch.zeros(1, 6, 9), size=size)
    with pytest.raises(ValueError, match=f"size={size}: expected a divisor of samples=7"):
        frames(torch.zeros(1, 7), size=size)
