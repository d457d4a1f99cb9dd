"""What is left out is what scores least, as much as was asked for, and it stays out."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils import prune as torch_prune

from payattention import pruning
from payattention.shape import TransformerShape
from payattention.transformer import Decoder

SHAPE = TransformerShape(layers=2, d_model=12, heads=3, kv_heads=1, d_ff=20, vocab=11)


@pytest.fixture
def model():
    torch.manual_seed(0)
    return Decoder(SHAPE)


def scored(*sizes):
    generator = torch.Generator().manual_seed(0)
    return {f"w{n}": torch.rand(*size, generator=generator) for n, size in enumerate(sizes)}


def test_maps_of_the_blocks_are_prunable_and_nothing_else(model):
    names = set(pruning.prunable(model))
    parts = ("queries", "keys", "values", "output")
    expected = {f"blocks.{n}.attention.{part}.weight" for n in (0, 1) for part in parts}
    expected |= {f"blocks.{n}.mlp.{part}.weight" for n in (0, 1) for part in ("widen", "narrow")}
    assert names == expected
    parameters = dict(model.named_parameters())
    assert all(parameters[name] is m.weight for name, m in pruning.prunable(model).items())


@given(st.floats(0, 1), st.sampled_from(["all", "map", "row"]))
def test_as_many_are_dropped_as_asked_for_and_the_least(sparsity, among):
    scores = scored((3, 8), (5, 6))
    masks = pruning.keep_largest(scores, sparsity, among=among)
    groups = {
        "all": [(torch.cat([s.flatten() for s in scores.values()]),
                 torch.cat([m.flatten() for m in masks.values()]))],
        "map": [(s.flatten(), masks[n].flatten()) for n, s in scores.items()],
        "row": [(s[r], masks[n][r]) for n, s in scores.items() for r in range(len(s))],
    }[among]  # fmt: skip
    for score, mask in groups:
        assert int((~mask).sum()) == round(sparsity * len(score))
        if mask.any() and not mask.all():
            assert score[~mask].max() <= score[mask].min()


@pytest.mark.parametrize("amount", [0.0, 0.3, 0.9])
def test_magnitude_is_that_of_torch(model, amount):
    ours = pruning.keep_largest(pruning.magnitudes(model), amount, among="map")
    for name, linear in pruning.prunable(model).items():
        theirs = nn.Linear(linear.in_features, linear.out_features, bias=False)
        theirs.weight = nn.Parameter(linear.weight.detach().clone())
        torch_prune.l1_unstructured(theirs, "weight", amount=amount)
        assert torch.equal(theirs.weight_mask.bool(), ours[name])


def test_wanda_is_magnitude_times_the_norm_of_each_input(model):
    batches = [torch.randint(11, (3, 7)) for _ in range(2)]
    scores = pruning.wanda(model, lambda m: [m(ids) for ids in batches])
    seen = []
    hook = model.blocks[1].mlp.narrow.register_forward_hook(lambda m, x, y: seen.append(x[0]))
    for ids in batches:
        model(ids)
    hook.remove()
    norms = torch.cat([x.flatten(0, 1) for x in seen]).norm(dim=0)
    weight = model.blocks[1].mlp.narrow.weight
    expected = weight.abs() * norms
    torch.testing.assert_close(scores["blocks.1.mlp.narrow.weight"], expected.detach())
    assert not any(m._forward_hooks for m in pruning.prunable(model).values())


def test_wanda_forgets_its_hooks_when_a_run_fails(model):
    def fails(model):
        raise RuntimeError("no text")

    with pytest.raises(RuntimeError, match="no text"):
        pruning.wanda(model, fails)
    assert not any(m._forward_hooks for m in pruning.prunable(model).values())


def test_chance_is_drawn_anew_and_again(model):
    draws = [
        pruning.by_chance(model, generator=torch.Generator().manual_seed(seed))
        for seed in (0, 0, 1)
    ]
    name = "blocks.0.mlp.widen.weight"
    assert torch.equal(draws[0][name], draws[1][name])
    assert not torch.equal(draws[0][name], draws[2][name])


def test_two_of_each_four_stay(model):
    masks = pruning.two_of_four(pruning.magnitudes(model))
    for name, mask in masks.items():
        fours = mask.reshape(-1, 4)
        assert (fours.sum(dim=1) == 2).all()
        sizes = pruning.prunable(model)[name].weight.abs().reshape(-1, 4)
        kept, dropped = sizes[fours].view(-1, 2), sizes[~fours].view(-1, 2)
        assert (kept.amin(dim=1) >= dropped.amax(dim=1)).all()
    assert pruning.sparsity(masks) == 0.5


def test_iterative_pruning_only_adds(model):
    scores = pruning.magnitudes(model)
    first = pruning.keep_largest(scores, 0.5)
    chance = pruning.by_chance(model, generator=torch.Generator().manual_seed(3))
    then = pruning.keep_largest(chance, 0.75, within=first)
    assert all(not (then[name] & ~first[name]).any() for name in first)
    assert pruning.sparsity(then) == pytest.approx(0.75, abs=1e-3)


def test_shuffled_masks_are_as_dense_in_each_map(model):
    masks = pruning.keep_largest(pruning.magnitudes(model), 0.8)
    other = pruning.shuffled(masks, generator=torch.Generator().manual_seed(0))
    for name in masks:
        assert masks[name].sum() == other[name].sum()
    assert any(not torch.equal(masks[name], other[name]) for name in masks)


def test_weights_stay_out_while_the_rest_is_trained(model):
    before = {n: w.detach().clone() for n, w in model.named_parameters()}
    masks = pruning.keep_largest(pruning.magnitudes(model), 0.7)
    with pruning.pruned(model, masks) as same:
        assert same is model
        optimiser = torch.optim.AdamW(model.parameters(), lr=0.01, weight_decay=0.1)
        for _ in range(3):
            ids = torch.randint(11, (2, 9))
            optimiser.zero_grad()
            model(ids).logsumexp(dim=-1).mean().backward()
            optimiser.step()
            for name, linear in pruning.prunable(model).items():
                assert not linear.weight[~masks[name]].any()
    for name, linear in pruning.prunable(model).items():
        assert not linear.weight[~masks[name]].any()
        assert not torch.equal(linear.weight[masks[name]], before[name][masks[name]])
    # afterwards nothing holds them any more
    model(torch.randint(11, (2, 9))).sum().backward()
    grads = [linear.weight.grad[~masks[n]] for n, linear in pruning.prunable(model).items()]
    assert any(g.any() for g in grads)


def test_a_model_with_nothing_left_out_is_the_same(model):
    ids = torch.randint(11, (1, 9))
    before = model(ids)
    pruning.prune(model, pruning.keep_largest(pruning.magnitudes(model), 0.0))
    assert torch.equal(model(ids), before)


@pytest.mark.parametrize("sparsity", [-0.1, 1.1, float("nan")])
def test_shares_outside_of_one_are_named(sparsity):
    with pytest.raises(ValueError, match=r"sparsity: got .*; expected 0 to 1"):
        pruning.keep_largest(scored((2, 4)), sparsity)


def test_other_bad_input_is_named(model):
    with pytest.raises(ValueError, match="among: got 'column'"):
        pruning.keep_largest(scored((2, 4)), 0.5, among="column")
    with pytest.raises(ValueError, match="w0: got 6 inputs; expected a multiple of 4"):
        pruning.two_of_four(scored((2, 6)))
    with pytest.raises(ValueError, match=r"masks: got nothing of .* no such weight"):
        pruning.prune(model, {"nothing": torch.ones(2, 2, dtype=torch.bool)})
    with pytest.raises(ValueError, match=r"masks: got blocks.0.mlp.widen.weight of \(2, 2\)"):
        pruning.prune(model, {"blocks.0.mlp.widen.weight": torch.ones(2, 2, dtype=torch.bool)})
    with pytest.raises(ValueError, match="run: never used blocks"):
        pruning.wanda(model, lambda m: m.blocks[0].mlp(torch.randn(2, 12)))
