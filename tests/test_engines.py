"""Every call is answered once, a death costs one call, and nobody works on when nobody listens."""

import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from importlib.util import find_spec

import pytest
import ray_cluster
from stand_in import Asked, alive, wait_until

from payattention import engines, sweep
from payattention.engines import Failure
from payattention.sweep import Sweep, SweepError

SOURCE = """
import os
import signal
import time
from pathlib import Path

FOLDER = Path(__file__).parent


def call(number, what=""):
    with (FOLDER / "calls").open("a") as calls:
        calls.write(f"{number} ")
    if what == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "sleep":
        (FOLDER / f"worker_{os.getpid()}").touch()
        time.sleep(600)
    if what == "raise":
        raise RuntimeError(f"no answer to {number}")
    return number * number, os.getpid()


def threads(name):
    return os.environ.get(name)


class Unreadable:
    def __reduce__(self):
        return int, ("no number",)
"""
POSIX = pytest.mark.skipif(sys.platform == "win32", reason="no signals")
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="Ray's clusters are for Linux")


@pytest.fixture
def asked(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)  # Ray's workers look for modules where their driver is
    asked = Asked(tmp_path)
    yield asked
    asked.forget()


@pytest.fixture
def module(asked):
    return asked.question("answers", SOURCE)


@pytest.fixture(scope="module")
def cluster():
    """A Ray cluster of two machines, which this process can find."""
    if not find_spec("ray"):
        pytest.skip("Ray is not installed")
    # Not imported before: it looks for its token once.
    with ray_cluster.cluster() as variables, pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        yield


def numbered(results):
    with closing(results):
        return dict(results)


@pytest.mark.parametrize("workers", [None, 1])
def test_one_worker_is_this_process_and_goes_in_order(module, asked, workers):
    results = list(engines.results(module.call, {3: (3,), 2: (2,)}, workers=workers))
    assert results == [(3, (9, os.getpid())), (2, (4, os.getpid()))]


@POSIX
def test_processes_stay_for_the_next_call(module, asked):
    found = numbered(engines.results(module.call, {n: (n,) for n in range(11)}, workers=2))
    assert {number: square for number, (square, _) in found.items()} == {
        n: n * n for n in range(11)
    }
    processes = {process for _, process in found.values()}
    assert 1 <= len(processes) <= 2
    assert os.getpid() not in processes
    assert sorted(map(int, asked.calls())) == list(range(11))
    assert not any(map(alive, processes))


def test_libraries_of_a_worker_have_one_thread_and_those_of_this_process_as_before(
    module, monkeypatch
):
    monkeypatch.setenv(engines.THREADS[0], "5")
    monkeypatch.delenv(engines.THREADS[1], raising=False)
    calls = {number: (name,) for number, name in enumerate(engines.THREADS)}
    found = numbered(engines.results(module.threads, calls, workers=2))
    assert set(found.values()) == {"1"}
    assert os.environ[engines.THREADS[0]] == "5"
    assert engines.THREADS[1] not in os.environ


@POSIX
def test_death_costs_one_call_and_failure_no_worker(module, asked):
    calls = {0: (0, "die"), 1: (1, module.Unreadable()), 2: (2, "raise"), 3: (3,), 5: (5,)}
    found = numbered(engines.results(module.call, calls, workers=2))
    assert [found[n][0] for n in (3, 5)] == [9, 25]
    assert found[0].worker_died
    assert "SIGKILL ended it, as the system does when memory runs out" in found[0].error
    assert found[1].error.startswith("Traceback")
    assert "no number" in found[1].error
    assert "RuntimeError: no answer to 2" in found[2].error
    assert not found[1].worker_died and not found[2].worker_died
    done = asked.calls()
    assert sorted(done) == ["0", "0", "2", "3", "5"]
    assert done[-1] == "0"  # once more, when nothing else ran


@POSIX
def test_idle_worker_that_dies_is_replaced(module):
    workers = engines.Processes(module.call, 2)
    with closing(workers):
        workers.start(2, (2,))
        [(_, (_, process))] = workers.finished()
        workers._idle[0].kill()
        wait_until(lambda: not alive(process))
        workers.start(3, (3,))
        [(number, failure)] = workers.finished()
        assert (number, failure.worker_died) == (3, True)
        workers.start(3, (3,))
        [(number, (square, other))] = workers.finished()
        assert (number, square) == (3, 9)
        assert other != process


@POSIX
def test_nobody_works_on_when_nobody_listens(module, asked):
    calls = {n: (n, "sleep") for n in (1, 2, 3)} | {0: (0,)}
    with closing(engines.results(module.call, dict(sorted(calls.items())), workers=3)) as results:
        assert next(results)[0] == 0
        wait_until(lambda: len(asked.workers()) >= 2)
    assert not any(map(alive, asked.workers()))


@POSIX
def test_ctrl_c_ends_all_at_once_and_quietly(module, asked, tmp_path):
    script = tmp_path / "start.py"
    script.write_text(
        "from asked import answers\n"
        "from payattention import engines\n"
        "if __name__ == '__main__':\n"
        "    calls = {n: (n, 'sleep') for n in range(5)}\n"
        "    list(engines.results(answers.call, calls, workers=2))\n"
    )
    with subprocess.Popen(
        [sys.executable, str(script)], stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as parent:
        wait_until(lambda: len(asked.workers()) == 2)
        os.killpg(parent.pid, signal.SIGINT)  # as a terminal does: to all of them
        start = time.monotonic()
        _, told = parent.communicate(timeout=60)
        assert time.monotonic() - start < 10
    assert parent.returncode != 0
    assert told.count("Traceback") == 1
    assert told.strip().endswith("KeyboardInterrupt")
    assert not any(map(alive, asked.workers()))


def test_bad_input_is_named(module):
    with pytest.raises(ValueError, match=r"engine: got 'cloud'; expected one of \['local', 'ray'"):
        engines.results(module.call, {}, engine="cloud")
    with pytest.raises(ValueError, match="workers: got 0; expected at least 1"):
        engines.results(module.call, {}, workers=0)


class Ray:
    """Ray where there is no cluster."""

    def is_initialized(self):
        return False

    def init(self, *, address, **options):
        assert address == "auto"  # or it would start a cluster
        raise ConnectionError("nobody is there")


@pytest.mark.parametrize(
    ("ray", "told"),
    [
        (None, r"engine: got 'ray', which is not installed.*pip install \"payattention\[cluster\]"),
        (Ray(), r"no cluster is to be found; expected.*ray start --head.*nobody is there"),
    ],
)
def test_ray_that_is_not_there_is_named(module, monkeypatch, ray, told):
    monkeypatch.setitem(sys.modules, "ray", ray)
    with pytest.raises(ValueError, match=told):
        engines.results(module.call, {0: (0,)}, engine="ray")
    assert numbered(engines.results(module.call, {}, engine="ray")) == {}  # nothing to do


@pytest.mark.slow
@LINUX
class TestOnRay:
    def test_sweep_gives_the_same_as_here(self, asked, cluster):
        import ray

        square = asked.question()
        points = square.points(square.FULL)
        whole = Sweep("asked.square", square.FULL, points, sweep.code("asked.square"))
        here = sweep.run(whole, folder=asked.folder / "here")
        asked.calls()

        marks = [asked.set("broken_2"), asked.set("killed_3"), asked.set("unlucky_5")]
        with pytest.raises(SweepError, match=r"(?s)4 of 6 points.*no square of 2"):
            sweep.run(whole, folder=asked.cache, engine="ray")
        assert not ray.is_initialized()  # as before
        done = asked.calls()
        assert sorted(done)[:6] == ["2.0", "2.1", "3.0", "3.0", "3.1", "3.1"]
        assert {"5.0", "5.1"} <= set(done)
        assert len(done) == 9  # one of size 5 died by bad luck, and came through then
        kept = [asked.cache / f"{whole.key(point)}.json" for point in points]
        assert all("RuntimeError" in path.read_text() for path in kept[:2])
        assert all("WorkerCrashedError" in path.read_text() for path in kept[2:4])

        for mark in marks[:2]:
            mark.unlink()
        there = sweep.run(whole, folder=asked.cache, engine="ray", workers=1)
        assert [outcome.records for outcome in there] == [outcome.records for outcome in here]
        assert asked.calls() == ["2.0", "2.1", "3.0", "3.1"]  # one at a time, and no other
        assert sweep.run(whole, folder=asked.cache) == there
        assert asked.calls() == []

    def test_what_runs_there_ends_when_nobody_listens(self, module, asked, cluster):
        import ray

        ray.init(address="auto", log_to_driver=False)
        try:
            calls = {0: (0,), 1: (1, "raise"), 2: (2, module.Unreadable())}
            found = numbered(engines.results(module.call, calls, engine="ray"))
            assert found[0][0] == 0
            assert found[0][1] != os.getpid()
            assert "RuntimeError: no answer to 1" in found[1].error
            assert isinstance(found[2], Failure)
            calls = {0: (0,)} | {n: (n, "sleep") for n in range(1, 11)}
            with closing(engines.results(module.call, calls, engine="ray")) as results:
                assert next(results)[0] == 0
                wait_until(lambda: len(asked.workers()) == 2)
            wait_until(lambda: not any(map(alive, asked.workers())))
            assert ray.is_initialized()  # by whoever did it
        finally:
            ray.shutdown()
