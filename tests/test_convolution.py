"""Convolutions: the reach found by trying against the reach found by counting."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from payattention.attention import CausalAttention
from payattention.convolution import CausalConvolution, reach, receptive_field


@given(kernel=st.integers(2, 4), dilations=st.lists(st.integers(1, 4), min_size=1, max_size=4))
@settings(max_examples=25, deadline=None)
def test_reach_equals_the_formula(kernel, dilations):
    torch.manual_seed(0)
    model = CausalConvolution(3, kernel=kernel, dilations=dilations).double()
    with torch.no_grad():  # so that no path is cut by a ReLU that happens to be off
        for layer in model.layers:
            layer.weight.abs_()
            layer.bias.fill_(10.0)
    wanted = receptive_field(kernel, dilations)
    assert reach(model, tokens=wanted + 5, d_model=3) == wanted


def test_reach_is_cut_at_the_sequence():
    model = CausalConvolution(3, kernel=2, dilations=[1, 2, 4]).double()
    with torch.no_grad():
        for layer in model.layers:
            layer.weight.abs_()
            layer.bias.fill_(10.0)
    assert reach(model, tokens=5, d_model=3) == 5


@pytest.mark.parametrize("seed", range(3))
def test_reach_of_a_stack_as_it_is_initialised(seed):
    torch.manual_seed(seed)
    model = CausalConvolution(4, kernel=2, dilations=[1, 2, 4, 8, 16, 32]).double()
    assert reach(model, tokens=70, d_model=4) == 64


def test_reach_of_other_models():
    assert reach(lambda x: x, tokens=7, d_model=2) == 1
    assert reach(lambda x: torch.zeros_like(x), tokens=7, d_model=2) == 0
    assert reach(lambda x: x.cumsum(1), tokens=7, d_model=2) == 7
    assert reach(CausalAttention(5).double(), tokens=11, d_model=5) == 11


def test_one_layer_equals_conv1d():
    model = CausalConvolution(3, kernel=2, dilations=[1])
    x = torch.randn(2, 7, 3)
    plain = nn.functional.conv1d(
        x.transpose(1, 2), model.layers[0].weight, model.layers[0].bias
    ).transpose(1, 2)
    torch.testing.assert_close(model(x)[:, 1:], x[:, 1:] + plain.relu())


def test_the_past_does_not_see_the_future():
    model, x = CausalConvolution(3, kernel=3, dilations=[1, 2]), torch.randn(2, 11, 3)
    changed = x.clone()
    changed[:, 7:] += 1
    torch.testing.assert_close(model(x)[:, :7], model(changed)[:, :7])


def test_bad_sizes():
    with pytest.raises(ValueError, match="kernel=1: expected at least 2"):
        CausalConvolution(3, kernel=1, dilations=[1])
    with pytest.raises(ValueError, match="dilations=\\[\\]"):
        CausalConvolution(3, kernel=2, dilations=[])
    with pytest.raises(ValueError, match="dilations=\\[2, 0\\]"):
        CausalConvolution(3, kernel=2, dilations=[2, 0])
