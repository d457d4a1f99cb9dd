"""Depths of characters: passages by rule, windows that meet, and a bill that is what is counted."""

from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from payattention import data, results, trained
from payattention.adaptive_compute.early_exit import EarlyExit
from payattention.adaptive_compute.writing import Writer
from payattention.experiments import depth_vs_character as experiment
from payattention.experiments.depth_vs_character import KINDS, STEP
from payattention.transformer import Decoder


@pytest.fixture(scope="module")
def exits():
    """An untrained GPT of the book's vocabulary and context, with doors behind two of four."""
    torch.manual_seed(0)
    shape = replace(trained.GPT_SHAPE, layers=4, d_model=20, heads=5, kv_heads=5, d_ff=28)
    return EarlyExit(Decoder(shape), behind=(1, 3)).eval()


@pytest.mark.parametrize("kind", KINDS)
def test_a_passage_begins_at_a_name_and_has_whole_lines(kind):
    name, start, end = experiment.passage(kind, 256)
    play = data.plays()[name]
    assert name in data.VALIDATION_PLAYS
    assert play[start - 2 : start] == "\n\n"
    text = play[start:end]
    assert text.splitlines()[0].endswith(":") and play[end] == "\n"
    assert 200 < len(text) <= 256
    shorter = experiment.passage(kind, 64)
    assert shorter[:2] == (name, start) and shorter[2] < end


def test_passages_are_of_the_kinds_that_they_say():
    verse, prose, exchange = (experiment.passage(kind, 256) for kind in KINDS)
    assert (verse[0], prose[0]) == data.VALIDATION_PLAYS
    assert all(line[0].isupper() for line in _text(verse).split("\n"))
    assert sum(line[0].islower() for line in _text(prose).split("\n")) >= 2
    names = [text for text in _text(exchange).split("\n") if text.isupper() and text[-1] == ":"]
    assert len(names) == 8
    with pytest.raises(ValueError, match="kind='song': expected one of verse, prose, exchange"):
        experiment.passage("song", 256)


def _text(place: tuple[str, int, int]) -> str:
    name, start, end = place
    return data.plays()[name][start:end]


def test_what_ends_in_a_colon_is_no_speaker_in_the_middle_of_a_speech():
    play = "\n\nANNE:\nHe said:\nThis.\n\nEnter BOB\n\nBOB:\nNo."
    assert [play[at : at + 4] for at in experiment.speeches(play)] == ["ANNE", "BOB:"]


def test_windows_foretell_each_character_once():
    name, start, end = experiment.passage("prose", 256)
    play = data.plays()[name]
    ids, wanted = experiment.windows(play, start, end)
    assert ids.shape[1] == data.CONTEXT
    assert data.decode(wanted.flatten()).startswith(play[start:end])
    for number, row in enumerate(ids):
        first = start + STEP * number
        assert data.decode(row) == play[first - STEP - 1 : first + STEP - 1]


@pytest.mark.parametrize("share", [0.3, 0.6, 1.0])
def test_what_is_billed_is_what_is_counted(exits, share):
    """But for keys and values at the end of a text, which nobody looks at: a reader knows that."""
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(data.CONTEXT // 2, (5, data.CONTEXT), generator=generator)
    first = list(exits.model.stream(ids))[1]
    likeliest = exits.logits(first, 1).softmax(dim=-1).topk(2).values
    threshold = (likeliest[..., 0] - likeliest[..., 1]).quantile(share).item()
    left = exits.read(ids, threshold=threshold)
    assert len(left.depth.unique()) == 3
    unmade = 0
    for text in left.depth.tolist():
        for layer in range(1, exits.shape.layers + 1):
            running = [at for at, depth in enumerate(text) if depth >= layer]
            unmade += len(text) - 1 - max(running, default=-1)
    billed = sum(experiment.prices(exits)[depth - 1] for depth in left.depth.flatten().tolist())
    keys_and_values = 2 * 2 * exits.shape.d_model**2
    assert sum(left.flops.values()) == billed - unmade * keys_and_values


def test_the_price_of_all_layers_is_that_of_reading(exits):
    ids = torch.zeros(1, data.CONTEXT, dtype=torch.long)
    left = exits.read(ids, threshold=1.0)
    assert set(left.depth.flatten().tolist()) == {exits.shape.layers}
    assert sum(left.flops.values()) == data.CONTEXT * experiment.prices(exits)[-1]


def test_the_price_is_that_of_writing(exits):
    """One more token behind a prompt that fills the context, by each door."""
    prompt = torch.zeros(1, data.CONTEXT, dtype=torch.long)
    for until, price in ((1, 0), (3, 2), (exits.shape.layers, 3)):
        writer = Writer(exits, prompt, room=data.CONTEXT)
        with torch.inference_mode():
            writer.step(prompt[:, -1], threshold=0.0, until=torch.tensor([until]))
        assert sum(writer.flops.values()) == experiment.prices(exits)[price]


def test_a_reading_is_what_the_model_says(exits):
    name, start, end = experiment.passage("verse", 100)
    text = data.plays()[name][start:end]
    ids, wanted = experiment.windows(data.plays()[name], start, end)
    read = experiment._read(exits, None, ids, wanted, len(text))
    logits = exits.model(ids)[:, -STEP:].flatten(0, 1)[: len(text)]
    nats = F.cross_entropy(logits, data.encode(text))
    assert read["loss"] == pytest.approx(
        nats.item() / torch.log(torch.tensor(2.0)).item(), abs=1e-4
    )
    assert [len(read["depths"]), len(read["said"]), len(read["bits"].split())] == [len(text)] * 3
    assert read["said"] == data.decode(logits.argmax(dim=1))
    assert set(read["depths"]) == {"4"}
    doors = experiment._read(exits, 1.0, ids, wanted, len(text))
    price = experiment.prices(exits)[-1]
    assert doors["flops"] == price
    assert read["flops"] == price - 2 * 2 * exits.shape.d_model * exits.shape.vocab


def test_what_is_stored_holds_what_the_text_says():
    rows = experiment.shown(results.read("depth_vs_character"))
    found = experiment.findings(rows)
    assert len(rows) == len(KINDS) * (1 + len(experiment.FULL.thresholds))
    for row in rows.where(threshold=1.0).records():
        assert row["layers"] == 6
        assert int(found[f"{row['kind']}_1_flops"].split("\N{NO-BREAK SPACE}")[0]) > 100
    for row in rows.records():
        assert [len(row[name]) for name in ("depths", "said", "places")] == [len(row["text"])] * 3
    for name in ("spaces_and_line_ends", "further_letters"):
        assert float(found[f"0.6_{name}_layers"]) < float(found["0.6_first_letters_layers"])
