"""Run a notebook in Colab's own image, and say what it found: the weekly check.

Needs only what the image carries. Each notebook starts in a fresh container, from an empty
folder; its set-up cell may add packages, and may change or remove none.

    python3 colab.py run chapters/recurrence.ipynb reports/recurrence.json
    python3 colab.py badge reports     what the site shows of the last run in which all passed
    python3 colab.py issue reports     what to tell where one failed
"""

import importlib.metadata
import json
import platform
import re
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

COLOURS = re.compile(r"\x1b\[[0-9;]*m")
LONGEST = 3000  # characters of a traceback that an issue shows
CELL_SECONDS = 600


def installed() -> dict[str, str]:
    """Name and version of every package, as `pip freeze` lists them."""
    found = importlib.metadata.distributions()
    return {package.name: package.version for package in found if package.name}


def compare(before: dict[str, str], after: dict[str, str]) -> dict[str, dict]:
    """What was added to an environment, changed in it, and removed from it.

    >>> compare({"numpy": "2.1", "tqdm": "4.6"}, {"numpy": "2.4", "payattention": "0.1"})
    {'added': {'payattention': '0.1'}, 'changed': {'numpy': ['2.1', '2.4']}, 'removed': {'tqdm': '4.6'}}
    """  # noqa: E501
    both = before.keys() & after.keys()
    return {
        "added": {name: after[name] for name in sorted(after.keys() - both)},
        "changed": {n: [before[n], after[n]] for n in sorted(both) if before[n] != after[n]},
        "removed": {name: before[name] for name in sorted(before.keys() - both)},
    }


def execute(notebook: Path) -> str:
    """Run every cell in an empty folder; the failing cell's traceback, empty where all ran."""
    import nbformat
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

    read = nbformat.read(notebook, as_version=4)
    with tempfile.TemporaryDirectory() as empty:
        resources = {"metadata": {"path": empty}}
        try:
            NotebookClient(read, timeout=CELL_SECONDS, resources=resources).execute()
        except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
            return COLOURS.sub("", str(error)) or type(error).__name__
    return ""


def version_of(package: str) -> str:
    """The version of a package without the build's name, '' where it is missing."""
    return installed().get(package, "").partition("+")[0]


def report(notebook: Path) -> dict:
    """What happened to one notebook in this environment."""
    before = installed()
    started = time.monotonic()
    error = execute(notebook)
    changes = compare(before, installed())
    return {
        "topic": notebook.stem,
        "passed": not (error or changes["changed"] or changes["removed"]),
        "error": error,
        **changes,
        "seconds": round(time.monotonic() - started),
        "date": datetime.now(UTC).date().isoformat(),
        "python": ".".join(platform.python_version_tuple()[:2]),
        "torch": version_of("torch"),
    }


def read(folder: Path) -> list[dict]:
    """The reports of a run, by topic."""
    files = sorted(folder.glob("*.json"))
    if not files:
        sys.exit(f"no reports in {folder}: no notebook ran")
    return [json.loads(file.read_text(encoding="utf-8")) for file in files]


def badge(reports: list[dict]) -> dict:
    """The run as a badge in the format of shields.io, which many pages can show."""
    failed = [one["topic"] for one in reports if not one["passed"]]
    first = reports[0]
    where = f"{first['date']}, Python {first['python']}, torch {first['torch']}"
    return {
        "schemaVersion": 1,
        "label": "Colab",
        "message": f"{', '.join(failed)} failed" if failed else where,
        "color": "red" if failed else "brightgreen",
        **{key: first[key] for key in ("date", "python", "torch")},
    }


def issue(reports: list[dict]) -> str:
    """Markdown that says which notebooks failed and how; empty where none did."""
    parts = []
    for one in reports:
        if one["passed"]:
            continue
        parts.append(f"## {one['topic']}")
        for what in ("changed", "removed"):
            if one[what]:
                parts.append(f"The set-up {what} packages of the image: `{json.dumps(one[what])}`")
        if one["error"]:
            parts.append(f"````\n{one['error'][-LONGEST:]}\n````")
    if not parts:
        return ""
    first = reports[0]
    image = f"Python {first['python']}, torch {first['torch']}, on {first['date']}"
    return "\n\n".join([f"In Colab's image ({image}):", *parts])


def main(arguments: list[str]) -> int:
    match arguments:
        case ["run", notebook, target]:
            made = report(Path(notebook))
            Path(target).parent.mkdir(parents=True, exist_ok=True)
            Path(target).write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")
            print(issue([made]) or f"{made['topic']}: {made['seconds']} s, added {made['added']}")
            return 0 if made["passed"] else 1
        case ["badge", folder]:
            print(json.dumps(badge(read(Path(folder))), indent=1))
            return 0
        case ["issue", folder]:
            print(issue(read(Path(folder))))
            return 0
    print(__doc__)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
