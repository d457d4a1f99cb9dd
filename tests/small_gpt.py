"""GPTs with random weights that have something to say: sharp attention, uneven chances."""

from dataclasses import replace

import torch

from payattention import trained
from payattention.shape import TransformerShape
from payattention.transformer import Decoder

SMALL = replace(trained.GPT_SHAPE, layers=2, d_model=42, heads=3, kv_heads=3, d_ff=29, context=31)
"""Of the book's characters; sizes unlike each other and no multiples of 4."""


def random_gpt(shape: TransformerShape = SMALL, *, seed: int = 0) -> Decoder:
    """A decoder of the shape, the same at each call, whose norms scale and shift as well."""
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(seed)
        model = Decoder(shape).eval()
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if "norm" in name:
                    parameter.add_(0.2 * torch.randn(parameter.shape))
                else:
                    louder = {"queries": 2, "keys": 2, "table": 8}
                    parameter.mul_(next((by for part, by in louder.items() if part in name), 1))
    return model
