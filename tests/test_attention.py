"""Attention against torch's own, its masks, and its cache."""

import pytest
import torch
from torch.nn import functional as F

from payattention import attention
from payattention.attention import CausalAttention


@pytest.mark.parametrize("causal", [False, True])
def test_attend_equals_sdpa(causal):
    generator = torch.Generator().manual_seed(0)
    q, k = torch.randn(2, 2, 11, 5, generator=generator)
    v = torch.randn(2, 11, 7, generator=generator)
    mask = attention.causal_mask(11) if causal else None
    ours = attention.attend(q, k, v, mask)
    theirs = F.scaled_dot_product_attention(q, k, v, is_causal=causal)
    torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=0)


def test_pairs():
    assert [int(attention.full_mask(n).sum()) for n in (2, 3, 4)] == [4, 9, 16]
    assert [int(attention.causal_mask(n).sum()) for n in (2, 3, 4)] == [3, 6, 10]


def test_step_equals_forward():
    torch.manual_seed(0)
    layer, x = CausalAttention(5), torch.randn(2, 11, 5)
    cache = (torch.zeros(2, 0, 5), torch.zeros(2, 0, 5))
    steps = []
    for token in x.unbind(1):
        out, cache = layer.step(token, cache)
        steps.append(out)
    torch.testing.assert_close(torch.stack(steps, 1), layer(x), atol=1e-6, rtol=1e-5)
    assert cache[0].shape == (2, 11, 5)


def test_the_past_does_not_see_the_future():
    layer, x = CausalAttention(5), torch.randn(2, 11, 5)
    changed = x.clone()
    changed[:, 7:] += 1
    torch.testing.assert_close(layer(x)[:, :7], layer(changed)[:, :7])
