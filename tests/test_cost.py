"""Bill = count: every formula of `cost` against a count on a real model, and published numbers."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from payattention.attention import CausalAttention
from payattention.convolution import CausalConvolution
from payattention.cost import memory, operations, parameters
from payattention.recurrence import Recurrent
from payattention.shape import GPT2_SMALL, GPT3, RecurrentShape, TransformerShape
from payattention.vision import ConvolutionalClassifier

CELLS = ["rnn", "lstm", "gru"]


def counted(function) -> int:
    with FlopCounterMode(display=False) as counter:
        function()
    return counter.get_total_flops()


@pytest.mark.parametrize("cell", CELLS)
def test_recurrent_layer(cell):
    shape = RecurrentShape(cell, d_input=5, d_hidden=7)
    layer = Recurrent(shape)
    assert sum(parameters.recurrent(shape).values()) == sum(p.numel() for p in layer.parameters())
    count = counted(lambda: layer.unroll(torch.zeros(1, 11, 5)))
    assert count == sum(operations.recurrent(shape, tokens=11).values())
    start = layer.start(1)
    carried = sum(t.numel() * t.element_size() for t in (start if cell == "lstm" else [start]))
    assert carried == memory.recurrent_state_bytes(shape)


def test_convolution():
    model = CausalConvolution(3, kernel=2, dilations=[1, 2, 4])
    sizes = {"d_model": 3, "kernel": 2, "layers": 3}
    assert sum(parameters.convolution(**sizes).values()) == sum(
        p.numel() for p in model.parameters()
    )
    count = counted(lambda: model(torch.zeros(1, 11, 3)))
    assert count == sum(operations.convolution(**sizes, tokens=11).values())


@pytest.mark.parametrize("widths", [(3,), (2, 5), (7, 3, 5)])
def test_convolutional_classifier(widths):
    model = ConvolutionalClassifier(widths, classes=11)
    assert sum(parameters.convolutional_classifier(widths, classes=11).values()) == sum(
        p.numel() for p in model.parameters()
    )


def test_attention_layer():
    """On the meta device, where the counter sees the fused kernel."""
    with torch.device("meta"):
        layer = CausalAttention(7)
        count = counted(lambda: layer(torch.zeros(1, 11, 7)))
    assert count == sum(operations.attention(d_model=7, tokens=11).values())
    assert sum(parameters.attention(d_model=7).values()) == sum(
        p.numel() for p in layer.parameters()
    )


def test_attention_step():
    layer = CausalAttention(7)
    cache = (torch.zeros(1, 11, 7), torch.zeros(1, 11, 7))
    count = counted(lambda: layer.step(torch.zeros(1, 7), cache))
    assert count == sum(operations.attention_step(d_model=7, past=11).values())


def test_steps_sum_to_half_of_the_square():
    """Writing n tokens one by one makes the scores of the causal triangle, diagonal included."""
    steps = [operations.attention_step(d_model=7, past=past)["scores"] for past in range(11)]
    assert sum(steps) * 2 == operations.attention(d_model=7, tokens=11)["scores"] * 12 / 11


def test_transformer_by_hand():
    shape = TransformerShape(layers=2, d_model=15, heads=3, kv_heads=1, d_ff=7, vocab=11)
    bill = operations.forward(shape, tokens=13)
    assert bill == {
        "queries": 2 * 2 * 13 * 15 * 15,
        "keys and values": 2 * 2 * 2 * 13 * 15 * 5,
        "scores": 2 * 2 * 13 * 15 * 13,
        "mixing": 2 * 2 * 13 * 13 * 15,
        "output": 2 * 2 * 13 * 15 * 15,
        "mlp": 2 * 2 * 2 * 13 * 15 * 7,
        "logits": 2 * 13 * 15 * 11,
    }


def test_published():
    """Attention's share in GPT-2 small at 1,024 tokens, logits aside: 4 n d against 24 d^2."""
    bill = operations.forward(GPT2_SMALL, tokens=1024)
    square = bill["scores"] + bill["mixing"]
    assert square / (sum(bill.values()) - bill["logits"]) == pytest.approx(0.1818, abs=1e-4)
    assert memory.kv_cache_bytes(GPT3, tokens=2048) == pytest.approx(9.66e9, rel=1e-3)
