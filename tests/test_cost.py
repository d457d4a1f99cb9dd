"""Bill = count: every formula of `cost` against a count on a real model, and published numbers."""

import re
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint
from torch.utils.flop_counter import FlopCounterMode

from payattention.attention import (
    CausalAttention,
    MultiHeadAttention,
    causal_mask,
    full_mask,
)
from payattention.convolution import CausalConvolution
from payattention.cost import memory, operations, parameters
from payattention.recurrence import Recurrent
from payattention.shape import (
    ALBERT_BASE,
    ALBERT_LARGE,
    ALBERT_XLARGE,
    ALBERT_XXLARGE,
    BERT_BASE,
    BERT_LARGE,
    CHINCHILLA_TABLE,
    CHOICES,
    GPT2_SMALL,
    GPT3,
    GPT3_TABLE,
    LLAMA_7B,
    VIT_BASE,
    VIT_HUGE,
    VIT_LARGE,
    RecurrentShape,
    TransformerShape,
    gpt,
)
from payattention.transformer import Block, Classifier, Decoder, Encoder, EncoderDecoder
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


# Transformers of every kind


@st.composite
def shapes(draw) -> TransformerShape:
    """Any shape that can be built, of small sizes."""
    kv_heads, shares, d_head = (draw(st.sampled_from(sizes)) for sizes in ((1, 2), (1, 3), (2, 5)))
    heads = kv_heads * shares
    wide = draw(st.booleans())  # heads that are together as wide as the model, or not
    d_model = draw(st.sampled_from((7, 14))) if wide else heads * d_head
    tied = draw(st.booleans())
    return TransformerShape(
        layers=draw(st.integers(1, 3)),
        d_model=d_model,
        heads=heads,
        kv_heads=kv_heads,
        d_ff=draw(st.sampled_from((3, 11))),
        vocab=draw(st.sampled_from((13, 17))),
        context=19,
        tied=tied,
        d_attention=heads * d_head if wide else None,
        d_embedding=draw(st.sampled_from((None, d_model) if tied else (None, d_model, 5))),
        segments=draw(st.sampled_from((None, 2, 3))),
        pooler=draw(st.booleans()),
        shared=draw(st.booleans()),
        **{name: draw(st.sampled_from(choices)) for name, choices in CHOICES.items()},
    )


BLOCK = {
    "attention": r"(attention|cross)\.",
    "feed-forward": r"mlp\.",
    "norms": r"(mlp_|cross_)?norm\.",
}
MODEL = {part: rf"blocks\.\d+\.{pattern}" for part, pattern in BLOCK.items()} | {
    "tokens": r"embedding\.table\.",
    "positions": r"(embedding\.)?learned\.",
    "segments": r"embedding\.segments\.",
    "embedding norm": r"embedding\.norm\.",
    "embedding map": r"embedding\.widen\.",
    "input": r"input\.",
    "first token": r"first$",
    "final norm": r"norm\.",
    "output": r"output\.",
    "pooler": r"pooler\.",
}
HALVES = {
    "encoder": r"encoder\.",
    "decoder": r"decoder\.",
    "tokens read": r"read\.",
    "tokens written": r"write\.",
    "final norms": r"(read_)?norm\.",
    "output": r"output\.",
}


def count_by_part(build: Callable[[], nn.Module], parts: dict[str, str]) -> dict[str, int]:
    """Numbers in the model's parameters by the part whose pattern fits the name; tied ones once."""
    with torch.device("meta"):
        model = build()
    counts: dict[str, int] = {}
    for name, weights in model.named_parameters():
        part = next(part for part, pattern in parts.items() if re.match(pattern, name))
        counts[part] = counts.get(part, 0) + weights.numel()
    return counts


def counted_as_billed(
    bill: dict[str, int], build: Callable[[], nn.Module], parts: dict[str, str]
) -> None:
    assert count_by_part(build, parts) == {part: count for part, count in bill.items() if count}


every_choice = pytest.mark.parametrize(
    ("field", "choice"), [(name, choice) for name, choices in CHOICES.items() for choice in choices]
)


@every_choice
@settings(max_examples=10)
@given(shape=shapes())
def test_every_part_is_billed_as_counted(field, choice, shape):
    shape = replace(shape, **{field: choice})
    for reads_context in (False, True):
        counted_as_billed(
            parameters.block(shape, reads_context=reads_context),
            lambda reads=reads_context: Block(shape, reads_context=reads),
            BLOCK,
        )
    counted_as_billed(parameters.decoder(shape), lambda: Decoder(shape), MODEL)
    counted_as_billed(
        parameters.encoder_decoder(shape, vocab_read=23),
        lambda: EncoderDecoder(shape, vocab_read=23),
        HALVES,
    )
    if shape.positions != "alibi":
        counted_as_billed(parameters.encoder(shape), lambda: Encoder(shape), MODEL)
    if shape.positions == "learned":
        counted_as_billed(
            parameters.classifier(shape, d_input=29),
            lambda: Classifier(shape, d_input=29),
            MODEL,
        )


@given(shape=shapes())
def test_every_operation_is_billed_as_counted(shape):
    """In the readable form, of which the counter sees every product."""
    model = readable(replace(shape, positions="none"))
    count = counted(lambda: model(torch.zeros(1, 11, dtype=torch.long)))
    assert count == sum(operations.forward(shape, tokens=11).values())


@given(shape=shapes())
def test_reading_is_billed_as_counted(shape):
    model = Encoder(replace(shape, positions="none"))
    for part in model.modules():
        if isinstance(part, MultiHeadAttention):
            part.fused = False

    def read():
        vectors = model(torch.zeros(1, 11, dtype=torch.long))
        return model.pooled(vectors) if shape.pooler else vectors

    assert counted(read) == sum(operations.encode(shape, tokens=11).values())


def readable(shape: TransformerShape) -> Decoder:
    """A decoder that stores its scores, so that the counter sees every product."""
    model = Decoder(shape)
    for part in model.modules():
        if isinstance(part, MultiHeadAttention):
            part.fused = False
    return model


@settings(max_examples=200, deadline=None)
@given(shape=shapes(), tokens=st.integers(2, 13))
def test_a_training_step_is_billed_as_counted(shape, tokens):
    """Twice a forward pass for the backward one, in every part."""
    model = readable(replace(shape, positions="none"))
    ids = torch.zeros(1, tokens, dtype=torch.long)
    count = counted(lambda: model(ids).sum().backward())
    assert count == sum(operations.training(shape, tokens=tokens).values())


@settings(max_examples=200, deadline=None)
@given(shape=shapes(), past=st.integers(0, 11), batch=st.integers(1, 3))
def test_decoding_and_its_cache_are_billed_as_counted(shape, past, batch):
    model = readable(replace(shape, positions="none"))
    kept = model.room()
    if past:
        model(torch.zeros(batch, past, dtype=torch.long), kept=kept)
    count = counted(lambda: model(torch.zeros(batch, 1, dtype=torch.long), kept=kept))
    assert count == batch * sum(operations.decode(shape, past=past).values())
    pieces = [x[:, :, : layer.length] for layer in kept for x in (layer.keys, layer.values)]
    held = sum(piece.numel() * piece.element_size() for piece in pieces)
    bill = memory.kv_cache_bytes(shape, tokens=past + 1, batch=batch, dtype="float32")
    assert held == bill


@settings(max_examples=200, deadline=None)
@given(tokens=st.integers(1, 40), window=st.one_of(st.none(), st.integers(1, 50)))
def test_needed_pairs_are_those_that_the_mask_allows(tokens, window):
    rows, columns = torch.arange(tokens)[:, None], torch.arange(tokens)
    allowed = causal_mask(tokens)
    if window is not None:
        allowed &= rows - columns < window
    assert operations.needed_pairs(tokens, window=window) == allowed.sum()
    assert operations.needed_pairs(tokens, mask="full") == full_mask(tokens).sum()
    assert operations.executed_pairs(tokens) == full_mask(tokens).numel()


@given(shape=shapes(), past=st.integers(0, 99))
def test_decoding_a_text_needs_what_reading_it_needs(shape, past):
    steps = [sum(operations.decode(shape, past=n).values()) for n in range(past + 1)]
    pairs = operations.needed_pairs(past + 1)
    assert sum(steps) == sum(operations.forward(shape, tokens=past + 1, pairs=pairs).values())
    window = operations.needed_pairs(past + 1, window=7)
    kept = [sum(operations.decode(shape, past=n, window=7).values()) for n in range(past + 1)]
    assert sum(kept) == sum(operations.forward(shape, tokens=past + 1, pairs=window).values())


def saved_bytes(model: nn.Module, ids: torch.Tensor, call: Callable) -> int:
    """Bytes of what autograd keeps of the call, the parameters aside; each storage once."""
    own = {p.untyped_storage().data_ptr() for p in model.parameters()}
    kept: dict[int, torch.Tensor] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        pointer = tensor.untyped_storage().data_ptr()
        if pointer not in own:
            kept[pointer] = tensor  # held, so that no other takes its place
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        call()
    return sum(tensor.untyped_storage().nbytes() for tensor in kept.values())


@settings(max_examples=200, deadline=None)
@given(shape=shapes(), stored_scores=st.booleans(), batch=st.sampled_from((1, 3)))
def test_activations_are_billed_as_kept(shape, stored_scores, batch):
    """Within 10 %, at sizes where what autograd keeps besides, a few numbers a row, is small."""
    shape = replace(
        shape,
        d_model=96,
        d_attention=None,
        d_embedding=None,
        segments=None,
        d_ff=131,
        context=29,
    )
    if shape.positions == "alibi":  # adds a square to the scores: the kernel stores them then
        stored_scores = True
    model = readable(shape) if stored_scores else Decoder(shape)
    ids = torch.randint(shape.vocab, (batch, 29))
    loss = lambda: F.cross_entropy(model(ids).flatten(0, 1), ids.flatten())  # noqa: E731
    bill = memory.activations(shape, tokens=29, batch=batch, stored_scores=stored_scores)
    assert sum(bill.values()) == pytest.approx(saved_bytes(model, ids, loss), rel=0.1)


@pytest.mark.parametrize("positions", ["none", "rotary"])
def test_checkpointed_blocks_keep_their_input(positions):
    shape = TransformerShape(
        layers=5, d_model=96, heads=4, kv_heads=4, d_ff=131, vocab=17, positions=positions
    )
    model, ids = Decoder(shape), torch.randint(17, (3, 29))

    def loss() -> torch.Tensor:
        x = model.embedding(ids)
        for block in model.blocks:
            x = checkpoint(block, x, mask="causal", use_reentrant=False)
        return F.cross_entropy(model.output(model.norm(x)).flatten(0, 1), ids.flatten())

    bill = memory.activations(shape, tokens=29, batch=3, checkpointing=True)
    one_block = sum(bill[part] for part in ("norms", "attention", "scores", "feed-forward"))
    kept = sum(bill.values()) - one_block
    assert kept == pytest.approx(saved_bytes(model, ids, loss), rel=0.1)
    whole = memory.activations(shape, tokens=29, batch=3)
    assert sum(whole.values()) > 3 * kept
    again = operations.training(shape, tokens=29, checkpointing=True)
    once = operations.forward(shape, tokens=29)
    assert again == {part: (3 if part == "logits" else 4) * count for part, count in once.items()}


def test_training_holds_sixteen_bytes_a_parameter():
    model = nn.Linear(13, 7, bias=False)
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.zeros(1, 13)).sum().backward()
    optimizer.step()
    state = [x for x in optimizer.state[model.weight].values() if x.numel() > 1]
    held = sum(x.nbytes for x in (model.weight, model.weight.grad, *state))
    assert held == sum(memory.training(91).values()) == 16 * 91
    assert sum(memory.training(91, optimiser="sgd").values()) == 8 * 91
    assert sum(memory.training(91, optimiser="adam", dtype="float16").values()) == 16 * 91


BAD = [
    ("tokens=-1", lambda: operations.needed_pairs(-1)),
    ("tokens=0", lambda: operations.executed_pairs(0)),
    ("tokens=True", lambda: operations.executed_pairs(True)),
    (f"tokens={10**30}", lambda: operations.forward(GPT3, tokens=10**30)),
    ("past=-1", lambda: operations.decode(GPT3, past=-1)),
    ("window=0", lambda: operations.decode(GPT3, past=1, window=0)),
    ("window=3", lambda: operations.needed_pairs(5, mask="full", window=3)),
    ("mask='diagonal'", lambda: operations.needed_pairs(5, mask="diagonal")),
    ("batch=0", lambda: memory.kv_cache_bytes(GPT3, tokens=1, batch=0)),
    ("dtype='float12'", lambda: memory.bytes_of(1, "float12")),
    ("dtype='float12'", lambda: memory.activations(GPT3, tokens=1, dtype="float12")),
    ("optimiser='adamw'", lambda: memory.training(1, optimiser="adamw")),
    ("parameters=-7", lambda: operations.training_by_rule(-7, tokens=1)),
    ("d_model=1000", lambda: TransformerShape(1, 10**30, 1, 1, 1, 1)),
]


@pytest.mark.parametrize(("named", "call"), BAD, ids=[named for named, _ in BAD])
def test_what_cannot_be_billed_is_refused_by_name(named, call):
    with pytest.raises((TypeError, ValueError), match=re.escape(named)) as error:
        call()
    assert "expected" in str(error.value)


def test_what_a_choice_costs_in_operations():
    shape = TransformerShape(layers=2, d_model=15, heads=3, kv_heads=1, d_ff=7, vocab=11)
    plain = operations.forward(shape, tokens=13)
    gated = operations.forward(replace(shape, activation="swiglu"), tokens=13)
    assert gated == plain | {"mlp": plain["mlp"] * 3 // 2}
    assert operations.forward(replace(shape, shared=True), tokens=13) == plain
    wide = operations.forward(replace(shape, d_attention=30), tokens=13)
    of_attention = {"queries", "keys and values", "scores", "mixing", "output"}
    assert wide == {part: (1 + (part in of_attention)) * count for part, count in plain.items()}


# Published numbers


def on_meta(build: Callable[[], nn.Module]) -> int:
    return sum(count_by_part(build, MODEL).values())


@pytest.mark.parametrize(
    ("shape", "published"),
    [
        (BERT_BASE, 109_482_240),
        (BERT_LARGE, 335_141_888),
        (ALBERT_BASE, 11_683_584),
        (ALBERT_LARGE, 17_683_968),
        (ALBERT_XLARGE, 58_724_864),
        (ALBERT_XXLARGE, 222_595_584),
    ],
)
def test_published_encoders(shape, published):
    """With the pooler, and without the map that fills gaps."""
    assert sum(parameters.encoder(shape).values()) == published
    assert on_meta(lambda: Encoder(shape)) == published


@pytest.mark.parametrize(
    ("shape", "printed", "within"),
    [
        (BERT_BASE, 110e6, 0.01),
        (BERT_LARGE, 340e6, 0.02),
        (ALBERT_BASE, 12e6, 0.03),
        (ALBERT_LARGE, 18e6, 0.02),
        (ALBERT_XLARGE, 60e6, 0.03),
        (ALBERT_XXLARGE, 235e6, 0.06),
    ],
)
def test_printed_encoders(shape, printed, within):
    """The papers round; ALBERT's largest is printed 5 % larger than its shape."""
    count = sum(parameters.encoder(shape).values())
    assert count == pytest.approx(printed, rel=within)
    assert (abs(count / printed - 1) > 0.03) == (shape == ALBERT_XXLARGE)


@pytest.mark.parametrize(
    ("shape", "ratio"),
    [(ALBERT_BASE, 7.7), (ALBERT_LARGE, 17.4), (ALBERT_XLARGE, 20.7), (ALBERT_XXLARGE, 11.0)],
)
def test_what_sharing_saves(shape, ratio):
    """All but one of the blocks; they are applied all the same."""
    unshared = replace(shape, shared=False)
    counts = [sum(parameters.encoder(one).values()) for one in (unshared, shape)]
    assert counts[0] / counts[1] == pytest.approx(ratio, abs=0.05)
    assert counts[0] - counts[1] == (shape.layers - 1) * sum(parameters.block(shape).values())
    assert operations.forward(shape, tokens=13) == operations.forward(unshared, tokens=13)


@pytest.mark.parametrize(
    ("shape", "pixels", "published", "printed"),
    [
        (VIT_BASE, 16, 86_567_656, 86e6),
        (VIT_LARGE, 16, 304_326_632, 307e6),
        (VIT_HUGE, 14, 632_045_800, 632e6),
        (replace(VIT_LARGE, context=7**2 + 1), 32, 306_535_400, 307e6),
    ],
)
def test_published_vision_transformers(shape, pixels, published, printed):
    """Of 224 x 224 pixels in three colours, with a head for 1,000 classes."""
    assert shape.context == (224 // pixels) ** 2 + 1
    d_input = 3 * pixels**2
    assert sum(parameters.classifier(shape, d_input=d_input).values()) == published
    assert on_meta(lambda: Classifier(shape, d_input=d_input)) == published
    assert published == pytest.approx(printed, rel=0.01)


def test_published_gpt2():
    assert sum(parameters.decoder(GPT2_SMALL).values()) == 124_439_808
    assert on_meta(lambda: Decoder(GPT2_SMALL)) == 124_439_808


def test_published_llama():
    """As its weights on Hugging Face count; the paper prints 6.7B."""
    assert sum(parameters.decoder(LLAMA_7B).values()) == 6_738_415_616


def buildable(row) -> TransformerShape:
    """The row's shape; heads that do not divide the width become one, which counts the same."""
    heads = row.heads if row.d_model % row.heads == 0 else 1
    return gpt(row.layers, row.d_model, heads, context=2048)


@pytest.mark.parametrize("row", GPT3_TABLE, ids=lambda row: row.name)
def test_published_gpt3(row):
    """All eight, from shape alone, within 2 % of what the paper prints."""
    shape = buildable(row)
    count = sum(parameters.decoder(shape).values())
    assert count == pytest.approx(row.parameters, rel=0.02)
    assert on_meta(lambda: Decoder(shape)) == count
    with_both_tables = 12 * row.layers * row.d_model**2 + (50257 + 2048) * row.d_model
    assert count == pytest.approx(with_both_tables, rel=2e-3)  # all but biases and norms


def test_the_two_rows_of_gpt3_that_disagree_with_themselves():
    """As wide as their printed heads, XL's attention would be far above the count; 13B's is not."""
    counts = {}
    for row in GPT3_TABLE:
        if row.heads * row.d_head != row.d_model:
            sizes = {"heads": row.heads, "kv_heads": row.heads}
            shape = replace(buildable(row), d_attention=row.heads * row.d_head, **sizes)
            counts[row.name] = sum(parameters.decoder(shape).values()) / row.parameters
    assert counts == {
        "XL": pytest.approx(1.167, abs=1e-3),
        "13B": pytest.approx(0.995, abs=1e-3),
    }


def test_published_chinchilla():
    """All fifty, within 0.8 % of what the table prints; without the fifth map up to 7.7 % off."""
    assert len(CHINCHILLA_TABLE) == 50
    five, four = [], []
    for row in CHINCHILLA_TABLE:
        bill = parameters.chinchilla(row)
        five.append(abs(sum(bill.values()) / row.parameters - 1))
        four.append(abs(sum(bill.values()) - bill["relative positions"] - row.parameters))
        four[-1] /= row.parameters
    assert max(five) == pytest.approx(0.008, abs=5e-4)
    assert sorted(five)[25] < 6e-4
    assert max(four) == pytest.approx(0.077, abs=5e-4)
    assert min(four) > 0.04


def test_the_rows_of_chinchilla_whose_heads_are_not_as_wide_as_the_model():
    other = [r.name for r in CHINCHILLA_TABLE if r.heads * r.d_head != r.d_model]
    assert other == ["3530M", "4084M", "11452M", "12569M", "13735M", "14940M"]


@pytest.mark.parametrize(
    ("d_model", "heads", "exact", "printed", "within"),
    [(512, 8, 63_045_632, 65e6, 0.031), (1024, 16, 214_171_648, 213e6, 0.006)],
)
def test_published_encoder_decoder(d_model, heads, exact, printed, within):
    """The Transformer of 2017, with 37,000 tokens in one table, and no norm behind it.

    Ours has a table for each half and normalises both. The paper says "about 37000" tokens, and
    nothing of biases: here, the feed-forward parts alone have them.
    """
    shape = TransformerShape(
        layers=6,
        d_model=d_model,
        heads=heads,
        kv_heads=heads,
        d_ff=4 * d_model,
        vocab=37_000,
        positions="sinusoidal",
        order="post",
        activation="relu",
        tied=True,
    )
    bill = parameters.encoder_decoder(shape, vocab_read=37_000)
    assert sum(bill.values()) - bill["tokens read"] - 2 * d_model == exact
    assert exact == pytest.approx(printed, rel=within)


def test_more_numbers_may_be_stored_than_any_one_size_is():
    """The scores of GPT-3 over a million tokens: 96 layers, 96 heads, a square for each."""
    kept = memory.activations(GPT3, tokens=10**6, stored_scores=True)
    assert kept["scores"] == 4 * 96**2 * 10**12


def test_published_operations_and_memory():
    """Attention's share in GPT-2 small at 1,024 tokens, logits aside: 4 n d against 24 d^2."""
    bill = operations.forward(GPT2_SMALL, tokens=1024)
    square = bill["scores"] + bill["mixing"]
    assert square / (sum(bill.values()) - bill["logits"]) == pytest.approx(0.1818, abs=1e-4)
    assert memory.kv_cache_bytes(GPT3, tokens=2048) == pytest.approx(9.66e9, rel=1e-3)
