"""Many independent runs: each kept as it finishes, none run twice.

A sweep measures a list of points, on this machine or on a Ray cluster. What a point
gave is written at once to a folder here, under a name made of all that decides it, so
that a sweep which was killed starts again where it was, on either. A point that fails
does not stop the others.
"""

import contextlib
import functools
import hashlib
import importlib
import json
import platform
import time
import traceback
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from payattention import engines, files, progress, sources
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
    sweep: Sweep,
    *,
    folder: Path,
    workers: int | None = None,
    engine: str = "local",
    shown: bool | None = None,
) -> list[Outcome]:
    """Outcomes of all points, in the order of the points.

    Points that the folder holds are not measured again. ``workers`` points are measured
    at once. One, which is the default, is measured here, one after the other; more, in
    as many processes. With ``engine="ray"`` they are measured on the Ray cluster to which
    this process is connected, or that runs here or at RAY_ADDRESS; none is started. The
    default is then all its processors, and every machine must be able to import the same
    code. Everywhere one thread computes a point, so that its records do not depend on
    where, and next to how many others, it was measured. A progress bar shows when someone
    watches, or as ``shown`` says.

    Raises
    ------
    SweepError
        When points failed: it says how many, and shows the first traceback. The
        tracebacks of all stand in the folder; a later sweep tries them again. A point
        whose worker dies is tried once more, alone, before it counts as failed.
    OSError
        When the folder cannot be written, if possible before anything is measured.
        What finished before is kept.
    ValueError
        For an engine that is unknown or not to be reached, and for points that are equal.
    """
    paths = [folder / f"{sweep.key(point)}.json" for point in sweep.points]
    if len(set(paths)) < len(paths):
        raise ValueError("points: got the same point twice; expected different ones")
    outcomes = {index: kept for index, path in enumerate(paths) if (kept := _kept(path))}
    missing = [index for index in range(len(paths)) if index not in outcomes]
    if missing:
        files.prepare(folder)
    measured = _measured(sweep, missing, workers=workers, engine=engine)
    with (
        contextlib.closing(measured),  # whatever ends this, the workers end with it
        progress.bar(total=len(paths), done=len(outcomes), unit="point", shown=shown) as bar,
    ):
        for index, outcome in measured:
            try:
                files.replace(paths[index], json.dumps(vars(outcome), indent=1).encode())
            except OSError as error:
                raise _stopped(error, folder, kept=len(outcomes), points=len(paths)) from error
            outcomes[index] = outcome
            bar.update()
    whole = [outcomes[index] for index in range(len(paths))]
    failed = [outcome for outcome in whole if outcome.error]
    if failed:
        raise SweepError(
            f"{len(failed)} of {len(paths)} points of {sweep.experiment} failed; the others are "
            f"kept in {folder}. The first is {failed[0].point}:\n{failed[0].error}"
        )
    return whole


def _kept(path: Path) -> Outcome | None:
    """The outcome in the file, or None where there is none that can be used."""
    try:
        outcome = Outcome(**json.loads(path.read_text(encoding="utf-8")))
    except (FileNotFoundError, NotADirectoryError, ValueError, TypeError):
        return None
    return None if outcome.error else outcome


def _stopped(error: OSError, folder: Path, *, kept: int, points: int) -> OSError:
    return OSError(
        error.errno,
        f"the sweep stopped: {error.strerror}. {kept} of {points} points are kept, and are "
        "not measured again, in the folder",
        str(folder),
    )


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


def _measured(
    sweep: Sweep, missing: Sequence[int], *, workers: int | None, engine: str
) -> Generator[tuple[int, Outcome], None, None]:
    """Index and outcome of each missing point, as it ends."""
    function, expected = measure, ()
    if engine == "ray":
        function, expected = _measure_elsewhere, (code(sweep.experiment),)
    calls = {
        index: (*expected, sweep.experiment, sweep.config, sweep.points[index]) for index in missing
    }
    results = engines.results(function, calls, engine=engine, workers=workers)
    with contextlib.closing(results):
        for index, result in results:
            if isinstance(result, engines.Failure):
                result = Outcome(sweep.points[index], [], 0.0, result.error)
            yield index, result


def code(experiment: str) -> str:
    """What of the code and its libraries decides the records of the experiment."""
    return f"{sources.modules_hash(experiment, 'measure')} {torch.__version__}"


# A process that stays goes on with the code that it once imported, whatever the files say.
_code_here = functools.cache(code)


def _measure_elsewhere(expected: str, experiment: str, config: Any, point: Record) -> Outcome:
    """Outcome of one point on another machine, unless the code there is another."""
    found = _code_here(experiment)
    if found == expected:
        return measure(experiment, config, point)
    return Outcome(
        point,
        [],
        0.0,
        f"code: got {found!r} in a worker on {platform.node()}; expected {expected!r}, as where "
        "the sweep was started. Install the same there, and connect anew after an edit",
    )
