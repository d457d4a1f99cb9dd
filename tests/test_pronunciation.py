"""The pretrained speller: its cell is torch's, its words are words, its distance is a distance."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from payattention import data, pronunciation
from payattention.experiments import error_vs_length
from payattention.pronunciation import LETTERS, Speller

WORDS = st.text("abc", max_size=7)


@pytest.fixture(scope="module")
def speller():
    return Speller(data.speller_weights())


def test_encoder_equals_torch_gru(speller):
    w = speller.weights
    gru = nn.GRU(256, 256, batch_first=True)
    names = ("enc_w_ih", "enc_w_hh", "enc_b_ih", "enc_b_hh")
    gru.load_state_dict(dict(zip(gru.state_dict(), (w[n] for n in names), strict=True)))
    ids = torch.tensor([[LETTERS.index(c) for c in (*"transformer", "</s>")]])
    with torch.no_grad():
        theirs = gru(w["enc_emb"][ids])[0][:, -1]
    torch.testing.assert_close(speller.encode(["transformer"]), theirs, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("word", ["forget", "attention", "memory", "doctor"])
def test_common_words_are_right(speller, word):
    assert speller.pronounce([word])[0] in error_vs_length.dictionary()[word]


def test_order_and_company_do_not_matter(speller):
    words = ["memory", "cat", "forget", "dog", "cat"]
    together = speller.pronounce(words)
    assert together == [speller.pronounce([word])[0] for word in words]


def test_a_decoder_without_end_is_cut(speller):
    assert len(speller.decode(speller.encode(["internationalization"]), longest=3)[0]) == 3


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["cat", "horse"], "expected words of one length"),
        ([], "expected words of one length"),
        (["naïve"], "word='naïve': expected letters a to z"),
        (["Cat"], "word='Cat'"),
        (["it's"], 'word="it\'s"'),
    ],
)
def test_bad_words(speller, words, message):
    with pytest.raises(ValueError, match=message):
        speller.encode(words)


@given(WORDS, WORDS, WORDS)
def test_edit_distance_is_a_distance(a, b, c):
    d = pronunciation.edit_distance
    assert d(a, a) == 0
    assert d(a, b) == d(b, a)
    assert d(a, c) <= d(a, b) + d(b, c)
    assert abs(len(a) - len(b)) <= d(a, b) <= max(len(a), len(b))


def test_the_closest_pronunciation_counts():
    said = ("T", "AH0", "M", "EY1", "T", "OW2")
    other = ("T", "AH0", "M", "AA1", "T", "OW2")
    assert pronunciation.phoneme_errors(said, [other, said]) == (0, 6)
    assert pronunciation.phoneme_errors(said, [other]) == (1, 6)


def test_seventy_four_phonemes():
    assert len(pronunciation.PHONEMES) == len(set(pronunciation.PHONEMES)) == 74
    assert pronunciation.PHONEMES[:4] == ["<pad>", "<unk>", "<s>", "</s>"]
