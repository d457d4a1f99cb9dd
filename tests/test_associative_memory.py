"""The two memories: exact where keys are orthogonal, and what the facts say where they are not."""

import pytest
import torch

from payattention import associative_memory as am
from payattention.associative_memory import PairReader


def pairs(count, d_model, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [am.unit_vectors(count, d_model, generator) for _ in range(2)]


def test_unit_vectors_have_length_one():
    keys, _ = pairs(13, 7)
    assert keys.shape == (13, 7)
    torch.testing.assert_close(keys.norm(dim=-1), torch.ones(13))


def test_state_is_the_sum_of_outer_products():
    keys, values = pairs(13, 7)
    summed = sum(torch.outer(k, v) for k, v in zip(keys, values, strict=True))
    torch.testing.assert_close(am.write(keys, values), summed)


def test_orthogonal_keys_are_recalled_without_error():
    keys = torch.eye(7)
    _, values = pairs(7, 7)
    torch.testing.assert_close(keys @ am.write(keys, values), values)
    assert am.recalled_by_state(keys, values) == 1.0


@pytest.mark.parametrize(
    ("count", "published"), [(64, 1.0), (128, 0.982), (256, 0.759), (512, 0.335)]
)
def test_recalled_fractions(count, published):
    """The fractions do not hang on the draw: within 0.04 of another program's numbers."""
    shares = [am.recalled_by_state(*pairs(count, 64, seed)) for seed in range(5)]
    assert sum(shares) / 5 == pytest.approx(published, abs=0.04)
    assert am.recalled_by_attention(*pairs(count, 64)) == 1.0


def test_attention_must_be_sharp_to_tell_random_keys_apart():
    keys, values = pairs(512, 64)
    recalled = [
        am.recalled_by_attention(keys, values, sharpness=sharpness) for sharpness in (1 / 8, 2, 4)
    ]
    assert recalled[0] < 0.05 and 0.05 < recalled[1] < 0.5 and recalled[2] == 1.0


def test_nearest_is_by_value_not_by_position():
    values = torch.eye(5)
    answers = values[torch.tensor([3, 0, 4])] + 0.1
    assert am.nearest(answers, values).tolist() == [3, 0, 4]


@pytest.mark.parametrize("softmax", [False, True])
def test_reader_forgets_the_order_of_pairs(softmax):
    torch.manual_seed(0)
    reader = PairReader(key_symbols=11, value_symbols=5, d_head=7, softmax=softmax)
    keys, values = torch.randperm(11)[None, :6], torch.randint(5, (1, 6))
    order = torch.randperm(6)
    torch.testing.assert_close(
        reader(keys, values, keys[:, 0]), reader(keys[:, order], values[:, order], keys[:, 0])
    )


def test_both_readers_have_the_same_parameters():
    sizes = [
        [
            p.numel()
            for p in PairReader(key_symbols=11, value_symbols=5, d_head=7, softmax=s).parameters()
        ]
        for s in (False, True)
    ]
    assert sizes[0] == sizes[1]


def test_attention_reader_equals_sdpa():
    torch.manual_seed(0)
    reader = PairReader(key_symbols=11, value_symbols=5, d_head=7, softmax=True)
    keys, values = torch.randint(11, (2, 6)), torch.randint(5, (2, 6))
    asked = keys[:, 3]
    mixed = torch.nn.functional.scaled_dot_product_attention(
        reader.queries(reader.key_embedding(asked))[:, None],
        reader.keys(reader.key_embedding(keys)),
        reader.values(reader.value_embedding(values)),
    )
    torch.testing.assert_close(reader(keys, values, asked), reader.output(mixed[:, 0]))


def test_state_reader_adds_one_pair_at_a_time():
    """Two roads: the state read at once, and a sum of outer products, token by token."""
    torch.manual_seed(0)
    reader = PairReader(key_symbols=11, value_symbols=5, d_head=7, softmax=False)
    keys, values = torch.randint(11, (1, 6)), torch.randint(5, (1, 6))
    state = torch.zeros(7, 7)
    for k, v in zip(reader.key_embedding(keys[0]), reader.value_embedding(values[0]), strict=True):
        state = state + torch.outer(reader.keys(k), reader.values(v))
    answer = reader.output(reader.queries(reader.key_embedding(keys[0, 2])) @ state)
    torch.testing.assert_close(reader(keys, values, keys[:, 2])[0], answer)
