"""Counters count what a hand can count; intervals agree with printed tables."""

import math
import statistics
import time

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as some
from torch.nn import functional

from payattention import measure
from payattention.measure import Interval

# Student's t as tables print it: (degrees, two-sided 0.90, 0.95, 0.99).
# NIST/SEMATECH e-Handbook of Statistical Methods, section 1.3.6.7.2.
PRINTED_T = [
    (1, 6.314, 12.706, 63.657),
    (2, 2.920, 4.303, 9.925),
    (3, 2.353, 3.182, 5.841),
    (4, 2.132, 2.776, 4.604),
    (7, 1.895, 2.365, 3.499),
    (10, 1.812, 2.228, 3.169),
    (29, 1.699, 2.045, 2.756),
    (100, 1.660, 1.984, 2.626),
]
numbers = some.floats(-1e3, 1e3)


class TestClocks:
    def test_every_function_is_called_in_turn(self):
        calls = []
        functions = {name: lambda name=name: calls.append(name) for name in "abc"}
        times = measure.compare(functions, repeats=4, warmup=1)
        assert [len(times[name]) for name in "abc"] == [4, 4, 4]
        rounds = ["".join(calls[start : start + 3]) for start in range(0, 15, 3)]
        assert rounds == ["cab", "abc", "bca", "cab", "abc"]

    def test_seconds_are_those_of_the_call(self):
        times = measure.seconds(lambda: time.sleep(0.01), repeats=3, warmup=0)
        assert len(times) == 3
        assert all(0.01 <= taken < 1 for taken in times)

    def test_warmup_is_not_timed(self):
        pauses = iter([0.3, 0.0, 0.0])
        assert max(measure.seconds(lambda: time.sleep(next(pauses)), repeats=2)) < 0.2

    @pytest.mark.parametrize("kind", ["cuda", "mps"])
    def test_clock_waits_for_the_accelerator(self, kind, monkeypatch):
        waits = []
        monkeypatch.setattr(torch.cuda, "synchronize", lambda device: waits.append("cuda"))
        monkeypatch.setattr(torch.mps, "synchronize", lambda: waits.append("mps"))
        measure.seconds(lambda: None, repeats=3, warmup=1, device=torch.device(kind))
        assert waits == [kind] * 8

    @pytest.mark.parametrize(
        ("arguments", "complaint"),
        [
            ({"repeats": 0}, "repeats: got 0"),
            ({"warmup": -1}, "warmup: got -1"),
            ({"functions": {}}, "functions: got none"),
        ],
    )
    def test_bad_input_is_named(self, arguments, complaint):
        with pytest.raises(ValueError, match=complaint):
            measure.compare(**{"functions": {"a": lambda: None}} | arguments)


def test_ratios_are_of_the_first_to_the_second_in_each_round():
    calls = []

    def slow():
        calls.append("slow")
        time.sleep(0.004)

    def quick():
        calls.append("quick")
        time.sleep(0.001)

    ratios = measure.ratios(slow, quick, repeats=5, warmup=2)
    assert len(ratios) == 5
    assert calls.count("slow") == calls.count("quick") == 7
    assert statistics.median(ratios) > 1.5


class TestFlops:
    @pytest.mark.parametrize("causal", [False, True])
    def test_fused_attention_is_the_full_square(self, causal):
        batch, heads, tokens, d_head = 2, 3, 7, 5
        queries = torch.randn(batch, heads, tokens, d_head, requires_grad=True)

        def attend():
            return functional.scaled_dot_product_attention(
                queries, queries, queries, is_causal=causal
            )

        forward = 2 * 2 * batch * heads * tokens * tokens * d_head
        assert measure.flops(attend) == forward
        assert measure.flops(lambda: attend().sum().backward()) == 3 * forward

    @pytest.mark.parametrize(("cell", "gates"), [("RNN", 1), ("GRU", 3), ("LSTM", 4)])
    def test_recurrent_layers_are_two_products_a_step(self, cell, gates):
        batch, tokens, d_in, d_out = 2, 7, 5, 3
        layer = getattr(torch.nn, cell)(d_in, d_out)
        bill = 2 * tokens * batch * gates * d_out * (d_in + d_out)
        assert measure.flops(lambda: layer(torch.randn(tokens, batch, d_in))) == bill

    def test_products_with_vectors_count(self):
        matrix, vector = torch.randn(5, 7), torch.randn(7)
        assert measure.flops(lambda: matrix @ vector) == 2 * 5 * 7
        assert measure.flops(lambda: torch.addmv(torch.zeros(5), matrix, vector)) == 2 * 5 * 7
        assert measure.flops(lambda: vector @ vector) == 2 * 7
        assert measure.flops(lambda: vector * vector) == 0

    def test_settings_are_left_as_they_were(self):
        measure.flops(lambda: None)
        assert torch.backends.mkldnn.enabled
        assert torch.backends.cuda.flash_sdp_enabled()


class TestPeakBytes:
    matrix = torch.randn(11, 11)
    one = 11 * 11 * 4

    def test_results_that_stay_add_up(self):
        assert measure.peak_bytes(lambda: self.matrix @ self.matrix) == self.one
        assert measure.peak_bytes(lambda: [self.matrix + i for i in range(5)]) == 5 * self.one

    def test_results_that_go_do_not(self):
        def chain():
            x = self.matrix
            for _ in range(50):
                x = x @ self.matrix  # the old one lives until the new one is there
            return x

        assert measure.peak_bytes(chain) == 2 * self.one

    def test_views_and_changes_in_place_are_free(self):
        own = self.matrix.clone()
        assert measure.peak_bytes(lambda: own.T.view(11, 11)[3:].mul_(1.0)) == 0

    @pytest.mark.parametrize("depth", [3, 7])
    def test_backward_needs_what_forward_saved(self, depth):
        weight = self.matrix.clone().requires_grad_()

        def step():
            x = weight
            for _ in range(depth):
                x = x.tanh()
            x.sum().backward()

        # One saved result a layer, two gradients in flight, and two scalars.
        assert measure.peak_bytes(step) == (depth + 2) * self.one + 2 * 4

    def test_same_at_each_run(self):
        layer = torch.nn.LSTM(5, 3)
        x = torch.randn(7, 2, 5)
        runs = {measure.peak_bytes(lambda: layer(x)[0].sum().backward()) for _ in range(3)}
        assert len(runs) == 1

    def test_cuda_reads_the_allocator(self, monkeypatch):
        monkeypatch.setattr(torch.cuda, "synchronize", lambda device: None)
        monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda device: None)
        monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 1000)
        monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: 4000)
        called = []
        assert measure.peak_bytes(lambda: called.append(1), device=torch.device("cuda")) == 3000
        assert called == [1]


class TestIntervals:
    @pytest.mark.parametrize("row", PRINTED_T, ids=lambda row: f"{row[0]} degrees")
    def test_quantiles_agree_with_the_printed_table(self, row):
        degrees, *printed = row
        for confidence, value in zip((0.90, 0.95, 0.99), printed, strict=True):
            found = measure.t_quantile((1 + confidence) / 2, degrees=degrees)
            assert round(found, 3) == value

    def test_quantiles_are_symmetric_and_become_normal(self):
        assert measure.t_quantile(0.5, degrees=3) == pytest.approx(0, abs=1e-12)
        assert measure.t_quantile(0.1, degrees=3) == -measure.t_quantile(0.9, degrees=3)
        normal = statistics.NormalDist().inv_cdf(0.975)
        assert measure.t_quantile(0.975, degrees=3000) == pytest.approx(normal, abs=1e-3)

    def test_interval_by_hand(self):
        # Mean 2, standard deviation 1, so 4.303 / sqrt(3) to each side.
        found = measure.interval([1.0, 2.0, 3.0])
        assert found.value == 2.0
        assert found.high - 2.0 == pytest.approx(4.302653 / math.sqrt(3), abs=1e-6)
        assert 2.0 - found.low == pytest.approx(found.high - 2.0)

    @given(some.lists(numbers, min_size=2, max_size=7), numbers)
    def test_interval_moves_with_its_values(self, values, shift):
        here = measure.interval(values)
        there = measure.interval([value + shift for value in values])
        assert here.low <= here.value <= here.high
        assert there.value == pytest.approx(here.value + shift, abs=1e-6)
        assert there.high - there.low == pytest.approx(here.high - here.low, abs=1e-6)

    def test_more_confidence_is_wider(self):
        narrow = measure.interval([1.0, 2.0, 4.0], confidence=0.5)
        wide = measure.interval([1.0, 2.0, 4.0], confidence=0.99)
        assert wide.low < narrow.low < narrow.high < wide.high

    def test_pairs_cancel_their_common_noise(self):
        noise = [0.0, 10.0, -10.0]
        better = [value + 1.0 for value in noise]
        assert measure.paired_interval(better, noise) == Interval(1.0, 1.0, 1.0)

    @pytest.mark.parametrize(
        ("call", "complaint"),
        [
            (lambda: measure.interval([1.0]), "at least 2 runs"),
            (lambda: measure.interval([1.0, math.nan]), "not finite"),
            (lambda: measure.interval([1.0, 2.0], confidence=1.0), "between 0 and 1"),
            (lambda: measure.paired_interval([1.0, 2.0], [1.0]), "second: got 1 runs; expected 2"),
            (lambda: measure.t_quantile(1.5, degrees=1), "probability: got 1.5"),
            (lambda: measure.t_quantile(0.5, degrees=0), "degrees: got 0"),
        ],
    )
    def test_bad_input_is_named(self, call, complaint):
        with pytest.raises(ValueError, match=complaint):
            call()


class TestSlope:
    @given(power=some.floats(-3, 3), factor=some.floats(1e-3, 1e3))
    def test_a_power_law_gives_its_power(self, power, factor):
        x = [2.0, 3.0, 5.0, 11.0]
        found = measure.loglog_slope(x, [factor * value**power for value in x])
        assert found.value == pytest.approx(power, abs=1e-9)
        assert found.high - found.low == pytest.approx(0, abs=1e-6)

    def test_interval_by_hand(self):
        # log x = 0, 1, 2 and log y = 0, 0, 3: slope 1.5, residuals 0.5, -1, 0.5,
        # so the error is sqrt(1.5 / 1 / 2), times 12.706 for one degree of freedom.
        found = measure.loglog_slope([1, math.e, math.e**2], [1, 1, math.e**3])
        assert found.value == pytest.approx(1.5)
        assert found.high - found.value == pytest.approx(12.7062 * math.sqrt(0.75), rel=1e-5)
        assert found.value - found.low == pytest.approx(found.high - found.value)

    @pytest.mark.parametrize(
        ("x", "y", "complaint"),
        [
            ([1, 2, 3], [1, 2], "y: got 2 values; expected 3"),
            ([1, 2], [1, 2], "x: got 2 points"),
            ([0, 1, 2], [1, 2, 3], "x: got a value that is not positive"),
            ([1, 2, 3], [1, -2, 3], "y: got a value that is not positive"),
            ([2, 2, 2], [1, 2, 3], "x: got the same value"),
        ],
    )
    def test_bad_input_is_named(self, x, y, complaint):
        with pytest.raises(ValueError, match=complaint):
            measure.loglog_slope(x, y)


def test_this_machine_is_as_fast_as_its_best_call():
    calls = measure.machine_calls(size=64, matrix_bytes=2**20)
    assert measure.flops(calls["peak"]) == 2 * 64**3
    assert calls["bandwidth"]().shape == (2**20 // 4 // 4096,)
    found = measure.as_machine(2.0, 4.0, size=64, matrix_bytes=2**20)
    assert found.peak("float32") == 64**3 and found.bytes_per_second == 2**18
    here = measure.this_machine(size=64, matrix_bytes=2**20)
    assert 1e8 < here.peak("float32") < 1e14 and 1e7 < here.bytes_per_second < 1e13


def test_threads_are_as_many_as_before_afterwards_also_when_something_fails():
    before = torch.get_num_threads()
    with pytest.raises(ZeroDivisionError), measure.threads(before + 1):
        assert torch.get_num_threads() == before + 1
        raise ZeroDivisionError
    assert torch.get_num_threads() == before
