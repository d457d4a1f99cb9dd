"""A device is trusted only after it has computed what the CPU computes."""

import warnings

import pytest
import torch

from payattention import device

CPU = torch.device("cpu")


def answering(change):
    """A stand-in for a GPU: the CPU's own results, changed by ``change``."""

    def compute(where):
        results = device.small_step(CPU)
        return results if where == CPU else change(results)

    return compute


def lies_in(part, by):
    return answering(lambda results: results | {part: by(results[part])})


honest = answering(lambda results: results)
PARTS = list(device.small_step(CPU))


def with_gpu():
    return ["cuda", "cpu"]


def test_available_ends_with_the_cpu():
    assert device.available()[-1] == "cpu"


@pytest.mark.parametrize("cuda", [True, False])
@pytest.mark.parametrize("mps", [True, False])
def test_available_are_those_that_pytorch_finds_fastest_first(monkeypatch, cuda, mps):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert device.available() == ["cuda"] * cuda + ["mps"] * mps + ["cpu"]


def test_small_step_is_reproducible_and_leaves_the_global_generator_alone():
    state = torch.get_rng_state()
    first, second = device.small_step(CPU), device.small_step(CPU)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(first[part], second[part]) for part in PARTS)
    assert all(result.isfinite().all() and result.abs().max() > 0 for result in first.values())


def test_fused_attention_equals_attention_by_hand():
    results = device.small_step(CPU)
    torch.testing.assert_close(results["fused attention"], results["attention by hand"])


def test_canary_measures_nothing_on_an_honest_device():
    assert set(device.canary(torch.device("cuda"), compute=honest).values()) == {0.0}


def test_honest_device_is_picked_without_a_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert device.pick(available=with_gpu, compute=honest).type == "cuda"
        assert device.pick("cuda:0", available=with_gpu, compute=honest) == torch.device("cuda:0")
        assert device.pick(available=lambda: ["cpu"]) == CPU
        assert device.pick("cpu") == CPU


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize(
    "by",
    [
        lambda result: result * 1.01,
        lambda result: torch.zeros_like(result),
        lambda result: torch.full_like(result, torch.nan),
        lambda result: torch.full_like(result, torch.inf),
    ],
    ids=["a hundredth too much", "nothing", "not a number", "infinite"],
)
def test_lying_device_falls_back_with_a_warning_and_raises_by_name(part, by):
    compute = lies_in(part, by)
    with pytest.warns(UserWarning, match=f"cuda is not used.*{part}.*CPU instead"):
        assert device.pick(available=with_gpu, compute=compute) == CPU
    with pytest.raises(device.DeviceError, match=f"'cuda' was asked for.*{part}"):
        device.pick("cuda", available=with_gpu, compute=compute)


def test_one_wrong_number_is_enough():
    def one_wrong(result):
        result = result.clone()
        result.view(-1)[3] += result.abs().max()
        return result

    assert device.distrust(torch.device("mps"), compute=lies_in("logits", one_wrong))


def test_device_that_cannot_compute_at_all_is_distrusted():
    def compute(where):
        if where == CPU:
            return device.small_step(CPU)
        raise RuntimeError("no kernel image is available\nand a long explanation")

    with pytest.warns(UserWarning, match=r"RuntimeError: no kernel image is available\. Running"):
        assert device.pick(available=with_gpu, compute=compute) == CPU
    with pytest.raises(device.DeviceError, match="no kernel image"):
        device.pick("cuda:1", available=with_gpu, compute=compute)


def test_tolerance_admits_tf32():
    rounded = lies_in("logits", lambda result: result * 1.001)
    assert device.distrust(torch.device("cuda"), compute=rounded) is None


def test_absent_device_is_refused_by_name():
    with pytest.raises(device.DeviceError, match=r"no 'mps' here; expected one of .*cpu"):
        device.pick("mps", available=with_gpu, compute=honest)


def test_unknown_device_is_refused_by_name():
    with pytest.raises(ValueError, match=r"'gpu' is not a device; expected one of .*cpu"):
        device.pick("gpu", available=with_gpu)


@pytest.mark.gpu
@pytest.mark.skipif(device.available() == ["cpu"], reason="no accelerator here")
def test_real_accelerator_passes():
    assert device.distrust(torch.device(device.available()[0])) is None
