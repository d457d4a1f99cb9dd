"""What is read is what is spoken, and no play is read and judged at once."""

import torch

from payattention import data
from payattention.experiments import genre_vs_mixing
from payattention.experiments.genre_vs_mixing import GENRES, JUDGED, Reader, drawn, passages, spoken


def test_every_play_of_the_folio_has_one_genre():
    named = [play for plays in GENRES.values() for play in plays]
    assert len(named) == len(set(named)) == 36
    assert set(data.plays()) - set(named) == {"pericles"}
    assert set(JUDGED) <= set(named)
    assert all(sum(play in plays for play in JUDGED) == 3 for plays in GENRES.values())


def test_speech_is_kept_and_names_and_directions_are_not():
    words = spoken("hamlet")
    assert words[:8] == ["who's", "there", "nay", "answer", "me", "stand", "and", "unfold"]
    assert words.count("horatio") < data.plays()["hamlet"].count("HORATIO:")
    assert "exeunt" not in words and "scene ii" not in " ".join(words)
    for play in JUDGED:
        text = data.plays()[play]
        assert len(spoken(play)) > 0.7 * len(text.split())


def test_passages_are_of_one_part_alone():
    read, of_read = passages("read", 64, 3000)
    judged, of_judged = passages("judged", 64, 3000)
    assert read.shape[1] == judged.shape[1] == 64
    assert len(read) > 3 * len(judged) and len(of_read) == len(read)
    rows = {tuple(row) for row in read.tolist()}
    assert not rows & {tuple(row) for row in judged.tolist()}
    assert of_judged.bincount().min() >= genre_vs_mixing.FULL.judged // 3
    assert (read == genre_vs_mixing.UNKNOWN).float().mean() < 0.15


def test_genres_are_drawn_alike():
    config = genre_vs_mixing.FULL
    _, genres = drawn("read", config, 300, 1)
    assert genres.bincount().tolist() == [100, 100, 100]
    assert not torch.equal(drawn("read", config, 300, 1)[0], drawn("read", config, 300, 2)[0])
    assert torch.equal(drawn("judged", config, 60, 0)[0], drawn("judged", config, 60, 0)[0])


def test_the_vectors_are_the_embeddings():
    torch.manual_seed(0)
    reader = Reader(genre_vs_mixing.FULL)
    ids = torch.randint(3000, (2, 64))
    torch.testing.assert_close(reader(ids), reader.classifier(reader.embedding(ids)))
    assert reader(ids).shape == (2, 3)
