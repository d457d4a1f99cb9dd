"""Writing: what is kept changes no answer and saves the work; drawing keeps its laws."""

import inspect
import math
from dataclasses import replace
from itertools import islice

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from payattention import attention, data, measure, positions, pretrained
from payattention.attention import KeysAndValues, MultiHeadAttention
from payattention.generation import GREEDY, Sampler, generate, stream, write
from payattention.shape import CHOICES, TransformerShape
from payattention.transformer import Decoder

VOCAB, CONTEXT = 11, 13
SHAPE = TransformerShape(
    layers=2, d_model=12, heads=3, kv_heads=1, d_ff=7, vocab=VOCAB, context=CONTEXT
)
CLOSE = dict(atol=1e-5, rtol=1e-5)
VARIANTS = [dict(positions=kind) for kind in CHOICES["positions"]]
VARIANTS += [dict(positions=kind, kv_heads=3) for kind in ("rotary", "alibi")]
VARIANTS += [dict(positions="learned", order="post", biases="all", tied=True)]
VARIANTS += [dict(positions="rotary", norm="rms", activation="swiglu", biases="none")]
VARIANTS += [dict(positions="rotary", shared=True), dict(positions="none", d_attention=6)]
every_variant = pytest.mark.parametrize(
    "variant", VARIANTS, ids=lambda changes: ",".join(map(str, changes.values()))
)
WILD = Sampler(temperature=1.5)  # a text that repeats nothing


def decoder(**changes) -> Decoder:
    torch.manual_seed(3)
    return Decoder(replace(SHAPE, **changes)).eval()


def draw_ids(*shape: int, seed: int = 1) -> Tensor:
    return torch.randint(VOCAB, shape, generator=torch.Generator().manual_seed(seed))


def seeded(seed: int = 5) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def close(ours, theirs) -> None:
    torch.testing.assert_close(ours, theirs, **CLOSE)


def readable(model: Decoder) -> Decoder:
    for layer in model.modules():
        if isinstance(layer, MultiHeadAttention):
            layer.fused = False
    return model


# What is kept


def in_pieces(model: Decoder, ids: Tensor, lengths) -> Tensor:
    """The logits at every place, read piece by piece with what was read before kept."""
    kept = model.room()
    return torch.cat([model(piece, kept=kept) for piece in ids.split(list(lengths), dim=1)], dim=1)


@every_variant
@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("lengths", [[1] * CONTEXT, [4, 1, 2, 6], [12, 1]])
def test_logits_are_those_of_the_whole_text(variant, fused, lengths):
    model, ids = decoder(**variant), draw_ids(2, CONTEXT)
    if not fused:
        readable(model)
    with torch.no_grad():
        close(in_pieces(model, ids, lengths), model(ids))


@given(st.lists(st.integers(1, 9), min_size=1, max_size=5), st.sampled_from(["rotary", "alibi"]))
def test_any_pieces_give_the_same_logits(lengths, kind):
    model, ids = decoder(positions=kind, context=None), draw_ids(2, sum(lengths))
    with torch.no_grad():
        close(in_pieces(model, ids, lengths), model(ids))


def test_a_squeezed_model_keeps_squeezed_positions():
    model, ids = decoder(context=None), draw_ids(2, 17)
    before = model(ids)
    model.squeeze(2.5)
    with torch.no_grad():
        close(in_pieces(model, ids, [3, 1, 1, 12]), model(ids))
    assert (model(ids) - before).abs().max() > 1e-3


@every_variant
def test_following_is_the_last_of_the_logits(variant):
    model, ids = decoder(**variant), draw_ids(2, CONTEXT)
    with torch.no_grad():
        close(model.following(ids), model(ids)[:, -1])
        kept = model.room()
        model.following(ids[:, :5], kept=kept)
        close(model.following(ids[:, 5:], kept=kept), model(ids)[:, -1])
        assert [layer.length for layer in kept] == [CONTEXT, CONTEXT]


def test_a_mask_may_hide_what_is_kept():
    """Rows are the last of the columns, so a mask has a column for each token kept."""
    model, ids = decoder(positions="alibi"), draw_ids(2, 7)
    mask = attention.causal_mask(7)
    mask[3:, 1] = False
    with torch.no_grad():
        whole, kept = model(ids, mask), model.room()
        model(ids[:, :4], mask[:4, :4], kept=kept)
        close(model(ids[:, 4:], mask[4:], kept=kept), whole[:, 4:])


@given(st.lists(st.integers(1, 70), min_size=1, max_size=6))
def test_keys_and_values_come_back_in_order(lengths):
    keys, values = torch.randn(2, 2, 3, sum(lengths), 5).unbind()
    kept, end = KeysAndValues(), 0
    for piece in zip(keys.split(lengths, 2), values.split(lengths, 2), strict=True):
        end += piece[0].shape[2]
        answer = kept.append(*piece)
        assert torch.equal(answer[0], keys[:, :, :end])
        assert torch.equal(answer[1], values[:, :, :end])
        assert kept.length == end
        assert kept.keys.shape[2] <= max(64, 2 * end)  # never more than twice what is needed


def test_memory_is_seldom_taken_anew():
    kept, one = KeysAndValues(), torch.ones(1, 1, 1, 1)
    blocks = []
    for _ in range(1000):
        kept.append(one, one)
        if not any(kept.keys is block for block in blocks):
            blocks.append(kept.keys)
    assert [block.shape[2] for block in blocks] == [64, 128, 256, 512, 1024]


def test_a_text_that_is_refused_leaves_what_is_kept_alone():
    model, ids = decoder(positions="learned"), draw_ids(1, CONTEXT)
    kept = model.room()
    model(ids[:, :-1], kept=kept)
    with pytest.raises(ValueError, match="this table of learned positions ends at 13"):
        model(ids[:, :2], kept=kept)
    with pytest.raises(ValueError, match=r"ids: got 11; expected 0 to 10"):
        model(torch.tensor([[VOCAB]]), kept=kept)
    close(model(ids[:, -1:], kept=kept), model(ids)[:, -1:])


# What it saves


def step_flops(shape: TransformerShape, past: int) -> int:
    """One token through all maps, and its scores with, and mixture of, all that was read."""
    width = shape.heads * shape.d_head
    maps = 2 * shape.d_model * (width + shape.d_kv) + 2 * shape.d_model * shape.d_ff
    pairs = 2 * width * (past + 1)
    return 2 * (shape.layers * (maps + pairs) + shape.d_model * shape.vocab)


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("kv_heads", [1, 3])
def test_a_new_token_costs_one_token(kv_heads, fused):
    model, ids = decoder(kv_heads=kv_heads), draw_ids(1, CONTEXT)
    if not fused:
        readable(model)
    for past in (1, 7, 12):
        kept = model.room()
        model(ids[:, :past], kept=kept)
        counted = measure.flops(lambda: model.following(ids[:, past : past + 1], kept=kept))  # noqa: B023
        assert counted == step_flops(model.shape, past)


def test_writing_costs_what_its_tokens_cost():
    model, ids = decoder(context=None), draw_ids(1, 5)
    first = measure.flops(lambda: model.following(ids))
    steps = sum(step_flops(model.shape, past) for past in range(5, 5 + 16))
    assert measure.flops(lambda: generate(model, ids, tokens=17)) == first + steps
    # without what is kept, each new token reads the whole text again
    again = sum(measure.flops(lambda: model.following(draw_ids(1, n))) for n in range(5, 22))  # noqa: B023
    assert measure.flops(lambda: generate(model, ids, tokens=17, cached=False)) == again
    assert again > 5 * (first + steps)


# The same text


@every_variant
def test_cached_writes_what_uncached_writes(variant):
    model, prompts = decoder(**variant), draw_ids(3, 4)
    for sampler, tokens, when_full in ((GREEDY, 10, "stop"), (WILD, 31, "slide")):
        options = dict(tokens=tokens, sampler=sampler, when_full=when_full)
        written = [
            generate(model, prompts, generator=seeded(), cached=cached, **options)
            for cached in (True, False)
        ]
        assert torch.equal(*written)
        assert written[0].shape == (3, 4 + tokens)
        assert torch.equal(written[0][:, :4], prompts)
    assert len(written[0].unique()) == VOCAB  # no text of one token, which proves little


def test_greedy_text_is_the_likeliest_token_again_and_again():
    model, text = decoder(positions="alibi", context=None), draw_ids(1, 3)
    written = generate(model, text, tokens=40)
    for _ in range(40):
        text = torch.cat([text, model(text)[:, -1:].argmax(dim=-1)], dim=1)
    assert torch.equal(written, text)
    assert len(text.unique()) > 3


@every_variant
def test_side_by_side_is_as_alone(variant):
    model, prompts = decoder(**variant), draw_ids(3, 4)
    together = generate(model, prompts, tokens=19, when_full="slide")
    for row, prompt in enumerate(prompts):
        alone = generate(model, prompt[None], tokens=19, when_full="slide")
        assert torch.equal(alone[0], together[row])


def test_text_is_that_of_transformers():
    """Two roads: GPT-2 by `transformers`, which keeps keys and values too, and by our decoder."""
    transformers = pytest.importorskip("transformers")
    config = transformers.GPT2Config(
        vocab_size=31,
        n_positions=37,
        n_embd=20,
        n_layer=3,
        n_head=5,
        initializer_range=0.3,  # wide apart, so that the text is more than one token
        bos_token_id=None,
        eos_token_id=None,
    )
    theirs = transformers.GPT2LMHeadModel(config).eval()
    prompts = torch.randint(31, (3, 5))
    expected = theirs.generate(prompts, max_new_tokens=32, do_sample=False, pad_token_id=0)
    assert torch.equal(generate(pretrained.from_gpt2(theirs), prompts, tokens=32), expected)
    assert all(len(row.unique()) > 7 for row in expected)


def test_prompts_of_unlike_lengths_come_back_in_order():
    model = decoder()
    prompts = [draw_ids(length, seed=length) for length in (7, 2, 7, 5, 2, 1)]
    written = generate(model, prompts, tokens=5)
    assert [len(text) for text in written] == [12, 7, 12, 10, 7, 6]
    for prompt, text in zip(prompts, written, strict=True):
        assert torch.equal(text, generate(model, prompt[None], tokens=5)[0])
        assert torch.equal(text[: len(prompt)], prompt)


def test_a_list_of_one_length_is_a_tensor_of_prompts():
    model, prompts = decoder(), draw_ids(3, 4)
    options = dict(tokens=7, sampler=WILD)
    listed = generate(model, list(prompts), generator=seeded(), **options)
    assert torch.equal(torch.stack(listed), generate(model, prompts, generator=seeded(), **options))


def test_the_seed_decides_the_text_and_nothing_else_does():
    model, prompts = decoder(), draw_ids(1, 3)
    texts = []
    for seed in (5, 6, 5):
        torch.manual_seed(len(texts))
        texts.append(
            generate(model, prompts, tokens=11, sampler=WILD, generator=seeded(seed)).tolist()
        )
    assert texts[0] == texts[2] != texts[1]


def test_a_stream_is_what_generate_writes():
    model, prompts = decoder(), draw_ids(2, 3)
    tokens = islice(stream(model, prompts, sampler=WILD, generator=seeded()), 11)
    written = generate(model, prompts, tokens=11, sampler=WILD, generator=seeded())
    assert torch.equal(torch.stack(list(tokens), dim=1), written[:, 3:])


# At the end of the context


def text_by_the_rule(model: Decoder, prompt: Tensor, tokens: int) -> list[int]:
    """Greedy text of a model that forgets the first half of what it has read when it is full."""
    context = model.shape.context
    text, read = prompt.tolist(), prompt.tolist()[-context:]
    for _ in range(tokens):
        likeliest = int(model(torch.tensor([read]))[0, -1].argmax())
        text.append(likeliest)
        if len(read) == context:
            read = read[len(read) - context // 2 :]
        read.append(likeliest)
    return text


@pytest.mark.parametrize("kind", CHOICES["positions"])
@pytest.mark.parametrize("context", [1, 2, 7, 8])
@pytest.mark.parametrize("prompt", [1, 7, 20])
def test_sliding_forgets_the_first_half(kind, context, prompt):
    model, ids = decoder(positions=kind, context=context), draw_ids(1, prompt)
    written = generate(model, ids, tokens=13, when_full="slide")
    assert written[0].tolist() == text_by_the_rule(model, ids[0], 13)


def test_sliding_reads_no_more_than_the_context():
    model, longest = decoder(context=7), []
    model.embedding.register_forward_hook(
        lambda module, given, options, x: longest.append(options["start"] + x.shape[1]),
        with_kwargs=True,
    )
    generate(model, draw_ids(1, 20), tokens=23, when_full="slide")
    assert max(longest) == 7 and min(longest) == 4
    assert len(longest) == 23


def test_a_text_that_fits_does_not_slide():
    model, ids = decoder(positions="learned"), draw_ids(2, 4)
    fits = CONTEXT - 4 + 1  # the last token is written and not read
    stopped = generate(model, ids, tokens=fits)
    assert torch.equal(stopped, generate(model, ids, tokens=fits, when_full="slide"))
    with pytest.raises(
        ValueError,
        match=r"prompts: prompt 0 has 4 tokens; to write 11 more, the model would read 14, and "
        r"its context is 13; when_full='slide' lets it forget",
    ):
        generate(model, ids, tokens=fits + 1)


def test_the_prompt_that_does_not_fit_is_named():
    prompts = [draw_ids(length) for length in (4, 3, 12, 4, 13)]
    with pytest.raises(ValueError, match="prompts: prompt 2 has 12 tokens; to write 3 more"):
        generate(decoder(), prompts, tokens=3)


def test_without_a_context_nothing_ends():
    model, ids = decoder(context=None), draw_ids(1, 3)
    assert generate(model, ids, tokens=40).shape == (1, 43)


# What is drawn

LOGITS = st.lists(st.integers(-30, 30).map(lambda tenths: tenths / 3), min_size=2, max_size=13)


def as_row(logits: list[float]) -> Tensor:
    return torch.tensor([logits])


@given(LOGITS, st.floats(0, 5), st.none() | st.integers(1, 15), st.none() | st.floats(0.01, 1))
def test_shares_sum_to_one(logits, temperature, top_k, top_p):
    shares = Sampler(temperature, top_k, top_p).probabilities(as_row(logits))
    assert shares.shape == (1, len(logits))
    assert (shares >= 0).all() and shares.sum().item() == pytest.approx(1, abs=1e-6)


@given(LOGITS, st.integers(1, 15))
def test_top_k_leaves_k_and_the_likeliest(logits, top_k):
    before = Sampler().probabilities(as_row(logits))[0]
    after = Sampler(top_k=top_k).probabilities(as_row(logits))[0]
    left = after > 0
    assert left.sum() == min(top_k, len(logits))  # also where several are equally likely
    assert before[left].min() >= before[~left].max() if top_k < len(logits) else left.all()
    close(after[left], before[left] / before[left].sum())


@given(LOGITS, st.floats(0.01, 0.999))
def test_top_p_leaves_the_fewest_with_that_share(logits, top_p):
    before = Sampler().probabilities(as_row(logits))[0]
    after = Sampler(top_p=top_p).probabilities(as_row(logits))[0]
    left = after > 0
    ranked = before.sort(descending=True).values.double()
    count = int(left.sum())
    assert count >= 1
    assert ranked[:count].sum() >= top_p - 1e-6
    assert ranked[: count - 1].sum() <= top_p + 1e-6
    close(before[left].sort(descending=True).values.double(), ranked[:count])
    close(after[left], before[left] / before[left].sum())


def test_a_share_that_is_reached_exactly_is_enough():
    halves = torch.tensor([[0.125, 0.5, 0.125, 0.25]]).log()
    assert (Sampler(top_p=0.75).probabilities(halves) > 0).tolist() == [[False, True, False, True]]
    assert (Sampler(top_p=0.51).probabilities(halves) > 0).sum() == 2
    assert (Sampler(top_p=0.5).probabilities(halves) > 0).sum() == 1


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("top_k", [None, 1, 5, 40])
@pytest.mark.parametrize("top_p", [None, 0.3, 0.9, 1.0])
def test_shares_are_those_of_transformers(temperature, top_k, top_p):
    warpers = pytest.importorskip("transformers.generation.logits_process")
    logits = 3 * torch.randn(7, 31)
    theirs = warpers.TemperatureLogitsWarper(temperature)(None, logits)
    if top_k is not None:
        theirs = warpers.TopKLogitsWarper(top_k)(None, theirs)
    if top_p is not None:
        theirs = warpers.TopPLogitsWarper(top_p)(None, theirs)
    ours = Sampler(temperature, top_k, top_p).probabilities(logits)
    close(ours, theirs.softmax(dim=-1))
    assert torch.equal(ours > 0, theirs.isfinite())


@given(LOGITS, st.sampled_from([1e-3, 1e-20, 1e-40, 1e-300]))
def test_a_small_temperature_takes_the_likeliest(logits, temperature):
    row = as_row(logits)
    likeliest = (row == row.max()).float()
    close(Sampler(temperature).probabilities(row), likeliest / likeliest.sum())
    drawn = Sampler(temperature=0).probabilities(row)
    assert drawn.sum() == 1 and drawn[0, row.argmax()] == 1  # the first of several


def test_a_large_temperature_takes_any():
    close(Sampler(1e30).probabilities(torch.randn(3, 7)), torch.full((3, 7), 1 / 7))


@given(LOGITS)
def test_a_higher_temperature_is_less_certain(logits):
    shares = [Sampler(t).probabilities(as_row(logits))[0].double() for t in (0.5, 1, 2)]
    entropies = [torch.special.entr(share).sum().item() for share in shares]
    assert entropies[0] <= entropies[1] + 1e-6 and entropies[1] <= entropies[2] + 1e-6


def test_what_is_impossible_stays_so():
    logits = torch.tensor([[1.0, -math.inf, 2.0, -math.inf]])
    for sampler in (Sampler(), Sampler(0.1), Sampler(top_k=3), Sampler(top_p=0.99), GREEDY):
        assert (sampler.probabilities(logits)[:, [1, 3]] == 0).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_shares_are_added_up_in_32_bits_or_more(dtype):
    logits = torch.randn(3, 4001).to(dtype)
    shares = Sampler(0.8, top_p=0.9).probabilities(logits)
    assert shares.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    close(shares.sum(dim=-1), torch.ones_like(shares[:, 0]))
    counts = (shares > 0).sum(dim=-1)
    exact = (Sampler(0.8, top_p=0.9).probabilities(logits.double()) > 0).sum(dim=-1)
    assert (counts - exact).abs().max() <= 1


def chi_square(counts: Tensor, shares: Tensor) -> float:
    expected = counts.sum() * shares
    return ((counts - expected) ** 2 / expected).sum().item()


LIMIT = 18.47  # exceeded once in a thousand times, with 4 degrees of freedom


@pytest.mark.parametrize(
    "sampler", [Sampler(), Sampler(0.7), Sampler(top_k=5), Sampler(top_p=0.95)]
)
def test_tokens_are_drawn_as_often_as_they_should(sampler):
    logits = torch.tensor([1.0, 0.5, 0.0, -0.5, -1.0, -2.5, -3.0])
    shares = sampler.probabilities(logits[None])[0]
    drawn = sampler.draw(logits.expand(20_000, 7), seeded())
    counts = torch.bincount(drawn, minlength=7)
    assert (counts[shares == 0] == 0).all()
    # the two rare ones together, so that each of five has enough
    counts, shares = (torch.cat([x[:4], x[4:].sum()[None]]) for x in (counts, shares))
    assert chi_square(counts, shares) < LIMIT
    other = replace(sampler, temperature=1.1 * sampler.temperature).probabilities(logits[None])[0]
    assert chi_square(counts, torch.cat([other[:4], other[4:].sum()[None]])) > LIMIT


def test_each_row_is_drawn_from_its_own_logits():
    logits = torch.full((5, 5), -20.0).fill_diagonal_(20.0)
    assert Sampler().draw(logits, seeded()).tolist() == [0, 1, 2, 3, 4]
    assert GREEDY.draw(logits).tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (dict(temperature=-1.0), "temperature=-1.0: expected a number of 0 or more"),
        (dict(temperature=math.inf), "temperature=inf"),
        (dict(temperature=math.nan), "temperature=nan"),
        (dict(top_k=0), "top_k=0: expected a whole number of at least 1"),
        (dict(top_p=0.0), "top_p=0.0: expected more than 0 and at most 1"),
        (dict(top_p=1.5), r"top_p=1\.5"),
        (dict(top_p=math.nan), "top_p=nan"),
    ],
)
def test_a_sampler_that_makes_no_sense_is_refused(wrong, says):
    with pytest.raises(ValueError, match=says):
        Sampler(**wrong)


# What is refused


@pytest.mark.parametrize(
    ("prompts", "options", "says"),
    [
        (torch.zeros(2, 0, dtype=torch.long), {}, "prompt 0: got 'no tokens'; expected at least"),
        (torch.tensor([[1, 2], [3, 11]]), {}, "prompt 1: got 11; expected ids from 0 to 10"),
        (torch.tensor([[1, 2], [3, -1]]), {}, "prompt 1: got -1; expected ids from 0 to 10"),
        (torch.zeros(0, 3, dtype=torch.long), {}, "prompts: got 'none'; expected at least one"),
        ([], {}, "prompts: got 'none'; expected at least one"),
        (torch.tensor([[1]]), dict(tokens=0), "tokens: got 0; expected at least 1"),
    ],
)
def test_prompts_that_cannot_be_read_are_named(prompts, options, says):
    with pytest.raises(ValueError, match=says):
        generate(decoder(), prompts, **(dict(tokens=3) | options))


@pytest.mark.parametrize(
    ("prompts", "says"),
    [
        ([[1, 2, 3]], "prompt 0: got list; expected a tensor of one axis, ids of tokens"),
        (["To be"], "prompt 0: got str; expected a tensor"),
        (torch.tensor([1, 2, 3]), "prompt 0: got 0 axes; expected a tensor of one axis"),
        (torch.tensor([[0.5, 1.0]]), r"prompt 0: got torch\.float32; expected whole numbers"),
    ],
)
def test_prompts_of_another_kind_are_refused(prompts, says):
    with pytest.raises(TypeError, match=says):
        inspect.unwrap(generate)(decoder(), prompts, tokens=3)


def test_another_word_for_a_full_context_is_refused():
    with pytest.raises(ValueError, match="when_full: got 'wrap'; expected 'stop' or 'slide'"):
        inspect.unwrap(generate)(decoder(), draw_ids(1, 3), tokens=3, when_full="wrap")


# What is left behind


@pytest.mark.parametrize("kind", CHOICES["positions"])
def test_a_model_may_be_trained_after_it_has_written(kind):
    """Nothing that was made while writing is kept where training meets it."""
    positions._turns.cache_clear()
    model = decoder(positions=kind).train()
    before = {name: weights.clone() for name, weights in model.state_dict().items()}
    state = torch.get_rng_state()
    written = generate(model, draw_ids(2, 3), tokens=11, sampler=WILD, generator=seeded())
    assert torch.equal(torch.get_rng_state(), state)
    assert model.training and not written.is_inference()
    assert all(torch.equal(model.state_dict()[name], kept) for name, kept in before.items())
    assert all(weights.grad is None for weights in model.parameters())
    F.cross_entropy(model(written[:, :-1]).mT, written[:, 1:]).backward()
    assert all(weights.grad.isfinite().all() for weights in model.parameters())


def test_drawn_tokens_may_be_trained_on():
    """A stream's own tensors, as they come, in a product that needs a gradient."""
    model = decoder()
    for drawn in islice(stream(model, draw_ids(2, 3), generator=seeded(), sampler=WILD), 3):
        assert not drawn.is_inference()
        model(drawn[:, None]).sum().backward()


# Characters


@pytest.fixture(scope="module")
def writer() -> Decoder:
    return decoder(vocab=len(data.VOCABULARY), positions="rotary")


def test_a_text_is_continued(writer):
    text = write(writer, "To be", characters=50, seed=3)
    assert text.startswith("To be") and len(text) == 55
    assert set(text) <= set(data.VOCABULARY)
    assert text == write(writer, "To be", characters=50, seed=3)
    assert text != write(writer, "To be", characters=50, seed=4)
    ids = data.encode("To be")[None]
    options = dict(sampler=Sampler(temperature=0.8), when_full="slide")
    written = generate(writer, ids, tokens=50, generator=seeded(3), **options)
    assert text == data.decode(written[0])


def test_writing_leaves_the_global_generator_alone(writer):
    state = torch.get_rng_state()
    write(writer, "To be", characters=5)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    ("prompt", "options", "says"),
    [
        ("", {}, "prompt 0: got 'no tokens'; expected at least one"),
        ("naïve", {}, "text: character 2 is 'ï'; expected one of"),
        ("To be", dict(characters=0), "characters: got 0; expected at least 1"),
    ],
)
def test_texts_that_cannot_be_read_are_refused(writer, prompt, options, says):
    with pytest.raises(ValueError, match=says):
        write(writer, prompt, **options)


def test_a_model_of_another_vocabulary_is_refused():
    with pytest.raises(ValueError, match=r"model: got 'vocab=11'; expected that of data"):
        write(decoder(), "To be")
