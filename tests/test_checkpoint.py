"""A checkpoint gives back a state to the bit, or says that it is none."""

import errno

import pytest
import safetensors.torch
import torch
from torch import nn

from payattention import checkpoint
from payattention.checkpoint import Checkpoint, CheckpointError

ABOUT = {"steps": 5, "model": "abc"}


class Tied(nn.Module):
    """A module whose input and output share a weight, as language models do."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.output = nn.Embedding(7, 3), nn.Linear(3, 7, bias=False)
        self.output.weight = self.embedding.weight
        self.register_buffer("count", torch.tensor(3))

    def forward(self, ids):
        return self.output(self.embedding(ids))


def pair():
    model = Tied()
    return model, torch.optim.AdamW(model.parameters())


def saved(path, steps=3):
    model, optimizer = pair()
    for _ in range(steps):
        model(torch.tensor([1, 5])).logsumexp(-1).sum().backward()
        optimizer.step()
    checkpoint.save(path, model, optimizer, about=ABOUT, step=steps, records=[{"loss": 0.1}])
    return model, optimizer


@pytest.mark.parametrize("steps", [0, 3])
def test_state_comes_back_to_the_bit(tmp_path, steps):
    path = tmp_path / "run"
    model, optimizer = saved(path, steps)
    other, its_optimizer = pair()
    assert checkpoint.load(path, other, its_optimizer, about=ABOUT) == (steps, [{"loss": 0.1}])
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[name])
    before, after = optimizer.state_dict(), its_optimizer.state_dict()
    assert before["state"].keys() == after["state"].keys()
    for index, kept in before["state"].items():
        assert {"step", "exp_avg", "exp_avg_sq"} == set(kept)
        for name, tensor in kept.items():
            assert torch.equal(tensor, after["state"][index][name])
    assert other.output.weight is other.embedding.weight


@pytest.mark.parametrize("keep", [0, 5, 8, 300, -1])
def test_torn_file_is_named(tmp_path, keep):
    path = tmp_path / "run.safetensors"
    saved(path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(CheckpointError, match=r"run\.safetensors is torn or no checkpoint"):
        checkpoint.load(path, *pair(), about=ABOUT)


def test_foreign_files_are_named(tmp_path):
    text, tensors = tmp_path / "notes.txt", tmp_path / "weights.safetensors"
    text.write_text("Dear diary, today I trained a network. It did not want to be trained.")
    safetensors.torch.save_file({"weight": torch.ones(3)}, tensors)
    with pytest.raises(CheckpointError, match=r"notes\.txt is torn or no checkpoint"):
        checkpoint.load(text, *pair(), about=ABOUT)
    with pytest.raises(CheckpointError, match=r"weights\.safetensors is no checkpoint of this"):
        checkpoint.load(tensors, *pair(), about=ABOUT)


def test_other_training_is_named_with_what_differs(tmp_path):
    saved(tmp_path / "run")
    with pytest.raises(CheckpointError, match=r"\(steps: 5 there, 6 now\): delete it"):
        checkpoint.load(tmp_path / "run", *pair(), about=ABOUT | {"steps": 6})
    with pytest.raises(CheckpointError, match="seed: None there, 1 now"):
        checkpoint.load(tmp_path / "run", *pair(), about=ABOUT | {"seed": 1})


def test_full_disk_leaves_the_last_checkpoint(tmp_path, monkeypatch):
    path = tmp_path / "run"
    saved(path, steps=3)
    before = path.read_bytes()

    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        saved(path, steps=4)
    assert path.read_bytes() == before


def test_never_is_no_interval(tmp_path):
    with pytest.raises(ValueError, match="every: got 0"):
        Checkpoint(tmp_path / "run", every=0)
