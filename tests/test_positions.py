"""Positions: the papers' formulas, the code of three published models, and what turning keeps."""

import inspect
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from payattention import attention, positions
from payattention.positions import LearnedPositions, Rotary


def vectors(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


# Vectors that are added to the tokens


def test_sinusoidal_is_the_formula_of_the_paper():
    tokens, d_model = 13, 10
    ours = positions.sinusoidal(tokens, d_model)
    for place in range(tokens):
        for pair in range(d_model // 2):
            angle = place / 10_000 ** (2 * pair / d_model)
            assert ours[place, 2 * pair].item() == pytest.approx(math.sin(angle), abs=2e-6)
            assert ours[place, 2 * pair + 1].item() == pytest.approx(math.cos(angle), abs=2e-6)


def test_another_base_turns_at_another_speed():
    assert positions.frequencies(4, base=100.0).tolist() == pytest.approx([1.0, 0.1])
    place = positions.sinusoidal(2, 4, base=100.0)[1].tolist()
    assert place == pytest.approx([math.sin(1), math.cos(1), math.sin(0.1), math.cos(0.1)])


def test_sinusoidal_is_a_resting_vector_turned():
    """Two roads to sines and cosines: `Rotary` turns (1, 0), whose pairs are then (cos, sin)."""
    rest = torch.tensor([1.0, 0.0]).repeat(11, 5)
    turned = Rotary()(rest).unflatten(-1, (5, 2)).flip(-1).flatten(-2)
    torch.testing.assert_close(positions.sinusoidal(11, 10), turned, atol=1e-6, rtol=0)


def test_learned_positions_are_the_first_rows_and_trained():
    table = LearnedPositions(7, 5)
    assert torch.equal(table(7)[:3], table(3))
    table(3).sum().backward()
    assert table.table.grad.abs().sum(dim=1).tolist() == [5, 5, 5, 0, 0, 0, 0]


def test_learned_positions_end():
    table = LearnedPositions(7, 5)
    with pytest.raises(ValueError, match=r"tokens=8: this table of learned positions ends at 7"):
        table(8)


# Rotations

published = pytest.mark.slow  # its import alone takes seconds


@pytest.fixture(scope="module")
def gptj():
    return pytest.importorskip("transformers.models.gptj.modeling_gptj")


@pytest.fixture(scope="module")
def llama():
    return pytest.importorskip("transformers.models.llama.modeling_llama")


@published
def test_rotary_is_that_of_gptj(gptj):
    x = vectors(0, 2, 3, 13, 10)
    sin, cos = gptj.create_sinusoidal_positions(13, 10)[None].chunk(2, dim=-1)
    # there the heads stand behind the tokens
    theirs = gptj.apply_rotary_pos_emb(x.transpose(1, 2), sin, cos).transpose(1, 2)
    torch.testing.assert_close(Rotary()(x), theirs, atol=1e-5, rtol=0)


@published
@pytest.mark.parametrize("start", [0, 17])
def test_rotary_is_that_of_llama_with_the_pairs_apart(llama, start):
    """Llama pairs the number i with i + d_head / 2; ours stand side by side."""
    tokens, d_head = 13, 10
    q, k = vectors(0, 2, 2, 3, tokens, d_head)
    config = llama.LlamaConfig(hidden_size=3 * d_head, num_attention_heads=3)
    places = torch.arange(start, start + tokens)[None]
    cos, sin = llama.LlamaRotaryEmbedding(config)(q, places)
    apart = torch.cat([torch.arange(0, d_head, 2), torch.arange(1, d_head, 2)])
    theirs = llama.apply_rotary_pos_emb(q[..., apart], k[..., apart], cos, sin)
    for x, turned in zip((q, k), theirs, strict=True):
        ours = Rotary()(x, start=start)[..., apart]
        torch.testing.assert_close(ours, turned, atol=1e-5, rtol=0)


pairs_of_numbers = st.integers(1, 7)
places = st.integers(0, 100)
# An angle of up to 200 radians is rounded by up to 200 · 2⁻²⁴, about 1e-5, in float32.
ROUNDED = 1e-4


@given(st.integers(0, 9), pairs_of_numbers, places, places, places)
def test_a_product_depends_on_the_distance_alone(seed, pairs, query, key, shift):
    q, k = vectors(seed, 2, 1, 2 * pairs)
    turn = Rotary()
    here = turn(q, start=query) @ turn(k, start=key).T
    there = turn(q, start=query + shift) @ turn(k, start=key + shift).T
    scale = (q.norm() * k.norm()).item()
    torch.testing.assert_close(here, there, atol=ROUNDED * scale, rtol=0)


def test_a_product_does_depend_on_the_distance():
    q = vectors(0, 1, 10)
    products = [(Rotary()(q) @ Rotary()(q, start=distance).T).item() for distance in range(4)]
    assert len({round(product, 3) for product in products}) == 4
    assert products[0] == max(products)


@given(st.integers(0, 9), pairs_of_numbers, places)
def test_a_rotation_keeps_the_length_of_each_pair(seed, pairs, start):
    x = vectors(seed, 3, 5, 2 * pairs)
    turned = Rotary()(x, start=start)
    before, after = (v.unflatten(-1, (-1, 2)).norm(dim=-1) for v in (x, turned))
    torch.testing.assert_close(after, before, atol=1e-6, rtol=1e-5)


@given(st.integers(0, 9), pairs_of_numbers)
def test_the_first_position_does_not_turn(seed, pairs):
    x = vectors(seed, 3, 1, 2 * pairs)
    assert torch.equal(Rotary()(x), x)


@given(st.integers(0, 9), pairs_of_numbers, places, st.integers(1, 9))
def test_a_squeezed_position_is_an_earlier_one(seed, pairs, place, squeeze):
    x = vectors(seed, 1, 2 * pairs)
    squeezed = Rotary(squeeze=squeeze)(x, start=place * squeeze)
    torch.testing.assert_close(squeezed, Rotary()(x, start=place), atol=1e-5, rtol=0)


def test_a_squeeze_puts_new_positions_between_the_old():
    x = vectors(0, 10).expand(8, 10)
    squeezed, plain = Rotary(squeeze=4)(x), Rotary()(x)
    torch.testing.assert_close(squeezed[::4], plain[:2], atol=1e-6, rtol=0)
    first = [math.atan2(y, x) for x, y in squeezed[:5, :2].tolist()]
    steps = [(later - first[0]) % (2 * math.pi) for later in first[1:]]
    assert steps == pytest.approx([0.25, 0.5, 0.75, 1.0], abs=1e-5)


@given(st.integers(0, 9), places)
def test_start_goes_on_where_the_first_part_ended(seed, start):
    x = vectors(seed, 2, start + 3, 6)
    whole = Rotary()(x)
    torch.testing.assert_close(Rotary()(x[:, start:], start=start), whole[:, start:])


# Penalties


@published
@pytest.mark.parametrize("heads", [1, 3, 4, 6, 7, 8, 12, 16, 20])
def test_alibi_is_that_of_bloom(heads):
    """Bloom adds slope times place of the key: in a row a constant more, which softmax ignores."""
    bloom = pytest.importorskip("transformers.models.bloom.modeling_bloom")
    tokens = 11
    theirs = bloom.build_alibi_tensor(torch.ones(1, tokens), heads, torch.float32)
    ours = positions.alibi(heads, tokens)
    past = attention.causal_mask(tokens)
    rows = theirs - theirs.mT  # 0 for the token itself
    torch.testing.assert_close(ours[:, past], rows[:, past], atol=1e-5, rtol=0)
    scores = vectors(0, heads, tokens, tokens)
    torch.testing.assert_close(
        attention.to_weights(scores + ours, "causal"),
        attention.to_weights(scores + theirs, "causal"),
        atol=1e-5,
        rtol=0,
    )


def test_slopes_of_the_paper():
    """Section 3: 1/2 to 1/2⁸ for 8 heads; for 16, the square root of 1/2 as start and ratio."""
    assert positions.alibi_slopes(8).tolist() == [2.0**-i for i in range(1, 9)]
    ratio = math.sqrt(1 / 2)
    assert positions.alibi_slopes(16).tolist() == pytest.approx([ratio**i for i in range(1, 17)])


@given(st.integers(1, 40))
def test_every_head_has_a_slope_of_its_own(heads):
    slopes = positions.alibi_slopes(heads).tolist()
    assert len(set(slopes)) == heads
    assert all(0 < slope < 1 for slope in slopes)


def test_alibi_of_the_last_rows_alone():
    torch.testing.assert_close(positions.alibi(3, 7, rows=2), positions.alibi(3, 7)[:, -2:])


def test_alibi_takes_more_off_for_what_is_farther():
    penalty = positions.alibi(2, 5)
    assert penalty[0, 4].tolist() == [-0.0625 * distance for distance in (4, 3, 2, 1, 0)]
    assert penalty[1, 4, 0].item() == -4 / 256


# Refusals


@pytest.mark.parametrize("width", [-2, 0, 1, 7])
def test_a_width_without_pairs_is_refused(width):
    with pytest.raises(ValueError, match=rf"width={width}: expected an even number"):
        positions.frequencies(width)


def test_odd_widths_are_refused_wherever_they_come_in():
    with pytest.raises(ValueError, match="width=5: expected an even number"):
        positions.sinusoidal(3, 5)
    with pytest.raises(ValueError, match="width=5: expected an even number"):
        Rotary()(torch.zeros(2, 3, 5))


@pytest.mark.parametrize("name", ["base", "squeeze"])
@pytest.mark.parametrize("value", [0.0, -4.0, math.nan])
def test_rotary_refuses_what_is_not_positive(name, value):
    with pytest.raises(ValueError, match=rf"{name}={value}: expected a positive number"):
        Rotary(**{name: value})


@pytest.mark.parametrize("heads", [0, -3])
def test_alibi_refuses_no_heads(heads):
    with pytest.raises(ValueError, match=rf"heads={heads}: expected at least 1"):
        inspect.unwrap(positions.alibi_slopes)(heads)
    with pytest.raises(ValueError, match=rf"heads={heads}: expected at least 1"):
        inspect.unwrap(positions.alibi)(heads, 5)
