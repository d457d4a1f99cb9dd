"""Models that pronounce: padding changes nothing, the future is hidden, two roads agree."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as some

from payattention import data, train
from payattention import sequence_to_sequence as s2s
from payattention.pronunciation import without_stress
from payattention.sequence_to_sequence import (
    END,
    PAD,
    PHONEMES,
    START,
    GRUPronouncer,
    TransformerPronouncer,
)

BUILD = {
    "vector": lambda: GRUPronouncer(14, attention=False, d_embedding=11),
    "additive": lambda: GRUPronouncer(14, attention=True, d_embedding=11),
    "transformer": lambda: TransformerPronouncer(12, layers=2, heads=3, d_ff=17),
}
WORDS = ["knight", "ox", "phoneme"]
SAID = [("N", "AY", "T"), ("AA", "K", "S"), ("F", "OW", "N", "IY", "M")]


@pytest.fixture(params=BUILD)
def model(request):
    return BUILD[request.param]()


@pytest.fixture(params=["additive", "transformer"])
def looking(request):
    return BUILD[request.param]()


class TestNumbers:
    def test_letters_and_phonemes(self):
        assert len(s2s.LETTERS) == len(set(s2s.LETTERS)) == 27
        assert len(PHONEMES) == len(set(PHONEMES)) == 42
        assert [PHONEMES[i] for i in (PAD, START, END)] == ["<pad>", "<s>", "</s>"]

    @given(some.lists(some.text("abxyz", min_size=1, max_size=9), min_size=1, max_size=5))
    def test_words_come_back(self, words):
        letters, lengths = s2s.spell(words)
        back = [
            "".join(s2s.LETTERS[i] for i in row[:n])
            for row, n in zip(letters.tolist(), lengths.tolist(), strict=True)
        ]
        assert back == words
        assert (letters != PAD).sum(dim=1).tolist() == lengths.tolist()

    def test_the_decoder_writes_what_it_reads_next(self):
        before, after = s2s.transcribe(SAID)
        for row, (read, written) in enumerate(zip(before, after, strict=True)):
            n = len(SAID[row])
            assert tuple(PHONEMES[i] for i in written[:n]) == SAID[row]
            assert written[n] == END and (written[n + 1 :] == PAD).all()
            assert read[0] == START and torch.equal(read[1 : n + 1], written[:n])

    @pytest.mark.parametrize("word", ["naïve", "Cat", "it's", "", "two words"])
    def test_bad_words_are_named(self, model, word):
        with pytest.raises(ValueError, match="expected letters a to z only") as caught:
            model.pronounce(["cat", word])
        assert repr(word) in str(caught.value)

    def test_no_words(self):
        with pytest.raises(ValueError, match="words: got none"):
            s2s.spell([])
        assert BUILD["vector"]().pronounce([]) == []

    @pytest.mark.parametrize("phoneme", ["AY1", "<s>", "Q"])
    def test_what_is_no_phoneme_is_named(self, looking, phoneme):
        with pytest.raises(ValueError, match=f"said: got '{phoneme}'; expected some of"):
            looking.alignment("knight", ("N", phoneme, "T"))


class TestModels:
    def test_padding_changes_nothing(self, model):
        before, _ = s2s.transcribe(SAID)
        together = model(*s2s.spell(WORDS), before)
        for row, (word, said) in enumerate(zip(WORDS, SAID, strict=True)):
            alone = model(*s2s.spell([word]), s2s.transcribe([said])[0])[0]
            torch.testing.assert_close(together[row, : len(alone)], alone, atol=1e-5, rtol=1e-5)

    def test_the_decoder_does_not_see_the_future(self, model):
        before, _ = s2s.transcribe([SAID[2]])
        changed = before.clone()
        changed[:, 3:] = PHONEMES.index("ZH")
        logits, others = (model(*s2s.spell(["phoneme"]), b) for b in (before, changed))
        torch.testing.assert_close(logits[:, :3], others[:, :3])
        assert (logits[:, 3:] - others[:, 3:]).abs().amax(dim=-1).min() > 1e-4

    def test_every_letter_matters(self, model):
        before, _ = s2s.transcribe([SAID[2]])
        logits = model(*s2s.spell(["phoneme"]), before)
        for place in range(7):
            letters, lengths = s2s.spell(["phoneme"])
            letters[0, place] = 26
            assert not torch.equal(model(letters, lengths, before)[:, 0], logits[:, 0])

    def test_one_phoneme_after_another_equals_all_at_once(self, model):
        letters, lengths = s2s.spell(WORDS)
        before, _ = s2s.transcribe(SAID)
        reading = model.read(letters, lengths)
        state, steps = model.start(reading), []
        for phoneme in before.unbind(dim=1):
            logits, state = model.step(reading, state, phoneme)
            steps.append(logits)
        together = model(letters, lengths, before)
        torch.testing.assert_close(torch.stack(steps, dim=1), together, atol=1e-5, rtol=1e-5)

    def test_what_is_written_is_the_likeliest_each_time(self, model):
        with torch.no_grad():  # no early end: an untrained model may say nothing at all
            next(p for n, p in model.named_parameters() if n.endswith("output.bias"))[END] = -1
        for word, said in zip(WORDS, model.pronounce(WORDS, longest=9), strict=True):
            assert 0 < len(said) <= 9
            before, after = s2s.transcribe([said])
            likeliest = model(*s2s.spell([word]), before)[..., END:].argmax(dim=-1) + END
            assert torch.equal(likeliest[0, : len(said)], after[0, : len(said)])

    def test_order_and_company_do_not_matter(self, model):
        words = ["memory", "ox", "forget", "dog", "ox"]
        assert model.pronounce(words) == [model.pronounce([word])[0] for word in words]

    def test_gradients_reach_every_parameter(self, model):
        s2s.loss(model, (*s2s.spell(WORDS), *s2s.transcribe(SAID))).backward()
        for name, weight in model.named_parameters():
            assert weight.grad is not None and weight.grad.abs().sum() > 0, name

    def test_only_attention_tells_the_two_gru_apart(self):
        vector, additive = ({n for n, _ in BUILD[m]().named_parameters()} for m in list(BUILD)[:2])
        assert vector < additive
        assert {name.partition(".")[0] for name in additive - vector} == {"scores"}

    def test_odd_width_is_named(self):
        with pytest.raises(ValueError, match="d_hidden=13: expected an even number"):
            GRUPronouncer(13, attention=True)


class TestAlignment:
    def test_a_row_for_each_phoneme_and_the_end_sums_to_one(self, looking):
        weights = looking.alignment("phoneme", SAID[2])
        assert weights.shape == (6, 7)
        torch.testing.assert_close(weights.sum(dim=-1), torch.ones(6))
        said = looking.pronounce(["knight"])[0]
        assert looking.alignment("knight").shape == (len(said) + 1, 6)

    def test_padding_gets_nothing(self, looking):
        before, _ = s2s.transcribe(SAID)
        weights = looking.weights(*s2s.spell(WORDS), before)
        assert (weights[1, :, 2:] == 0).all() and (weights[1, :, :2] > 0).all()
        torch.testing.assert_close(weights.sum(dim=-1), torch.ones(3, 6))

    def test_the_mixture_is_that_of_the_weights(self):
        """Bahdanau's equations written out, for the first phoneme."""
        model = BUILD["additive"]()
        letters, lengths = s2s.spell(["knight"])
        reading = model.read(letters, lengths)
        state = torch.tanh(model.first(reading.last))
        scores = [
            model.scores.score(
                torch.tanh(model.scores.from_query(state[0]) + model.scores.from_key(h))
            )
            for h in reading.vectors[0]
        ]
        weights = torch.cat(scores).softmax(dim=0)
        context = sum(w * h for w, h in zip(weights, reading.vectors[0], strict=True))
        start = model.phonemes(torch.tensor(START))
        state = model.decoder(torch.cat([start, context])[None], state)
        logits = model.output(torch.cat([state[0], context]))
        before = torch.tensor([[START]])
        torch.testing.assert_close(model(letters, lengths, before)[0, 0], logits)
        torch.testing.assert_close(model.weights(letters, lengths, before)[0, 0], weights)

    def test_one_vector_looks_nowhere(self):
        with pytest.raises(ValueError, match="attention=False: this model has one vector"):
            BUILD["vector"]().alignment("knight", SAID[0])


class TestBatches:
    def test_words_of_one_length_with_their_pronunciation(self):
        dictionary = data.pronunciations("test")
        letters, lengths, before, after = s2s.batches("test", batch=13)(
            torch.Generator().manual_seed(0)
        )
        assert len(letters) == 13 and (letters != PAD).all()
        assert (lengths == letters.shape[1]).all()
        for row in range(13):
            word = "".join(s2s.LETTERS[i] for i in letters[row])
            said = without_stress(dictionary[word][0])
            expected = (START, *map(PHONEMES.index, said))
            assert tuple(before[row, : len(expected)].tolist()) == expected
            assert tuple(after[row, : len(expected)].tolist()) == (*expected[1:], END)

    def test_lengths_are_drawn_as_often_as_they_have_words(self):
        draw, generator = s2s.batches("validation", batch=1), torch.Generator().manual_seed(0)
        drawn = torch.stack([draw(generator)[1][0] for _ in range(1000)]).float()
        lengths = torch.tensor([len(word) for word in data.pronunciations("validation")]).float()
        assert abs(drawn.mean() - lengths.mean()) < 4 * lengths.std() / 1000**0.5

    def test_same_generator_same_batch(self):
        draw = s2s.batches("test", batch=3)
        first, again, other = (draw(torch.Generator().manual_seed(n))[0] for n in (1, 1, 2))
        assert torch.equal(first, again) and not torch.equal(first, other)

    def test_bad_batch_is_named(self):
        with pytest.raises(ValueError, match="batch=0: expected at least 1"):
            s2s.batches(batch=0)

    def test_loss_leaves_padding_out(self):
        model = BUILD["additive"]()
        batch = (*s2s.spell(WORDS), *s2s.transcribe(SAID))
        parts = [
            s2s.loss(model, (*s2s.spell([word]), *s2s.transcribe([said])))
            for word, said in zip(WORDS, SAID, strict=True)
        ]
        written = torch.tensor([len(said) + 1 for said in SAID])
        expected = (torch.stack(parts) * written).sum() / written.sum()
        torch.testing.assert_close(s2s.loss(model, batch), expected)


@pytest.mark.slow
def test_a_few_words_are_learned_by_heart(model):
    batch = (*s2s.spell(WORDS), *s2s.transcribe(SAID))
    recipe = train.Recipe(steps=200, learning_rate=1e-2)
    train.train(model, lambda generator: batch, s2s.loss, recipe=recipe)
    assert model.pronounce(WORDS) == SAID


class TestTrained:
    """The weights that come with the library."""

    @pytest.mark.parametrize("name", ["additive", "transformer"])
    def test_words_of_the_training_and_of_none(self, name):
        model = s2s.trained(name)
        assert not model.training
        for word in ("knight", "phoneme", "memory"):
            accepted = data.pronunciations("train")[word]
            assert model.pronounce([word])[0] in map(without_stress, accepted)
        words = [word for word in data.pronunciations("test") if len(word) == 6]
        right = [
            said in map(without_stress, data.pronunciations("test")[word])
            for word, said in zip(words, model.pronounce(words), strict=True)
        ]
        assert sum(right) / len(right) > 0.5

    def test_letters_are_looked_at_from_first_to_last(self):
        weights = s2s.trained("additive").alignment("phoneme")
        where = (weights @ torch.arange(7.0))[:-1]
        assert (where.diff() > 0).all()

    @pytest.mark.parametrize("name", ["vector", "attention"])
    def test_others_are_named(self, name):
        with pytest.raises(ValueError, match=f"name: got '{name}'; expected one of"):
            s2s.trained(name)

    def test_unknown_model_is_named(self):
        with pytest.raises(ValueError, match="name='lstm': expected one of vector, additive"):
            s2s.build("lstm", seed=0)

    def test_same_seed_same_model(self):
        before = torch.get_rng_state()
        first, again, other = (s2s.build("additive", seed=n).output.weight for n in (1, 1, 2))
        assert torch.equal(first, again) and not torch.equal(first, other)
        assert torch.equal(torch.get_rng_state(), before)
