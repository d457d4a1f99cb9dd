"""The hash of a result's code changes with the code, and with nothing else."""

import sys

import pytest

from payattention import sources

PACKAGE = {
    "__init__": "version = 1",
    "question": (
        "'''What a result asks.'''\n"
        "import math\n"
        "import asked.deep.far\n"
        "from asked import near\n"
        "from .relative import value\n"
        "def measure():\n"
        "    '''Say.'''\n"
        "    from asked.late import value  # only when called\n"
        "    return value\n"
    ),
    "near": "from asked import third\nfrom asked.results import anything",
    "third": "number = 3",
    "relative": "value = 1",
    "late": "value = 1",
    "results": "anything = 1",
    "unrelated": "number = 1",
    "deep/__init__": "from . import beside",
    "deep/far": "number = 1",
    "deep/beside": "import asked.question",
}


@pytest.fixture
def package(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sources, "PACKAGE", "asked")
    monkeypatch.setattr(sources, "CARRIERS", {"asked", "asked.results"})
    for name, source in PACKAGE.items():
        path = tmp_path / "asked" / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)
    yield tmp_path / "asked"
    for name in [name for name in sys.modules if name.partition(".")[0] == "asked"]:
        del sys.modules[name]


INVOLVED = ["deep", "deep.beside", "deep.far", "late", "near", "question", "relative", "third"]


def test_every_module_that_is_imported_is_found(package):
    assert sources.modules("asked.question") == [f"asked.{name}" for name in INVOLVED]


@pytest.mark.parametrize("name", INVOLVED)
def test_code_that_is_imported_changes_the_hash(package, name):
    before = sources.modules_hash("asked.question")
    path = package / ("deep/__init__.py" if name == "deep" else f"{name.replace('.', '/')}.py")
    path.write_text(path.read_text() + "\nadded = 1\n")
    assert sources.modules_hash("asked.question") != before


def test_words_and_other_modules_do_not(package):
    before = sources.modules_hash("asked.question")
    assert len(before) == 16
    for other in ("unrelated", "results", "__init__"):
        (package / f"{other}.py").write_text("another = 2")
    text = PACKAGE["question"].replace("What a", "Which").replace("only when", "if")
    text = text.replace("    '''Say.'''\n", "\n").replace("import math", "import  math")
    (package / "question.py").write_text(text)
    assert sources.modules_hash("asked.question") == before


def test_a_function_of_words_alone_is_still_code(package):
    (package / "third.py").write_text("def empty():\n    '''Nothing.'''\n")
    before = sources.modules_hash("asked.third")
    (package / "third.py").write_text("def empty():\n    pass\n")
    assert sources.modules_hash("asked.third") == before
    (package / "third.py").write_text("def other():\n    pass\n")
    assert sources.modules_hash("asked.third") != before


EXPERIMENT = """
import asked.near
import asked.deep.far as far, asked.unrelated
from asked import late, third
from asked.relative import *

WIDTH = {"rnn": 3}
WIDTH["gru"] = 5
OTHER = 7
print("set up", late.value)

class Model:
    size = WIDTH["rnn"]

def build(model: Model = Model()):
    return asked.near

def measure(config, point):
    return [build(), far.number]

def findings(results):
    return {"seven": OTHER, "three": third.number}

if __name__ == "__main__":
    from asked import question
"""


class TestOneFunction:
    """Of the module itself, what one function reaches."""

    def hash(self, package, source, function="measure"):
        (package / "experiment.py").write_text(source)
        return sources.modules_hash("asked.experiment", function)

    @pytest.mark.parametrize(
        ("old", "new"),
        [
            ("return [build(), ", "return [build(), 1, "),
            ("return asked.near", "return asked.near or 1"),
            ("class Model:", "class Model(object):"),
            ('"rnn": 3', '"rnn": 4'),
            ('["gru"] = 5', '["gru"] = 6'),
            ("set up", "set"),
            ("asked.deep.far as far", "asked.late as far"),
            ("from asked.relative import *", ""),
        ],
    )
    def test_what_it_reaches_counts(self, package, old, new):
        assert old in EXPERIMENT
        before = self.hash(package, EXPERIMENT)
        assert self.hash(package, EXPERIMENT.replace(old, new)) != before

    @pytest.mark.parametrize(
        ("old", "new"),
        [
            ("OTHER = 7", "OTHER = 8"),
            ('{"seven": OTHER,', '{"eight": OTHER,'),
            ("import late, third", "import late"),
            ("from asked import question", "pass"),
        ],
    )
    def test_what_it_does_not_reach_does_not(self, package, old, new):
        assert old in EXPERIMENT
        before = self.hash(package, EXPERIMENT)
        assert self.hash(package, EXPERIMENT.replace(old, new)) == before
        whole = self.hash(package, EXPERIMENT, None)
        assert self.hash(package, EXPERIMENT.replace(old, new), None) != whole

    def test_modules_are_those_that_it_reaches(self, package):
        source = EXPERIMENT.replace("asked.deep.far as far", "asked.late as far")
        (package / "experiment.py").write_text(source)
        reached = ["experiment", "late", "near", "relative", "third", "unrelated"]
        found = sources.modules("asked.experiment", "measure")
        assert found == [f"asked.{name}" for name in reached]
        assert "asked.question" in sources.modules("asked.experiment")

    @pytest.mark.parametrize(
        ("module", "source", "counts"),
        [
            ("late", "value = 2", True),
            ("late", "value = 1\nnever_asked = 1", False),
            ("late", "base = 1\nvalue = base", True),
            ("late", "value = 1\nprint('imported')", True),  # a call may do anything
            ("late", "exec('value = 1')", True),
            ("near", PACKAGE["near"] + "\nanother = 1", True),  # returned whole by build
            ("relative", "value = 1\nanother = 1", True),  # a star asks for all
            ("deep/far", "number = 1\nanother = 1", False),
            ("deep/far", "number = 2\n", True),
            ("unrelated", "number = 1\nanother = 1", True),  # by its whole path: all of it
            ("third", "number = 4", False),
        ],
    )
    def test_of_other_modules_what_is_asked_counts(self, package, module, source, counts):
        before = self.hash(package, EXPERIMENT)
        (package / f"{module}.py").write_text(source)
        assert (self.hash(package, EXPERIMENT) != before) is counts

    def test_what_a_name_reaches_in_a_third_module_counts(self, package):
        source = "from asked import middle\ndef measure(config, point):\n    return middle.use()\n"
        middle = "from asked.third import number, other\ndef use():\n    return number\nx = other\n"
        (package / "middle.py").write_text(middle)
        (package / "third.py").write_text("number = 3\nother = 4\n")
        before = self.hash(package, source)
        (package / "third.py").write_text("number = 3\nother = 5\n")
        assert self.hash(package, source) == before
        (package / "third.py").write_text("number = 2\nother = 5\n")
        assert self.hash(package, source) != before

    def test_missing_function_is_named(self, package):
        with pytest.raises(ValueError, match=r"function: got 'fit'; expected one of .*'measure'"):
            self.hash(package, EXPERIMENT, "fit")


def test_module_without_a_source_is_named(package):
    with pytest.raises(ValueError, match=r"name: got 'asked\.missing'"):
        sources.modules_hash("asked.missing")
