"""Induction: where heads look, and models without one of them."""

import pytest
import torch

from payattention import induction
from payattention.shape import TransformerShape
from payattention.transformer import Decoder


def looking_at(columns, *, tokens):
    """Weights of one layer and one head, all on one column a row, for each sequence."""
    weights = torch.zeros(1, len(columns), 1, tokens, tokens)
    for sequence, chosen in enumerate(columns):
        for row, column in enumerate(chosen):
            weights[0, sequence, 0, row, column] = 1
    return weights


def test_a_head_that_looks_at_the_token_before():
    weights = looking_at([[0, 0, 1, 2, 3], [0, 0, 1, 2, 4]], tokens=5)
    assert induction.previous_token_scores(weights).tolist() == [[0.875]]


def test_a_head_that_looks_behind_the_earlier_copy():
    # copies of three symbols: 4 apart in the first sequence, 3 in the second
    weights = looking_at([[0] * 4 + [1, 2, 3], [0] * 4 + [2, 3, 4]], tokens=7)
    scores = induction.induction_scores(weights, torch.tensor([4, 3]), last=3)
    assert scores.shape == (1, 1) and scores.item() == 1
    assert induction.induction_scores(weights, torch.tensor([4, 4]), last=3).item() == 0.5


@pytest.fixture
def model():
    torch.manual_seed(0)
    return Decoder(TransformerShape(layers=2, d_model=10, heads=5, kv_heads=5, d_ff=7, vocab=11))


def test_a_model_without_some_heads_and_then_with_them_again(model):
    ids = torch.randint(11, (2, 13))
    before = model(ids)
    values = []
    model.blocks[1].attention.values.register_forward_hook(lambda *hooked: values.append(hooked[2]))
    with induction.without_heads(model, 1, [1, 3]) as without:
        changed = without(ids)
        kept = model.blocks[1].attention.output.weight.unflatten(1, (5, 2))
        assert (kept[:, [1, 3]] == 0).all() and (kept[:, [0, 2, 4]] != 0).all()
    assert not torch.allclose(changed, before)
    assert torch.equal(model(ids), before)


def test_the_heads_come_back_after_an_error(model):
    kept = model.blocks[0].attention.output.weight.clone()
    with pytest.raises(KeyError), induction.without_heads(model, 0, [0]):
        raise KeyError
    assert torch.equal(model.blocks[0].attention.output.weight, kept)


def test_without_all_heads_a_layer_adds_nothing_from_elsewhere(model):
    ids = torch.randint(11, (1, 13))
    other = ids.clone()
    other[0, 0] = (other[0, 0] + 1) % 11
    with (
        induction.without_heads(model, 0, range(5)),
        induction.without_heads(model, 1, range(5)),
    ):
        assert torch.equal(model(ids)[:, 1:], model(other)[:, 1:])


@pytest.mark.parametrize(
    ("layer", "heads", "complaint"),
    [(2, [0], r"layer: got \[2\]; expected 0 to 1"), (0, [0, 5], r"heads: got \[0, 5\]; expected")],
)
def test_heads_that_are_not_there_are_refused(model, layer, heads, complaint):
    with pytest.raises(ValueError, match=complaint), induction.without_heads(model, layer, heads):
        pass
