"""A block takes some tokens; the others pass it by, and are not computed."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from payattention import measure
from payattention.adaptive_compute.depth_routing import DepthRouted, Routed, bill
from payattention.cost import operations
from payattention.generation import generate
from payattention.shape import TransformerShape
from payattention.transformer import Block, Decoder

SHAPE = TransformerShape(
    layers=5, d_model=24, heads=3, kv_heads=3, d_ff=13, vocab=11, context=23, biases="none"
)
BATCH, TOKENS = 4, 17
IDS = torch.randint(SHAPE.vocab, (BATCH, TOKENS), generator=torch.Generator().manual_seed(3))


def model(capacity=0.3, *, every=2, seed=0, **options):
    torch.manual_seed(seed)
    made = DepthRouted(replace(SHAPE, **options), capacity=capacity, every=every)
    for block in made.routed:
        nn.init.normal_(block.predictor.weight, std=1.0)
    return made.double()


@pytest.mark.parametrize("who", ["router", "predictor"])
@pytest.mark.parametrize(
    "options", [{}, {"positions": "learned", "kv_heads": 1}, {"order": "post"}]
)
def test_what_passes_by_need_not_be_computed(who, options):
    made, found = model(**options), []
    for compact in (True, False):
        left = made.by(who, compact=compact).read(IDS)
        loss = left.logits.square().mean() + made.lesson
        gradients = torch.autograd.grad(loss, list(made.parameters()), allow_unused=True)
        found.append((left, gradients))
    (fast, fast_gradients), (plain, plain_gradients) = found
    assert torch.equal(fast.depth, plain.depth) and len(fast.depth.unique()) > 2
    torch.testing.assert_close(fast.logits, plain.logits)
    for one, two in zip(fast_gradients, plain_gradients, strict=True):
        torch.testing.assert_close(one, two)
    assert sum(fast.flops.values()) < sum(plain.flops.values())


def test_the_router_takes_as_many_of_every_text():
    made = model(0.3)
    made(IDS)
    for block in made.routed:
        assert (block.taken.sum(dim=1) == 6).all()  # 0.3 x 17, rounded up
        weights = block.router(_seen(made, block))[..., 0]
        for row, taken in zip(weights, block.taken, strict=True):
            assert row[taken].min() >= row[~taken].max()


def _seen(made, block):
    """What the block is given."""
    stream = list(made.stream(IDS))
    return stream[list(made.blocks).index(block)]


def test_with_room_for_all_and_a_weight_of_one_it_is_the_model():
    made = model(1.0)
    plain = Decoder(SHAPE).double()
    weights = {name.replace(".block.", "."): x for name, x in made.state_dict().items()}
    plain.load_state_dict(
        {name: x for name, x in weights.items() if "router" not in name and "predictor" not in name}
    )
    for block in made.routed:
        block.router = _One()
    torch.testing.assert_close(made(IDS), plain(IDS))


class _One(nn.Module):
    def forward(self, x):
        return torch.ones_like(x[..., :1])


def test_who_passes_by_is_as_before_and_is_not_looked_at():
    torch.manual_seed(0)
    block = Routed(Block(SHAPE), SHAPE, capacity=0.3).double()
    x = torch.randn(2, 10, SHAPE.d_model, dtype=torch.float64)
    after = block(x)
    taken = block.taken
    assert torch.equal(after[~taken], x[~taken])
    assert not torch.isclose(after[taken], x[taken]).all(dim=-1).any()
    other = torch.where(taken[..., None], x, 0.0)  # whose weight of 0 takes nobody's place
    assert (block.router(x)[..., 0][taken] > 0).all()
    again = block(other)
    torch.testing.assert_close(again[taken], after[taken])


def test_the_router_learns_and_the_predictor_leaves_the_rest_alone():
    made = model()
    made(IDS).square().mean().backward()
    assert all(block.router.weight.grad.abs().sum() > 0 for block in made.routed)
    assert all(block.predictor.weight.grad is None for block in made.routed)
    made.zero_grad(set_to_none=True)
    made(IDS)
    made.lesson.backward()
    with_gradient = [name for name, p in made.named_parameters() if p.grad is not None]
    assert with_gradient and all("predictor" in name for name in with_gradient)


def test_the_predictor_knows_no_future():
    made = model().by("predictor")
    changed = IDS.clone()
    changed[:, 9:] = (changed[:, 9:] + 1) % SHAPE.vocab
    torch.testing.assert_close(made(IDS)[:, :9], made(changed)[:, :9])
    depth = made.read(IDS).depth
    assert torch.equal(depth, 3 + torch.stack([block.taken for block in made.routed]).sum(dim=0))
    made.by("router")
    assert not torch.allclose(made(IDS)[:, :9], made(changed)[:, :9])


@pytest.mark.parametrize("options", [{}, {"positions": "learned"}])
def test_writing_is_reading_by_the_predictor(options):
    made = model(**options).by("predictor")
    cached = generate(made, IDS[:, :5], tokens=12)
    plain = generate(made, IDS[:, :5], tokens=12, cached=False)
    assert torch.equal(cached, plain)
    kept = made.room()
    with torch.no_grad():
        piece_by_piece = torch.cat(
            [made(part, kept=kept) for part in IDS.split([5, 1, 7, 4], 1)], 1
        )
    torch.testing.assert_close(piece_by_piece, made(IDS))
    kept_tokens = [len(each.of_text) and each.of_text[0].length for each in kept[1::2]]
    assert kept_tokens == [int(block.taken[0].sum()) for block in made.routed]


def test_the_bill_is_what_a_counter_counts():
    made, found = model(), []
    counted = measure.flops(lambda: found.append(made.read(IDS)))
    once = bill(SHAPE, tokens=TOKENS, capacity=0.3)
    assert counted == sum(found[0].flops.values()) == BATCH * sum(once.values())
    assert found[0].flops == {part: BATCH * flops for part, flops in once.items()}
    made.by("predictor")
    counted = measure.flops(lambda: found.append(made.read(IDS)))
    assert counted == sum(found[1].flops.values())


def test_a_narrower_table_is_billed():
    made, found = model(d_embedding=8), []
    counted = measure.flops(lambda: found.append(made.read(IDS)))
    once = bill(made.shape, tokens=TOKENS, capacity=0.3)
    assert counted == sum(found[0].flops.values()) == BATCH * sum(once.values())


def test_with_room_for_all_the_bill_is_the_models_and_the_routers():
    once = bill(SHAPE, tokens=TOKENS, capacity=1.0, every=1)
    routers = 2 * SHAPE.layers * operations.matmul(TOKENS, SHAPE.d_model, 1)
    assert sum(once.values()) == sum(operations.forward(SHAPE, tokens=TOKENS).values()) + routers


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: model(1.2), r"capacity=1.2: expected more than 0 and at most 1"),
        (lambda: model(0.0), r"capacity=0.0"),
        (lambda: model(every=0), r"every=0: expected 1 to 5"),
        (lambda: model(every=6), r"every=6: expected 1 to 5"),
        (lambda: model(positions="alibi"), r"shape: expected .* other than alibi"),
        (lambda: model(shared=True), r"shape: expected blocks of their own"),
        (lambda: model().by("oracle"), r"who='oracle': expected 'router' or 'predictor'"),
        (lambda: model()(IDS, None), r"mask=None: expected 'causal'"),
        (lambda: model()(IDS, kept=model().room()), r"kept: got room while the router decides"),
        (lambda: bill(SHAPE, tokens=9, capacity=3.0), r"capacity=3.0: expected more than 0"),
        (lambda: bill(SHAPE, tokens=9, capacity=0.5, every=0), r"every=0: expected 1 to 5"),
    ],
)
def test_what_cannot_be_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
