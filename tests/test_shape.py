"""Shapes refuse what cannot be built."""

import pytest

from payattention.shape import GPT3, RecurrentShape, TransformerShape


def sizes(**changed):
    usual = {"layers": 2, "d_model": 15, "heads": 3, "kv_heads": 1, "d_ff": 7, "vocab": 11}
    return usual | changed


def test_derived_sizes():
    assert TransformerShape(**sizes()).d_head == 5
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
