"""A mixture of experts is a loop over tokens, to rounding, and computes no token twice."""

import math

import pytest
import torch
from torch import nn

from payattention import experts
from payattention.cost import operations, parameters
from payattention.experts import Experts
from payattention.measure import flops
from payattention.shape import MIXTRAL, SWITCH_C, TransformerShape
from payattention.transformer import Decoder, FeedForward


def mixture(count=5, chosen=1, capacity=None, width=7):
    torch.manual_seed(0)
    parts = (FeedForward(width, 11) for _ in range(count))
    return Experts(parts, d_model=width, chosen=chosen, capacity=capacity).double()


def drawn(*sizes):
    return torch.randn(*sizes, generator=torch.Generator().manual_seed(1), dtype=torch.double)


def one_by_one(model, x):
    """What each token gets from its experts, token by token, with the routing that was made."""
    routing, rows = model.routing, []
    for token, vector in enumerate(x.flatten(0, -2)):
        total = torch.zeros_like(vector)
        for choice in range(model.chosen):
            if routing.kept[token, choice]:
                expert = model.experts[int(routing.experts[token, choice])]
                total = total + routing.weights[token, choice] * expert(vector)
        rows.append(total)
    return torch.stack(rows).view_as(x)


@pytest.mark.parametrize("chosen", [1, 2, 5])
@pytest.mark.parametrize("capacity", [None, 0.4, 1.25])
def test_a_loop_over_tokens_gives_the_same(chosen, capacity):
    model, x = mixture(chosen=chosen, capacity=capacity), drawn(3, 13, 7).requires_grad_()
    fast = model(x)
    slow = one_by_one(model, x)
    torch.testing.assert_close(fast, slow, atol=1e-12, rtol=1e-10)
    towards = drawn(3, 13, 7)
    wanted = [x, *model.parameters()]
    for a, b in zip(
        torch.autograd.grad(fast, wanted, towards, retain_graph=True, allow_unused=True),
        torch.autograd.grad(slow, wanted, towards, allow_unused=True),
        strict=True,
    ):
        assert (a is None or not a.any()) if b is None else torch.allclose(a, b, atol=1e-10)


@pytest.mark.parametrize(("chosen", "capacity"), [(1, None), (2, None), (2, 0.5)])
def test_all_experts_everywhere_give_the_same(chosen, capacity):
    model, x = mixture(chosen=chosen, capacity=capacity), drawn(3, 13, 7)
    torch.testing.assert_close(model(x), model.everywhere(x), atol=1e-12, rtol=1e-10)


def test_the_likeliest_are_chosen_with_their_weights():
    model, x = mixture(chosen=2), drawn(1, 17, 7)
    routing = model.route(x[0])
    shares = model.router(x[0]).softmax(dim=-1)
    for token in range(17):
        best = shares[token].topk(2)
        assert routing.experts[token].tolist() == best.indices.tolist()
        torch.testing.assert_close(routing.weights[token], best.values / best.values.sum())
    single = mixture(chosen=1).route(x[0])  # one: its probability itself, so that the router learns
    torch.testing.assert_close(single.weights[:, 0], single.probabilities.amax(dim=1))


@pytest.mark.parametrize("capacity", [0.1, 0.5, 1.0, 3.0])
@pytest.mark.parametrize("chosen", [1, 2])
def test_no_expert_takes_more_than_it_has_room_for(capacity, chosen):
    model, x = mixture(chosen=chosen, capacity=capacity), drawn(2, 29, 7)
    model(x)
    routing, room = model.routing, math.ceil(capacity * 58 * chosen / 5)
    for expert in range(5):
        asked = routing.experts == expert
        taken = asked & routing.kept
        assert int(taken.sum()) == min(room, int(asked.sum()))
        # first choices before second ones, and the text's order within them
        order = [(choice, token) for token, choice in asked.nonzero().tolist()]
        kept = [(choice, token) for token, choice in taken.nonzero().tolist()]
        assert sorted(kept) == sorted(order)[: len(kept)]


def test_what_no_expert_takes_is_zero():
    model, x = mixture(capacity=0.1), drawn(1, 40, 7)
    out = model(x)[0]
    passed = ~model.routing.kept[:, 0]
    assert passed.any() and not out[passed].any() and out[~passed].any(dim=1).all()


def test_each_token_is_computed_once():
    model = mixture(count=4, chosen=2)
    seen = []
    for expert in model.experts:
        expert.register_forward_hook(lambda module, given, out: seen.append(len(given[0])))
    model(drawn(2, 19, 7))
    assert sum(seen) == 2 * 38 and len(seen) == 4


def test_balance_is_one_when_all_are_equal_and_larger_when_not():
    model, x = mixture(), drawn(2, 500, 7)
    nn.init.zeros_(model.router.weight)
    even = model.route(x.flatten(0, 1))
    assert even.balance.item() == pytest.approx(1)  # equal probabilities, wherever the load falls
    with torch.no_grad():
        model.router.weight[2] = 5
    model(x.abs())
    assert model.routing.load.tolist() == [0, 0, 1, 0, 0]
    assert model.routing.balance.item() == pytest.approx(5, rel=0.02)


def test_balance_pulls_the_router_towards_the_others():
    model, x = mixture(), drawn(1, 200, 7)
    with torch.no_grad():
        model.router.weight[1] += 1.0
    loads = []
    optimiser = torch.optim.SGD([model.router.weight], lr=1.0)
    for _ in range(60):
        model(x)
        loads.append(float(model.routing.load.max()))
        optimiser.zero_grad()
        experts.balance(model).backward()
        optimiser.step()
    assert loads[-1] < 0.6 * loads[0]


def test_balance_of_a_model_is_the_mean_of_its_layers():
    shape = TransformerShape(
        layers=2, d_model=12, heads=2, kv_heads=2, d_ff=8, vocab=11, experts=3, chosen=1
    )
    model = Decoder(shape)
    with pytest.raises(ValueError, match="have not run"):
        experts.balance(model)
    model(torch.randint(11, (2, 9)))
    layers = list(experts.experts_of(model))
    assert len(layers) == 2
    mean = sum(layer.routing.balance.item() for layer in layers) / 2
    assert experts.balance(model).item() == pytest.approx(mean)


# What they cost


@pytest.mark.parametrize("activation", ["gelu", "swiglu"])
@pytest.mark.parametrize("chosen", [1, 2])
@pytest.mark.parametrize("biases", ["none", "feed-forward", "all"])
def test_bill_equals_count(activation, chosen, biases):
    shape = TransformerShape(
        layers=2,
        d_model=12,
        heads=3,
        kv_heads=1,
        d_ff=10,
        vocab=11,
        activation=activation,
        biases=biases,
        experts=5,
        chosen=chosen,
    )
    model = Decoder(shape)
    whole = sum(w.numel() for w in model.parameters())
    assert sum(parameters.decoder(shape).values()) == whole
    idle = (5 - chosen) * sum(w.numel() for w in model.blocks[0].mlp.experts[0].parameters()) * 2
    assert sum(parameters.active(shape).values()) == whole - idle
    for block in model.blocks:
        block.attention.fused = False
    ids = torch.randint(11, (1, 13))
    assert flops(lambda: model(ids)) == sum(operations.forward(shape, tokens=13).values())


def test_published_counts_of_mixtral():
    assert sum(parameters.decoder(MIXTRAL).values()) == 46_702_792_704
    assert sum(parameters.active(MIXTRAL).values()) == 12_879_925_248


def test_published_count_of_switch_c():
    bill = parameters.encoder_decoder(SWITCH_C, vocab_read=SWITCH_C.vocab)
    assert round(sum(bill.values()), -9) == 1_571_000_000_000


def test_without_experts_all_parameters_are_active():
    shape = TransformerShape(layers=1, d_model=12, heads=2, kv_heads=2, d_ff=8, vocab=11)
    assert parameters.active(shape) == parameters.decoder(shape)


# What is refused


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"count": 0}, "experts: got none"),
        ({"chosen": 6}, "chosen: got 6; expected 1 to 5, the experts there are"),
        ({"chosen": 0}, "chosen: got 0"),
        ({"capacity": 0.0}, "capacity: got 0.0; expected more than 0"),
        ({"capacity": -1.0}, "capacity: got -1.0"),
        ({"capacity": math.nan}, "capacity: got nan"),
    ],
)
def test_bad_input_is_named(changed, told):
    with pytest.raises(ValueError, match=told):
        mixture(**changed)


@pytest.mark.parametrize(
    ("experts_", "chosen", "told"),
    [(None, 1, "expected both, or neither"), (3, None, "both"), (3, 4, "at most experts=3")],
)
def test_shapes_that_cannot_be(experts_, chosen, told):
    sizes = {"layers": 1, "d_model": 8, "heads": 2, "kv_heads": 2, "d_ff": 8, "vocab": 5}
    with pytest.raises(ValueError, match=told):
        TransformerShape(**sizes, experts=experts_, chosen=chosen)
