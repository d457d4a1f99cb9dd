"""Where many independent calls run: here, in processes of this machine, on a Ray cluster.

An engine calls one function with many arguments and gives each result as it comes,
in no promised order. A call whose worker died (for want of memory, mostly, or with
its machine) is tried once more at the end, when nothing else runs; after that its
result is a ``Failure``. The others are not touched by it. When the caller stops
listening, whatever the reason, the calls under way end at once and no worker stays.
"""

import contextlib
import multiprocessing
import os
import signal
import traceback
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from threading import Thread
from typing import Any

ENGINES = ("local", "ray")
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""What the libraries below NumPy and PyTorch ask for their number, once, when they are loaded."""

Calls = Mapping[int, tuple]
"""The arguments of each call, by its number."""

Results = Generator[tuple[int, Any], None, None]
"""Numbers and results of calls."""


@dataclass(frozen=True)
class Failure:
    """A call that gave no result: why, and whether it took its worker along."""

    error: str
    worker_died: bool = False


class Workers(ABC):
    """Some workers that take calls of one function."""

    @abstractmethod
    def room(self) -> int:
        """How many calls may be under way at once."""

    @abstractmethod
    def start(self, number: int, arguments: tuple) -> None:
        """Hand a call to a worker."""

    @abstractmethod
    def finished(self) -> list[tuple[int, Any]]:
        """Numbers and results of the calls that have ended; waits for one at least."""

    @abstractmethod
    def close(self) -> None:
        """End all calls that are under way, and the workers."""


def results(
    function: Callable, calls: Calls, *, engine: str = "local", workers: int | None = None
) -> Results:
    """Number and result of each call as it ends; the function must be found by its name elsewhere.

    ``workers`` is how many calls run at once. One, the default, runs them here, one after
    the other; more, in that many processes, which stay for the next call. With Ray the
    default is as many as the cluster has processors.

    Raises ``ValueError`` for an unknown engine, and for Ray where it is not installed or
    no cluster is to be found.
    """
    if engine not in ENGINES:
        raise ValueError(f"engine: got {engine!r}; expected one of {list(ENGINES)}")
    if workers is not None and workers < 1:
        raise ValueError(f"workers: got {workers}; expected at least 1")
    if engine == "ray" and calls:
        return _every(OnRay(function, workers), calls)
    if not calls or workers is None or workers == 1:
        return ((number, function(*arguments)) for number, arguments in calls.items())
    return _every(Processes(function, workers), calls)


def _every(workers: Workers, calls: Calls) -> Results:
    lost = []
    with contextlib.closing(workers):
        for number, result in _pass(workers, calls):
            if isinstance(result, Failure) and result.worker_died:
                lost.append(number)
            else:
                yield number, result
        for number in lost:  # alone, with all the memory that there is
            yield from _pass(workers, {number: calls[number]})


def _pass(workers: Workers, calls: Calls) -> Results:
    waiting, under_way = deque(calls.items()), 0
    finished: list[tuple[int, Any]] = []
    while waiting or under_way or finished:
        room = workers.room() if waiting else 0
        while waiting and under_way < room:
            workers.start(*waiting.popleft())
            under_way += 1
        yield from finished  # only now: whoever takes them may write to a slow disk
        finished = workers.finished() if under_way else []
        under_way -= len(finished)


class Processes(Workers):
    """Processes of this machine, started when they are needed and kept."""

    def __init__(self, function: Callable, workers: int) -> None:
        self._function, self._workers = function, workers
        self._all: list[_Process] = []
        self._idle: list[_Process] = []
        self._busy: dict[Connection, tuple[int, _Process]] = {}

    def room(self) -> int:
        return self._workers

    def start(self, number: int, arguments: tuple) -> None:
        if not self._idle:
            self._idle.append(_Process())
            self._all.append(self._idle[-1])
        process = self._idle.pop()
        self._busy[process.pipe] = number, process
        with contextlib.suppress(BrokenPipeError):  # it has died: `finished` will find that
            process.pipe.send((self._function, arguments))

    def finished(self) -> list[tuple[int, Any]]:
        found = []
        for pipe in wait(list(self._busy)):
            number, process = self._busy.pop(pipe)
            try:
                found.append((number, pipe.recv()))
                self._idle.append(process)
            except (EOFError, OSError):  # an OSError where it died while it was sending
                found.append((number, Failure(process.obituary(), worker_died=True)))
        return found

    def close(self) -> None:
        for process in self._all:
            process.kill()
        for process in self._all:
            process.bury()


@contextlib.contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    """What a program started meanwhile finds in its environment besides."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


class _Process:
    """One process that answers calls through a pipe."""

    def __init__(self) -> None:
        # Spawned, not forked: a fork of a process whose PyTorch has threads can hang.
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self._process = context.Process(target=_answer, args=(theirs,))
        with _environment(dict.fromkeys(THREADS, "1")):
            self._process.start()
        theirs.close()  # so that its end is the end of the pipe

    def kill(self) -> None:
        self._process.kill()

    def bury(self) -> None:
        self._process.join()
        self.pipe.close()

    def obituary(self) -> str:
        """How the process ended."""
        self._process.kill()  # its end of the pipe is closed; whatever is left of it goes too
        self._process.join()
        code = self._process.exitcode
        if code is None or code >= 0:
            why = f"it ended with status {code}"
        else:
            why = f"{signal.Signals(-code).name} ended it"
            why += ", as the system does when memory runs out" if -code == 9 else ""
        return f"the worker died, also when this was tried again, alone: {why}"


def _answer(pipe: Connection) -> None:
    """Answer calls until the parent ends or kills this process."""
    # Ctrl-C reaches all processes of a terminal; the parent then ends this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Thread(target=_end_with_the_parent, daemon=True).start()
    while True:
        try:
            function, arguments = pipe.recv()
            result = function(*arguments)
        except EOFError:
            return
        except Exception:  # of what a call needs and is not to be found here
            result = Failure(traceback.format_exc())
        pipe.send(result)


def _end_with_the_parent() -> None:
    """End this process when the one that started it ends, also when that was killed.

    It would otherwise compute to no end, and keep its memory.
    """
    multiprocessing.parent_process().join()
    os._exit(1)


class OnRay(Workers):
    """Tasks of one processor each on a Ray cluster that somebody has started."""

    def __init__(self, function: Callable, workers: int | None) -> None:
        self._ray, self._connected = _cluster()
        # A lost worker is our matter, as on one machine: Ray would try again among the others.
        self._task = self._ray.remote(num_cpus=1, max_retries=0)(function)
        self._workers = workers
        self._busy: dict[Any, int] = {}

    def room(self) -> int:
        """As many as are wanted; else twice the processors, so that none waits for its next."""
        return self._workers or 2 * max(1, int(self._ray.cluster_resources().get("CPU", 1)))

    def start(self, number: int, arguments: tuple) -> None:
        self._busy[self._task.remote(*arguments)] = number

    def finished(self) -> list[tuple[int, Any]]:
        done: list = []
        while not done:  # Ray gives up after some days
            done, _ = self._ray.wait(list(self._busy), num_returns=1)
        return [(self._busy.pop(task), self._result(task)) for task in done]

    def _result(self, task: Any) -> Any:
        try:
            return self._ray.get(task)
        except self._ray.exceptions.RayTaskError as error:  # the call was made, and failed
            return Failure(str(error))
        except self._ray.exceptions.RayError as error:
            return Failure(f"{type(error).__name__}: {error}", worker_died=True)

    def close(self) -> None:
        for task in self._busy:
            self._ray.cancel(task, force=True)
        if self._connected:
            self._ray.shutdown()  # leaves the cluster; it goes on


def _cluster() -> tuple[Any, bool]:
    """Ray, connected to a cluster, and whether it was connected just now."""
    try:
        import ray
    except ImportError:
        raise ValueError(
            "engine: got 'ray', which is not installed; "
            'expected it after `pip install "payattention[cluster]"`'
        ) from None
    if ray.is_initialized():
        return ray, False
    try:
        # Never a cluster of our own: on one machine the local processes do as well.
        ray.init(address="auto", log_to_driver=False, logging_level="warning")
    except ConnectionError as error:
        raise ValueError(
            "engine: got 'ray', but no cluster is to be found; expected one that was started with "
            f"`ray start --head`, or its address in RAY_ADDRESS: {error}"
        ) from None
    return ray, True
