"""Stored results: one file per question, written by ``python -m payattention.results``.

A question is a module of ``payattention.experiments``. It offers ``Config`` (a frozen
dataclass), its presets ``FULL`` and ``LIVE``, ``points(config)`` (independent runs,
cheap ones first), ``measure(config, point)`` (the records of one run),
``run(config)``, ``findings(results)`` and ``TOLERANCE``; where another processor, which rounds
otherwise, gives another draw of a training, ``ELSEWHERE`` has the wider bounds for it. One that
reads a clock sets ``ALONE = True``, so that no other run shares the machine with it.

A file holds ``question``, ``config``, ``environment`` and ``columns``, in which a
missing value is null; numbers keep nine digits, enough to tell any two float32 apart.
"""

import argparse
import dataclasses
import datetime
import importlib
import json
import os
import pkgutil
import platform
import sys
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from payattention import engines, files, sources, sweep
from payattention.measure import threads
from payattention.records import Record, Results, plain

EXPERIMENTS = "payattention.experiments"
STORE = Path(__file__).parent / "stored"
CACHE = Path(".results")
LARGEST_FILE_BYTES = 300_000


def questions() -> list[str]:
    """Names of all questions that an experiment asks, sorted."""
    package = importlib.import_module(EXPERIMENTS)
    return sorted(
        module.name
        for module in pkgutil.iter_modules(package.__path__)
        if not module.name.startswith("_")
    )


def stored(*, store: Path = STORE) -> list[str]:
    """Names of all questions that have a stored answer, sorted."""
    return sorted(path.stem for path in store.glob("*.json"))


def read(question: str, *, store: Path = STORE) -> Results:
    """The stored results of the question.

    Raises ``ValueError`` when there are none, or the file is not such results.
    """
    path = store / f"{question}.json"
    if question not in stored(store=store):
        raise ValueError(f"question: got {question!r}; expected one of {stored(store=store)}")
    try:
        content = Results(**json.loads(path.read_text(encoding="utf-8")))
        lengths = {name: len(values) for name, values in content.columns.items()}
    except (ValueError, TypeError, AttributeError) as error:
        raise ValueError(f"question: {path} does not hold stored results: {error}") from None
    if len(set(lengths.values())) > 1 or content.question != question:
        raise ValueError(
            f"question: {path} is damaged: it answers {content.question!r}, in columns of {lengths}"
        )
    return content


def write(results: Results, *, store: Path = STORE) -> Path:
    """Path of the file that now holds the results; it is whole, or the old one is untouched.

    Raises ``ValueError`` for numbers that are not finite and for more than 300 kB,
    ``OSError`` when the file cannot be written.
    """
    for record in results.records():
        plain(record)
    columns = {name: list(map(_shortened, values)) for name, values in results.columns.items()}
    lines = ",\n".join(f"  {json.dumps(name)}: {json.dumps(columns[name])}" for name in columns)
    about = {name: getattr(results, name) for name in ("question", "config", "environment")}
    head = json.dumps(about, indent=1, allow_nan=False).removesuffix("\n}")
    content = f'{head},\n "columns": {{\n{lines}\n }}\n}}\n'.encode()
    if len(content) > LARGEST_FILE_BYTES:
        raise ValueError(
            f"results: {results.question!r} takes {len(content):,} bytes; "
            f"expected at most {LARGEST_FILE_BYTES:,}"
        )
    path = store / f"{results.question}.json"
    files.replace(path, content)
    return path


def _shortened(value: Any) -> Any:
    return float(f"{value:.9g}") if isinstance(value, float) else value


def environment(
    experiment: ModuleType, config: Any, *, seconds: float, engine: str = "local"
) -> dict[str, Any]:
    """What a result stands on, apart from its configuration.

    The versions of what the experiment compares stand in its `PACKAGES`.
    """
    return {
        **{name: version(name) for name in getattr(experiment, "PACKAGES", ())},
        "torch": torch.__version__,
        "python": platform.python_version(),
        "device": str(getattr(config, "device", "cpu")),
        "cpu": processor() if engine == "local" else "of a Ray cluster",
        "threads": getattr(config, "threads", 1),
        "date": datetime.date.today().isoformat(),
        "seconds": round(seconds, 1),
        "modules": sources.modules_hash(experiment.__name__, "measure"),
    }


def processor() -> str:
    """The processor's name, as far as the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def collect(
    experiment: ModuleType,
    config: Any,
    *,
    workers: int | None = None,
    engine: str = "local",
    folder: Path = CACHE,
    shown: bool | None = None,
) -> Results:
    """Results of all points of the experiment, each kept in ``folder`` as it finishes.

    What was measured before by the same code with the same configuration is not
    measured again; the code is all that the experiment's ``measure`` reaches.
    ``workers`` and ``engine`` are those of ``sweep.run``; an experiment that must be
    ``ALONE`` leaves both aside and runs here, one point after the other.
    Raises ``SweepError`` when points fail; the others are kept.
    """
    question = experiment.__name__.rpartition(".")[2]
    identity = sweep.code(experiment.__name__)
    runs = sweep.Sweep(experiment.__name__, config, experiment.points(config), identity)
    if getattr(experiment, "ALONE", False):
        workers, engine = 1, "local"
    outcomes = sweep.run(
        runs, folder=folder / question, workers=workers, engine=engine, shown=shown
    )
    records = [record for outcome in outcomes for record in outcome.records]
    seconds = sum((outcome.seconds for outcome in outcomes), 0.0)
    return Results.from_records(
        question,
        records,
        config=_as_stored(config),
        environment=environment(experiment, config, seconds=seconds, engine=engine),
    )


def _as_stored(config: Any) -> dict[str, Any]:
    """The configuration as a file gives it back: tuples are lists there."""
    return json.loads(json.dumps(dataclasses.asdict(config)))


def live(experiment: ModuleType) -> Results:
    """Results of a run made now, on one thread: small, or full where PAYATTENTION_FULL is 1."""
    full = os.environ.get("PAYATTENTION_FULL") == "1"
    config = experiment.FULL if full else experiment.LIVE
    question = experiment.__name__.rpartition(".")[2]
    with threads(1):  # as in a stored run, which shares its machine with others
        records = experiment.run(config)
    return Results.from_records(question, records, config=_as_stored(config))


def recompute(question: str, *, store: Path = STORE) -> tuple[list[Record], list[Record]]:
    """Records of the question's cheapest point: those stored, and those measured now.

    Raises ``ValueError`` when the file is of another configuration than ``FULL``.
    """
    experiment = importlib.import_module(f"{EXPERIMENTS}.{question}")
    results = read(question, store=store)
    if results.config != _as_stored(experiment.FULL):
        raise ValueError(
            f"question: the stored {question!r} is of {results.config}; expected FULL, "
            f"{_as_stored(experiment.FULL)}: run `make results Q={question}`"
        )
    point = experiment.points(experiment.FULL)[0]
    outcome = sweep.measure(experiment.__name__, experiment.FULL, point)
    if outcome.error:
        raise sweep.SweepError(
            f"the cheapest point of {question}, {point}, failed:\n{outcome.error}"
        )
    return results.where(**point).records(), outcome.records


def main(
    experiment: ModuleType, arguments: Sequence[str] | None = None, *, store: Path = STORE
) -> None:
    """Answer one question from the command line: ``python -m payattention.experiments.<question>``.

    ``--live`` runs the small configuration and only tells its findings; ``--full``,
    which is the default, runs the large one and stores its results; ``--stored`` tells
    what the stored ones say.
    """
    parser = argparse.ArgumentParser(description=experiment.__doc__)
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--live", action="store_true", help="the small run; stores nothing")
    size.add_argument("--full", action="store_true", help="the stored run (default)")
    size.add_argument("--stored", action="store_true", help="what is stored; measures nothing")
    _add_engine(parser)
    options = parser.parse_args(arguments)
    if experiment.__name__ == "__main__":  # workers must find it under its own name
        experiment = importlib.import_module(experiment.__spec__.name)
    if options.stored:
        results = read(experiment.__name__.rpartition(".")[2], store=store)
    elif options.live:
        question = experiment.__name__.rpartition(".")[2]
        results = Results.from_records(question, experiment.run(experiment.LIVE))
    else:
        results = _answer(experiment, options, store=store)
    for name, finding in experiment.findings(results).items():
        _say(f"{results.question}.{name}: {finding}")


def make(arguments: Sequence[str] | None = None, *, store: Path = STORE) -> int:
    """Exit status of storing all questions in turn, or those named: 0 when all were answered."""
    parser = argparse.ArgumentParser(prog="python -m payattention.results", description=__doc__)
    parser.add_argument("questions", nargs="*", help="only these; all without")
    _add_engine(parser)
    options = parser.parse_args(arguments)
    unknown = set(options.questions) - set(questions())
    if unknown:
        parser.error(f"there is no {sorted(unknown)}; expected some of {questions()}")
    failed = []
    for question in options.questions or questions():
        try:
            experiment = importlib.import_module(f"{EXPERIMENTS}.{question}")
            _answer(experiment, options, store=store)
        except Exception as error:  # one question that fails does not stop the others
            failed.append(question)
            _say(f"{question}: FAILED: {type(error).__name__}: {error}")
    return 1 if failed else 0


def _answer(experiment: ModuleType, options: argparse.Namespace, *, store: Path) -> Results:
    start = time.perf_counter()
    files.prepare(store)  # or hours later there would be nowhere to put the results
    workers = options.workers
    if workers is None and options.engine == "local":
        workers = os.cpu_count() or 1
    results = collect(experiment, experiment.FULL, workers=workers, engine=options.engine)
    path = write(results, store=store)
    taken = time.perf_counter() - start
    _say(
        f"{results.question}: {len(results)} records, {path.stat().st_size:,} bytes, {taken:.0f} s"
        f" here, {results.environment['seconds']:.0f} s of one thread in all"
    )
    return results


def _add_engine(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--workers", type=int, help="points at once (default: one a core, here or in the cluster)"
    )
    parser.add_argument(
        "--engine",
        choices=engines.ENGINES,
        default="local",
        help="where points run: in processes here (default), or on the Ray cluster that runs here "
        "or at RAY_ADDRESS; a question that reads a clock runs here, one point after the other",
    )


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    from payattention import results as itself  # the one that experiments know, not __main__

    sys.exit(itself.make())
