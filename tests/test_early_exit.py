"""Who leaves early leaves with what the door says, and the layers behind are not computed."""

import math
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from payattention import measure
from payattention.adaptive_compute.early_exit import CONFIDENCES, EarlyExit
from payattention.adaptive_compute.writing import Writer, write
from payattention.cost import operations
from payattention.shape import TransformerShape
from payattention.transformer import Classifier, Decoder

SHAPE = TransformerShape(
    layers=5, d_model=24, heads=3, kv_heads=3, d_ff=13, vocab=11, context=19, biases="none"
)
BATCH, TOKENS = 4, 17


def model(kind=Decoder, *, seed=0, **options):
    torch.manual_seed(seed)
    if kind is Decoder:
        made = Decoder(replace(SHAPE, **options))
    else:
        made = Classifier(replace(SHAPE, context=8, positions="learned", **options), d_input=5)
    for each in made.modules():  # norms that do something
        if isinstance(each, nn.LayerNorm | nn.RMSNorm):
            nn.init.normal_(each.weight, mean=1.0, std=0.3)
            if getattr(each, "bias", None) is not None:
                nn.init.normal_(each.bias, std=0.3)
    return made.double()


def exits(kind=Decoder, *, confidence="softmax", behind=(1, 2, 4), own=True, **options):
    made = EarlyExit(model(kind, **options), behind=behind, confidence=confidence, own=own)
    for unit in made.units.values():
        nn.init.normal_(unit.weight, std=0.3)
    return made.double()


@torch.no_grad()
def threshold(made, x, share=0.7):
    """One that this share of all rows at all doors falls short of."""
    streams = list(made.model.stream(x))
    if isinstance(made.model, Classifier):
        streams = [stream[:, :1] for stream in streams]
    streams = [stream.flatten(0, 1) for stream in streams]
    found = [
        made.sure(streams[layer - 1], streams[layer], made.logits(streams[layer], layer), layer)
        for layer in made.behind
    ]
    return torch.cat(found).quantile(share).item()


IDS = torch.randint(SHAPE.vocab, (BATCH, TOKENS), generator=torch.Generator().manual_seed(3))
IMAGES = torch.randn(37, 7, 5, generator=torch.Generator().manual_seed(3)).double()


@pytest.mark.parametrize("own", [True, False])
@pytest.mark.parametrize("confidence", CONFIDENCES)
def test_a_text_needs_no_layers_behind_the_door(confidence, own):
    made = exits(confidence=confidence, own=own)
    at = threshold(made, IDS)
    fast, plain = (made.read(IDS, threshold=at, compact=compact) for compact in (True, False))
    assert len(fast.depth.unique()) > 2
    assert torch.equal(fast.depth, plain.depth)
    torch.testing.assert_close(fast.logits, plain.logits)
    assert sum(fast.flops.values()) < sum(plain.flops.values())


@pytest.mark.parametrize("own", [True, False])
@pytest.mark.parametrize("confidence", CONFIDENCES)
def test_an_image_needs_no_layers_behind_the_door(confidence, own):
    made = exits(Classifier, confidence=confidence, own=own)
    at = threshold(made, IMAGES)
    fast, plain = (
        made.classify(IMAGES, threshold=at, compact=compact) for compact in (True, False)
    )
    assert len(fast.depth.unique()) > 2
    assert torch.equal(fast.depth, plain.depth)
    torch.testing.assert_close(fast.logits, plain.logits)
    doors = dict(zip((1, 2, 4, 5), made.everywhere(IMAGES), strict=True))
    for row, layer in enumerate(fast.depth.tolist()):
        torch.testing.assert_close(fast.logits[row], doors[layer][row])


def test_a_door_has_a_norm_and_a_map_of_its_own():
    made, x = exits(), torch.randn(3, SHAPE.d_model).double()
    norm, output = made.norms["2"], made.outputs["2"]
    seen = F.layer_norm(x, x.shape[-1:], norm.weight, getattr(norm, "bias", None), norm.eps)
    torch.testing.assert_close(made.logits(x, 2), seen @ output.weight.T + output.bias)
    with_the_last = exits(own=False)
    torch.testing.assert_close(with_the_last.logits(x, 2), with_the_last.logits(x))


def test_confidence_is_what_it_says():
    x, before = torch.randn(2, 3, SHAPE.d_model).double().unbind()
    logits = torch.tensor([[0.0, 0.0, -99.0], [99.0, 0.0, 0.0], [0.0, 3.0, 1.0]]).double()
    told = exits().sure(before, x, logits, 2)
    last = (math.exp(3) - math.exp(1)) / (1 + math.exp(3) + math.exp(1))
    torch.testing.assert_close(told, torch.tensor([0.0, 1.0, last]).double())
    turned = exits(confidence="state").sure(x, torch.stack([x[0], -x[1], 2 * x[2]]), None, 2)
    torch.testing.assert_close(turned, torch.tensor([1.0, 0.0, 1.0]).double())


def test_what_is_executed_is_what_each_row_needs():
    """Images at mixed depths: the sum, over them, of their layers and the doors that they ask."""
    made, x = exits(Classifier), IMAGES
    left = made.classify(x, threshold=threshold(made, x))
    assert len(left.depth.unique()) > 2
    once = sum(operations.block(made.shape, tokens=8).values())
    door = operations.matmul(1, SHAPE.d_model, SHAPE.vocab)
    needed = 0
    for depth in left.depth.tolist():
        asked = sum(layer <= depth for layer in made.behind) + (depth == SHAPE.layers)
        needed += depth * once + asked * door + operations.matmul(7, 5, SHAPE.d_model)
    assert sum(left.flops.values()) == needed


def test_nobody_leaves_at_a_threshold_of_one_however_sure():
    made = exits(confidence="learned").float()
    for unit in made.units.values():
        nn.init.constant_(unit.bias, 50.0)
    assert (made.read(IDS, threshold=1.0).depth == SHAPE.layers).all()


def test_the_plain_form_computes_all_layers_for_all():
    made = exits(Classifier)
    plain = made.classify(IMAGES, threshold=0.0, compact=False)
    whole = operations.block(made.shape, tokens=8)
    assert (plain.depth == 1).all()
    assert all(plain.flops[part] == SHAPE.layers * 37 * flops for part, flops in whole.items())


def test_keys_at_which_nobody_looks_are_paid_by_who_writes():
    """Maps to keys and values: what reading made and left unpaid is what writing paid."""
    made = exits()
    at = threshold(made, IDS)
    written = write(made, IDS[:1, :1], tokens=12, threshold=at)
    left = made.read(written.ids[:, :-1], threshold=at)
    assert torch.equal(left.depth, written.depth) and left.unpaid > 0
    paid = written.flops["keys and values"] + written.flops["copied keys and values"]
    assert left.flops["keys and values"] + left.unpaid == paid


def test_several_texts_pay_what_each_would_pay_alone():
    made = exits()
    at, prompt = threshold(made, IDS), IDS[:, :5]
    written = write(made, prompt, tokens=12, threshold=at)
    alone = [write(made, prompt[row : row + 1], tokens=12, threshold=at) for row in range(BATCH)]
    for part, flops in written.flops.items():
        assert flops == sum(each.flops.get(part, 0) for each in alone), part


def test_all_the_way_is_the_model():
    made = exits()
    left = made.read(IDS, threshold=1.0)
    assert (left.depth == SHAPE.layers).all()
    torch.testing.assert_close(left.logits, made.model(IDS))
    images = exits(Classifier).classify(IMAGES, threshold=1.0)
    torch.testing.assert_close(images.logits, model(Classifier)(IMAGES))


def test_a_threshold_of_nothing_leaves_by_the_first_door():
    made = exits()
    left = made.read(IDS, threshold=0.0)
    assert (left.depth == 1).all()
    torch.testing.assert_close(left.logits, made.everywhere(IDS)[0])
    once = operations.block(SHAPE, tokens=TOKENS)
    doors = {"doors": operations.matmul(TOKENS, SHAPE.d_model, SHAPE.vocab), "logits": 0}
    assert left.flops == {part: BATCH * flops for part, flops in (once | doors).items()}
    owed = 2 * operations.matmul(BATCH * TOKENS, SHAPE.d_model, SHAPE.d_kv)
    assert left.unpaid == (SHAPE.layers - 1) * owed


@pytest.mark.parametrize("confidence", CONFIDENCES)
def test_the_bill_is_what_a_counter_counts(confidence):
    made = exits(confidence=confidence)
    for block in made.model.blocks:
        block.attention.fused = False
    found = []
    at = threshold(made, IDS)
    counted = measure.flops(lambda: found.append(made.read(IDS, threshold=at)))
    assert counted == sum(found[0].flops.values())
    made = exits(Classifier, confidence=confidence).requires_grad_(False)
    for block in made.model.blocks:
        block.attention.fused = False
    at = threshold(made, IMAGES)
    counted = measure.flops(lambda: found.append(made.classify(IMAGES, threshold=at)))
    assert counted == sum(found[1].flops.values())


@pytest.mark.parametrize("confidence", CONFIDENCES)
@pytest.mark.parametrize(
    "options", [{}, {"norm": "rms", "positions": "learned"}, {"biases": "all", "kv_heads": 1}]
)
def test_writing_with_copied_states_is_reading(confidence, options):
    """Token after token, each text by itself or all side by side: the numbers of `read`."""
    made = exits(confidence=confidence, **options)
    at, prompt = threshold(made, IDS), IDS[:, :5]
    written = write(made, prompt, tokens=12, threshold=at)
    left = made.read(written.ids[:, :-1], threshold=at, whole=4)
    assert len(written.depth.unique()) > 2
    assert torch.equal(written.depth, left.depth[:, 4:])
    torch.testing.assert_close(written.logits, left.logits[:, 4:])
    for row in range(BATCH):
        alone = write(made, prompt[row : row + 1], tokens=12, threshold=at)
        assert torch.equal(alone.ids[0], written.ids[row])


@pytest.mark.parametrize("confidence", CONFIDENCES)
def test_writing_with_computed_states_is_the_whole_model_and_its_doors(confidence):
    made = exits(confidence=confidence)
    at, prompt = threshold(made, IDS), IDS[:1, :5]
    written = write(made, prompt, tokens=12, threshold=at, fill="compute")
    doors = dict(zip((1, 2, 4, 5), made.everywhere(written.ids[:, :-1]), strict=True))
    assert len(written.depth.unique()) > 1
    for place, layer in enumerate(written.depth[0].tolist()):
        torch.testing.assert_close(written.logits[0, place], doors[layer][0, 4 + place])


@torch.inference_mode()
@pytest.mark.parametrize("fill", ["copy", "compute"])
def test_a_writer_that_is_rewound_writes_the_same_again(fill):
    made, prompt = exits(), IDS[:1, :5]
    at = threshold(made, IDS)
    writer = Writer(made, prompt, room=12, fill=fill)
    found = []
    for _ in range(2):
        ids = prompt[:, -1]
        for _ in range(6):
            writer.step(ids, threshold=at)
            ids = writer.logits[-1].argmax(dim=1)
        found.append((torch.stack(writer.logits), torch.stack(writer.depths), writer.flops))
        writer.rewind()
    assert torch.equal(found[0][0], found[1][0]) and torch.equal(found[0][1], found[1][1])
    assert found[0][2] == found[1][2] and writer.flops == {}


def test_one_token_owes_what_it_skips():
    """By hand: left behind the first of five layers, four pairs of maps are paid."""
    made = exits()
    written = write(made, IDS[:1, :5], tokens=1, threshold=0.0)
    d, d_kv = SHAPE.d_model, SHAPE.d_kv
    once = operations.block(SHAPE, tokens=1, pairs=5)
    assert written.flops == once | {
        "doors": operations.matmul(1, d, SHAPE.vocab),
        "copied keys and values": 4 * 2 * operations.matmul(1, d, d_kv),
    }


@pytest.mark.parametrize("fill", ["copy", "compute"])
@pytest.mark.parametrize("options", [{}, {"d_embedding": 8}])
def test_the_bill_of_writing_is_what_a_counter_counts(fill, options):
    made = exits(**options)
    for block in made.model.blocks:
        block.attention.fused = False
    found = []
    at, prompt = threshold(made, IDS), IDS[:1, :1]  # which leaves nothing to read before
    counted = measure.flops(
        lambda: found.append(write(made, prompt, tokens=12, threshold=at, fill=fill))
    )
    assert counted == sum(found[0].flops.values())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: exits(behind=(0,)), r"behind: got layer 0; expected 1 to 4"),
        (lambda: exits(behind=(2, 5)), r"behind: got layer 5; expected 1 to 4"),
        (lambda: exits(behind=(1,), layers=1), r"behind: got layer 1; expected none, of one layer"),
        (lambda: exits(positions="alibi"), r"model: got positions of alibi; expected others"),
        (lambda: exits(confidence="hope"), r"confidence='hope'"),
        (lambda: exits().read(IDS, threshold=1.1), r"threshold=1.1: expected 0 to 1"),
        (lambda: exits(Classifier).classify(IMAGES, threshold=-0.1), r"threshold=-0.1"),
        (lambda: write(exits(), IDS[:1, :5], tokens=3, threshold=2.0), r"threshold=2.0"),
        (lambda: write(exits(), IDS, tokens=0, threshold=0.5), r"tokens=0: expected at least 1"),
        (lambda: write(exits(), IDS, tokens=4, threshold=0.5), r"tokens: got a text of 21"),
        (lambda: write(exits(), IDS[:, :0], tokens=3, threshold=0.5), r"prompts: got empty"),
        (
            lambda: write(exits(), IDS[:, :3], tokens=3, threshold=0.5, fill="guess"),
            r"fill='guess': expected one of",
        ),
        (
            lambda: write(exits(), IDS[:, :3], tokens=3, threshold=0.5, fill="compute"),
            r"prompts: got 4; expected 1 with fill='compute'",
        ),
    ],
)
def test_what_cannot_be_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: exits(Classifier).read(IDS, threshold=0.5), r"model: got one that classifies"),
        (lambda: exits().classify(IMAGES, threshold=0.5), r"model: got one that writes"),
        (
            lambda: write(exits(Classifier), IDS[:1, :3], tokens=2, threshold=0.5),
            r"model: got one that classifies",
        ),
    ],
)
def test_another_kind_of_model_is_refused(make, message):
    with pytest.raises(TypeError, match=message):
        make()


def test_there_is_no_writing_beyond_the_room():
    writer = Writer(exits(), IDS[:1, :3], room=4)
    for _ in range(2):
        writer.step(IDS[:1, 3], threshold=0.5)
    with pytest.raises(ValueError, match="room=4: expected more, for another token"):
        writer.step(IDS[:1, 3], threshold=0.5)
    with pytest.raises(ValueError, match=r"threshold=2\.0: expected 0 to 1"):
        Writer(exits(), IDS[:1, :3], room=4).step(IDS[:1, 3], threshold=2.0)
