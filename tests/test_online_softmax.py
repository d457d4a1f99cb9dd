"""Attention in tiles against the readable form and torch's own; its laws, memory and errors."""

import inspect
import math
from functools import reduce

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as some
from torch import Tensor
from torch.nn import functional as F

from payattention import attention, measure
from payattention.online_softmax import Part, attend_in_tiles, merge, summarise

# as close as the order of the sums allows, outputs and gradients
CLOSE = {torch.float32: (1e-5, 1e-4), torch.float64: (1e-12, 1e-10)}
MASKS = ["none", "causal", "tensor", "by sequence", "by head", "one row"]


def draw(seed: int, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)


def three(seed: int, batch: tuple, rows: int, columns: int, *, dtype=torch.float32, widths=(5, 7)):
    """Queries, keys and values that want gradients."""
    d_head, d_value = widths
    sizes = (rows, d_head), (columns, d_head), (columns, d_value)
    drawn = (draw(seed + i, *batch, *size, dtype=dtype) for i, size in enumerate(sizes))
    return tuple(x.requires_grad_() for x in drawn)


def random_mask(seed: int, *shape: int) -> Tensor:
    """A mask with at least one True in every row."""
    generator = torch.Generator().manual_seed(seed)
    sure = torch.randint(shape[-1], (*shape[:-1], 1), generator=generator)
    return (torch.rand(*shape, generator=generator) < 0.3).scatter(-1, sure, True)


def mask_of(kind: str, batch: int, heads: int, rows: int, columns: int):
    shapes = {
        "tensor": (rows, columns),
        "by sequence": (batch, rows, columns),
        "by head": (batch, heads, rows, columns),
        "one row": (columns,),
    }
    return random_mask(rows, *shapes[kind]) if kind in shapes else {"none": None}.get(kind, kind)


def gradients(output: Tensor, *inputs: Tensor) -> tuple[Tensor, ...]:
    return torch.autograd.grad(output, inputs, draw(99, *output.shape, dtype=output.dtype))


def expect_close(ours: Tensor, theirs: Tensor, inputs: tuple, dtype: torch.dtype) -> None:
    for one, other, close in zip(
        (ours, *gradients(ours, *inputs)),
        (theirs, *gradients(theirs, *inputs)),
        (CLOSE[dtype][0], *[CLOSE[dtype][1]] * 3),
        strict=True,
    ):
        torch.testing.assert_close(one, other, atol=close, rtol=close)


# Two roads


@given(
    rows=some.integers(1, 23),
    kept=some.integers(0, 11),
    tile=some.integers(1, 29),
    kind=some.sampled_from(MASKS),
    dtype=some.sampled_from(list(CLOSE)),
)
def test_tiles_are_the_readable_form(rows, kept, tile, kind, dtype):
    inputs = three(1, (2, 3), rows, rows + kept, dtype=dtype)
    mask = mask_of(kind, 2, 3, rows, rows + kept)
    theirs = attention.attend(*inputs, mask)
    expect_close(attend_in_tiles(*inputs, mask, tile=tile), theirs, inputs, dtype)


@pytest.mark.parametrize("causal", [False, True])
def test_tiles_are_torchs_own(causal):
    inputs = three(2, (2, 3), 103, 103, widths=(8, 8))
    theirs = F.scaled_dot_product_attention(*inputs, is_causal=causal)
    ours = attend_in_tiles(*inputs, "causal" if causal else None, tile=17)
    expect_close(ours, theirs, inputs, torch.float32)


@pytest.mark.parametrize("batch", [(), (2,), (2, 3, 5)])
def test_any_axes_may_lead(batch):
    inputs = three(3, batch, 7, 11)
    expect_close(attend_in_tiles(*inputs, tile=3), attention.attend(*inputs), inputs, torch.float32)


def test_axes_may_lie_in_any_order():
    inputs = [x.detach().mT.contiguous().mT for x in three(4, (2, 3), 7, 11)]
    ours = attend_in_tiles(*inputs, "causal", tile=3)
    torch.testing.assert_close(ours, attention.attend(*inputs, "causal"), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", ["none", "causal", "by head"])
def test_gradients_are_differences(kind):
    inputs = three(5, (2, 1), 3, 5, dtype=torch.float64, widths=(2, 3))
    mask = mask_of(kind, 2, 1, 3, 5)
    assert torch.autograd.gradcheck(lambda *x: attend_in_tiles(*x, mask, tile=2), inputs)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_numbers_are_added_up_in_whole_ones(dtype):
    """Only the result is rounded: it is the double result to within half of its last digit."""
    inputs = [x.detach() for x in three(6, (3,), 31, 257, dtype=dtype)]
    ours = attend_in_tiles(*inputs, tile=13)
    exact = attention.attend(*(x.double() for x in inputs))
    assert ours.dtype == dtype
    torch.testing.assert_close(ours.double(), exact, rtol=0.51 * torch.finfo(dtype).eps, atol=1e-6)


def test_gradients_of_half_numbers():
    inputs = three(7, (3,), 31, 31, dtype=torch.bfloat16)
    wide = [x.detach().double().requires_grad_() for x in inputs]
    ours = gradients(attend_in_tiles(*inputs, "causal", tile=13), *inputs)
    exact = gradients(attention.attend(*wide, "causal"), *wide)
    for one, other in zip(ours, exact, strict=True):
        assert one.dtype == torch.bfloat16
        # the output that is kept has eight binary digits
        torch.testing.assert_close(one.double(), other, rtol=0.02, atol=0.02)


# Laws


def parts(seed: int, count: int, rows: int = 3) -> list[Part]:
    """Parts of unlike sizes, the scores of some a hundred times as large."""
    return [
        summarise(
            draw(seed + i, rows, 2 + i, dtype=torch.float64) * 100 ** (i % 2),
            draw(seed - i, 2 + i, 5, dtype=torch.float64),
        )
        for i in range(count)
    ]


def assert_same(one: Part, other: Part) -> None:
    for ours, theirs in zip(one, other, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-12, rtol=1e-12)


@given(some.integers(0, 1000))
def test_merging_is_associative_and_order_does_not_matter(seed):
    first, second, third = parts(seed, 3)
    assert_same(merge(merge(first, second), third), merge(first, merge(second, third)))
    assert_same(merge(first, second), merge(second, first))


@given(some.integers(0, 1000), some.integers(1, 7))
def test_parts_make_the_softmax_of_the_whole_row(seed, count):
    scores = [draw(seed + i, 3, 2 + i, dtype=torch.float64) for i in range(count)]
    values = [draw(seed - i, 2 + i, 5, dtype=torch.float64) for i in range(count)]
    whole = torch.cat(scores, dim=1)
    parts = [summarise(s.clone(), v) for s, v in zip(scores, values, strict=True)]
    largest, total, mixture = reduce(merge, parts)
    assert torch.equal(largest, whole.amax(dim=1, keepdim=True))
    torch.testing.assert_close((largest + total.log())[:, 0], whole.logsumexp(dim=1))
    torch.testing.assert_close(mixture / total, whole.softmax(dim=1) @ torch.cat(values))


def test_a_part_by_hand():
    # exp(0) + exp(ln 2 - ln 4) = 1.5, and 10 + 20 / 2 = 20; then a key as good as the best
    part = summarise(torch.tensor([[2.0, 4.0]]).log(), torch.tensor([[20.0], [10.0]]))
    assert [float(x) for x in part] == pytest.approx([math.log(4), 1.5, 20.0])
    more = merge(part, summarise(torch.tensor([[4.0]]).log(), torch.tensor([[1.0]])))
    assert [float(x) for x in more] == pytest.approx([math.log(4), 2.5, 21.0])


def test_keys_that_a_row_may_not_see_say_nothing():
    blind = summarise(torch.full((1, 3), -math.inf), torch.ones(3, 2))
    assert blind.total.item() == 0 and blind.mixture.abs().max() == 0
    seeing = summarise(torch.tensor([[-1e30, 2.0]]), torch.ones(2, 2))
    for one, other in ((blind, seeing), (seeing, blind)):
        assert all(torch.equal(a, b) for a, b in zip(merge(one, other), seeing, strict=True))


@given(some.integers(1, 40), some.integers(1, 40), some.booleans())
def test_the_tile_does_not_change_the_result(tile, other, causal):
    inputs = three(8, (2,), 31, 37)
    ours, theirs = (
        attend_in_tiles(*inputs, "causal" if causal else None, tile=t) for t in (tile, other)
    )
    expect_close(ours, theirs, inputs, torch.float32)


@pytest.mark.parametrize("size", [1e4, -1e4])
def test_extreme_scores_stay_finite(size):
    queries = torch.full((13, 1), size).requires_grad_()
    keys, values = draw(9, 17, 1).sign().requires_grad_(), draw(10, 17, 3).requires_grad_()
    assert attention.dot_product_scores(queries, keys).abs().min() == 1e4
    ours, theirs = (
        attend_in_tiles(queries, keys, values, tile=5),
        attention.attend(queries, keys, values),
    )
    expect_close(ours, theirs, (queries, keys, values), torch.float32)
    assert ours.isfinite().all()


def test_the_future_does_not_change_the_past():
    queries, keys, values = (x.detach() for x in three(11, (2,), 19, 19))
    before = attend_in_tiles(queries, keys, values, "causal", tile=4)
    keys[:, 12:], values[:, 12:] = math.inf, math.nan
    after = attend_in_tiles(queries, keys, values, "causal", tile=4)
    assert torch.equal(after[:, :12], before[:, :12]) and after[:, 12:].isnan().all()


# What it costs


def bill(tokens: int, mask=None, *, tile: int, d_head: int = 16) -> int:
    queries = draw(12, tokens, d_head)
    return measure.flops(lambda: attend_in_tiles(queries, queries, queries, mask, tile=tile))


def test_tiles_of_the_future_are_skipped():
    assert bill(96, tile=16) == 2 * 2 * 96**2 * 16
    # of 6 x 6 tiles those on the diagonal and below it
    assert bill(96, "causal", tile=16) == 2 * 2 * 16**2 * 16 * (6 * 7 // 2)


def test_backward_is_five_products_where_storing_takes_four():
    inputs = three(13, (), 48, 48, widths=(16, 16))
    product = 2 * 48**2 * 16
    for attend, products in ((attention.attend, 2 + 4), (attend_in_tiles, 2 + 5)):
        count = measure.flops(lambda attend=attend: attend(*inputs).sum().backward())
        assert count == products * product


@pytest.mark.parametrize("mask", [None, "causal"])
def test_memory_is_a_fraction_of_that_of_stored_scores(mask):
    queries = draw(14, 2048, 64)
    stored, tiles = (
        measure.peak_bytes(lambda f=f: f(queries, queries, queries, mask))
        for f in (attention.attend, lambda *x: attend_in_tiles(*x, tile=256))
    )
    assert tiles <= stored / 20


def test_memory_grows_with_the_tokens_forward_and_backward():
    d_head, tile = 16, 32

    def peak(tokens: int) -> int:
        inputs = three(15, (), tokens, tokens, widths=(d_head, d_head))
        return measure.peak_bytes(lambda: attend_in_tiles(*inputs, tile=tile).sum().backward())

    short, longer, longest = (peak(tokens) for tokens in (128, 256, 512))
    assert longest - longer == 2 * (longer - short)
    # the output, three gradients and two numbers a row; the gradient of the sum is one number
    assert longer - short == 128 * (4 * d_head + 2) * 4


# What is refused


def bad(**changed):
    arguments = dict(queries=torch.ones(3, 5), keys=torch.ones(7, 5), values=torch.ones(7, 2))
    return arguments | changed


@pytest.mark.parametrize(
    ("arguments", "error", "complaint"),
    [
        (bad(tile=0), ValueError, "tile=0: expected a whole number of at least 1"),
        (bad(tile=True), ValueError, "tile=True"),
        (bad(tile=2.5), ValueError, "tile=2.5"),
        (bad(keys=torch.ones(7, 4)), ValueError, "keys: got shape"),
        (bad(values=torch.ones(6, 2)), ValueError, "values: got shape"),
        (bad(queries=torch.ones(5)), ValueError, "expected two axes or more"),
        (bad(keys=torch.ones(0, 5), values=torch.ones(0, 2)), ValueError, "keys: got none"),
        (bad(queries=torch.ones(3, 5).int()), TypeError, "queries: got torch.int32"),
        (
            bad(values=torch.ones(7, 2).double()),
            TypeError,
            "values: got torch.float64; expected torch.float32",
        ),
        (bad(mask=torch.ones(3, 7)), TypeError, "mask: got torch.float32"),
        (bad(mask=torch.ones(7, 3).bool()), ValueError, "mask: got shape"),
        (bad(mask=torch.zeros(3, 7).bool()), ValueError, "row 0 may look at nothing"),
        (bad(queries=torch.ones(8, 5), mask="causal"), ValueError, "row 0 may look at nothing"),
    ],
)
def test_bad_input_is_named(arguments, error, complaint):
    with pytest.raises(error, match=complaint):
        inspect.unwrap(attend_in_tiles)(**arguments)


def test_a_second_gradient_is_refused():
    inputs = three(16, (), 3, 3)
    with pytest.raises(RuntimeError, match="has no second gradient"):
        torch.autograd.grad(attend_in_tiles(*inputs).sum(), inputs[0], create_graph=True)
