"""Run the chapters' notebooks as a reader would: from an empty folder, with nothing of the book.

Each notebook gets an environment of its own with what Colab brings (PyTorch, NumPy, matplotlib,
ipywidgets, a kernel) and without the library and some of its requirements: the notebook's set-up
cell must install those, from a wheel of this tree that PAYATTENTION_SOURCE names.

    python tools/run_notebooks.py                 all of them
    python tools/run_notebooks.py recurrence      one
    python tools/run_notebooks.py --cheapest 2    the two that take the least time
    python tools/run_notebooks.py --store         three times each, into chapters/running.json
"""

import argparse
import importlib.metadata
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from datetime import date
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
CHAPTERS = ROOT / "chapters"
STORE = CHAPTERS / "running.json"
BROUGHT = ("ipykernel", "ipywidgets", "matplotlib", "numpy", "pip", "safetensors", "torch", "tqdm")
PEAK = "import resource; print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
WINDOWS = os.name == "nt"


def names(chapters: Path = CHAPTERS) -> list[str]:
    """Topics that have a notebook, the cheapest first as far as that was measured."""
    cost = {topic: entry["seconds"] for topic, entry in stored().items()}
    topics = sorted(path.stem for path in chapters.glob("*.ipynb"))
    return sorted(topics, key=lambda topic: cost.get(topic, float("inf")))


def stored() -> dict:
    """What was measured of each chapter."""
    return json.loads(STORE.read_text(encoding="utf-8"))["chapters"] if STORE.exists() else {}


def with_dependencies(roots: tuple[str, ...]) -> set[str]:
    """The distributions of this environment that the given ones need, themselves included."""
    found: set[str] = set()
    waiting = [canonicalize_name(root) for root in roots]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.add(name)
        for line in importlib.metadata.requires(name) or []:
            wanted = Requirement(line)
            if not wanted.marker or wanted.marker.evaluate({"extra": ""}):
                waiting.append(canonicalize_name(wanted.name))
    return found


def environment(folder: Path) -> Path:
    """Make an environment with the packages of ``BROUGHT`` alone; its Python.

    Their files are linked and not copied, so that this takes seconds and no room.
    """
    venv.create(folder, with_pip=False)
    python = folder / ("Scripts/python.exe" if WINDOWS else "bin/python")
    site = next(folder.glob("[Ll]ib/**/site-packages"))
    for name in with_dependencies(BROUGHT):
        for file in importlib.metadata.distribution(name).files or []:
            source = Path(file.locate())
            if ".." in file.parts or source.suffix == ".pyc" or not source.is_file():
                continue  # programs and compiled files: the environment makes its own
            target = site / file
            target.parent.mkdir(parents=True, exist_ok=True)
            os.link(source.resolve(), target)
    return python


def wheel(folder: Path) -> Path:
    """A wheel of the library as it stands."""
    options = ["--no-deps", "--no-build-isolation", "--quiet", "--wheel-dir", str(folder)]
    subprocess.run([sys.executable, "-m", "pip", "wheel", *options, str(ROOT)], check=True)
    return next(folder.glob("payattention-*.whl"))


def run(topic: str, library: Path) -> dict[str, float]:
    """Seconds and peak bytes of one notebook; a failing cell raises ``CellExecutionError``."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        python = environment(folder / "environment")
        kernel = folder / "jupyter/kernels/python3"
        kernel.mkdir(parents=True)
        argv = [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        spec = {"argv": argv, "display_name": "Python 3", "language": "python"}
        (kernel / "kernel.json").write_text(json.dumps(spec))
        empty = folder / "empty"
        empty.mkdir()
        outside = {"PYTHONPATH", "PAYATTENTION_FULL", "VIRTUAL_ENV"}
        variables = {k: v for k, v in os.environ.items() if k not in outside} | {
            "JUPYTER_PATH": str(folder / "jupyter"),
            "PAYATTENTION_SOURCE": str(library),
            "PIP_CONSTRAINT": str(ROOT / "requirements.txt"),
            "TQDM_DISABLE": "1",
        }
        os.environ["JUPYTER_PATH"] = variables["JUPYTER_PATH"]
        os.environ["JUPYTER_PREFER_ENV_PATH"] = "0"
        notebook = nbformat.read(CHAPTERS / f"{topic}.ipynb", as_version=4)
        resources = {"metadata": {"path": str(empty)}}
        client = NotebookClient(notebook, timeout=600, kernel_name="python3", resources=resources)
        started = time.perf_counter()
        with client.setup_kernel(env=variables, cwd=str(empty)):
            code = [i for i, cell in enumerate(notebook.cells) if cell.cell_type == "code"]
            require_missing(client)
            client.execute_cell(notebook.cells[code[0]], code[0])
            started = time.perf_counter()  # the set-up is a matter of the network
            for index in code[1:]:
                client.execute_cell(notebook.cells[index], index)
            seconds = time.perf_counter() - started
            return {"seconds": seconds, "peak_bytes": peak_bytes(client)}


def ask(client: NotebookClient, code: str) -> str:
    """What a line of code prints in the notebook's kernel."""
    cell = nbformat.v4.new_code_cell(code)
    client.execute_cell(cell, 0, store_history=False)
    return "".join(output.get("text", "") for output in cell.outputs).strip()


def require_missing(client: NotebookClient) -> None:
    """Raise unless the library is missing: otherwise the set-up cell would not be tried."""
    look = "import importlib.util; print(importlib.util.find_spec('payattention'))"
    found = ask(client, look)
    if found != "None":
        raise RuntimeError(f"the environment has payattention already: {found}")


def peak_bytes(client: NotebookClient) -> int | None:
    """The kernel's largest resident set; None on Windows, which does not tell it this way."""
    if WINDOWS:
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return int(ask(client, PEAK)) * unit


def explain(topic: str, notebook_error: CellExecutionError) -> str:
    """The failing cell and its traceback, without the colours of a terminal."""
    return f"{topic}: {re.sub(chr(27) + r'[[][0-9;]*m', '', str(notebook_error))}"


def store(topic: str, runs: list[dict[str, float]]) -> None:
    """Write a chapter's measurement beside those of the others."""
    import torch

    from payattention import files, results

    peaks = [run["peak_bytes"] for run in runs if run["peak_bytes"]]
    whole = json.loads(STORE.read_text(encoding="utf-8")) if STORE.exists() else {"chapters": {}}
    whole["chapters"][topic] = {
        "seconds": round(statistics.median(run["seconds"] for run in runs), 1),
        "each": [round(run["seconds"], 1) for run in runs],
        "peak_bytes": max(peaks, default=None),
        "environment": {
            "cpu": results.processor(),
            "cores": os.cpu_count(),
            "python": ".".join(map(str, sys.version_info[:3])),
            "torch": torch.__version__,
            "date": date.today().isoformat(),
        },
    }
    whole["chapters"] = dict(sorted(whole["chapters"].items()))
    files.replace(STORE, (json.dumps(whole, indent=1) + "\n").encode())


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("topics", nargs="*")
    parser.add_argument("--cheapest", type=int, metavar="N")
    parser.add_argument("--store", action="store_true", help="three runs each, and keep them")
    asked = parser.parse_args(arguments)
    topics = asked.topics or names()[: asked.cheapest]
    unknown = set(topics) - set(names())
    if unknown:
        parser.error(f"no notebook of {', '.join(sorted(unknown))}; there are {', '.join(names())}")
    failed = False
    with tempfile.TemporaryDirectory() as folder:
        library = wheel(Path(folder))
        for topic in topics:
            try:
                runs = [run(topic, library) for _ in range(3 if asked.store else 1)]
            except CellExecutionError as error:
                print(explain(topic, error))
                failed = True
                continue
            peak = max((one["peak_bytes"] or 0) for one in runs) / 1e6
            each = ", ".join(f"{one['seconds']:.0f} s" for one in runs)
            print(f"{topic}: {each}, {peak:.0f} MB", flush=True)
            if asked.store:
                store(topic, runs)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
