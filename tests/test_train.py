"""A training depends on its recipe and on nothing else: not on when it was broken off."""

import math
import signal
import subprocess
import sys
import time
from contextlib import nullcontext
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
import training
from hypothesis import given
from hypothesis import strategies as some
from torch import nn
from training import RECIPE

from payattention import train as loop
from payattention.checkpoint import Checkpoint, CheckpointError
from payattention.train import DivergedError, Recipe, train


def state(net):
    return {name: tensor.clone() for name, tensor in net.state_dict().items()}


def equal(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.fixture(scope="module")
def whole():
    """The state and the records of the training that nobody disturbed."""
    net = training.model()
    records = training.run(net)
    return state(net), records


class TestRecipe:
    @given(
        steps=some.integers(1, 50),
        warmup=some.integers(0, 50),
        decay=some.sampled_from(["cosine", "constant"]),
    )
    def test_rate_rises_then_falls(self, steps, warmup, decay):
        warmup = min(warmup, steps)
        recipe = Recipe(steps=steps, learning_rate=0.5, warmup_steps=warmup, decay=decay)
        rates = [recipe.learning_rate_at(step) for step in range(steps)]
        assert all(0 < rate <= 0.5 for rate in rates)
        assert rates[:warmup] == sorted(rates[:warmup])
        assert rates[warmup:] == sorted(rates[warmup:], reverse=True)
        assert max(rates) == pytest.approx(0.5)

    def test_rate_at_known_steps(self):
        recipe = Recipe(steps=104, learning_rate=2.0, warmup_steps=4)
        assert [recipe.learning_rate_at(step) for step in (0, 3, 4, 54)] == [0.5, 2.0, 2.0, 1.0]
        assert replace(recipe, decay="constant").learning_rate_at(103) == 2.0

    @pytest.mark.parametrize(
        ("settings", "complaint"),
        [
            ({"steps": 0}, "steps: got 0; expected at least 1"),
            ({"learning_rate": 0.0}, "learning_rate: got 0.0"),
            ({"learning_rate": math.nan}, "learning_rate: got nan"),
            ({"warmup_steps": 8}, "warmup_steps: got 8; expected 0 to steps, 7"),
            ({"warmup_steps": -1}, "warmup_steps: got -1"),
            ({"weight_decay": -0.1}, "weight_decay: got -0.1"),
            ({"clip_norm": 0.0}, "clip_norm: got 0.0"),
            ({"record_every": 0}, "record_every: got 0"),
        ],
    )
    def test_bad_settings_are_named(self, settings, complaint):
        with pytest.raises(ValueError, match=complaint):
            Recipe(**{"steps": 7} | settings)

    def test_unknown_decay_is_named(self):
        with pytest.raises((ValueError, TypeError), match="decay"):
            Recipe(steps=7, decay="linear")


class TestUpdates:
    """One parameter, whose updates a hand can compute."""

    def line(self, value=1.0):
        net = nn.Linear(1, 1, bias=False)
        nn.init.constant_(net.weight, value)
        return net

    def fit(self, net, slope, **settings):
        recipe = Recipe(**{"steps": 1, "learning_rate": 0.1, "decay": "constant"} | settings)
        return train(
            net,
            lambda generator: torch.tensor(slope),
            lambda net, x: net.weight.sum() * x,
            recipe=recipe,
        )

    def test_first_step_of_adam_is_the_learning_rate_against_the_sign(self):
        net = self.line()
        records = self.fit(net, 3.0)
        assert net.weight.item() == pytest.approx(0.9, abs=1e-6)
        assert records == [{"step": 1, "loss": 3.0}]

    def test_weights_decay_and_gains_do_not(self):
        net = self.line()
        self.fit(net, 3.0, weight_decay=0.5)
        assert net.weight.item() == pytest.approx(1.0 * (1 - 0.1 * 0.5) - 0.1, abs=1e-6)
        gain = nn.LayerNorm(1, bias=False)
        self.fit(gain, 3.0, weight_decay=0.5)
        assert gain.weight.item() == pytest.approx(0.9, abs=1e-6)

    def test_gradient_is_clipped(self):
        net = self.line()
        self.fit(net, 30.0, clip_norm=2.0)
        assert net.weight.grad.item() == pytest.approx(2.0, rel=1e-5)
        self.fit(net, 30.0, clip_norm=None)
        assert net.weight.grad.item() == 30.0

    def test_rate_of_each_step_is_used(self):
        net, settings = self.line(), {"steps": 4, "warmup_steps": 2, "decay": "cosine"}
        self.fit(net, 1.0, **settings)
        recipe = Recipe(learning_rate=0.1, **settings)
        moved = sum(recipe.learning_rate_at(step) for step in range(4))
        assert net.weight.item() == pytest.approx(1 - moved, abs=1e-5)

    def test_frozen_weights_stay(self):
        net = training.model()
        net[0].weight.requires_grad_(False)
        before = net[0].weight.clone()
        training.run(net)
        assert torch.equal(net[0].weight, before)


class TestRandomness:
    def test_same_seed_is_bit_identical(self, whole):
        net = training.model()
        assert training.run(net) == whole[1]
        assert equal(state(net), whole[0])

    def test_other_seed_is_not(self, whole):
        net = training.model()
        records = training.run(net, recipe=replace(RECIPE, seed=1))
        assert records != whole[1]
        assert not equal(state(net), whole[0])

    def test_what_the_caller_draws_changes_nothing_and_is_not_changed(self, whole):
        torch.manual_seed(5)
        expected = torch.randn(3)
        torch.manual_seed(5)
        net = training.model()
        records = training.run(net, on_step=lambda share, records: torch.randn(7))
        assert torch.equal(torch.randn(3), expected)
        assert records == whole[1]
        assert equal(state(net), whole[0])

    def test_every_step_has_a_batch_of_its_own_which_its_number_decides(self):
        def seen(steps):
            batches = []
            net = nn.Linear(3, 1)

            def loss(net, batch):
                batches.append(batch["x"])
                return training.loss(net, batch)

            train(net, training.draw, loss, recipe=replace(RECIPE, steps=steps))
            return batches

        long, short = seen(11), seen(5)
        assert all(torch.equal(a, b) for a, b in zip(long, short, strict=False))
        assert not any(torch.equal(a, b) for a, b in pairwise(long))

    @pytest.mark.parametrize("kind", ["cpu", "cuda", "mps"])
    def test_dropout_is_seeded_where_the_model_is(self, monkeypatch, kind):
        seeded = []
        monkeypatch.setattr(torch.cuda, "device", lambda device: nullcontext())
        monkeypatch.setattr(torch.cuda, "manual_seed", lambda seed: seeded.append(("cuda", seed)))
        monkeypatch.setattr(torch.mps, "manual_seed", lambda seed: seeded.append(("mps", seed)))
        loop._seed(torch.device(kind), 11)
        assert seeded == ([] if kind == "cpu" else [(kind, 11)])
        assert torch.initial_seed() == 11

    def test_generators_come_back_after_an_error_too(self):
        torch.manual_seed(5)
        before = torch.get_rng_state()

        def broken(net, batch):
            raise RuntimeError("broken")

        with pytest.raises(RuntimeError, match="broken"):
            train(training.model(), training.draw, broken, recipe=RECIPE)
        assert torch.equal(torch.get_rng_state(), before)


class TestRecords:
    def test_what_can_be_learned_is_learned(self):
        truth = torch.tensor([[2.0], [-1.0], [0.5]])

        def draw(generator):
            x = torch.randn(13, 3, generator=generator)
            return {"x": x, "y": x @ truth}

        net = nn.Linear(3, 1)
        train(net, draw, training.loss, recipe=Recipe(steps=200, learning_rate=0.1))
        torch.testing.assert_close(net.weight.detach(), truth.T, atol=1e-3, rtol=0)

    def test_records_tell_step_loss_and_evaluation(self, whole):
        records = whole[1]
        assert [record["step"] for record in records] == [5, 10, 15, 20, 23]
        assert all(set(record) == {"step", "loss", "error", "noise"} for record in records)
        assert len({record["noise"] for record in records}) == 5

    @pytest.mark.parametrize("mode", [True, False])
    def test_evaluation_is_in_its_mode_and_the_model_comes_back_in_its_own(self, mode):
        modes = set()

        def evaluate(net):
            modes.add((net.training, torch.is_grad_enabled()))
            return {}

        net = training.model().train(mode)
        training.run(net, evaluate=evaluate)
        assert modes == {(False, False)}
        assert net.training is mode

    def test_training_mode_comes_back_after_an_evaluation(self):
        modes = []

        def loss(net, batch):
            modes.append(net.training)
            return training.loss(net, batch)

        train(training.model(), training.draw, loss, recipe=RECIPE, evaluate=training.evaluate)
        assert modes == [True] * RECIPE.steps

    def test_on_step_hears_of_every_step(self):
        heard = []
        training.run(
            training.model(), on_step=lambda share, records: heard.append((share, len(records)))
        )
        assert [share for share, _ in heard] == [step / 23 for step in range(1, 24)]
        assert [number for _, number in heard] == [
            step // 5 + (step == 23) for step in range(1, 24)
        ]

    def test_stop_ends_it_and_a_checkpoint_remembers(self, whole, tmp_path):
        checkpoint = Checkpoint(tmp_path / "run.safetensors", every=1000)
        shares = []
        net = training.model()
        records = training.run(
            net,
            on_step=lambda share, records: shares.append(share),
            stop=lambda: len(shares) == 7,
            checkpoint=checkpoint,
        )
        assert len(shares) == 7
        assert records == whole[1][:1]
        again = training.model()
        assert training.run(again, checkpoint=checkpoint) == whole[1]
        assert equal(state(again), whole[0])

    def test_batch_goes_to_the_models_device(self):
        net = nn.Linear(3, 1, device="meta")
        devices = []

        def loss(net, batch):
            devices.append(batch[1]["x"].device.type)
            raise KeyboardInterrupt

        def draw(generator):
            return 3, {"x": torch.randn(2, generator=generator)}

        with pytest.raises(KeyboardInterrupt):
            train(net, draw, loss, recipe=RECIPE)
        assert devices == ["meta"]


class TestErrors:
    @pytest.mark.parametrize("value", [math.nan, math.inf])
    def test_loss_that_is_not_finite_names_its_step(self, value):
        net, steps = nn.Linear(1, 1), []

        def loss(net, batch):
            steps.append(1)
            return net.weight.sum() * (value if len(steps) == 4 else 1.0)

        with pytest.raises(DivergedError, match=r"loss of step 3 is .*learning_rate than 0\.05"):
            train(net, training.draw, loss, recipe=RECIPE)
        assert net.weight.isfinite().all()

    def test_loss_of_many_numbers_is_refused(self):
        with pytest.raises(ValueError, match=r"loss: got a tensor of shape \(1, 3\)"):
            train(nn.Linear(3, 1), training.draw, lambda net, x: net.weight, recipe=RECIPE)

    def test_model_without_parameters_is_refused(self):
        with pytest.raises(ValueError, match="model: got one without parameters to train"):
            train(nn.Tanh(), training.draw, training.loss, recipe=RECIPE)

    def test_evaluation_that_gives_no_number_is_refused(self):
        with pytest.raises((TypeError, ValueError), match="error"):
            training.run(training.model(), evaluate=lambda net: {"error": math.nan})


class TestResuming:
    @pytest.mark.parametrize("every", [1, 4, 7])
    def test_interrupted_training_ends_as_if_it_had_not_been(self, whole, tmp_path, every):
        checkpoint = Checkpoint(tmp_path / "run.safetensors", every=every)
        for _ in range(2):  # the second attempt starts where the first left its last checkpoint
            steps = []

            def interrupt(share, records, steps=steps):
                steps.append(share)
                if len(steps) == 8:
                    raise KeyboardInterrupt

            with pytest.raises(KeyboardInterrupt):
                training.run(training.model(), on_step=interrupt, checkpoint=checkpoint)
        net = training.model()
        assert training.run(net, checkpoint=checkpoint) == whole[1]
        assert equal(state(net), whole[0])

    @pytest.mark.parametrize(("every", "lost"), [(1, 0), (3, 2), (4, 0), (5, 3), (9, 8)])
    def test_only_the_steps_since_the_last_checkpoint_are_lost(self, tmp_path, every, lost):
        checkpoint = Checkpoint(tmp_path / "run.safetensors", every=every)

        def interrupt(share, records):
            if share == 8 / 23:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            training.run(training.model(), on_step=interrupt, checkpoint=checkpoint)
        heard = []
        training.run(
            training.model(),
            on_step=lambda share, records: heard.append(share),
            checkpoint=checkpoint,
        )
        assert len(heard) == 23 - 8 + lost

    def test_finished_training_is_not_repeated(self, whole, tmp_path):
        checkpoint = Checkpoint(tmp_path / "run.safetensors")
        training.run(training.model(), checkpoint=checkpoint)
        heard, net = [], training.model()
        records = training.run(
            net, checkpoint=checkpoint, on_step=lambda share, records: heard.append(share)
        )
        assert heard == []
        assert records == whole[1]
        assert equal(state(net), whole[0])

    @pytest.mark.slow
    @pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
    def test_killed_training_ends_as_if_it_had_not_been(self, whole, tmp_path):
        path = tmp_path / "run.safetensors"
        program = [sys.executable, training.__file__, str(path), "3", "0.5"]
        process = subprocess.Popen(program)
        deadline = time.monotonic() + 60
        while not path.exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        heard, net = [], training.model()
        records = training.run(
            net,
            checkpoint=Checkpoint(path, every=3),
            on_step=lambda share, records: heard.append(share),
        )
        # It had done 3 steps or a few more, and all up to the last checkpoint are kept.
        assert 3 <= 23 - len(heard) < 23
        assert (23 - len(heard)) % 3 == 0
        assert records == whole[1]
        assert equal(state(net), whole[0])

    @pytest.mark.parametrize(
        ("change", "complaint"),
        [
            ({"learning_rate": 0.04}, "learning_rate: 0.05 there, 0.04 now"),
            ({"seed": 3, "steps": 30}, "seed: 0 there, 3 now; steps: 23 there, 30 now"),
        ],
    )
    def test_other_recipe_is_refused(self, tmp_path, change, complaint):
        checkpoint = Checkpoint(tmp_path / "run.safetensors")
        training.run(training.model(), checkpoint=checkpoint)
        with pytest.raises(CheckpointError, match=rf"run\.safetensors is of another.*{complaint}"):
            training.run(training.model(), checkpoint=checkpoint, recipe=replace(RECIPE, **change))

    def test_other_model_is_refused(self, tmp_path):
        checkpoint = Checkpoint(tmp_path / "run.safetensors")
        training.run(training.model(), checkpoint=checkpoint)
        with pytest.raises(CheckpointError, match=r"of another training .model: "):
            training.run(nn.Linear(3, 1), checkpoint=checkpoint)
