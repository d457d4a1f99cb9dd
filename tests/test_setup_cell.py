"""The set-up cell installs what is missing, changes nothing, and says what stands in its way.

Its pip is a stand-in here that writes down what it is asked; `make test-notebooks` runs the cell
with the real one, in an environment without the library.
"""

import importlib.metadata
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from extensions import setup_cell

ADDRESS = "https://github.com/someone/paying-attention"
PRESENT = {"torch": "2.11.0+cu128", "numpy": "2.1.3", "tqdm": "4.67.3", "Safetensors": "0.8.0"} | {
    "scipy": "1.16.3"
}
PRESENT |= {"matplotlib": "3.10.0", "ipywidgets": "7.7.1", "anywidget": "0.9.21"}


class Machine:
    """An environment in which the cell runs: what is installed, and what pip was asked."""

    def __init__(self, monkeypatch, present, address=ADDRESS, failing=None):
        self.asked, self.kept, self.there = [], "", False
        self.address, self.failing = address, failing
        requires = importlib.metadata.requires("payattention")
        distributions = [SimpleNamespace(name=n, version=v) for n, v in present.items()]
        monkeypatch.setattr(importlib.metadata, "distributions", lambda: distributions)
        monkeypatch.setattr(importlib.metadata, "requires", lambda name: requires)
        monkeypatch.setattr("importlib.util.find_spec", lambda name: self.there or None)
        monkeypatch.setattr(subprocess, "run", self.pip)

    def pip(self, command, **options):
        assert command[:3] == [sys.executable, "-m", "pip"]
        self.asked.append(" ".join(command[3:-1]))
        if "--constraint" in command:
            self.kept = Path(command[command.index("--constraint") + 1]).read_text()
        fails = self.failing is not None and self.failing in self.asked[-1]
        return subprocess.CompletedProcess(command, int(fails), "", "no such host" * fails)

    def run(self):
        exec(setup_cell.source(self.address, "1.2.3"), {})


@pytest.fixture(autouse=True)
def no_source(monkeypatch):
    monkeypatch.delenv("PAYATTENTION_SOURCE", raising=False)


def test_where_the_library_is_it_does_nothing(monkeypatch, capsys):
    machine = Machine(monkeypatch, PRESENT, address=ADDRESS.replace("someone", "OWNER"))
    machine.there = True
    machine.run()
    assert machine.asked == [] and capsys.readouterr().out == ""


def test_elsewhere_it_installs_the_release_and_what_is_missing(monkeypatch, capsys):
    machine = Machine(monkeypatch, PRESENT)
    machine.run()
    release, rest = machine.asked
    assert release == (f"install --no-deps payattention @ {ADDRESS}/archive/refs/tags/v1.2.3.zip")
    assert re.fullmatch(r"install --constraint \S+ jaxtyping>=[\d.]+", rest)
    assert "jaxtyping" in capsys.readouterr().out


def test_what_is_there_is_kept_as_it_is(monkeypatch):
    machine = Machine(monkeypatch, PRESENT)
    machine.run()
    assert "torch==2.11.0+cu128\n" in machine.kept and "numpy==2.1.3\n" in machine.kept


def test_where_nothing_is_missing_nothing_is_added(monkeypatch):
    machine = Machine(monkeypatch, PRESENT | {"jaxtyping": "0.3.11"})
    machine.run()
    assert len(machine.asked) == 1


def test_what_is_too_old_is_named_and_the_library_taken_back(monkeypatch):
    machine = Machine(monkeypatch, PRESENT | {"torch": "1.13.1"})
    with pytest.raises(RuntimeError, match=r"torch 1\.13\.1 is installed, .* needs torch>="):
        machine.run()
    assert machine.asked[1:] == ["uninstall --yes payattention"]


def test_a_failing_install_shows_its_words_and_leaves_nothing_behind(monkeypatch):
    machine = Machine(monkeypatch, PRESENT, failing="--constraint")
    with pytest.raises(RuntimeError, match="no such host"):
        machine.run()
    assert machine.asked[-1] == "uninstall --yes payattention"


def test_a_local_copy_is_taken_where_one_is_named(monkeypatch):
    monkeypatch.setenv("PAYATTENTION_SOURCE", "/a/clone")
    machine = Machine(monkeypatch, PRESENT, address=ADDRESS.replace("someone", "OWNER"))
    machine.run()
    assert machine.asked[0] == "install --no-deps /a/clone"


def test_before_publication_it_says_what_to_do(monkeypatch):
    machine = Machine(monkeypatch, PRESENT, address=ADDRESS.replace("someone", "OWNER"))
    with pytest.raises(RuntimeError, match=r"no public repository yet.*\n.*pip install"):
        machine.run()
    assert machine.asked == []


@pytest.mark.parametrize("address", ["github.com/a/b", "https://github.com/a/b.git", ADDRESS + "/"])
def test_an_address_that_is_none_is_refused(address):
    with pytest.raises(ValueError, match=r"repository_url=.*: expected https"):
        setup_cell.source(address, "1.2.3")
