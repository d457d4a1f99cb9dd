"""The book's data: how much there is, how it is kept apart, and how models are judged on it."""

import math
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as some

from payattention import data, sequence_to_sequence
from payattention.data import CONTEXT, VOCABULARY

texts = some.text(alphabet=VOCABULARY, max_size=50)


class TestPlays:
    def test_thirty_seven_plays_of_known_size(self):
        plays = data.plays()
        assert len(plays) == 37
        assert sum(map(len, plays.values())) == 4_870_537
        assert len(set("".join(plays.values()))) == 78

    def test_coriolanus_opens_as_in_tiny_shakespeare(self):
        assert (
            "First Citizen:\nBefore we proceed any further, hear me speak.\n\n"
            "All:\nSpeak, speak.\n\nFirst Citizen:\nYou are all resolved rather to die"
        ) in data.plays()["coriolanus"][:400]

    def test_every_play_is_in_one_split_whole(self):
        texts = {split: data.shakespeare(split) for split in data.SPLITS}
        for name, play in data.plays().items():
            assert [play in text for text in texts.values()].count(True) == 1, name
        # what is left beyond the plays is the empty lines between them: 32, 1 and 1
        assert sum(map(len, texts.values())) == 4_870_537 + 2 * (32 + 1 + 1)

    def test_a_twentieth_each_is_kept_apart(self):
        for split in ("validation", "test"):
            assert 0.045 < len(data.shakespeare(split)) / 4_870_537 < 0.06

    def test_vocabulary_is_that_of_the_training_plays_and_covers_the_others(self):
        assert "".join(sorted(set(data.shakespeare("train")))) == VOCABULARY
        for split in ("validation", "test"):
            assert set(data.shakespeare(split)) <= set(VOCABULARY)

    def test_unknown_split_is_named(self):
        for function in (data.shakespeare, data.pronunciations, data.digits):
            with pytest.raises(ValueError, match=r"split: got 'dev'; expected one of \('train'"):
                function("dev")


class TestCharacters:
    @given(texts)
    def test_text_comes_back(self, text):
        assert data.decode(data.encode(text)) == text

    @given(some.lists(some.integers(0, len(VOCABULARY) - 1), max_size=50))
    def test_numbers_come_back(self, numbers):
        ids = torch.tensor(numbers, dtype=torch.long)
        assert data.encode(data.decode(ids)).tolist() == numbers

    def test_numbers_are_places_in_the_vocabulary(self):
        assert data.encode(VOCABULARY).tolist() == list(range(len(VOCABULARY)))
        assert data.encode("").tolist() == []

    @pytest.mark.parametrize("character", ["é", "中", "🎭", "~", "\t", "{", "\x00"])
    def test_unknown_character_is_named_with_its_place(self, character):
        with pytest.raises(ValueError, match="text: character 3 is ") as caught:
            data.encode(f"abc{character}d")
        assert repr(character) in str(caught.value)

    @pytest.mark.parametrize("number", [-1, 78])
    def test_unknown_number_is_named(self, number):
        with pytest.raises(ValueError, match=f"ids: got {number}; expected numbers from 0 to 77"):
            data.decode(torch.tensor([3, number]))


class TestBatches:
    def test_targets_are_the_next_characters_of_the_text(self):
        draw = data.language_batches("test", batch=5, context=7)
        inputs, targets = draw(torch.Generator().manual_seed(3))
        assert inputs.shape == targets.shape == (5, 7)
        assert torch.equal(inputs[:, 1:], targets[:, :-1])
        for row, following in zip(inputs, targets, strict=True):
            assert data.decode(row) + data.decode(following[-1:]) in data.shakespeare("test")

    def test_same_generator_same_batch(self):
        draw = data.language_batches("validation", batch=3)
        first, again, other = (draw(torch.Generator().manual_seed(seed))[0] for seed in (1, 1, 2))
        assert first.shape == (3, CONTEXT)
        assert torch.equal(first, again)
        assert not torch.equal(first, other)

    def test_every_place_can_be_drawn(self, monkeypatch):
        monkeypatch.setattr(data, "shakespeare", lambda split: "abcdef")
        draw = data.language_batches(batch=200, context=3)
        inputs, targets = draw(torch.Generator().manual_seed(0))
        assert {data.decode(row) for row in inputs} == {"abc", "bcd", "cde"}
        assert {data.decode(row) for row in targets} == {"bcd", "cde", "def"}

    @pytest.mark.parametrize(
        ("arguments", "complaint"),
        [
            ({"batch": 0}, "batch: got 0"),
            ({"batch": 1, "context": 0}, "context: got 0"),
            ({"batch": 1, "context": 10**6}, "context: got 1000000; expected 1 to 274072"),
        ],
    )
    def test_bad_input_is_named(self, arguments, complaint):
        with pytest.raises(ValueError, match=complaint):
            data.language_batches("test", **arguments)


class TestLanguagePasses:
    def drawn(self, count, **how):
        draw = data.language_passes("test", **how)
        generator = torch.Generator()
        return [draw(generator) for _ in range(count)]

    def test_a_batch_is_text_and_what_follows_it(self):
        for inputs, targets in self.drawn(3, batch=5, context=7, seed=3):
            assert inputs.shape == targets.shape == (5, 7)
            assert torch.equal(inputs[:, 1:], targets[:, :-1])
            for row, following in zip(inputs, targets, strict=True):
                assert data.decode(row) + data.decode(following[-1:]) in data.shakespeare("test")

    def test_each_pass_shows_every_stretch_once(self, monkeypatch):
        # 47 characters, all different: which were seen, and how often, can be told
        text = data.VOCABULARY[:47]
        monkeypatch.setattr(data, "shakespeare", lambda split: text)
        stretches = (47 - 5) // 5
        batches = self.drawn(5 * stretches // 2, batch=2, context=5, seed=1)
        rows = torch.cat([inputs for inputs, _ in batches])
        for again in range(5):
            one_pass = rows[again * stretches : (again + 1) * stretches]
            firsts = sorted(one_pass[:, 0].tolist())
            assert firsts == list(range(firsts[0], firsts[0] + 5 * stretches, 5))
        assert len({row[0] for row in rows.tolist()}) > stretches  # passes start at other places
        orders = [tuple(rows[k * stretches : (k + 1) * stretches, 0].tolist()) for k in range(5)]
        assert len(set(orders)) == 5

    def test_only_the_stretches_that_are_asked_for(self):
        starts = torch.tensor([11, 70, 300, 1000, 5])
        rows = torch.cat([r for r, _ in self.drawn(5, batch=2, context=7, starts=starts, seed=2)])
        text = data.shakespeare("test")
        wanted = sorted(text[start : start + 7] for start in starts)
        for one_pass in (rows[:5], rows[5:]):
            assert sorted(map(data.decode, one_pass)) == wanted
        assert not torch.equal(rows[:5], rows[5:])

    def test_seed_decides_and_nothing_else(self):
        first, again, other = (self.drawn(9, batch=3, context=11, seed=s) for s in (1, 1, 2))
        assert all(torch.equal(a[0], b[0]) for a, b in zip(first, again, strict=True))
        assert not torch.equal(first[0][0], other[0][0])

    @pytest.mark.parametrize(
        ("how", "complaint"),
        [
            ({"batch": 0}, "batch: got 0"),
            ({"batch": 1, "context": 10**6}, "context: got 1000000; expected 1 to 274072"),
            ({"batch": 2, "starts": torch.tensor([5])}, "starts: got 1; expected at least a batch"),
            ({"batch": 1, "starts": torch.tensor([-1])}, "starts: got one that is not from 0 to"),
            ({"batch": 1, "starts": torch.tensor([274_000])}, "starts: got one that is not"),
        ],
    )
    def test_bad_input_is_named(self, how, complaint):
        with pytest.raises(ValueError, match=complaint):
            data.language_passes("test", **how)


class TestMaskedBatches:
    def test_gaps_hide_characters_of_the_text_and_nothing_else(self):
        draw = data.masked_batches("test", batch=5, context=13, hidden=0.4)
        blanked, ids, where = draw(torch.Generator().manual_seed(3))
        assert blanked.shape == ids.shape == where.shape == (5, 13)
        assert where.sum(dim=1).tolist() == [5] * 5
        assert (blanked[where] == data.MASK).all() and (ids < data.MASK).all()
        assert torch.equal(blanked[~where], ids[~where])
        for row in ids:
            assert data.decode(row) in data.shakespeare("test")

    def test_mask_is_a_number_that_no_character_has(self):
        with pytest.raises(ValueError, match=f"ids: got {data.MASK}"):
            data.decode(torch.tensor([data.MASK]))

    def test_every_place_is_hidden_equally_often(self):
        draw = data.masked_batches("test", batch=7000, context=7, hidden=0.3)
        where = draw(torch.Generator().manual_seed(0))[2]
        share = where.float().mean(dim=0)  # 2 of 7; the standard deviation of each is 0.005
        assert ((share - 2 / 7).abs() < 0.025).all()

    def test_stretches_are_those_without_gaps(self):
        plain = data.language_batches("test", batch=3, context=11)
        masked = data.masked_batches("test", batch=3, context=11)
        ids = [draw(torch.Generator().manual_seed(5)) for draw in (plain, masked)]
        assert torch.equal(ids[0][0], ids[1][1])

    def test_same_generator_same_gaps(self):
        draw = data.masked_batches("test", batch=3, context=11)
        first, again, other = (draw(torch.Generator().manual_seed(seed))[0] for seed in (1, 1, 2))
        assert torch.equal(first, again) and not torch.equal(first, other)

    @pytest.mark.parametrize("hidden", [0.0, 0.03, -0.5, 1.2])
    def test_a_share_that_hides_nothing_or_too_much_is_named(self, hidden):
        with pytest.raises(ValueError, match=f"hidden: got {hidden}; .* 1 to 10 of 10"):
            data.masked_batches("test", batch=1, context=10, hidden=hidden)


def uniform(ids):
    return torch.zeros(*ids.shape, len(VOCABULARY))


def of_all_before(ids):
    """Logits that depend on every character of the window so far, and on no later one."""
    table = torch.randn(97, len(VOCABULARY), generator=torch.Generator().manual_seed(0))
    weights = torch.arange(ids.shape[1]) + 1
    return table[(ids * weights).cumsum(1) % 97]


def one_by_one(model, split, *, stride, characters):
    """The metric as its docstring says it, a character at a time."""
    ids = data.encode("\n" + data.shakespeare(split)[:characters])
    bits = 0.0
    for place in range(1, len(ids)):
        window = max(0, math.ceil((place - CONTEXT) / stride))
        seen = ids[window * stride : place]
        assert 1 <= len(seen) <= CONTEXT
        if place > CONTEXT:
            assert len(seen) > CONTEXT - stride
        bits -= model(seen[None])[0, -1].log_softmax(-1)[ids[place]].item() / math.log(2)
    return bits / characters


class TestBitsPerCharacter:
    def test_without_knowledge_it_is_the_logarithm_of_the_vocabulary(self):
        found = data.bits_per_character(uniform, "test", characters=1000)
        assert found == pytest.approx(math.log2(78), abs=1e-5)

    @pytest.mark.parametrize("stride", [1, 13, 64, 128])
    @pytest.mark.parametrize("characters", [1, 7, 127, 128, 129, 300])
    def test_windows_agree_with_one_character_at_a_time(self, stride, characters):
        settings = {"stride": stride, "characters": characters}
        found = data.bits_per_character(of_all_before, "validation", batch=3, **settings)
        expected = one_by_one(of_all_before, "validation", **settings)
        assert found == pytest.approx(expected, rel=1e-5)

    @pytest.mark.parametrize("stride", [64, 128])
    def test_bigrams_need_what_another_program_found(self, stride):
        # It found 2.508 nats a character on Hamlet and The Tempest, with smoothing of its own.
        ids = data.encode(data.shakespeare("train"))
        pairs = torch.bincount(ids[:-1] * 78 + ids[1:], minlength=78 * 78).view(78, 78)
        logits = (pairs + 0.1).log()
        found = data.bits_per_character(lambda ids: logits[ids], "test", stride=stride)
        assert found * math.log(2) == pytest.approx(2.508, abs=0.005)

    def test_letters_alone_need_what_a_model_of_their_frequencies_needs(self):
        logits = torch.bincount(data.encode(data.shakespeare("train"))).log()
        found = data.bits_per_character(lambda ids: logits.expand(*ids.shape, -1), "test")
        assert data.letter_bits("test") == pytest.approx(found, abs=1e-4)
        assert 4 < data.letter_bits("test") < math.log2(78)

    def test_batch_does_not_matter(self):
        few, many = (
            data.bits_per_character(of_all_before, "test", characters=3000, batch=batch)
            for batch in (2, 64)
        )
        assert few == pytest.approx(many, rel=1e-6)

    def test_module_is_judged_in_evaluation_mode_and_given_back_as_it_was(self):
        modes = []

        class Model(torch.nn.Module):
            def forward(self, ids):
                modes.append(self.training)
                assert not torch.is_grad_enabled()
                return uniform(ids)

        model = Model().train()
        data.bits_per_character(model, characters=10)
        assert modes == [False]
        assert model.training
        data.bits_per_character(model.eval(), characters=10)
        assert not model.training

    @pytest.mark.parametrize(
        ("arguments", "complaint"),
        [
            ({"stride": 0}, "stride: got 0; expected 1 to CONTEXT, 128"),
            ({"stride": 129}, "stride: got 129"),
            ({"characters": 0}, "characters: got 0"),
            ({"characters": 10**7}, "characters: got 10000000; expected 1 to 233089"),
            ({"split": "dev"}, "split: got 'dev'"),
        ],
    )
    def test_bad_input_is_named(self, arguments, complaint):
        with pytest.raises(ValueError, match=complaint):
            data.bits_per_character(uniform, **arguments)


@pytest.fixture(scope="module")
def splits():
    return {split: data.pronunciations(split) for split in data.SPLITS}


class TestPronunciations:
    def test_words_of_known_number(self, splits):
        assert sum(map(len, splits.values())) == 117_493
        variants = [said for words in splits.values() for said in words.values()]
        assert sum(map(len, variants)) == 125_855

    def test_splits_share_no_word(self, splits):
        train, validation, test = (set(words) for words in splits.values())
        assert not train & validation | train & test | validation & test
        for part in (validation, test):
            assert 0.045 < len(part) / 117_493 < 0.055

    def test_split_of_a_word_stays(self, splits):
        assert "attention" in splits["train"]
        assert len(splits["validation"]) == 5818
        assert len(splits["test"]) == 5968

    def test_variants_stay_together_most_usual_first(self, splits):
        said = {word: said for words in splits.values() for word, said in words.items()}
        assert said["tomato"] == (
            ("T", "AH0", "M", "EY1", "T", "OW2"),
            ("T", "AH0", "M", "AA1", "T", "OW2"),
        )

    def test_words_are_letters_and_phonemes_are_arpabet(self, splits):
        words = {word for part in splits.values() for word in part}
        assert all(word.isascii() and word.isalpha() and word.islower() for word in words)
        phonemes = {
            phoneme
            for part in splits.values()
            for said in part.values()
            for variant in said
            for phoneme in variant
        }
        assert len(phonemes) == 69
        assert len({phoneme.rstrip("012") for phoneme in phonemes}) == 39


def test_speller_weights_have_the_shapes_of_a_gru():
    weights = data.speller_weights()
    assert {array.dtype for array in weights.values()} == {np.dtype(np.float32)}
    for side, symbols in (("enc", 29), ("dec", 74)):
        assert weights[f"{side}_emb"].shape == (symbols, 256)
        assert weights[f"{side}_w_ih"].shape == weights[f"{side}_w_hh"].shape == (3 * 256, 256)
        assert weights[f"{side}_b_ih"].shape == weights[f"{side}_b_hh"].shape == (3 * 256,)
    assert weights["fc_w"].shape == (74, 256)
    assert weights["fc_b"].shape == (74,)
    assert len(weights) == 12


def test_pronouncer_weights_fit_their_models():
    for name in ("additive", "transformer"):
        weights = data.pronouncer_weights(name)
        state = sequence_to_sequence.build(name, seed=0).state_dict()
        assert {key: tensor.shape for key, tensor in state.items()} == {
            key: tensor.shape for key, tensor in weights.items()
        }
        assert {tensor.dtype for tensor in weights.values()} == {torch.float32}
    with pytest.raises(ValueError, match=r"got 'vector'; expected one of \['additive', 'tr"):
        data.pronouncer_weights("vector")


class TestDigits:
    def test_1797_images_of_64_pixels(self):
        parts = [data.digits(split) for split in data.SPLITS]
        assert [len(images) for images, _ in parts] == [1257, 270, 270]
        for images, labels in parts:
            assert images.shape == (len(labels), 8, 8)
            assert images.dtype == torch.float32
            assert labels.dtype == torch.int64
            assert images.min() == 0
            assert images.max() == 1
            assert labels.bincount().min() >= 0.09 * len(labels)

    def test_first_image_is_the_well_known_zero(self):
        images, labels = data.digits("train")
        assert labels[:10].tolist() == list(range(10))
        assert (images[0, 0] * 16).tolist() == [0, 0, 5, 13, 9, 1, 0, 0]

    def test_images_of_a_digit_look_alike(self):
        # The mean image of each digit, learned on one split, names the digits of another.
        images, labels = data.digits("train")
        means = torch.stack([images[labels == digit].mean(0) for digit in range(10)])
        others, truth = data.digits("test")
        distances = (others[:, None] - means).flatten(2).norm(dim=-1)
        assert (distances.argmin(1) == truth).float().mean() > 0.85


class TestFashion:
    def test_14000_images_of_784_pixels_as_many_of_each_class(self):
        for split, images_of_each in {"train": 1000, "validation": 200, "test": 200}.items():
            images, classes = data.fashion(split)
            assert images.shape == (10 * images_of_each, 28, 28)
            assert images.dtype == torch.float32
            assert classes.dtype == torch.int64
            assert images.min() == 0
            assert images.max() == 1
            assert classes.tolist() == list(range(10)) * images_of_each
            assert len(images.unique()) == 64

    def test_no_image_is_there_twice(self):
        images = [image.numpy().tobytes() for s in data.SPLITS for image in data.fashion(s)[0]]
        assert len(set(images)) == 14_000

    def test_images_of_a_class_look_alike(self):
        images, classes = data.fashion("train")
        means = torch.stack([images[classes == one].mean(0) for one in range(10)])
        others, truth = data.fashion("test")
        distances = torch.cdist(others.flatten(1), means.flatten(1))
        assert (distances.argmin(1) == truth).float().mean() > 0.6

    def test_each_class_has_a_name(self):
        assert len(set(data.FASHION_CLASSES)) == 10

    def test_unknown_split_is_named(self):
        with pytest.raises(ValueError, match="split: got 'dev'"):
            data.fashion("dev")


def test_pairs_of_characters_need_fewer_bits_than_characters_alone():
    """Against a loop over a dictionary of counts."""
    text = "\n" + data.shakespeare("train")
    counts = Counter(pairwise(text))
    before = Counter(text[:-1])
    size = len(data.VOCABULARY)
    held_out = "\n" + data.shakespeare("test")
    bits = [
        -math.log2((counts[pair] + 1) / (before[pair[0]] + size)) for pair in pairwise(held_out)
    ]
    assert data.pair_bits("test") == pytest.approx(sum(bits) / len(bits))
    assert data.pair_bits("test") < data.letter_bits("test")


class TestDamage:
    def test_damaged_file_is_named(self, monkeypatch):
        monkeypatch.setattr(data, "DIGITS", data.DIGITS._replace(sha256="0" * 64))
        with pytest.raises(data.DataError, match=r"digits\.csv\.gz is damaged"):
            data.digits("train")

    def test_missing_file_is_named(self, monkeypatch, tmp_path):
        monkeypatch.setattr(data.resources, "files", lambda package: tmp_path)
        with pytest.raises(data.DataError, match=r"digits\.csv\.gz is missing"):
            data.digits("train")
