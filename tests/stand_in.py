"""A stand-in experiment, written to a folder of its own, whose runs can be watched and broken."""

import importlib
import os
import sys
import time
from pathlib import Path
from types import ModuleType

SOURCE = '''
"""How large is a square?"""

import os
import time
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Config:
    sizes: tuple[int, ...] = (2, 3, 5)
    seeds: int = 2
    device: str = "cpu"


FULL = Config()
LIVE = Config(sizes=(2,))
TOLERANCE = {"area": 0.0, "seconds": None}
FOLDER = Path(__file__).parent


def points(config):
    return [{"size": size, "seed": seed} for size in config.sizes for seed in range(config.seeds)]


def measure(config, point):
    with (FOLDER / "calls").open("a") as calls:
        calls.write(f"{point['size']}.{point['seed']} ")
    size = point["size"]
    if (FOLDER / f"broken_{size}").exists():
        raise RuntimeError(f"no square of {size}")
    if (FOLDER / f"interrupted_{size}").exists():
        raise KeyboardInterrupt
    if (FOLDER / f"killed_{size}").exists():
        os._exit(3)
    if (FOLDER / f"unlucky_{size}").exists():
        (FOLDER / f"unlucky_{size}").unlink()
        os._exit(3)
    if (FOLDER / f"slow_{size}").exists():
        (FOLDER / f"worker_{os.getpid()}").touch()
        time.sleep(600)
    if (FOLDER / f"diverged_{size}").exists():
        return [{"area": float("nan")}]
    return [{"area": size * size, "step": step} for step in range(2)]


def run(config):
    return [point | record for point in points(config) for record in measure(config, point)]


def findings(results):
    return {"largest": f"{results.column('area').max()}"}


if __name__ == "__main__":
    import sys

    from payattention import results

    results.main(sys.modules[__name__], store=FOLDER / "stored")
'''


class Asked:
    """A package of questions in a folder, and what happened to their runs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "asked"
        self.store = self.folder / "stored"
        self.cache = folder / "kept"
        self.folder.mkdir()
        (self.folder / "__init__.py").write_text("")

    def question(self, name: str = "square", source: str = SOURCE) -> ModuleType:
        """The question's module, imported anew."""
        (self.folder / f"{name}.py").write_text(source)
        importlib.invalidate_caches()
        sys.modules.pop(f"asked.{name}", None)
        # An edit within the same second and of the same length would find old bytecode.
        before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
        try:
            return importlib.import_module(f"asked.{name}")
        finally:
            sys.dont_write_bytecode = before

    def forget(self) -> None:
        """Take the package out of Python's table of modules."""
        for name in [name for name in sys.modules if name.partition(".")[0] == "asked"]:
            del sys.modules[name]

    def calls(self) -> list[str]:
        """Points that were measured since the last time of asking."""
        path = self.folder / "calls"
        calls = path.read_text().split() if path.exists() else []
        path.unlink(missing_ok=True)
        return calls

    def workers(self) -> list[int]:
        """Processes that sleep in a run that is slow."""
        return [int(path.name.partition("_")[2]) for path in self.folder.glob("worker_*")]

    def set(self, state: str) -> Path:
        """Break, interrupt, slow or kill the runs of one size (``broken_3``), or one of them."""
        path = self.folder / state
        path.touch()
        return path


def wait_until(true) -> None:
    deadline = time.monotonic() + 120
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    # An ended process that nobody has waited for, as in a container, is there still.
    status = Path(f"/proc/{process}/stat")
    return not (status.exists() and status.read_text().rpartition(")")[2].split()[0] == "Z")
