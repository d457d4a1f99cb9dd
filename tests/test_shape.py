"""Shapes refuse what cannot be built."""

from dataclasses import FrozenInstanceError, replace

import pytest

from payattention.shape import (
    ALBERT_BASE,
    ALBERT_LARGE,
    ALBERT_XLARGE,
    ALBERT_XXLARGE,
    BERT_BASE,
    BERT_LARGE,
    CHOICES,
    GPT2_SMALL,
    GPT3,
    GPT3_TABLE,
    VIT_BASE,
    VIT_HUGE,
    VIT_LARGE,
    RecurrentShape,
    TransformerShape,
    bert,
    gpt,
)


def sizes(**changed):
    usual = {"layers": 2, "d_model": 15, "heads": 3, "kv_heads": 1, "d_ff": 7, "vocab": 11}
    return usual | changed


def test_derived_sizes():
    assert TransformerShape(**sizes()).d_head == 5
    assert TransformerShape(**sizes()).d_kv == 5
    wide = TransformerShape(**sizes(heads=6, kv_heads=2, d_attention=42))
    assert (wide.d_head, wide.d_kv) == (7, 14)
    assert GPT3.d_head == 128
    assert RecurrentShape("lstm", d_input=3, d_hidden=5).state_size == 10
    assert RecurrentShape("gru", d_input=3, d_hidden=5).state_size == 5


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"heads": 4}, "heads=4: expected a divisor of d_model=15"),
        ({"kv_heads": 2}, "kv_heads=2: expected a divisor of heads=3"),
        ({"layers": 0}, "layers=0: expected a whole number of at least 1"),
        ({"d_ff": True}, "d_ff=True: expected a whole number"),
        ({"context": 0}, "context=0: expected a whole number of at least 1"),
        ({"d_embedding": 0}, "d_embedding=0: expected a whole number of at least 1"),
        ({"segments": -1}, "segments=-1: expected a whole number of at least 1"),
        ({"d_attention": 14}, "heads=3: expected a divisor of d_attention=14"),
        ({"positions": "learned"}, "context=None: learned positions need the length"),
        ({"tied": True, "d_embedding": 5}, "tied=True: expected d_embedding to be d_model=15"),
        *(
            ({name: "other"}, f"{name}='other': expected one of {', '.join(choices)}")
            for name, choices in CHOICES.items()
        ),
    ],
)
def test_bad_transformer(changed, message):
    with pytest.raises(ValueError, match=message):
        TransformerShape(**sizes(**changed))


def test_bad_recurrent():
    with pytest.raises(ValueError, match="cell='elman': expected one of 'rnn', 'lstm', 'gru'"):
        RecurrentShape("elman", d_input=3, d_hidden=5)
    with pytest.raises(ValueError, match="d_hidden=-5: expected a whole number of at least 1"):
        RecurrentShape("rnn", d_input=3, d_hidden=-5)


def test_every_choice_can_be_made():
    for name, choices in CHOICES.items():
        assert getattr(TransformerShape(**sizes()), name) in choices
        for choice in choices:
            made = TransformerShape(**sizes(context=13, **{name: choice}))
            assert getattr(made, name) == choice


def test_heads_need_not_divide_a_model_of_another_width():
    assert TransformerShape(**sizes(heads=4, kv_heads=2, d_attention=28)).d_head == 7


def test_a_shape_stays_as_it_is():
    with pytest.raises(FrozenInstanceError):
        GPT2_SMALL.layers = 13
    assert replace(GPT2_SMALL, layers=13) != GPT2_SMALL


# Published shapes


@pytest.mark.parametrize(
    ("shape", "layers", "d_model", "heads", "d_head", "d_ff"),
    [
        (GPT2_SMALL, 12, 768, 12, 64, 3072),
        (GPT3, 96, 12288, 96, 128, 49152),
        (BERT_BASE, 12, 768, 12, 64, 3072),
        (BERT_LARGE, 24, 1024, 16, 64, 4096),
        (ALBERT_BASE, 12, 768, 12, 64, 3072),
        (ALBERT_LARGE, 24, 1024, 16, 64, 4096),
        (ALBERT_XLARGE, 24, 2048, 32, 64, 8192),
        (ALBERT_XXLARGE, 12, 4096, 64, 64, 16384),
        (VIT_BASE, 12, 768, 12, 64, 3072),
        (VIT_LARGE, 24, 1024, 16, 64, 4096),
        (VIT_HUGE, 32, 1280, 16, 80, 5120),
    ],
)
def test_published_sizes(shape, layers, d_model, heads, d_head, d_ff):
    assert (shape.layers, shape.d_model, shape.heads) == (layers, d_model, heads)
    assert (shape.kv_heads, shape.d_head, shape.d_ff) == (heads, d_head, d_ff)


def test_published_kinds():
    """What GPT, BERT, ALBERT and the Vision Transformer are made of, and how they differ."""
    assert (GPT3.order, GPT3.tied, GPT3.context, GPT3.vocab) == ("pre", True, 2048, 50257)
    assert (BERT_BASE.order, BERT_BASE.segments, BERT_BASE.vocab) == ("post", 2, 30522)
    unshared = replace(bert(12, 768, 12, vocab=30000), d_embedding=128, tied=False)
    assert replace(unshared, shared=True) == ALBERT_BASE
    assert (VIT_BASE.context, VIT_HUGE.context) == (197, 257)
    assert (VIT_BASE.order, VIT_BASE.activation, VIT_BASE.vocab) == ("pre", "gelu", 1000)


def test_six_of_the_eight_rows_of_gpt3_can_be_built_as_printed():
    """XL and 13B have heads that do not fill the width, and do not divide it either."""
    odd = {row.name for row in GPT3_TABLE if row.heads * row.d_head != row.d_model}
    assert odd == {"XL", "13B"}
    for row in GPT3_TABLE:
        if row.name in odd:
            message = f"heads={row.heads}: expected a divisor of d_model={row.d_model}"
            with pytest.raises(ValueError, match=message):
                gpt(row.layers, row.d_model, row.heads, context=2048)
        else:
            shape = gpt(row.layers, row.d_model, row.heads, context=2048)
            assert shape.d_head == row.d_head
    assert shape == GPT3
