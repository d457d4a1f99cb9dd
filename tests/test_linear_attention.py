"""Linear attention is a square without softmax, a sum in tiles, and a recurrence: all the same."""

import inspect

import pytest
import torch

from payattention import linear_attention
from payattention.linear_attention import State, attend_by_square, attend_linearly, features
from payattention.shape import TransformerShape
from payattention.transformer import Decoder


def drawn(tokens, *lead, width=5, value=3):
    generator = torch.Generator().manual_seed(tokens)
    return [
        torch.randn(*lead, tokens, w, generator=generator, dtype=torch.double, requires_grad=True)
        for w in (width, width, value)
    ]


@pytest.mark.parametrize("tokens", [1, 7, 63, 64, 65, 200])
@pytest.mark.parametrize("tile", [1, 13, 64])
def test_in_tiles_as_by_the_square(tokens, tile):
    qkv = drawn(tokens, 2, 3)
    square, tiles = attend_by_square(*qkv), attend_linearly(*qkv, tile=tile)
    torch.testing.assert_close(tiles, square, atol=1e-11, rtol=1e-9)
    towards = torch.randn_like(square)
    for a, b in zip(
        *(torch.autograd.grad(out, qkv, towards) for out in (square, tiles)), strict=True
    ):
        torch.testing.assert_close(b, a, atol=1e-10, rtol=1e-8)


def test_step_by_step_as_by_the_square():
    q, k, v = (x.detach() for x in drawn(31, 2))
    state = State(torch.zeros(2, 5, 3).double(), torch.zeros(2, 5).double())
    answers = []
    for at in range(31):
        answer, state = state.step(q[:, at], k[:, at], v[:, at])
        answers.append(answer)
    torch.testing.assert_close(torch.stack(answers, dim=1), attend_by_square(q, k, v))
    assert state.mixed.shape == (2, 5, 3)  # after 31 tokens as after none


def test_answers_are_means_of_the_past():
    q, k, _ = drawn(20)
    ones = torch.ones(20, 3).double()
    torch.testing.assert_close(attend_linearly(q, k, ones), ones)
    q, k, v = (x.detach().clone() for x in drawn(20))
    before = attend_linearly(q, k, v)[:12]
    v[12:] += 100
    torch.testing.assert_close(attend_linearly(q, k, v)[:12], before)


def test_features_are_above_zero_and_grow():
    x = torch.linspace(-20, 20, 101)
    assert (features(x) >= 0).all() and (features(x).diff() >= 0).all()


def test_a_model_that_uses_it_reads_no_future_and_no_mask():
    shape = TransformerShape(layers=2, d_model=24, heads=4, kv_heads=2, d_ff=16, vocab=11)
    model = linear_attention.use(Decoder(shape))
    ids = torch.randint(11, (2, 30))
    out = model(ids)
    other = ids.clone()
    other[:, 20:] = 0
    torch.testing.assert_close(model(other)[:, :20], out[:, :20])
    assert not torch.allclose(model(other)[:, 20:], out[:, 20:])


def test_bad_input_is_named():
    q, k, v = drawn(5)
    with pytest.raises(ValueError, match="tile=0"):
        attend_linearly(q, k, v, tile=0)
    with pytest.raises(ValueError, match="keys: got shape"):
        inspect.unwrap(attend_linearly)(q, k[..., :4], v)
