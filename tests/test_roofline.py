"""The roofline: by hand, against the counts that it is made of, and what it must obey."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payattention.cost import memory, operations, parameters, roofline
from payattention.cost.hardware import H100, Accelerator
from payattention.cost.roofline import Work
from payattention.shape import GPT2_SMALL, LLAMA_7B, TransformerShape

SLOW = Accelerator(
    "by hand",
    {"float32": 2.0},
    bytes_per_second=4.0,
    memory_bytes=None,
    watts=None,
    source="made up for a test, 2026",
)
SHAPE = TransformerShape(layers=3, d_model=12, heads=3, kv_heads=1, d_ff=7, vocab=11)


def test_each_part_takes_the_longer_of_computing_and_fetching():
    work = {
        "attention": Work(6, 4),
        "feed-forward": Work(2, 20),
        "logits": Work(2, 1),
        "scores": Work(4, 1),
        "norms": Work(0, 8),
    }
    least = {"attention": 3, "feed-forward": 5, "logits": 1, "scores": 2, "norms": 2}
    assert roofline.seconds(work, on=SLOW) == least
    assert roofline.share_of_matmuls(work, on=SLOW) == pytest.approx(4 / 13)


@pytest.mark.parametrize("shape", [SHAPE, GPT2_SMALL, LLAMA_7B])
@pytest.mark.parametrize(("past", "batch"), [(0, 1), (13, 1), (13, 5)])
def test_writing_computes_what_is_counted_and_fetches_each_weight_once(shape, past, batch):
    work = roofline.decode(shape, past=past, batch=batch, dtype="float16")
    flops = operations.decode(shape, past=past)
    assert sum(piece.flops for piece in work.values()) == batch * sum(flops.values())
    bill = parameters.decoder(shape)
    looked_up = {"positions", "norms", "final norm"} | (set() if shape.tied else {"tokens"})
    weights = sum(count for part, count in bill.items() if part not in looked_up)
    output_bias = shape.vocab if not shape.tied and shape.biases != "none" else 0
    cache = memory.kv_cache_bytes(shape, tokens=past + 1, batch=batch, dtype="float16")
    fetched = sum(piece.bytes for piece in work.values())
    assert fetched == 2 * (weights - output_bias) + cache


def test_training_computes_what_is_counted():
    work = roofline.training(SHAPE, tokens=13, batch=5)
    bill = operations.training(SHAPE, tokens=13, pairs=operations.needed_pairs(13))
    assert sum(piece.flops for piece in work.values()) == 5 * sum(bill.values())
    assert work["optimiser"].bytes == 28 * sum(parameters.decoder(SHAPE).values())


@given(batch=st.integers(1, 64), past=st.integers(0, 4096))
def test_a_larger_batch_never_takes_less_and_never_more_than_its_texts_one_by_one(batch, past):
    def seconds(texts: int) -> float:
        work = roofline.decode(GPT2_SMALL, past=past, batch=texts, dtype="bfloat16")
        return sum(roofline.seconds(work, on=H100, dtype="bfloat16").values())

    assert seconds(1) <= seconds(batch) <= batch * seconds(1) * (1 + 1e-12)


def test_a_7b_at_50_gb_a_second():
    """The published rule of thumb: 3.5 GB in four bits are fetched some 14 times a second."""
    laptop = replace(SLOW, flops_per_second={"float32": 1e12}, bytes_per_second=50e9)
    work = roofline.decode(LLAMA_7B, past=0, dtype="int4")
    assert 1 / sum(roofline.seconds(work, on=laptop, dtype="int4").values()) == pytest.approx(
        14.3, rel=0.07
    )


def test_unknown_dtypes_are_refused():
    with pytest.raises(ValueError, match="dtype='float12'"):
        roofline.decode(SHAPE, past=1, dtype="float12")
    with pytest.raises(ValueError, match="batch=0"):
        roofline.training(SHAPE, tokens=3, batch=0)
