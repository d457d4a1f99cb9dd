"""The ways that are timed do the work that they are said to do."""

from dataclasses import replace

from payattention import measure
from payattention.cost import operations
from payattention.experiments import time_vs_experts


def test_ways_of_the_clock_do_one_and_eight_times_the_work():
    config = replace(time_vs_experts.FULL, d_model=6, d_ff=10)
    for passes, times in (("forward", 1), ("forward and backward", 3)):
        point = {"tokens": 64, "passes": passes}
        counts = {
            way: measure.flops(call) for way, call in time_vs_experts.calls(config, point).items()
        }
        router = times * operations.matmul(64, 6, 8)
        assert counts["grouped"] == counts["one"] + router
        assert counts["everywhere"] == 8 * counts["one"] + router
