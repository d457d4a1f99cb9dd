"""Many independent runs: each kept as it finishes, none run twice.

A sweep measures a list of points. What a point gave is written at once to a
folder, under a name made of all that decides it, so that a sweep which was killed
starts again where it was. A point that fails does not stop the others.
"""

import hashlib
import importlib
import json
import os
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from pathlib import Path
from threading import Thread
from typing import Any

from payattention import files, progress
from payattention.measure import threads
from payattention.records import Record, merged, plain


class SweepError(RuntimeError):
    """Some points of a sweep failed; the others are kept."""


@dataclass(frozen=True)
class Outcome:
    """What one point gave: its records and the seconds that they took, or a traceback."""

    point: Record
    records: list[Record]
    seconds: float
    error: str | None = None


@dataclass(frozen=True)
class Sweep:
    """The points to measure, and all that decides what they give.

    ``experiment`` is the name of a module with ``measure(config, point)``, which a
    worker process can import; ``identity`` stands for the code and its libraries.
    """

    experiment: str
    config: Any
    points: Sequence[Record]
    identity: str

    def key(self, point: Record) -> str:
        """Name of the point's file: the same as long as nothing that decides it changes."""
        decides = [self.experiment, repr(self.config), point, self.identity]
        return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()[:24]


def run(
    sweep: Sweep, *, folder: Path, workers: int = 1, shown: bool | None = None
) -> list[Outcome]:
    """Outcomes of all points, in the order of the points.

    Points that the folder holds are not measured again. With one worker the points
    run here, one after the other; with more, in that many processes of one thread
    each. Either way one thread computes, so that a result does not depend on the
    number of workers. A progress bar shows when someone watches, or as ``shown`` says.

    Raises
    ------
    SweepError
        When points failed: it says how many, and shows the first traceback. The
        tracebacks of all stand in the folder; a later sweep tries them again.
    """
    if workers < 1:
        raise ValueError(f"workers: got {workers}; expected at least 1")
    paths = [folder / f"{sweep.key(point)}.json" for point in sweep.points]
    if len(set(paths)) < len(paths):
        raise ValueError("points: got the same point twice; expected different ones")
    outcomes = {index: kept for index, path in enumerate(paths) if (kept := _kept(path))}
    missing = [index for index in range(len(paths)) if index not in outcomes]
    engine = _one_by_one if workers == 1 else _in_processes
    with progress.bar(total=len(paths), done=len(outcomes), unit="point", shown=shown) as bar:
        for index, outcome in engine(sweep, missing, workers):
            outcomes[index] = outcome
            _keep(paths[index], outcome)
            bar.update()
    failed = [outcome for outcome in outcomes.values() if outcome.error]
    if failed:
        raise SweepError(
            f"{len(failed)} of {len(paths)} points of {sweep.experiment} failed; the others are "
            f"kept in {folder}. The first is {failed[0].point}:\n{failed[0].error}"
        )
    return [outcomes[index] for index in range(len(paths))]


def _kept(path: Path) -> Outcome | None:
    """The outcome in the file, or None where there is none that can be used."""
    try:
        outcome = Outcome(**json.loads(path.read_text(encoding="utf-8")))
    except (FileNotFoundError, ValueError, TypeError):
        return None
    return None if outcome.error else outcome


def _keep(path: Path, outcome: Outcome) -> None:
    files.replace(path, json.dumps(vars(outcome), indent=1).encode())


def measure(experiment: str, config: Any, point: Record) -> Outcome:
    """Outcome of one point, computed here with one thread."""
    start = time.perf_counter()
    try:
        with threads(1):
            records = importlib.import_module(experiment).measure(config, point)
            records = [merged(point, plain(record)) for record in records]
    except Exception:
        return Outcome(point, [], time.perf_counter() - start, traceback.format_exc())
    return Outcome(point, records, time.perf_counter() - start)


Engine = Callable[[Sweep, list[int], int], Iterator[tuple[int, Outcome]]]


def _one_by_one(sweep: Sweep, missing: list[int], workers: int) -> Iterator[tuple[int, Outcome]]:
    for index in missing:
        yield index, measure(sweep.experiment, sweep.config, sweep.points[index])


def _in_processes(sweep: Sweep, missing: list[int], workers: int) -> Iterator[tuple[int, Outcome]]:
    # Spawned, not forked: a fork of a process whose PyTorch has threads can hang.
    pool = ProcessPoolExecutor(
        workers, mp_context=get_context("spawn"), initializer=_end_with_the_parent
    )
    futures = {
        pool.submit(measure, sweep.experiment, sweep.config, sweep.points[index]): index
        for index in missing
    }
    try:
        for future in as_completed(futures):
            index = futures[future]
            try:
                yield index, future.result()
            except BrokenProcessPool as error:
                # A worker was killed, mostly for want of memory; whose point it was is not known.
                yield index, Outcome(sweep.points[index], [], 0.0, str(error))
    finally:
        pool.shutdown(cancel_futures=True)


def _end_with_the_parent() -> None:
    """Let this worker end when the process that started it does, also when that was killed.

    It would otherwise wait for ever for its next point, and keep its memory.
    """

    def wait() -> None:
        parent_process().join()
        os._exit(1)

    Thread(target=wait, daemon=True).start()
