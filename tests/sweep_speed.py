"""How much faster two workers are than one, and what Ray adds: python tests/sweep_speed.py.

Each sweep is of runs of one thread's matrix products, of as many seconds as are asked for when
one runs alone; the numbers of products are then fixed, so that a worker which waits for memory
or a processor shows. One worker, two, and two processors of a Ray cluster that runs already
take turns. Starting workers and connecting to the cluster counts; starting the cluster does not.
A quiet machine with two free cores is needed for numbers that mean something.
"""

import argparse
import importlib
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

import ray_cluster
import torch

from payattention import measure, sweep

WORK = """
import torch

def measure(config, point):
    torch.manual_seed(point["seed"])
    first, second = torch.randn(2, 128, 128) / 128**0.5
    for _ in range(config):
        first = (first @ second).clamp(-1, 1)
    return [{"sum": first.sum().item()}]
"""


def products_in(seconds):
    """How many products one thread makes in so many seconds, alone."""
    work = importlib.import_module("work")
    few = 2000
    with measure.threads(1):
        work.measure(few, {"seed": 0})
        start = time.perf_counter()
        work.measure(few, {"seed": 0})
        return max(1, round(few * seconds / (time.perf_counter() - start)))


def time_of(products, runs, **where):
    """Seconds of a sweep from nothing, and its records."""
    points = [{"seed": seed} for seed in range(runs)]
    whole = sweep.Sweep("work", products, points, sweep.code("work"))
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        outcomes = sweep.run(whole, folder=Path(folder), **where)
        return time.perf_counter() - start, [outcome.records for outcome in outcomes]


def compare(runs, seconds, rounds, with_ray):
    ways = {"one": {"workers": 1}, "two": {"workers": 2}}
    if with_ray:
        ways["ray"] = {"engine": "ray"}
    products = products_in(seconds)
    taken = {way: [] for way in ways}
    for turn in range(rounds):
        records = {}
        for way, where in ways.items():
            spent, records[way] = time_of(products, runs, **where)
            taken[way].append(spent)
            print(f"round {turn + 1}, {way}: {spent:.1f} s", flush=True)
        assert all(found == records["one"] for found in records.values())
    middle = {way: statistics.median(times) for way, times in taken.items()}
    print(f"{runs} runs of {seconds:g} s, {os.cpu_count()} cores, torch {torch.__version__}")
    print(f"two workers are {middle['one'] / middle['two']:.2f} × as fast as one")
    if with_ray:
        print(f"Ray takes {middle['ray'] / middle['two'] - 1:+.1%} of the two workers' time")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--no-ray", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "work.py").write_text(WORK)
        os.chdir(folder)  # where Ray's workers look for modules
        sys.path.insert(0, folder)
        if options.no_ray:
            compare(options.runs, options.seconds, options.rounds, False)
        else:
            with ray_cluster.cluster() as variables:
                os.environ.update(variables)
                compare(options.runs, options.seconds, options.rounds, True)


if __name__ == "__main__":
    main()
