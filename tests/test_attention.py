"""Attention against torch's own and against loops; its masks, its heads, its laws, its cache."""

import inspect
import itertools
import math
from dataclasses import dataclass

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from payattention import attention
from payattention.attention import AdditiveScores, CausalAttention, MultiHeadAttention
from payattention.positions import Rotary, alibi

FORMS = [attention.attend, attention.attend_fused]
CLOSE = {
    torch.float32: dict(atol=1e-6, rtol=1e-5),
    torch.float64: dict(atol=1e-12, rtol=1e-12),
    # eleven and eight binary digits are kept, and each step on the way rounds
    torch.float16: dict(atol=4e-3, rtol=4e-3),
    torch.bfloat16: dict(atol=3e-2, rtol=3e-2),
}
BIASES = {"none": (), "all": (1, 1), "heads": (0, 1), "sequences": (1, 0)}  # of (batch, heads)
MASKS = ["none", "causal", "causal tensor", "padding", "padding and causal", "prefix"]
MASKS += ["random", "random by sequence", "random by head", "one row"]


def draw(seed: int, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)


def random_mask(seed: int, *shape: int) -> Tensor:
    """A mask with at least one True in every row."""
    generator = torch.Generator().manual_seed(seed)
    sure = torch.randint(shape[-1], (*shape[:-1], 1), generator=generator)
    return (torch.rand(*shape, generator=generator) < 0.5).scatter(-1, sure, True)


@dataclass(frozen=True)
class Case:
    """One layer's sizes, and who may look at whom."""

    batch: int
    rows: int
    columns: int
    heads: int
    kv_heads: int
    d_head: int
    mask_kind: str
    bias_kind: str
    dtype: torch.dtype
    seed: int

    def draw(self, which: int, *shape: int) -> Tensor:
        drawn = draw(10_000 * which + self.seed, *shape, dtype=self.dtype)
        return drawn.requires_grad_()

    def mask(self) -> tuple[Tensor | str | None, Tensor]:
        """The mask as it is given, and the same written out for (batch, heads, rows, columns)."""
        every = (self.batch, self.heads, self.rows, self.columns)
        past = torch.arange(self.columns) <= torch.arange(self.rows)[:, None] + (
            self.columns - self.rows
        )
        lengths = 1 + torch.arange(self.batch) * 3 % self.columns
        short = torch.arange(self.columns).expand(every) < lengths[:, None, None, None]
        prefix = self.seed % (self.columns + 1)
        last = slice(self.columns - self.rows, None)
        causal = attention.causal_mask(self.columns)[last]
        padding = attention.padding_mask(lengths, tokens=self.columns)
        alike, by_sequence, by_head, row = (
            random_mask(self.seed, *shape)
            for shape in (every[2:], (self.batch, *every[2:]), every, every[3:])
        )
        given, allowed = {
            "none": (None, torch.tensor(True)),
            "causal": ("causal", past),
            "causal tensor": (causal, past),
            "padding": (padding, short),
            "padding and causal": (padding & causal, short & past),
            "prefix": (
                attention.prefix_mask(self.columns, prefix=prefix)[last],
                past | (torch.arange(self.columns) < prefix),
            ),
            "random": (alike, alike),
            "random by sequence": (by_sequence, by_sequence[:, None]),
            "random by head": (by_head, by_head),
            "one row": (row, row),
        }[self.mask_kind]
        return given, allowed.expand(every)

    def bias(self) -> Tensor | None:
        if self.bias_kind == "none":
            return None
        of_all, of_each = BIASES[self.bias_kind], (self.batch, self.heads)
        leading = (1 if one else size for one, size in zip(of_all, of_each, strict=True))
        return self.draw(9, *leading, self.rows, self.columns)

    def added(self, bias: Tensor | None) -> Tensor:
        """Mask and bias as numbers to add to the scores, as torch takes them."""
        allowed = self.mask()[1]
        numbers = torch.zeros(allowed.shape, dtype=self.dtype)
        numbers = numbers if bias is None else numbers + bias
        return torch.where(allowed, numbers, -math.inf)


@st.composite
def cases(draw, *, alone: bool = False) -> Case:
    """Cases of any kind; `alone`: each token asks the tokens of its own sequence."""
    heads = draw(st.sampled_from([1, 2, 3, 6]))
    columns = draw(st.sampled_from([1, 2, 3, 7, 11]))
    return Case(
        batch=draw(st.sampled_from([1, 2, 3])),
        rows=columns if alone else draw(st.integers(1, columns)),
        columns=columns,
        heads=heads,
        kv_heads=draw(st.sampled_from([n for n in (1, 2, 3, 6) if heads % n == 0])),
        d_head=draw(st.sampled_from([1, 2, 5])),
        mask_kind=draw(st.sampled_from(MASKS)),
        bias_kind=draw(st.sampled_from(list(BIASES))),
        dtype=draw(st.sampled_from([torch.float32, torch.float64])),
        seed=draw(st.integers(0, 9999)),
    )


def close(ours, theirs, dtype: torch.dtype, **changes) -> None:
    torch.testing.assert_close(ours, theirs, **(CLOSE[dtype] | changes))


def close_gradients(ours: Tensor, theirs: Tensor, inputs: list[Tensor]) -> None:
    """Compare the gradients of some weighted sum of the outputs."""
    weights = draw(1, *ours.shape, dtype=ours.dtype)
    pair = (torch.autograd.grad(output, inputs, weights) for output in (ours, theirs))
    # sums over tokens, which may nearly cancel, in another order
    slack = dict(atol=1e-5) if ours.dtype == torch.float32 else {}
    close(*pair, ours.dtype, **slack)


def cut(x: Tensor, heads: int) -> Tensor:
    """Heads in front of the tokens, by other means than the library's."""
    batch, tokens, width = x.shape
    return x.reshape(batch, tokens, heads, width // heads).permute(0, 2, 1, 3)


# Two roads: torch's attention


@pytest.mark.parametrize("causal", [False, True])
def test_attend_equals_sdpa(causal):
    generator = torch.Generator().manual_seed(0)
    q, k = torch.randn(2, 2, 11, 5, generator=generator)
    v = torch.randn(2, 11, 7, generator=generator)
    mask = attention.causal_mask(11) if causal else None
    ours = attention.attend(q, k, v, mask)
    theirs = F.scaled_dot_product_attention(q, k, v, is_causal=causal)
    torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=0)


@pytest.mark.parametrize("attend", FORMS)
@settings(max_examples=150)  # ten masks times four biases, and more
@given(case=cases())
def test_multi_head_equals_sdpa(attend, case):
    """Grouped heads are torch's own, with values of another width, and all gradients with them."""
    d_value = case.d_head + 2
    q = case.draw(1, case.batch, case.rows, case.heads * case.d_head)
    k = case.draw(2, case.batch, case.columns, case.kv_heads * case.d_head)
    v = case.draw(3, case.batch, case.columns, case.kv_heads * d_value)
    bias = case.bias()
    ours = attention.multi_head(
        q,
        k,
        v,
        heads=case.heads,
        kv_heads=case.kv_heads,
        mask=case.mask()[0],
        bias=bias,
        attend=attend,
    )
    pieces = cut(q, case.heads), cut(k, case.kv_heads), cut(v, case.kv_heads)
    mixed = F.scaled_dot_product_attention(*pieces, attn_mask=case.added(bias), enable_gqa=True)
    theirs = mixed.permute(0, 2, 1, 3).reshape(ours.shape)
    close(ours, theirs, case.dtype)
    inputs = [q, k, v] if bias is None else [q, k, v, bias]
    close_gradients(ours, theirs, inputs)


def torch_weights(layer: MultiHeadAttention) -> dict[str, Tensor]:
    """The layer's weights as `nn.MultiheadAttention` names them, shared heads written out."""

    def written_out(numbers: Tensor) -> Tensor:
        heads = numbers.unflatten(0, (layer.kv_heads, -1))
        return heads.repeat_interleave(layer.heads // layer.kv_heads, dim=0).flatten(0, 1)

    maps = layer.queries, layer.keys, layer.values
    names = ["weight"] if layer.output.bias is None else ["weight", "bias"]
    found = {}
    for name in names:
        of_q, *of_kv = (getattr(linear, name) for linear in maps)
        found[f"in_proj_{name}"] = torch.cat([of_q, *map(written_out, of_kv)])
        found[f"out_proj.{name}"] = getattr(layer.output, name)
    return found


@settings(max_examples=150)  # ten masks times four biases, and more
@given(case=cases(), fused=st.booleans(), linear_bias=st.booleans(), itself=st.booleans())
def test_layer_equals_torch_multihead_attention(case, fused, linear_bias, itself):
    """Outputs, weights, and gradients of inputs and of every weight."""
    if itself:
        case = Case(**(vars(case) | {"rows": case.columns}))
    d_model = case.heads * case.d_head
    layer = MultiHeadAttention(
        d_model, heads=case.heads, kv_heads=case.kv_heads, linear_bias=linear_bias
    ).to(case.dtype)
    layer.fused = fused
    x = case.draw(1, case.batch, case.rows, d_model)
    context = None if itself else case.draw(2, case.batch, case.columns, d_model)
    mask, bias = case.mask()[0], case.bias()
    ours = layer(x, context, mask=mask, bias=bias)

    read = x if itself else context
    theirs, shares = torch.func.functional_call(
        nn.MultiheadAttention(d_model, case.heads, bias=linear_bias, batch_first=True),
        torch_weights(layer),
        (x, read, read),
        dict(attn_mask=case.added(bias).flatten(0, 1), average_attn_weights=False),
        strict=True,
    )
    close(ours, theirs, case.dtype)
    close(layer.weights(x, context, mask=mask, bias=bias), shares, case.dtype)
    inputs = [one for one in (x, context, bias) if one is not None] + list(layer.parameters())
    close_gradients(ours, theirs, inputs)


@given(case=cases(alone=True))
def test_the_readable_form_is_the_fused_one(case):
    """Also without the axis of the heads, where the mask is one for each sequence."""
    shape = (case.batch, case.rows, case.d_head)
    q, k, v = (case.draw(which, *shape) for which in (1, 2, 3))
    mask, _ = case.mask()
    if isinstance(mask, Tensor) and mask.ndim == 4:
        mask = mask[:, 0]
    bias = case.draw(4, *shape[:2], case.rows).detach()
    for added in (None, bias):
        readable, fused = (attend(q, k, v, mask, added) for attend in FORMS)
        close(readable, fused, case.dtype)
        close_gradients(readable, fused, [q, k, v])


# Two roads: loops


@pytest.mark.parametrize("attend", FORMS)
def test_multi_query_is_a_loop_over_heads_that_read_one_list(attend):
    batch, rows, columns, heads, d_head = 2, 3, 7, 5, 11
    q = draw(1, batch, rows, heads * d_head)
    k, v = draw(2, batch, columns, d_head), draw(3, batch, columns, d_head)
    ours = attention.multi_head(q, k, v, heads=heads, kv_heads=1, attend=attend)
    for sequence, row, head in itertools.product(range(batch), range(rows), range(heads)):
        piece = slice(head * d_head, (head + 1) * d_head)
        asked = q[sequence, row, piece]
        fits = [math.exp(asked.dot(key).item() / d_head**0.5) for key in k[sequence]]
        mixed = sum(fit / sum(fits) * value for fit, value in zip(fits, v[sequence], strict=True))
        close(ours[sequence, row, piece], mixed, torch.float32)


def test_consecutive_heads_share_keys_and_values():
    q = draw(1, 2, 3, 6 * 5)
    k, v = draw(2, 2, 7, 2 * 5), draw(3, 2, 7, 2 * 5)
    shared = attention.multi_head(q, k, v, heads=6, kv_heads=2)
    whole_k, whole_v = (torch.cat(3 * [x[..., :5]] + 3 * [x[..., 5:]], dim=-1) for x in (k, v))
    own = attention.multi_head(q, whole_k, whole_v, heads=6, kv_heads=6)
    torch.testing.assert_close(shared, own, atol=0, rtol=0)


def test_additive_scores_are_a_loop_over_pairs():
    scores = AdditiveScores(d_query=3, d_key=5, d_score=7)
    queries, keys = draw(1, 2, 11, 3), draw(2, 2, 13, 5)
    ours = scores(queries, keys)
    assert ours.shape == (2, 11, 13)
    u, w, v = scores.from_key.weight, scores.from_query.weight, scores.score.weight[0]
    for sequence, row, column in itertools.product(range(2), range(11), range(13)):
        one = v @ torch.tanh(w @ queries[sequence, row] + u @ keys[sequence, column])
        close(ours[sequence, row, column], one, torch.float32)


def test_additive_scores_of_one_text_and_of_many_heads():
    scores = AdditiveScores(d_query=3, d_key=5, d_score=7)
    queries, keys = draw(1, 2, 2, 11, 3), draw(2, 2, 2, 13, 5)
    many = scores(queries, keys)
    close(many[1, 0], scores(queries[1, 0], keys[1, 0]), torch.float32)
    assert sum(weights.numel() for weights in scores.parameters()) == 7 * (3 + 5 + 1)


def test_dot_products_and_additive_scores_have_equal_shapes():
    q, k = draw(1, 2, 3, 11, 5), draw(2, 2, 3, 13, 5)
    additive = AdditiveScores(d_query=5, d_key=5, d_score=7)(q, k)
    assert attention.dot_product_scores(q, k).shape == additive.shape == (2, 3, 11, 13)
    close(attention.to_weights(additive).sum(-1), torch.ones(2, 3, 11), torch.float32)


def test_heads_are_consecutive_pieces():
    x = torch.arange(2 * 3 * 10.0).reshape(2, 3, 10)
    pieces = attention.split_heads(x, 5)
    assert pieces.shape == (2, 5, 3, 2)
    assert pieces[1, 4, 2].tolist() == x[1, 2, 8:].tolist()
    assert torch.equal(attention.join_heads(pieces), x)


def test_rotation_turns_queries_and_keys_and_leaves_values():
    q, k, v = draw(1, 2, 7, 12), draw(2, 2, 7, 4), draw(3, 2, 7, 4)
    rotate = Rotary()
    ours = attention.multi_head(q, k, v, heads=3, kv_heads=1, rotate=rotate)
    pieces = rotate(cut(q, 3)), rotate(cut(k, 1)), cut(v, 1)
    theirs = F.scaled_dot_product_attention(*pieces, enable_gqa=True)
    close(ours, theirs.permute(0, 2, 1, 3).reshape(2, 7, 12), torch.float32)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("mask", [None, "causal"])
def test_half_precision(dtype, fused, mask):
    """The same as in 64 bits of the same rounded numbers, but for the digits that are missing."""
    layer = MultiHeadAttention(15, heads=3, kv_heads=1, linear_bias=True).to(dtype)
    layer.fused = fused
    x, bias = draw(1, 2, 7, 15, dtype=dtype), alibi(3, 7)  # a bias of 32 bits
    ours, shares = layer(x, mask=mask, bias=bias), layer.weights(x, mask=mask, bias=bias)
    assert ours.dtype == shares.dtype == dtype
    layer = layer.double()
    close(ours.double(), layer(x.double(), mask=mask, bias=bias), dtype)
    close(shares.double(), layer.weights(x.double(), mask=mask, bias=bias), dtype)


# Masks


def test_pairs():
    assert [int(attention.full_mask(n).sum()) for n in (2, 3, 4)] == [4, 9, 16]
    assert [int(attention.causal_mask(n).sum()) for n in (2, 3, 4)] == [3, 6, 10]


@given(tokens=st.integers(1, 13), data=st.data())
def test_a_prefix_is_seen_by_all(tokens, data):
    prefix = data.draw(st.integers(0, tokens))
    mask = attention.prefix_mask(tokens, prefix=prefix)
    assert mask[:, :prefix].all()
    assert torch.equal(mask[:, prefix:], attention.causal_mask(tokens)[:, prefix:])
    assert int(mask.sum()) == tokens * (tokens + 1) // 2 + prefix * (prefix - 1) // 2


def test_a_prefix_of_everything_is_the_full_mask():
    assert torch.equal(attention.prefix_mask(7, prefix=7), attention.full_mask(7))
    assert torch.equal(attention.prefix_mask(7, prefix=0), attention.causal_mask(7))


def test_padding_hides_what_lies_beyond_the_length():
    lengths = torch.tensor([3, 1, 5])
    mask = attention.padding_mask(lengths, tokens=5)
    assert mask.shape == (3, 1, 5) and mask.dtype == torch.bool
    assert mask.sum(dim=-1)[:, 0].tolist() == lengths.tolist()
    joined = mask & attention.causal_mask(5)
    assert joined.shape == (3, 5, 5)
    assert joined[0].int().tolist() == [
        [1, 0, 0, 0, 0],
        [1, 1, 0, 0, 0],
        [1, 1, 1, 0, 0],
        [1, 1, 1, 0, 0],
        [1, 1, 1, 0, 0],
    ]


@pytest.mark.parametrize("mask", [None, "causal"])
@pytest.mark.parametrize("fused", [False, True])
def test_a_padded_sequence_is_read_as_if_alone(mask, fused):
    layer, x = MultiHeadAttention(15, heads=3), draw(1, 3, 7, 15)
    layer.fused = fused
    lengths = torch.tensor([5, 7, 2])
    hidden = attention.padding_mask(lengths, tokens=7)
    together = layer(x, mask=hidden if mask is None else hidden & attention.causal_mask(7))
    for row, length in enumerate(lengths):
        alone = layer(x[row : row + 1, :length], mask=mask)[0]
        close(together[row, :length], alone, torch.float32)


def test_fewer_rows_than_columns_are_the_last_ones():
    scores = draw(1, 2, 3, 7, 7)
    whole = attention.to_weights(scores, "causal")
    for rows in (1, 3, 7):
        last = attention.to_weights(scores[..., -rows:, :], "causal")
        close(last, whole[..., -rows:, :], torch.float32)


@pytest.mark.parametrize("attend", FORMS)
def test_a_last_token_attends_as_in_the_whole_text(attend):
    q, k, v = draw(1, 2, 3, 7, 5), draw(2, 2, 3, 7, 5), draw(3, 2, 3, 7, 5)
    whole = attend(q, k, v, "causal")
    close(attend(q[..., -2:, :], k, v, "causal"), whole[..., -2:, :], torch.float32)


# Laws


@given(case=cases())
def test_rows_of_weights_are_shares(case):
    scores = case.draw(1, case.batch, case.heads, case.rows, case.columns)
    mask, allowed = case.mask()
    weights = attention.to_weights(scores, mask)
    close(weights.sum(dim=-1), torch.ones(weights.shape[:-1], dtype=case.dtype), case.dtype)
    assert (weights[~allowed] == 0).all() and (weights[allowed] > 0).all()


@given(case=cases())
def test_weights_are_what_the_layer_mixes_by(case):
    d_model = case.heads * 2 * case.d_head
    rotate = Rotary() if case.seed % 2 else None
    layer = MultiHeadAttention(d_model, heads=case.heads, kv_heads=case.kv_heads, rotate=rotate)
    layer = layer.to(case.dtype)
    x = case.draw(1, case.batch, case.rows, d_model)
    context = case.draw(2, case.batch, case.columns, d_model)
    chosen = dict(mask=case.mask()[0], bias=case.bias())
    values = cut(layer.values(context), case.kv_heads)
    values = values.repeat_interleave(case.heads // case.kv_heads, dim=1)
    mixed = (layer.weights(x, context, **chosen) @ values).permute(0, 2, 1, 3).flatten(-2)
    close(layer(x, context, **chosen), layer.output(mixed), case.dtype)


@given(case=cases(alone=True), fused=st.booleans())
def test_changing_the_future_leaves_the_past_alone(case, fused):
    d_model = case.heads * case.d_head
    layer = MultiHeadAttention(d_model, heads=case.heads, kv_heads=case.kv_heads).to(case.dtype)
    layer.fused = fused
    x = case.draw(1, case.batch, case.columns, d_model).detach()
    now = case.seed % case.columns
    later = (torch.arange(case.columns) > now)[:, None]
    changed = torch.where(later, x + 1, x)
    before, after = (layer(one, mask="causal", bias=case.bias()) for one in (x, changed))
    close(after[:, : now + 1], before[:, : now + 1], case.dtype)


@given(case=cases(), fused=st.booleans())
def test_without_a_mask_attention_sees_a_set(case, fused):
    """Tokens in another order give the same answers, in that order."""
    d_model = case.heads * case.d_head
    layer = MultiHeadAttention(d_model, heads=case.heads, kv_heads=case.kv_heads).to(case.dtype)
    layer.fused = fused
    x = case.draw(1, case.batch, case.columns, d_model)
    order = torch.randperm(case.columns, generator=torch.Generator().manual_seed(case.seed))
    close(layer(x[:, order]), layer(x)[:, order], case.dtype)
    asking = case.draw(2, case.batch, case.rows, d_model)
    close(layer(asking, x[:, order]), layer(asking, x), case.dtype)


def test_rotated_positions_are_no_set():
    layer, x = MultiHeadAttention(12, heads=3, rotate=Rotary()), draw(1, 2, 7, 12)
    order = torch.tensor([3, 0, 6, 1, 5, 2, 4])
    assert (layer(x[:, order]) - layer(x)[:, order]).abs().max() > 1e-3


def test_equal_keys_give_the_mean_of_the_values():
    q, v = draw(1, 2, 3, 5), draw(2, 2, 7, 11)
    k = draw(3, 2, 1, 5).expand(2, 7, 5)
    close(attention.attend(q, k, v), v.mean(1, keepdim=True).expand(2, 3, 11), torch.float32)


def test_parameters_of_a_layer():
    count = {
        kv_heads: sum(p.numel() for p in MultiHeadAttention(30, heads=6, **kv).parameters())
        for kv_heads, kv in [(None, {}), (6, {"kv_heads": 6}), (2, {"kv_heads": 2})]
    }
    assert count == {None: 4 * 30**2, 6: 4 * 30**2, 2: 2 * 30**2 + 2 * 30 * 2 * 5}
    biased = MultiHeadAttention(30, heads=6, kv_heads=2, linear_bias=True)
    assert sum(p.numel() for p in biased.parameters()) == count[2] + 30 + 10 + 10 + 30


# Refused


def refused(function, *arguments, **named):
    """What our own code says to arguments that the hook on types would refuse first."""
    return inspect.unwrap(function)(*arguments, **named)


def blind(*shape: int, at: tuple[int, ...]) -> Tensor:
    mask = torch.ones(*shape, dtype=torch.bool)
    mask[at] = False
    return mask


BLIND = [
    (blind(5, at=()), "row 0"),
    (blind(3, 5, at=(2,)), "row 2"),
    (blind(2, 3, 5, at=(1, 2)), r"row 2 of \(1,\)"),
    (blind(2, 7, 3, 5, at=(1, 4, 2)), r"row 2 of \(1, 4\)"),
    (blind(2, 1, 1, 5, at=(1,)), r"row 0 of \(1, 0\)"),
]


@pytest.mark.parametrize("attend", FORMS)
@pytest.mark.parametrize("bias", [None, torch.zeros(3, 5)])
@pytest.mark.parametrize(("mask", "where"), BLIND)
def test_a_row_that_may_look_at_nothing_is_refused(mask, where, bias, attend):
    q, k = draw(1, 2, 7, 3, 11), draw(2, 2, 7, 5, 11)
    with pytest.raises(ValueError, match=rf"mask: {where} may look at nothing; expected at least"):
        attend(q, k, k, mask, bias)


@pytest.mark.parametrize(("mask", "where"), BLIND)
def test_weights_refuse_a_row_that_may_look_at_nothing(mask, where):
    with pytest.raises(ValueError, match=rf"mask: {where} may look at nothing"):
        attention.to_weights(torch.zeros(2, 7, 3, 5), mask)


def test_more_rows_than_columns_are_not_causal():
    with pytest.raises(ValueError, match="mask: row 0 may look at nothing"):
        attention.to_weights(torch.zeros(2, 5, 3), "causal")


@pytest.mark.parametrize("attend", FORMS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.int64, torch.uint8])
def test_a_mask_of_numbers_is_refused(dtype, attend):
    """It might mean what is added to the scores, or the opposite of ours."""
    x = draw(1, 2, 7, 5, 11)
    with pytest.raises(TypeError, match=rf"mask: got {dtype}; expected torch.bool, True where"):
        attend(x, x, x, torch.ones(5, 5, dtype=dtype))


@pytest.mark.parametrize("attend", FORMS)
@pytest.mark.parametrize(
    "shape", [(5, 3), (4,), (3, 3, 5), (7, 3, 5), (2, 5, 3, 5), (1, 2, 7, 3, 5)]
)
def test_a_mask_of_another_shape_is_refused(shape, attend):
    q, k = draw(1, 2, 7, 3, 11), draw(2, 2, 7, 5, 11)
    came = ", ".join(map(str, shape)) if len(shape) > 1 else "1, 4"
    with pytest.raises(ValueError, match=rf"mask: got shape \({came}\); expected one that fits"):
        attend(q, k, k, torch.ones(*shape, dtype=torch.bool))


@pytest.mark.parametrize("attend", FORMS)
@pytest.mark.parametrize("shape", [(5, 3), (4,), (2, 3, 5), (2, 5, 3, 5), (1, 2, 7, 3, 5)])
def test_a_bias_of_another_shape_is_refused(shape, attend):
    q, k = draw(1, 2, 7, 3, 11), draw(2, 2, 7, 5, 11)
    came = ", ".join(map(str, shape)) + ("," if len(shape) == 1 else "")
    with pytest.raises(ValueError, match=rf"bias: got shape \({came}\); expected one that fits"):
        attend(q, k, k, bias=torch.zeros(*shape))


def test_weights_of_a_layer_refuse_a_bias_of_another_shape():
    layer, x = MultiHeadAttention(15, heads=3), draw(1, 1, 7, 15)
    with pytest.raises(ValueError, match=r"bias: got shape \(2, 3, 7, 7\); expected one that fits"):
        layer.weights(x, bias=torch.zeros(2, 3, 7, 7))


@pytest.mark.parametrize(
    ("mask", "error", "says"),
    [
        ("diagonal", ValueError, "mask='diagonal': expected a tensor, 'causal' or None"),
        ([[True]], TypeError, "mask: got list; expected torch.bool"),
        (True, TypeError, "mask: got bool; expected torch.bool"),
    ],
)
def test_a_mask_that_is_none_is_refused(mask, error, says):
    with pytest.raises(error, match=says):
        refused(attention._allowed, mask, (2, 3, 5), torch.device("cpu"))


@pytest.mark.parametrize("attend", FORMS)
@pytest.mark.parametrize(
    ("q", "k", "v", "says"),
    [
        (
            (2, 3, 5),
            (2, 7, 4),
            (2, 7, 4),
            r"keys: got shape \(2, 7, 4\); expected \(2, 'columns', 5",
        ),
        (
            (2, 3, 5),
            (1, 7, 5),
            (1, 7, 5),
            r"keys: got shape \(1, 7, 5\); expected \(2, 'columns', 5",
        ),
        ((2, 3, 5), (7, 5), (7, 5), r"keys: got shape \(7, 5\); expected \(2, 'columns', 5\)"),
        (
            (2, 3, 5),
            (2, 7, 5),
            (2, 6, 5),
            r"values: got shape \(2, 6, 5\); expected \(2, 7, 'd_val",
        ),
        (
            (3, 5),
            (7, 5),
            (2, 7, 5),
            r"values: got shape \(2, 7, 5\); expected \(7, 'd_value'\), one",
        ),
        (
            (5,),
            (7, 5),
            (7, 5),
            r"queries, keys, values: got shapes \(5,\), \(7, 5\), \(7, 5\); exp",
        ),
    ],
)
def test_queries_keys_and_values_must_fit(q, k, v, says, attend):
    with pytest.raises(ValueError, match=says):
        refused(attend, torch.zeros(q), torch.zeros(k), torch.zeros(v))


@pytest.mark.parametrize("heads", [-1, 0, 4, 16])
def test_heads_that_do_not_divide_are_refused(heads):
    x = draw(1, 2, 7, 15)
    with pytest.raises(ValueError, match=f"heads={heads}: expected a divisor of the width, 15"):
        attention.split_heads(x, heads)
    with pytest.raises(ValueError, match=f"heads={heads}: expected a divisor of d_model=15"):
        MultiHeadAttention(15, heads=heads)


@pytest.mark.parametrize("kv_heads", [-1, 0, 2, 6])
def test_kv_heads_that_do_not_divide_are_refused(kv_heads):
    x = draw(1, 2, 7, 15)
    with pytest.raises(ValueError, match=f"kv_heads={kv_heads}: expected a divisor of heads=3"):
        attention.multi_head(x, x, x, heads=3, kv_heads=kv_heads)
    with pytest.raises(ValueError, match=f"kv_heads={kv_heads}: expected a divisor of heads=3"):
        MultiHeadAttention(15, heads=3, kv_heads=kv_heads)


@pytest.mark.parametrize(
    ("lengths", "says"),
    [
        ([3, 0, 5], "lengths: sequence 1 has 0; expected 1 to 5"),
        ([3, 5, 6], "lengths: sequence 2 has 6; expected 1 to 5"),
        ([-1, 9], "lengths: sequence 0 has -1; expected 1 to 5"),
    ],
)
def test_lengths_out_of_range_are_refused(lengths, says):
    with pytest.raises(ValueError, match=says):
        attention.padding_mask(torch.tensor(lengths), tokens=5)


@pytest.mark.parametrize("prefix", [-1, 6])
def test_a_prefix_out_of_range_is_refused(prefix):
    with pytest.raises(ValueError, match=f"prefix={prefix}: expected 0 to tokens, 5"):
        attention.prefix_mask(5, prefix=prefix)


# One head, and its cache


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


def test_one_head_is_the_layer_of_heads_and_the_stream():
    layer, x = CausalAttention(5), draw(1, 2, 11, 5)
    several = MultiHeadAttention(5, heads=1)
    several.load_state_dict(layer.state_dict())
    close(layer(x), x + several(x, mask="causal"), torch.float32)


@pytest.mark.parametrize(("heads", "kv_heads"), [(6, 1), (6, 2), (6, 3), (6, 6)])
def test_a_single_token_sees_what_the_last_of_all_sees(heads, kv_heads):
    """With shared keys its heads are rows of one query; which head is which must stay."""
    torch.manual_seed(0)
    layer = MultiHeadAttention(30, heads=heads, kv_heads=kv_heads)
    x, kept = torch.randn(2, 7, 30), attention.KeysAndValues()
    layer(x[:, :-1], mask="causal", kept=kept)
    for mask in ("causal", None):
        kept.length = 6
        one = layer(x[:, -1:], mask=mask, kept=kept)
        torch.testing.assert_close(one, layer(x, mask="causal")[:, -1:], atol=1e-6, rtol=1e-5)
